# GPL-3.0-or-later
"""The freeze: the seconds in which production accepts no writes; and what only the site's own web server can tell or do."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from typing import Any

from . import wordpress_php
from .database import Database
from .site import Site
from .web import fetch

MARKER = ".maintenance"
SEAL = ".upkeep-freeze"
DRAIN_SECONDS = 10.0


class FreezeError(Exception):
    """The site cannot be frozen, drained, or its opcode cache cannot be emptied."""


def new_token() -> str:
    """Return a one-time token for probes to pass a freeze."""
    return secrets.token_hex(16)


def freeze(root: str, token: str) -> None:
    """Answer 503 with Retry-After to everything but requests that carry the token, from the next request on."""
    _write(os.path.join(root, SEAL), _seal(token))
    _write(os.path.join(root, MARKER), wordpress_php.MAINTENANCE)


def thaw(root: str) -> bool:
    """Let everybody in again. Returns whether the tree was frozen by us."""
    was = is_frozen(root)
    if was:
        _unlink(os.path.join(root, MARKER))
    _unlink(os.path.join(root, SEAL))
    return was


def is_frozen(root: str) -> bool:
    """Whether the marker in this tree is ours."""
    try:
        with open(os.path.join(root, MARKER), encoding="utf-8", errors="replace") as file:
            return "Written by Upkeep" in file.read(200)
    except OSError:
        return False


def drain(database: Database, seconds: float = DRAIN_SECONDS) -> float:
    """Wait until the requests that came in before the freeze have let go of the database. Returns the seconds waited.

    Raises FreezeError when one is still there after `seconds`: what it writes later would be lost on a way back.
    """
    started = time.monotonic()
    while database.other_connections():
        if time.monotonic() - started > seconds:
            raise FreezeError(f"requests were still writing to the database {seconds:g} s after the freeze")
        time.sleep(0.05)
    return time.monotonic() - started


def ask_web_server(site: Site, *, reset: bool = False) -> dict[str, Any]:
    """Ask PHP inside the site's own web server for its log, limits and opcode cache; with `reset` empty that cache.

    A file with a random name stands in the document root for the length of one request. Raises FreezeError.
    """
    token = new_token()
    name = f"upkeep-{secrets.token_hex(8)}.php"
    path = os.path.join(site.root, name)
    try:
        _write(path, wordpress_php.ONE_TIME % {"seal": _seal(token)})
        answer = fetch(site.production(token), "/{}{}".format(name, "?reset=1" if reset else ""), timeout=20)
    finally:
        _unlink(path)
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if answer.status != 200 or not isinstance(value, dict):
        reason = answer.error or "status %d" % answer.status
        raise FreezeError(f"the web server does not run a PHP file of the document root ({reason})")
    return value


def refresh_opcodes(site: Site) -> dict[str, Any]:
    """Make the web server's PHP run what is on disk now. Returns what PHP said.

    Raises FreezeError when its opcode cache never looks at the files and cannot be emptied (see trellis issue 125).
    """
    said = ask_web_server(site, reset=True)
    if said["opcache"] and not said["reset"]:
        if not said["validate_timestamps"]:
            raise FreezeError("PHP's opcode cache checks no timestamps and cannot be emptied (opcache.restrict_api?)")
        time.sleep(said["revalidate_freq"] + 0.2)
    return said


def _seal(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _write(path: str, text: str) -> None:
    # The web server's PHP may run as another user than the owner; the file says nothing secret.
    temporary = path + ".upkeep-tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
