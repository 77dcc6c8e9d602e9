# GPL-3.0-or-later
"""The files of which a dump consists: their names, sizes and checksums. Values in, values out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Iterable

TABLES_FOLDER = "tables"
LONGEST_NAME = 200


@dataclass(frozen=True)
class DumpFile:
    """One file of a dump, by its path inside the dump's folder."""

    file: str
    bytes: int
    sha256: str

    def evidence(self) -> dict[str, Any]:
        """Return what a manifest says about the file."""
        return {"file": self.file, "bytes": self.bytes, "sha256": self.sha256}


def file_name(table: str) -> str:
    """Return the file of a table: letters and digits as they are, everything else as %XX, never too long for a disk."""
    name = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-$") else _hidden(letter) for letter in table
    )
    if len(name) > LONGEST_NAME:
        name = f"{name[:150]}%{hashlib.sha256(table.encode()).hexdigest()[:32]}"
    return f"{TABLES_FOLDER}/{name}.sql"


def overall(files: Iterable[DumpFile]) -> str:
    """Return one checksum for all files: that of what `sha256sum` would print about them, in the order of their paths."""
    lines = [f"{each.sha256}  {each.file}\n" for each in sorted(files, key=lambda each: each.file)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hidden(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogateescape"))
