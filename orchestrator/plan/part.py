"""Say which part of a restore point is asked for, and refuse what cannot be one before any host hears of it.

The host looks at every value again: a playbook that is started by hand gets the same answers.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import Usage

FILES, DATABASE = "files", "database"
LONGEST_TABLE, LONGEST_PATH = 64, 4000
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_QUOTES = re.compile(r"['\"`\\]")
# Ansible would fill these in: what a person types is a name and nothing else.
_TEMPLATE = re.compile(r"\{[{%#]")


@dataclass(frozen=True)
class Part:
    """What of a restore point comes back; without any of these, all of it."""

    only: str = ""
    tables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    accept_other_version: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is the whole restore point."""
        return not (self.only or self.tables or self.paths)

    def variables(self) -> Mapping[str, Any]:
        """Return what the role is told; nothing where its own defaults say it."""
        given = {
            "site_snapshot_only": self.only,
            "site_snapshot_tables": list(self.tables),
            "site_snapshot_paths": list(self.paths),
            "site_snapshot_accept_other_version": self.accept_other_version,
        }
        return {name: value for name, value in given.items() if value}

    def words(self) -> str:
        """Say what is replaced, for a person who is asked whether he is sure."""
        if self.whole:
            return "production"
        if self.tables or self.paths:
            return ", ".join([*(f"table {table}" for table in self.tables), *self.paths])
        return f"the {self.only}"


def ask_part(
    *, only: str, tables: Sequence[str], paths: Sequence[str], root: str, accept_other_version: bool, again: str
) -> Part:
    """Return the part that was asked for. Raises Usage, with `again` as the command to type, for what cannot be one."""
    if only == DATABASE and paths:
        raise Usage("--path is about files and --only database leaves them out.", f"{again} --path {paths[0]}")
    if only == FILES and tables:
        raise Usage("--table is about the database and --only files leaves it out.", f"{again} --table {tables[0]}")
    for table in tables:
        if not 0 < len(table) <= LONGEST_TABLE or table.startswith("-") or _QUOTES.search(table) or _odd(table):
            raise Usage(f"{table[:80]!r} cannot be the name of a table.", f"{again} --table wp_posts")
    for path in paths:
        if told := _wrong(path, root):
            raise Usage(f"the path {path[:80]!r} {told}", f"{again} --path wp-content/uploads/photo.jpg")
    return Part(only, tuple(dict.fromkeys(tables)), tuple(dict.fromkeys(paths)), accept_other_version)


def _wrong(path: str, root: str) -> str:
    if not path or len(path) > LONGEST_PATH or _odd(path):
        return "cannot be the name of a file."
    if path.startswith("-"):
        return "looks like an option; write ./ before the name of a file."
    if ".." in path.split("/"):
        return f"leads out of the site's folder {root}."
    inside = posixpath.relpath(posixpath.normpath(path), root) if path.startswith("/") else posixpath.normpath(path)
    if inside.split("/")[0] == "..":
        return f"does not lie in the site's folder {root}."
    return "is all of the files; for them it is --only files." if inside == "." else ""


def _odd(value: str) -> bool:
    return bool(_UNPRINTABLE.search(value) or _TEMPLATE.search(value))
