"""Lend a host the controller's own restic where it has none that is good enough.

The copy lies in the folder of ours beside the document root, belongs to the site's owner, and is compared by its SHA-256
before every use. Nothing is installed on the host.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# The oldest restic that can do what is asked of it: repository version 2, and `rebuild-index` that reads packs.
LEAST = (0, 14)
# What a contract says that says nothing: another name is the client's own choice, and stays.
USUAL = "restic"
_VERSION = re.compile(r"^restic (\d+)\.(\d+)")
_SUM = re.compile(r"^\\?([0-9a-f]{64}) ")


class CannotLend(Exception):
    """The host has no restic and cannot use ours; the message says why and what to do."""


@dataclass(frozen=True)
class Told:
    """What a host said of itself. `lent` is the SHA-256 of a restic that was lent to it before, or ""."""

    system: str
    machine: str
    workshop: str
    version: tuple[int, int] | None
    lent: str

    @property
    def place(self) -> str:
        """Where a restic that is lent lies."""
        return f"{self.workshop}/bin/restic"

    @property
    def has_its_own(self) -> bool:
        """Whether the host has a restic that is good enough."""
        return self.version is not None and self.version >= LEAST


def question(root: str) -> str:
    """Return the shell's words that ask a host; it runs as the site's owner and changes nothing."""
    return (
        f'w="$(dirname -- "$(readlink -f -- {shlex.quote(root)})")/.upkeep";'
        ' echo "$(uname -s) $(uname -m) $w"; restic version 2>/dev/null | head -n 1;'
        ' if [ -f "$w/bin/restic" ]; then sha256sum -- "$w/bin/restic"; fi; :'
    )


def heard(out: str) -> Told:
    """Read what a host said. Raises CannotLend when that is no answer."""
    lines = out.splitlines()
    words = lines[0].split(" ", 2) if lines else []
    if len(words) != 3 or not words[2].startswith("/"):
        raise CannotLend("the host does not say what kind of machine it is")
    version = next((match for line in lines[1:] if (match := _VERSION.match(line))), None)
    lent = next((match[1] for line in lines[1:] if (match := _SUM.match(line))), "")
    return Told(words[0], words[1], words[2], (int(version[1]), int(version[2])) if version else None, lent)


def own() -> tuple[str, str]:
    """Return our own restic and its SHA-256. Raises CannotLend when there is none here."""
    path = shutil.which(USUAL)
    if path is None:
        raise CannotLend("the host has no restic, and the controller has none either: install restic on one of them")
    path = os.path.realpath(path)
    return path, _sum(path)


def fits(told: Told) -> None:
    """Raise CannotLend unless our own restic is made for that machine."""
    here = platform.system(), platform.machine()
    if (told.system, told.machine) != here:
        raise CannotLend(
            f"the host has no restic of {'.'.join(map(str, LEAST))} or newer, and ours is for {' '.join(here)}, not for"
            f" {told.system} {told.machine}: install restic there, or name it in the contract (programs.restic)"
        )


@cache
def _sum(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
