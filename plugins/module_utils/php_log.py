# GPL-3.0-or-later
"""Read what PHP's error log gained since a remembered position.

Pages can look right while cron, REST or ajax die; only the log tells.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

NOT_READABLE = "log not readable"
MAX_GROWTH = 8 * 1024 * 1024
MAX_SAMPLES = 5
SAMPLE_LENGTH = 200

# "PHP Fatal error:  …", "PHP Parse error: …"; also as one line inside php-fpm's own log or nginx's.
_FATAL = re.compile(r"PHP (?:Fatal|Parse|Core|Compile|Recoverable fatal) error: .*", re.DOTALL)
_UNCAUGHT = re.compile(r"Uncaught \w[\w\\]*(?:Error|Exception)\b.*", re.DOTALL)
_WARNING = re.compile(r"PHP (?:Core |Compile |User )?[Ww]arning: |WordPress database error ")
# Arguments of calls stand in the stack trace: passwords and customers' data are among them.
_TRACE = re.compile(r"\s*(?:Stack trace:|\\n#\d|#\d+ ).*", re.DOTALL)
_FOLDERS = re.compile(r"(?:/[^\s/:'\"]+)+/")
_NUMBERS = re.compile(r"\b0x[0-9a-f]+\b|\d+")


@dataclass(frozen=True)
class Fatal:
    """One kind of fatal error and how often it came."""

    key: str
    """The message without numbers and folders: equal for the same fault on another day, line or copy of the site."""
    sample: str
    """The first line of the first one, cut, without the stack trace."""
    count: int


@dataclass(frozen=True)
class Growth:
    """What the log gained. `note` says why nothing, or not everything, could be read."""

    fatals: list[Fatal] = field(default_factory=list)
    warnings: int = 0
    size: int = 0
    note: str = ""


def position(path: str) -> dict[str, int]:
    """Remember where the log ends now. A log that does not exist yet ends at nothing; an unreadable one has size -1."""
    try:
        with open(path, "rb") as log:
            state = os.fstat(log.fileno())
            return {"inode": state.st_ino, "size": state.st_size}
    except FileNotFoundError:
        # PHP makes the file with its first error, if it can.
        known = os.path.isdir(os.path.dirname(path) or ".") and bool(path)
        return {"inode": 0, "size": 0 if known else -1}
    except OSError:
        return {"inode": 0, "size": -1}


def growth(path: str, position: dict[str, int]) -> Growth:
    """Tell what was logged after the position, across a rotation. Never raises: not being able to read is a note."""
    since = int(position["size"])
    if since < 0:
        return Growth(note=NOT_READABLE)
    text, note = b"", ""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        state = None
    except OSError:
        return Growth(note=NOT_READABLE)
    try:
        if state is not None and state.st_ino == position["inode"]:
            if state.st_size < since:
                note = "the log was shortened in between: what it held then is lost"
                since = 0
            text = _read(path, since)
        else:
            moved = _moved(path, position["inode"])
            if moved:
                text = _read(moved, since)
            elif position["inode"]:
                note = "the log was replaced in between: what the old one held last is lost"
            if state is not None:
                text += _read(path, 0)
    except OSError:
        return Growth(note=NOT_READABLE)
    if len(text) > MAX_GROWTH:
        text, note = text[:MAX_GROWTH], f"the log grew by more than {MAX_GROWTH} bytes: only those were read"
    return _understand(text, note)


def key_of(message: str) -> str:
    """Strip from a message what differs between two runs of the same fault."""
    return _NUMBERS.sub("N", _FOLDERS.sub("", message)).strip()


def _understand(text: bytes, note: str) -> Growth:
    counts: dict[str, int] = {}
    samples: dict[str, str] = {}
    warnings = 0
    for line in text.decode("utf-8", "replace").splitlines():
        found = _FATAL.search(line) or _UNCAUGHT.search(line)
        if found:
            message = " ".join(_TRACE.sub("", found.group(0)).split())
            key = key_of(message)
            counts[key] = counts.get(key, 0) + 1
            samples.setdefault(key, message[:SAMPLE_LENGTH])
        elif _WARNING.search(line):
            warnings += 1
    fatals = [Fatal(key, samples[key], count) for key, count in counts.items()]
    return Growth(fatals, warnings, len(text), note)


def _read(path: str, since: int) -> bytes:
    with open(path, "rb") as log:
        log.seek(since)
        return log.read(MAX_GROWTH + 1)


def _moved(path: str, inode: int) -> str:
    """Find the file under the name that a rotation gave it: the same inode beside the log."""
    folder, name = os.path.split(path)
    if not inode:
        return ""
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.startswith(name) and entry.inode() == inode:
                return entry.path
    return ""
