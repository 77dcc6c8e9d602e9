# GPL-3.0-or-later
"""A dump of the whole database, and the proof that it is whole.

An exit code proves little: a shell's pipe hides it (restic issue 4251), a fake or a broken client may end with 0 and
nothing written (restic issue 2135). So the file itself is read: its last line, its tables, its rows.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Any

from . import command
from .database import END_MARKER, PUT_ASIDE, PUT_AWAY, Database, DatabaseError, quoted
from .tree import remove

BLOCK = 1 << 20
LONGEST_HEADER = 256
SPARE_BYTES = 32 << 20
FORGIVEN_ROWS = 100

# At the beginning of a line and nowhere else: values have their line ends escaped. What follows the rows of a table
# ends it too: the body of a trigger may look like anything.
_HEADERS = re.compile(
    rb"\n(?:CREATE TABLE `((?:[^`\n]|``){1,64})` \(|INSERT INTO `((?:[^`\n]|``){1,64})` VALUES(\n)?|UNLOCK TABLES|/\*!)"
)
_ROW = b"\n("


class DumpError(Exception):
    """There is no dump that may stand for the database."""


@dataclass(frozen=True)
class Proof:
    """What reading a dump shows. `rows` has a table when the dump writes one row to a line, as MariaDB's does."""

    bytes: int
    sha256: str
    end_marker: bool
    tables: list[str]
    rows: dict[str, int]


@dataclass(frozen=True)
class Dump:
    """A dump on disk with its proof."""

    path: str
    exit_codes: dict[str, int]
    proof: Proof
    tables: dict[str, dict[str, int]]

    def evidence(self) -> dict[str, Any]:
        """Return what a manifest says about the dump."""
        return {
            "file": self.path,
            "exit_codes": self.exit_codes,
            "end_marker": self.proof.end_marker,
            "tables": self.tables,
            "bytes": self.proof.bytes,
            "sha256": self.proof.sha256,
        }


def needed(database: Database) -> int:
    """Return how many bytes must be free before the database is dumped: its size and half of it again."""
    return database.size() * 3 // 2 + SPARE_BYTES


def free(folder: str) -> int:
    """Return how many bytes an ordinary user may still write in a folder's filesystem."""
    seen = os.statvfs(folder)
    return seen.f_bavail * seen.f_frsize


def take(database: Database, folder: str, *, timeout: float = 3600.0) -> Dump:
    """Dump the database into a new `folder` and prove it. Raises DumpError; the caller removes the folder."""
    tables = database.tables()
    if not tables:
        raise DumpError(f"the database {database.name} has no tables")
    remove(folder)
    os.mkdir(folder, 0o700)
    path = os.path.join(folder, database.name + ".sql")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        done = command.run(
            [*database.dump_arguments()[:-1], *_more_arguments(database), database.name],
            timeout=timeout,
            check=False,
            output=descriptor,
            grace=5.0,
        )
        os.fsync(descriptor)
    except (command.CommandFailed, OSError) as error:
        raise DumpError(f"the dump of {database.name} failed: {error}") from error
    finally:
        os.close(descriptor)
    program = os.path.basename(database.dump_program)
    if done.code != 0:
        raise DumpError(f"{program} ended with exit code {done.code}: {command.last_line(done.err)}")
    proof = read(path)
    # A table that came or went meanwhile is not missed; one that was there before and after is.
    counted = count_rows(database, sorted(set(tables) & set(database.tables())))
    refused = unproven(proof, counted)
    if refused:
        raise DumpError(f"{program} ended with 0, but the dump is not whole: {'; '.join(refused)}")
    rows = {table: {"rows": proof.rows.get(table, number)} for table, number in counted.items()}
    return Dump(path, {program: done.code}, proof, rows)


def read(path: str) -> Proof:
    """Read a dump once, from its beginning to its end, and say what is in it."""
    digest = hashlib.sha256()
    reader = _Reader()
    size = 0
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            size += len(block)
            digest.update(block)
            reader.feed(block)
    ended = reader.finish()
    return Proof(size, digest.hexdigest(), ended, sorted(reader.tables), reader.rows)


