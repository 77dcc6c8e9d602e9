# GPL-3.0-or-later
"""Load a restored dump, or some of its tables, into a staging database, and prove that it is all there.

Nothing here touches production: a file that is not as it was, or one statement that fails, costs nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Sequence

from . import dump, tree
from .database import Database
from .dump_files import DumpFile
from .dump_stream import DEFINITIONS, SEQUENCES, StreamError, split
from .points import PointError, dump_files


class LoadError(Exception):
    """The dump cannot be put in the place of production's tables."""


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


def load(
    incoming: Database, wanted: dict[str, Any], restored: str, *, tables: Sequence[str] = (), timeout: float
) -> dict[str, int]:
    """Load the tables, all of them without names, and return their rows. `restored` is the folder restic filled.

    Raises LoadError for a dump that is not the one that was stored, DatabaseError for a statement that fails.
    """
    names = sorted(tables or wanted["tables"])
    try:
        if "folder" in wanted:
            files = _proved(wanted, restored, names)
        else:
            files = _taken_apart(wanted, restored, names)
    except (StreamError, PointError) as error:
        raise LoadError(f"the dump cannot be used: {error}") from error
    incoming.empty()
    for table in names:
        dump.load(incoming, files[table].path, timeout=timeout)
    if sorted(incoming.tables()) != names:
        raise LoadError("the loaded database has other tables than the restore point")
    rows = dump.count_rows(incoming, names)
    short = [
        table for table in names if rows[table] != (files[table].rows if files[table].rows is not None else rows[table])
    ]
    if short:
        raise LoadError(f"loaded tables have other numbers of rows than the dump: {', '.join(short[:5])}")
    return rows


def _proved(wanted: dict[str, Any], restored: str, names: list[str]) -> dict[str, _Loadable]:
    """Compare files of a dump with the manifest."""
    _refuse_others(set(wanted["others"]), set(wanted["triggers"]), names, whole=len(names) == len(wanted["tables"]))
    stored = {each.file: each for each in dump_files(wanted)}
    found = {}
    for table in names:
        name = wanted["tables"][table]["file"]
        path = os.path.join(restored + wanted["folder"], name)
        proof = dump.read(path)
        if DumpFile(name, proof.bytes, proof.sha256) != stored[name]:
            raise LoadError(f"the dump of {table} that came back is not the one that was stored")
        found[table] = _Loadable(path, proof.rows.get(table))
    return found


def _taken_apart(wanted: dict[str, Any], restored: str, names: list[str]) -> dict[str, _Loadable]:
    """Compare a dump in one file with the manifest, and take it apart."""
    path = restored + str(wanted["file"])
    proof = dump.read(path)
    if proof.sha256 != wanted["sha256"] or proof.bytes != wanted["bytes"] or not proof.end_marker:
        raise LoadError("the dump that came back is not the one that was stored")
    folder = os.path.join(restored, "taken-apart")
    tree.remove(folder)
    writer = split(path, folder)
    _refuse_others(set(writer.others), set(proof.triggers), names, whole=len(names) == len(wanted["tables"]))
    missing = sorted(set(names) - set(writer.tables))
    if missing:
        raise LoadError(f"the dump has no table {missing[0]}")
    return {table: _Loadable(os.path.join(folder, writer.tables[table].file), proof.rows.get(table)) for table in names}


def _refuse_others(others: set[str], triggers: set[str], names: list[str], *, whole: bool) -> None:
    """Raise LoadError when more than tables would have to come back."""
    watched = sorted(triggers & set(names))
    if watched:
        raise LoadError(f"only tables can be put in the place of others, and {watched[0]} has a trigger")
    for kind, words in ((SEQUENCES, "sequences"), (DEFINITIONS, "views, routines or events")):
        if whole and kind in others:
            raise LoadError(
                f"only tables can be put in the place of others, and the restore point has {words}."
                " Tables can be asked for by name, and files with site_snapshot_only=files"
            )
