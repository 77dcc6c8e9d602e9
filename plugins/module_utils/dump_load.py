# GPL-3.0-or-later
"""Load a restored dump, or some of its tables, into a staging database, and prove that it is all there.

Nothing here touches production: a file that is not as it was, or one statement that fails, costs nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from . import dump, tree
from .database import Database
from .dump_files import DumpFile
from .dump_stream import BLOCK, DEFINITIONS, SEQUENCES, TABLE, Reader, StreamError, split
from .engine import LoadError
from .points import PointError, dump_files

# At the beginning of a statement, in the forms in which mariadb-dump and mysqldump write it.
_DEFINER = re.compile(
    rb"(?m)^((?:/\*!\d+ CREATE\*/ )?(?:/\*!\d+ |CREATE )(?:ALGORITHM=\w+ )?)DEFINER=`[^`\n]*`@`[^`\n]*`"
)


@dataclass(frozen=True)
class _Loadable:
    """A file that one table can be loaded from, and its rows where the dump tells them."""

    path: str
    rows: int | None


def paths(wanted: dict[str, Any], tables: Sequence[str] = ()) -> list[str]:
    """Return the files of a dump that hold these tables, or all of them, by the host's names for them."""
    if "folder" not in wanted:
        return [str(wanted["file"])]
    if not tables:
        return [str(wanted["folder"])]
    return [os.path.join(wanted["folder"], wanted["tables"][table]["file"]) for table in tables]


def needed(wanted: dict[str, Any], tables: Sequence[str] = ()) -> int:
    """Return how many bytes must be free to fetch and load a dump, or some of its tables."""
    if "folder" not in wanted:
        # The whole dump is fetched, and taken apart when only some of it is wanted.
        return (3 if tables else 2) * int(wanted["bytes"])
    return 2 * (sum(wanted["tables"][table]["bytes"] for table in tables) if tables else int(wanted["bytes"]))


def refusals(wanted: dict[str, Any], tables: Sequence[str] = ()) -> list[str]:
    """Return why these tables, or all of them, cannot be put in the place of others, as far as the manifest tells."""
    return _more_than_tables(set(wanted.get("others", ())), whole=not tables)


def load(
    incoming: Database,
    wanted: dict[str, Any],
    restored: str,
    *,
    tables: Sequence[str] = (),
    present: Callable[[], bytes],
    timeout: float,
) -> dict[str, int]:
    """Load the tables, all of them without names, and return their rows. `restored` is the folder restic filled.

    Views, triggers, routines and events stay as they are in production, so of a whole dump they must be what they were:
    `present` tells what they are now.

    Raises LoadError for a dump that is not the one that was stored, DatabaseError for a statement that fails.
    """
    names = sorted(tables or wanted["tables"])
    try:
        if "folder" in wanted:
            files, others = _proved(wanted, restored, names, whole=not tables)
        else:
            files, others = _taken_apart(wanted, restored, names, whole=not tables)
    except (StreamError, PointError) as error:
        raise LoadError(f"the dump cannot be used: {error}") from error
    if not tables and DEFINITIONS in others and others[DEFINITIONS] != present():
        raise LoadError(
            "only tables can be put in the place of others, and the views, triggers, routines or events of the"
            " restore point are others than those of today. Ask for tables by name, or for the files"
        )
    incoming.empty()
    dump.load_tables(incoming, [files[table].path for table in names], timeout=timeout)
    if sorted(incoming.tables()) != names:
        raise LoadError("the loaded database has other tables than the restore point")
    rows = dump.count_rows(incoming, names)
    short = [
        table for table in names if rows[table] != (files[table].rows if files[table].rows is not None else rows[table])
    ]
    if short:
        raise LoadError(f"loaded tables have other numbers of rows than the dump: {', '.join(short[:5])}")
    return rows


