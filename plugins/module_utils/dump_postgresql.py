# GPL-3.0-or-later
"""Dump a PostgreSQL database: everything in one exported snapshot, one file for each table, and the proof that it is whole.

pg_dump writes what comes before the rows (types, functions, tables, views) and after them (indexes, keys, triggers);
psql writes the rows, by primary key. All of them see the same moment, and rows are counted in it too.
"""

from __future__ import annotations

import json
import os
import re
from typing import Callable

from . import command
from .database import END_MARKER, DatabaseError
from .dump import Dump, DumpError, Proof
from .dump_files import TABLES_FOLDER, DumpFile, file_name, overall
from .postgresql import FIELD, RECORD, STEADY, Server, Table, quoted
from .sqlite_file import Text
from .tree import remove

BEFORE, SEQUENCES, AFTER = "before_rows", "sequences", "after_rows"
FILES = {BEFORE: "before_rows.sql", SEQUENCES: "sequences.sql", AFTER: "after_rows.sql"}
SCHEMAS = "-- Schemas "
TAIL = f"\\.\n{END_MARKER}\n"
PG_DUMP_ENDS = b"-- PostgreSQL database dump complete"
# In the text form of COPY no line of a row begins so: a backslash of a value is doubled, and those of COPY's own are
# followed by one of b f n r t v N or a point.
MARK = "\\!upkeep "
_MARK = re.compile(rb"^\\!upkeep ([a-z0-9]+)\n", re.MULTILINE)

Take = Callable[[str, bytes], None]


class Stream:
    """Takes what psql prints apart at our marks, and hands each part's bytes on."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._part = ""
        self._rest = b""

    def feed(self, block: bytes) -> None:
        """Look at the next bytes."""
        text = self._rest + block
        cut = text.rfind(b"\n") + 1
        self._rest = text[cut:]
        start = 0
        for mark in _MARK.finditer(text, 0, cut):
            self._take(self._part, text[start : mark.start()])
            self._part, start = mark.group(1).decode(), mark.end()
            self._take(self._part, b"")
        self._take(self._part, text[start:cut])

    def finish(self) -> bool:
        """Return whether the last mark came, and nothing behind it."""
        return self._part == "end" and not self._rest


class Rows:
    """Writes rows of tables as they come, each table into its file, or nowhere; knows bytes, checksum and rows of each."""

    def __init__(self, tables: list[Table], folder: str = "") -> None:
        self._tables = tables
        self._folder = folder
        self._current = -1
        self._file = None
        self._text = Text()
        self.files: dict[str, DumpFile] = {}
        self.rows: dict[str, int] = {}
        self.more: dict[str, bytes] = {}

    def take(self, part: str, content: bytes) -> None:
        """Take the next bytes of a part: a table by its number, or something else by its name."""
        if not part.isdigit():
            self.close()
            self.more[part] = self.more.get(part, b"") + content
            return
        if int(part) != self._current:
            self.close()
            self._open(int(part))
        self.rows[self._tables[self._current].name] += content.count(b"\n")
        self._text.write_bytes(content)

    def close(self) -> None:
        """End the file of the table that was written last."""
        if self._current < 0:
            return
        table = self._tables[self._current]
        self._text.write(TAIL)
        self._text.close()
        self.files[table.name] = DumpFile(file_name(table.name), self._text.bytes, self._text.sha256)
        self._current = -1

    def _open(self, number: int) -> None:
        table = self._tables[number]
        path = os.path.join(self._folder, file_name(table.name)) if self._folder else ""
        self._current, self._text = number, Text(open(path, "xb")) if path else Text()  # noqa: SIM115 - close() does
        self.rows[table.name] = 0
        self._text.write(table.head)


def take(server: Server, folder: str, *, timeout: float) -> Dump:
    """Dump the database into a new folder and prove it. Raises DumpError; the caller removes the folder."""
    remove(folder)
    os.mkdir(folder, 0o700)
    os.mkdir(os.path.join(folder, TABLES_FOLDER), 0o700)
    try:
        schemas = server.schemas()
        if int(server.query("SELECT count(*) FROM pg_largeobject_metadata")[0][0]):
            raise DumpError(f"the database {server.name} has large objects, which this version cannot dump")
        with server.snapshot() as moment:
            tables = server.tables(schemas)
            if not tables:
                raise DumpError(f"the database {server.name} has no tables")
            bare = [table.name for table in tables if not table.columns]
            if bare:
                raise DumpError(f"the table {bare[0]} has no column that holds values, and no form to be dumped in")
            others = {
                BEFORE: _definitions(server, folder, BEFORE, schemas, moment, timeout),
                AFTER: _definitions(server, folder, AFTER, schemas, moment, timeout),
            }
            rows = Rows(tables, folder)
            try:
                code = _rows(server, rows, moment, timeout)
            finally:
                rows.close()
        others[SEQUENCES] = _sequences(folder, rows.more.get("sequences", b""))
    except (DatabaseError, command.CommandFailed, OSError) as error:
        raise DumpError(f"the dump of {server.name} failed: {error}") from error
    counted = {
        tables[int(number)].name: int(count)
        for number, count in (line.split(FIELD) for line in rows.more.get("counts", b"").decode().split("\n") if line)
    }
    missing = sorted({table.name for table in tables} - set(rows.files))
    if missing or counted != rows.rows:
        wrong = missing or [name for name in counted if counted[name] != rows.rows.get(name)]
        raise DumpError(f"psql ended with 0, but the dump is not whole: see table {wrong[0] if wrong else '?'}")
    every = [*rows.files.values(), *others.values()]
    proof = Proof(sum(each.bytes for each in every), overall(every), True, sorted(rows.files), rows.rows)
    codes = {"pg_dump --section=pre-data": 0, "psql": code, "pg_dump --section=post-data": 0}
    return Dump(folder, codes, proof, rows.rows, rows.files, others, [])


def script_of_rows(tables: list[Table], places: list[str]) -> str:
    """Return the script that prints all rows, each table behind its mark. `places` says where they lie."""
    parts = [
        f"\\echo '{MARK.replace(chr(92), chr(92) * 2)}{number}'\n{table.rows(place)}"
        for number, (table, place) in enumerate(zip(tables, places))
    ]
    return "".join(parts)


def _rows(server: Server, rows: Rows, moment: str, timeout: float) -> int:
    """Write all rows, the sequences and how many rows each table has. Returns psql's exit code, which is 0."""
    tables = rows._tables
    mark = MARK.replace("\\", "\\\\")
    script = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n",
        f"SET TRANSACTION SNAPSHOT '{moment}';\n" if re.fullmatch(r"[0-9A-F-]+", moment) else "",
        STEADY,
        script_of_rows(tables, [""] * len(tables)),
        f"\\echo '{mark}sequences'\n",
        *_sequence_statements(server),
        f"\\echo '{mark}counts'\n\\pset recordsep '\\n'\n",
        *(f"SELECT {number}, count(*) FROM ONLY {table.place};\n" for number, table in enumerate(tables)),  # noqa: S608
        f"COMMIT;\n\\echo '{mark}end'\n",
    ]
    stream = Stream(rows.take)
    with server.script("".join(script)) as path:
        done = command.stream(
            server.arguments(path), timeout=timeout, take=stream.feed, grace=5.0, extra_environment=server.environment
        )
    if done.code != 0:
        raise DumpError(f"psql ended with exit code {done.code}: {command.last_line(done.err)}")
    if not stream.finish():
        raise DumpError("psql ended with 0, but what it wrote has no end")
    return done.code


