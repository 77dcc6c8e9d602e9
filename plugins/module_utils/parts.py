# GPL-3.0-or-later
"""Which part of a restore point is asked for: all of it, files or database, some tables, some paths.

Values in, values out. Whatever a person or a contract may have written is refused here before anything is done with it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Iterable, Mapping, Sequence

from .database import TABLE

ALL, FILES, DATABASE = "all", "files", "database"
CHOICES = (ALL, FILES, DATABASE)
LONGEST_PATH = 4000
SHOWN = 5
_UNWANTED = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")


class PartError(Exception):
    """No such part can be asked for, or this restore point does not have it; the message says what to do."""


@dataclass(frozen=True)
class Part:
    """What of a restore point is wanted. Paths are relative to the document root."""

    only: str = ALL
    tables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def from_parameters(cls, given: Mapping[str, Any], *roots: str) -> Part:
        """Build the value from a module's options. Raises PartError for what cannot be asked for.

        `roots` are the names by which the document root is known: it may be a link, and a path be named by either.
        """
        only = str(given.get("only") or ALL)
        tables, paths = list(given.get("tables") or []), list(given.get("paths") or [])
        if only not in CHOICES:
            raise PartError(f"{only!r} is not one of {', '.join(CHOICES)}")
        if only == DATABASE and paths:
            raise PartError("paths belong to the files: leave out site_snapshot_only, or the paths")
        if only == FILES and tables:
            raise PartError("tables belong to the database: leave out site_snapshot_only, or the tables")
        for table in tables:
            if not TABLE.match(str(table)) or str(table).startswith("-"):
                raise PartError(f"{table!r} cannot be the name of a table")
        return cls(
            only,
            tuple(dict.fromkeys(map(str, tables))),
            tuple(dict.fromkeys(_inside(str(path), roots) for path in paths)),
        )

    @classmethod
    def from_journal(cls, written: Mapping[str, Any]) -> Part:
        """Build the value from what asked() gave; a journal without one is of a whole restore point."""
        return cls(written.get("only", ALL), tuple(written.get("tables", ())), tuple(written.get("paths", ())))

    def asked(self) -> dict[str, Any]:
        """Return the part as it is written down."""
        return {"only": self.only, "tables": list(self.tables), "paths": list(self.paths)}

    @property
    def files(self) -> bool:
        """Whether the whole tree is wanted."""
        return not self.tables and not self.paths and self.only in (ALL, FILES)

    @property
    def tree(self) -> bool:
        """Whether the tree changes at all."""
        return self.files or bool(self.paths)

    @property
    def database(self) -> bool:
        """Whether tables change at all."""
        return bool(self.tables) or (not self.paths and self.only in (ALL, DATABASE))

    @property
    def whole(self) -> bool:
        """Whether it is the whole restore point."""
        return self.files and self.database

    def covers(self, path: str) -> bool:
        """Whether a path of the tree is one that was asked for, or lies below one."""
        return any(path == each or path.startswith(each + "/") for each in self.paths)

    def named(self) -> str:
        """Say in words what is wanted."""
        if self.whole:
            return "all"
        if self.tables or self.paths:
            tables = [f"table {name}" for name in self.tables]
            return _few([*tables, *self.paths])
        return "the files" if self.files else "the database"

    def missing(self, tables: Iterable[str], paths: Iterable[str] | None = None) -> list[str]:
        """Return what was asked for and the restore point does not have; without `paths` only tables are looked at."""
        found = []
        there = sorted(tables)
        for table in self.tables:
            if table not in there:
                found.append(f"it has no table {table}{_meant(table, there)}")
        known = set(paths or ())
        for path in self.paths if paths is not None else ():
            if path not in known:
                beside = [each for each in known if os.path.dirname(each) == os.path.dirname(path)]
                found.append(f"it has no {path} below the document root{_meant(path, beside)}")
        return found


def _inside(path: str, roots: Sequence[str]) -> str:
    """Return a path relative to the document root. Raises PartError when it leads anywhere else."""
    told = f"the path {path[:100]!r}"
    if not path or len(path) > LONGEST_PATH or _UNWANTED.search(path):
        raise PartError(f"{told} cannot be the name of a file")
    if path.startswith("-"):
        raise PartError(f"{told} looks like an option: type ./{path[:100]} for a file of that name")
    if ".." in path.split("/"):
        raise PartError(f"{told} leads out of the document root {roots[0]}")
    named = [os.path.relpath(os.path.normpath(path), root) for root in roots] if os.path.isabs(path) else [path]
    inside = [os.path.normpath(each) for each in named if each.split("/")[0] != ".."]
    if not inside:
        raise PartError(f"{told} does not lie in the document root {roots[0]}")
    if inside[0] == ".":
        raise PartError(f"{told} is the whole document root: ask for the files instead, with site_snapshot_only=files")
    return inside[0]


def _meant(asked: str, there: Sequence[str]) -> str:
    close = get_close_matches(asked, there, n=1)
    if close:
        return f". Did you mean {close[0]}?"
    return f", only {_few(sorted(there))}" if there else ""


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