def load_everything(incoming: Database, wanted: dict[str, Any], restored: str, *, timeout: float) -> dict[str, int]:
    """Load a whole dump into a database that has nothing: sequences, tables with their triggers, views, routines, events.

    Returns the rows of the tables. Raises LoadError, DatabaseError; what was loaded by then stays, and the mark of a
    staging database with it.
    """
    names = sorted(wanted["tables"])
    incoming.empty()
    if "folder" not in wanted:
        path = restored + str(wanted["file"])
        proof = dump.read(path)
        if proof.sha256 != wanted["sha256"] or proof.bytes != wanted["bytes"] or not proof.end_marker:
            raise LoadError("the dump that came back is not the one that was stored")
        dump.load(incoming, path, timeout=timeout)
    else:
        files = {each.file: each for each in dump_files(wanted)}
        for each in files.values():
            proof = dump.read(os.path.join(restored + wanted["folder"], each.file))
            if (proof.bytes, proof.sha256) != (each.bytes, each.sha256):
                raise LoadError(f"{each.file} of the dump that came back is not the one that was stored")
        others = {kind: str(entry["file"]) for kind, entry in wanted["others"].items()}
        folder = restored + str(wanted["folder"])
        # Tables may take their numbers from sequences; views, triggers and routines want the tables.
        if SEQUENCES in others:
            dump.load(incoming, os.path.join(folder, others.pop(SEQUENCES)), timeout=timeout)
        tables = [os.path.join(folder, wanted["tables"][table]["file"]) for table in names]
        dump.load_tables(incoming, tables, timeout=timeout)
        for file in others.values():
            _own(os.path.join(folder, file))
            dump.load(incoming, os.path.join(folder, file), timeout=timeout)
    if sorted(incoming.tables()) != names:
        raise LoadError("the loaded database has other tables than the restore point")
    return dump.count_rows(incoming, names)


def _own(path: str) -> None:
    """Let views, triggers and routines belong to whoever loads them: the account that made them may not be there."""
    with open(path, "rb") as file:
        text = file.read()
    with open(path, "wb") as file:
        file.write(_DEFINER.sub(rb"\1DEFINER=CURRENT_USER", text))


def _proved(
    wanted: dict[str, Any], restored: str, names: list[str], *, whole: bool
) -> tuple[dict[str, _Loadable], dict[str, bytes]]:
    """Compare files of a dump with the manifest. Returns those of the tables, and what is no table."""
    _refuse(_more_than_tables(set(wanted["others"]), whole=whole))
    stored = {each.file: each for each in dump_files(wanted)}
    entries = [(wanted["tables"][table], table, TABLE) for table in names]
    entries += [(entry, kind, kind) for kind, entry in wanted["others"].items() if whole]
    found, others = {}, {}
    for entry, name, kind in entries:
        path = os.path.join(restored + wanted["folder"], entry["file"])
        proof = dump.read(path)
        if DumpFile(entry["file"], proof.bytes, proof.sha256) != stored[entry["file"]]:
            raise LoadError(f"the dump of {name} that came back is not the one that was stored")
        if kind == TABLE:
            found[name] = _Loadable(path, proof.rows.get(name))
        else:
            others[kind] = _statements(path)
    return found, others


def _taken_apart(
    wanted: dict[str, Any], restored: str, names: list[str], *, whole: bool
) -> tuple[dict[str, _Loadable], dict[str, bytes]]:
    """Compare a dump in one file with the manifest, and take it apart. Returns the tables' files, and what is no table."""
    path = restored + str(wanted["file"])
    proof = dump.read(path)
    if proof.sha256 != wanted["sha256"] or proof.bytes != wanted["bytes"] or not proof.end_marker:
        raise LoadError("the dump that came back is not the one that was stored")
    folder = os.path.join(restored, "taken-apart")
    tree.remove(folder)
    writer = split(path, folder)
    _refuse(_more_than_tables(set(writer.others), whole=whole))
    missing = sorted(set(names) - set(writer.tables))
    if missing:
        raise LoadError(f"the dump has no table {missing[0]}")
    found = {
        table: _Loadable(os.path.join(folder, writer.tables[table].file), proof.rows.get(table)) for table in names
    }
    return found, {kind: _statements(os.path.join(folder, each.file)) for kind, each in writer.others.items()}


def _statements(path: str) -> bytes:
    """Return what a file of views, routines and events says between the dump's own beginning and end."""
    found: list[bytes] = []
    reader = Reader(lambda kind, _, content: found.append(content) if kind == DEFINITIONS else None)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            reader.feed(block)
    reader.finish()
    return b"".join(found)


def _more_than_tables(others: set[str], *, whole: bool) -> list[str]:
    """Say what would have to come back beside tables, and cannot be exchanged as they can."""
    if whole and SEQUENCES in others:
        return ["only tables can be put in the place of others, and the restore point has sequences"]
    return []


def _refuse(found: list[str]) -> None:
    if found:
        raise LoadError("; ".join(found))
