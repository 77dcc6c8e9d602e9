# GPL-3.0-or-later
"""A dump of the whole database, and the proof that it is whole.

An exit code proves little: a shell's pipe hides it (restic issue 4251), a fake or a broken client may end with 0 and
nothing written (restic issue 2135). So the file itself is read: its last line, its tables, its rows.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, Sequence

from . import command
from .database import DUMP_HISTORY, END_MARKER, OURS, PUT_ASIDE, PUT_AWAY, VERSIONED, Database, DatabaseError, quoted
from .dump_files import DumpFile, overall
from .dump_stream import BLOCK, DEFINITIONS, Reader, StreamError, Writer
from .tree import remove

SPARE_BYTES = 32 << 20
FORGIVEN_ROWS = 100
LONGEST_LINE = 200
# More would take the server's disk and processors from the visitors of the site.
LOADED_AT_ONCE = 4
# The first line of a dump by a newer MariaDB: its client leaves out dangerous commands from there on, and any other
# client takes it for a statement that fails (wp-cli/db-command issue 258).
SANDBOX = b"/*M!999999\\- enable the sandbox mode */"


class Sized(Protocol):
    """Whatever says how many bytes it takes."""

    def size(self) -> int:
        """Return the bytes."""


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
    strays: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dump:
    """A dump on disk with its proof: one file for each table, and up to two for what is no table."""

    folder: str
    exit_codes: dict[str, int]
    proof: Proof
    rows: dict[str, int]
    files: dict[str, DumpFile]
    others: dict[str, DumpFile]
    not_transactional: list[str]

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by its path on this host."""
        files = [*self.files.values(), *self.others.values()]
        return {os.path.join(self.folder, each.file): each.bytes for each in files}

    def evidence(self) -> dict[str, Any]:
        """Return what a manifest says about the dump."""
        return {
            "folder": self.folder,
            "exit_codes": self.exit_codes,
            "end_marker": self.proof.end_marker,
            "tables": {
                table: {"rows": self.rows[table], **self.files[table].evidence()} for table in sorted(self.rows)
            },
            "others": {kind: self.others[kind].evidence() for kind in sorted(self.others)},
            "triggers": self.proof.triggers,
            "not_transactional": self.not_transactional,
            "bytes": self.proof.bytes,
            "sha256": self.proof.sha256,
        }


@dataclass(frozen=True)
class _Contents:
    """What a database holds before it is dumped."""

    tables: list[str]
    ours: list[str]
    not_transactional: list[str]
    more: list[str]


def needed(database: Sized) -> int:
    """Return how many bytes must be free before the database is dumped: its size and half of it again."""
    return database.size() * 3 // 2 + SPARE_BYTES


def free(folder: str) -> int:
    """Return how many bytes an ordinary user may still write in a folder's filesystem."""
    seen = os.statvfs(folder)
    return seen.f_bavail * seen.f_frsize


def take(database: Database, folder: str, *, timeout: float = 3600.0) -> Dump:
    """Dump the database into a new `folder` and prove it. Raises DumpError; the caller removes the folder.

    The dump is read while it is written, so it costs no second look at the disk.
    """
    there = _contents(database)
    if not there.tables:
        raise DumpError(f"the database {database.name} has no tables")
    remove(folder)
    os.mkdir(folder, 0o700)
    writer = Writer(folder)
    reader = Reader(writer.take)
    program = os.path.basename(database.dump_program)
    try:
        with ThreadPoolExecutor(1) as pool:
            # The server counts while it dumps: both see what is there now.
            counting = pool.submit(count_rows, database, there.tables)
            done = command.stream(_arguments(database, there), timeout=timeout, take=reader.feed, grace=5.0)
        ended = reader.finish()
        writer.finish()
    except (command.CommandFailed, StreamError, OSError) as error:
        raise DumpError(f"the dump of {database.name} failed: {error}") from error
    finally:
        writer.close()
    if done.code != 0:
        raise DumpError(f"{program} ended with exit code {done.code}: {command.last_line(done.err)}")
    strays = sorted(reader.strays | (reader.tables ^ set(writer.tables)))
    # A table that came or went meanwhile is not missed; one that was there before and after is.
    counted = _counted(database, counting, {*there.tables, *reader.tables} & set(database.tables()))
    writer.forget(sorted(set(writer.tables) - set(counted)))
    files = writer.files()
    proof = Proof(
        bytes=sum(each.bytes for each in files),
        sha256=overall(files),
        end_marker=ended,
        tables=sorted(writer.tables),
        rows=reader.rows,
        strays=strays,
        triggers=sorted(reader.triggers & set(counted)),
    )
    refused = unproven(proof, counted)
    if refused:
        raise DumpError(f"{program} ended with 0, but the dump is not whole: {'; '.join(refused)}")
    rows = {table: proof.rows.get(table, number) for table, number in counted.items()}
    return Dump(folder, {program: done.code}, proof, rows, writer.tables, writer.others, there.not_transactional)


def definitions(database: Database, *, timeout: float = 600.0) -> bytes:
    """Return the statements that make views, triggers, routines and events, as a dump taken now would have them."""
    there = _contents(database)
    found: list[bytes] = []
    reader = Reader(lambda kind, _, content: found.append(content) if kind == DEFINITIONS else None)
    try:
        done = command.stream(_arguments(database, there, "--no-data"), timeout=timeout, take=reader.feed, grace=5.0)
    except command.CommandFailed as error:
        raise DumpError(str(error)) from error
    if not reader.finish() or done.code != 0:
        raise DumpError(f"the definitions of {database.name} cannot be read: {command.last_line(done.err)}")
    return b"".join(found)