def _sequence_statements(server: Server) -> list[str]:
    """Return the questions whose answers set each sequence to where it is."""
    listed = server.query(
        "SELECT schemaname, sequencename FROM pg_sequences WHERE schemaname !~ '^(pg_|upkeep_)' ORDER BY 1, 2"
    )
    places = [f"{quoted(schema)}.{quoted(name)}" for schema, name in listed]
    return [
        f"SELECT format('SELECT pg_catalog.setval(%L, %s, %L);', $upkeep${place}$upkeep$, last_value, is_called) FROM {place};\n"  # noqa: S608
        for place in places
    ]


def _sequences(folder: str, answers: bytes) -> DumpFile:
    lines = answers.decode().replace(RECORD, "\n")
    return _written(folder, SEQUENCES, f"-- Sequences\n{lines}")


def _definitions(server: Server, folder: str, kind: str, schemas: list[str], moment: str, timeout: float) -> DumpFile:
    section = {BEFORE: "pre-data", AFTER: "post-data"}[kind]
    wanted = [argument for schema in schemas for argument in ("-n", quoted(schema))]
    argv = [server.pg_dump, "-w", "--no-owner", "--section=" + section, "--snapshot=" + moment, *wanted]
    found: list[bytes] = []
    done = command.stream(argv, timeout=timeout, take=found.append, grace=5.0, extra_environment=server.environment)
    text = b"".join(found)
    if done.code != 0:
        raise DumpError(f"pg_dump ended with exit code {done.code}: {command.last_line(done.err)}")
    if PG_DUMP_ENDS not in text[-500:]:
        raise DumpError("pg_dump ended with 0, but what it wrote has no end")
    return _written(folder, kind, f"{SCHEMAS}{json.dumps(schemas)}\n{text.decode()}")


def _written(folder: str, kind: str, content: str) -> DumpFile:
    with open(os.path.join(folder, FILES[kind]), "xb") as file:
        text = Text(file)
        text.write(f"{content}\n{END_MARKER}\n")
    return DumpFile(FILES[kind], text.bytes, text.sha256)
