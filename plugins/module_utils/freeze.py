# GPL-3.0-or-later
"""The freeze: seconds in which production accepts no writes; and what only the site's own web server can tell or do."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from typing import Any, Protocol, Sequence

from . import freeze_php
from .own_way_back import MARKER as MARKER
from .own_way_back import SEAL, is_frozen
from .own_way_back import thaw as thaw
from .site import Site
from .web import fetch

DRAIN_SECONDS = 10.0
# WordPress connects to its database a few files after it has looked for the marker (wp-settings.php). After this spell,
# files and checksums are gone through before the first table is copied: a straggler has all of that time.
QUIET_SECONDS = 0.15
# PHP may look at a changed file only after so many seconds; nobody is kept out longer than that.
LONGEST_REVALIDATION = 5
HELPER = re.compile(r"(?:upkeep-[0-9a-f]{16}\.(?:php|json)|\.maintenance|\.upkeep-freeze)(?:\.upkeep-tmp)?\Z")


class Drained(Protocol):
    """Whatever says how many requests are still at work in it."""

    def other_connections(self) -> int:
        """Return their number."""


class FreezeError(Exception):
    """The site cannot be frozen, drained, or its opcode cache cannot be emptied."""


def new_token() -> str:
    """Return a one-time token for probes to pass a freeze."""
    return secrets.token_hex(16)


def freeze(root: str, token: str) -> None:
    """Answer 503 with Retry-After to everything but requests that carry the token, from the next request on.

    Without a token nothing happens: what is no WordPress does not look at the marker.
    """
    if not token:
        return
    _write(os.path.join(root, SEAL), _seal(token))
    _write(os.path.join(root, MARKER), freeze_php.MAINTENANCE)


def drain(database: Drained, seconds: float = DRAIN_SECONDS, *, quiet: float = QUIET_SECONDS) -> float:
    """Wait until the requests that came in before the freeze have let go of the database. Returns the seconds waited.

    A request that was let in a moment before the freeze connects a moment after it: only a spell of `quiet` seconds counts.
    Raises FreezeError when one is still there after `seconds`: what it writes later would be lost on a way back.
    """
    started = quiet_since = time.monotonic()
    while True:
        # The last look is due at the end of the spell, and not after it.
        time.sleep(max(0.01, min(0.05, quiet_since + quiet - time.monotonic())))
        busy = database.other_connections()
        now = time.monotonic()
        if busy and now - started > seconds:
            raise FreezeError(f"requests were still writing to the database {seconds:g} s after the freeze")
        if busy:
            quiet_since = now
        elif now - quiet_since >= quiet:
            return now - started


def sweep(root: str) -> list[str]:
    """Remove what a killed module of ours left in a document root that is not frozen any more."""
    if is_frozen(root):
        return []
    left = [name for name in sorted(os.listdir(root)) if HELPER.match(name) and name != MARKER]
    for name in left:
        _unlink(os.path.join(root, name))
    return left


def ask_web_server(site: Site, do: str = "", paths: Sequence[str] | None = None) -> dict[str, Any]:
    """Ask PHP inside the site's own web server for its log, limits and opcode cache.

    It may `reset` that cache, of all files or of `paths`, or `compile` paths into it. A file with a random name stands in
    the document root for the length of one request. Raises FreezeError.
    """
    token = new_token()
    name = f"upkeep-{secrets.token_hex(8)}"
    path = os.path.join(site.root, name)
    try:
        if paths is not None:
            _write(path + ".json", paths_for_php(paths))
        _write(path + ".php", freeze_php.ONE_TIME % {"seal": _seal(token)})
        answer = fetch(site.production(token), f"/{name}.php?do={do}", timeout=20)
    finally:
        _unlink(path + ".php")
        _unlink(path + ".json")
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if answer.status != 200 or not isinstance(value, dict) or "opcache" not in value:
        reason = answer.error or f"status {answer.status}"
        raise FreezeError(f"the web server does not run a PHP file of the document root ({reason})")
    return value


def refresh_opcodes(site: Site, changed: Sequence[str] | None = None) -> dict[str, Any]:
    """Make the web server's PHP run what is on disk now. Returns what PHP said.

    `changed` are the paths below the document root that were replaced; without them the whole cache is emptied. What is
    left in it need not be compiled again while visitors wait. `was_cached` in the answer are those of them that it held.

    Raises FreezeError when its opcode cache never looks at the files and cannot be emptied (see trellis issue 125).
    """
    said = ask_web_server(site, "reset", changed)
    if said["opcache"] and not said["reset"]:
        stuck = stale_opcodes({**said, "may_reset": False})
        if stuck:
            raise FreezeError(stuck)
        time.sleep(said["revalidate_freq"] + 0.2)
    return said


def paths_for_php(changed: Sequence[str]) -> str:
    """Return the paths as our one-time file reads them. A name that is no text cannot be told: then it empties the whole cache."""
    return json.dumps(list(changed) if all(map(_is_text, changed)) else None)


def warm_opcodes(site: Site, paths: Sequence[str]) -> None:
    """Have the web server's PHP compile these files, without running them, so that no visitor waits for it.

    Nothing depends on it: what was not compiled now is compiled when it is first asked for.
    """
    with contextlib.suppress(FreezeError, OSError):
        ask_web_server(site, "compile", [path for path in paths if _is_text(path)])


def stale_opcodes(said: dict[str, Any]) -> str:
    """Return why this web server's PHP would go on running old files after an exchange, or ""."""
    if not said["opcache"] or said["may_reset"]:
        return ""
    if not said["validate_timestamps"]:
        return "PHP's opcode cache checks no timestamps and cannot be emptied (opcache.restrict_api?)"
    if said["revalidate_freq"] > LONGEST_REVALIDATION:
        return f"PHP's opcode cache looks at files every {said['revalidate_freq']} s only and cannot be emptied"
    return ""


def _is_text(name: str) -> bool:
    return name == name.encode("utf-8", "replace").decode("utf-8")


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
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