def unproven(proof: Proof, counted: dict[str, int]) -> list[str]:
    """Return why this dump may not stand for a database whose tables have these many rows; [] when it may."""
    if proof.bytes == 0:
        return ["it is empty"]
    found = []
    if not proof.end_marker:
        found.append(f"its last line is not {END_MARKER!r}")
    missing = sorted(set(counted) - set(proof.tables))
    if missing:
        found.append(f"{len(missing)} of {len(counted)} tables are missing, such as {missing[0]}")
    for table, number in sorted(counted.items()):
        dumped = proof.rows.get(table)
        # The site goes on while rows are counted, so a few more are no sign of a loss.
        if dumped is not None and number - dumped > max(FORGIVEN_ROWS, number // 2):
            found.append(f"table {table} has {number} rows and the dump {dumped}")
    return found


def count_rows(database: Database, tables: list[str]) -> dict[str, int]:
    """Count the rows of tables, exactly."""
    if not tables:
        return {}
    questions = [f"SELECT '{table}', COUNT(*) FROM {quoted(table)}" for table in tables]  # noqa: S608 - checked names
    return {row[0]: int(row[1]) for row in database.query(" UNION ALL ".join(questions), timeout=900)}


def load(database: Database, path: str, *, timeout: float = 3600.0) -> None:
    """Load a dump; the client stops at the first statement that fails. Raises DatabaseError."""
    with open(path, "rb") as file:
        try:
            done = command.run(database.load_arguments(), timeout=timeout, stdin=file.fileno(), check=False, grace=5.0)
        except command.CommandFailed as error:
            raise DatabaseError(str(error)) from error
    if done.code != 0:
        raise DatabaseError(f"loading the dump failed: {command.last_line(done.err)}")


def _more_arguments(database: Database) -> list[str]:
    """Leave out tables of ours; add routines and events where there are some, for that needs more rights."""
    ours = [*database.ours(PUT_ASIDE), *database.ours(PUT_AWAY)]
    arguments = [f"--ignore-table={database.name}.{table}" for table in ours]
    for name, kind in (("ROUTINES", "ROUTINE"), ("EVENTS", "EVENT")):
        rows = database.query(f"SELECT COUNT(*) FROM information_schema.{name} WHERE {kind}_SCHEMA = DATABASE()")  # noqa: S608 - our own words
        if int(rows[0][0]):
            arguments.append("--" + name.lower())
    return arguments


class _Reader:
    """Finds tables and counts rows in a dump that comes in blocks; never holds more than a block and a bit."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.rows: dict[str, int] = {}
        self._table = ""
        self._rest = b"\n"
        self._tail = b""

    def feed(self, block: bytes) -> None:
        text = self._rest + block
        # What follows the last line end is kept for the next round: a header may be cut in two there.
        cut = text.rfind(b"\n", max(0, len(text) - LONGEST_HEADER))
        cut = len(text) if cut < 0 else cut
        self._look(text, cut)
        self._rest = text[cut:]
        self._tail = (self._tail + block)[-LONGEST_HEADER:]

    def finish(self) -> bool:
        """Look at what is left, and say whether the last line is the end marker."""
        self._look(self._rest, len(self._rest))
        lines = self._tail.strip().splitlines()
        return bool(lines) and lines[-1].startswith(END_MARKER.encode())

    def _look(self, text: bytes, cut: int) -> None:
        start = 0
        for header in _HEADERS.finditer(text, 0, cut + 1):
            self._count(text, start, header.start())
            created, filled, by_line = header.groups()
            start = header.end()
            self._table = ""
            if created is not None:
                self.tables.add(_name(created))
                self.rows[_name(created)] = 0
            elif by_line is not None:
                self._table = _name(filled)
                start -= 1  # the line end belongs to the first row
            elif filled is not None:
                self.rows.pop(_name(filled), None)
        self._count(text, start, cut)

    def _count(self, text: bytes, start: int, end: int) -> None:
        if self._table in self.rows:
            self.rows[self._table] += text.count(_ROW, start, end)


def _name(raw: bytes) -> str:
    return raw.replace(b"``", b"`").decode("utf-8", "replace")