def read(path: str) -> Proof:
    """Read a dump in one file once, from its beginning to its end, and say what is in it."""
    digest = hashlib.sha256()
    reader = Reader()
    size = 0
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            size += len(block)
            digest.update(block)
            reader.feed(block)
    ended = reader.finish()
    return Proof(size, digest.hexdigest(), ended, sorted(reader.tables), reader.rows, triggers=sorted(reader.triggers))


def unproven(proof: Proof, counted: dict[str, int]) -> list[str]:
    """Return why this dump may not stand for a database whose tables have these many rows; [] when it may."""
    if proof.bytes == 0:
        return ["it is empty"]
    found = []
    if not proof.end_marker:
        found.append(f"its last line is not {END_MARKER!r}")
    missing = sorted(set(counted) - set(proof.tables))
    if proof.strays:
        found.append(f"it has the table {proof.strays[0]} in a form that is not known here")
    if missing:
        found.append(f"{len(missing)} of {len(counted)} tables are missing, such as {missing[0]}")
    for table, number in sorted(counted.items()):
        dumped = proof.rows.get(table)
        # The site goes on while rows are counted, so a few more are no sign of a loss.
        if dumped is not None and number - dumped > max(FORGIVEN_ROWS, number // 2):
            found.append(f"table {table} has {number} rows and the dump {dumped}")
    return found


def count_rows(database: Database, tables: list[str]) -> dict[str, int]:
    """Count the rows of tables, exactly, with those of their histories."""
    if not tables:
        return {}
    past = dict.fromkeys(database.with_history(), " FOR SYSTEM_TIME ALL")
    questions = [f"SELECT '{table}', COUNT(*) FROM {quoted(table)}{past.get(table, '')}" for table in tables]  # noqa: S608 - checked names
    return {row[0]: int(row[1]) for row in database.query(" UNION ALL ".join(questions), timeout=900)}


def _counted(database: Database, counting: Future[dict[str, int]], wanted: set[str]) -> dict[str, int]:
    """Return the rows of these tables: as they were counted, and counted now where that failed, because a table went, say."""
    try:
        found = counting.result()
    except DatabaseError:
        found = {}
    found.update(count_rows(database, sorted(wanted - set(found))))
    return {table: number for table, number in found.items() if table in wanted}


def load(database: Database, path: str, *, timeout: float = 3600.0) -> None:
    """Load a dump; the client stops at the first statement that fails. Raises DatabaseError.

    The sandbox line is left out: not every client knows it, and the client is told by other means to run no commands.
    """
    with open(path, "rb") as file:
        first = file.readline(LONGEST_LINE)
        # The client reads from where the file stands, whatever Python has read ahead.
        os.lseek(file.fileno(), len(first) if first.startswith(SANDBOX) else 0, os.SEEK_SET)
        try:
            done = command.run(database.load_arguments(), timeout=timeout, stdin=file.fileno(), check=False, grace=5.0)
        except command.CommandFailed as error:
            raise DatabaseError(str(error)) from error
    if done.code != 0:
        raise DatabaseError(f"loading {os.path.basename(path)} failed: {command.last_line(done.err)}")


def load_tables(database: Database, paths: Sequence[str], *, timeout: float = 3600.0) -> None:
    """Load files that hold a table each, some of them at a time, the largest first. Raises DatabaseError.

    No file needs another one: each switches the checks of foreign keys off while it is loaded.
    """
    ordered = sorted(paths, key=os.path.getsize, reverse=True)
    with ThreadPoolExecutor(min(LOADED_AT_ONCE, os.cpu_count() or 1)) as pool:
        begun = [pool.submit(load, database, path, timeout=timeout) for path in ordered]
        try:
            for each in begun:
                each.result()
        except BaseException:
            for each in begun:
                each.cancel()
            raise


def _arguments(database: Database, there: _Contents, *more: str) -> list[str]:
    ignored = [f"--ignore-table={database.name}.{table}" for table in there.ours]
    return [*database.dump_arguments()[:-1], *ignored, *there.more, *more, database.name]


def _contents(database: Database) -> _Contents:
    """Ask what is there: tables, tables of ours, and what needs more rights to dump, which is asked for only then."""
    rows = database.query(
        "SELECT T.TABLE_NAME, T.TABLE_TYPE, COALESCE(E.TRANSACTIONS, 'NO') FROM information_schema.TABLES AS T"
        " LEFT JOIN information_schema.ENGINES AS E ON E.ENGINE = T.ENGINE WHERE T.TABLE_SCHEMA = DATABASE()"
        " ORDER BY T.TABLE_NAME"
    )
    more = database.query(
        "SELECT (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()),"
        " (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE())"
    )
    tables = [row for row in rows if row[1] in ("BASE TABLE", VERSIONED) and not row[0].startswith(OURS)]
    options = [option for option, number in zip(("--routines", "--events"), more[0]) if int(number)]
    return _Contents(
        tables=[row[0] for row in tables],
        ours=[row[0] for row in rows if row[0].startswith((PUT_ASIDE, PUT_AWAY))],
        not_transactional=[row[0] for row in tables if row[2] != "YES"],
        more=[*options, DUMP_HISTORY] if any(row[1] == VERSIONED for row in tables) else options,
    )
