# GPL-3.0-or-later
"""Take a dump apart while it streams by: each table into a file of its own, what is no table into two more.

One process of mariadb-dump is one transaction, so all files show the same moment. Each begins with what the dump begins
with (character set, time zone, foreign keys off) and ends with what it ends with, so each can be loaded alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, BinaryIO, Callable

from .database import END_MARKER
from .dump_files import TABLES_FOLDER, DumpFile, file_name

LONGEST_HEADER = 512
LONGEST_FRAME = 64 << 10
BLOCK = 1 << 20

HEAD, SEQUENCES, TABLE, DEFINITIONS, TAIL = "head", "sequences", "table", "definitions", "tail"
FILES = {SEQUENCES: "sequences.sql", DEFINITIONS: "definitions.sql"}

_NAME = rb"(?:[^`\n]|``){1,64}"
# At the beginning of a line and nowhere else: values have their line ends escaped. The bodies of triggers and routines
# may look like anything, but they stand between two DELIMITER lines, by which the client itself finds their end.
_LINE = re.compile(
    rb"\n(?:--\n-- (?:Table structure|Dumping data) for table `(?P<table>" + _NAME + rb")`(?=\n)"
    rb"|--\n-- (?P<sequences>Sequence structure) for "
    rb"|--\n-- (?P<definitions>Temporary (?:table|view) structure|Final view structure|Dumping (?:events|routines)) for "
    rb"|CREATE TABLE `(?P<created>" + _NAME + rb")` "
    rb"|INSERT (?:IGNORE )?INTO `(?P<filled>" + _NAME + rb")` "
    rb"|(?P<trigger>/\*!500(?:03|32) |ALTER DATABASE `)"
    rb"|(?P<tail>/\*!(?:40103 SET TIME_ZONE=@OLD_TIME_ZONE|40101 SET SQL_MODE=@OLD_SQL_MODE) )"
    rb"|(?P<history>/\*M!\d+ SET @old_system_versioning_insert_history=)"
    rb"|(?P<ends>UNLOCK TABLES|/\*)"
    rb"|DELIMITER (?P<delimiter>\S{1,16})(?=\n))"
)
_ROW = b"\n("

Take = Callable[[str, str, bytes], None]


class StreamError(Exception):
    """This stream is no dump that can be taken apart."""


class Reader:
    """Tells what belongs to which part of a dump, and counts rows; never holds more than a block and a bit.

    `take(kind, table, bytes)` is handed every byte once, in order.
    """

    def __init__(self, take: Take | None = None) -> None:
        self.tables: set[str] = set()
        self.rows: dict[str, int] = {}
        self.triggers: set[str] = set()
        self.strays: set[str] = set()
        """Tables that were made in another's place: then the dump has a form that is not known here."""
        self._take = take
        self._kind, self._name = HEAD, ""
        self._filled = ""
        self._counted = 0
        self._past: set[str] = set()
        self._delimiter = b";"
        self._rest = b""
        self._end = b""

    def feed(self, block: bytes) -> None:
        """Look at the next bytes."""
        text = self._rest + block
        limit = len(text) - LONGEST_HEADER
        # What follows the last line end is kept for the next round: a header may be cut in two there.
        cut = text.rfind(b"\n", 0, limit + 1) if limit > 0 else 0
        cut = limit if cut < 0 else cut
        self._look(text, cut)
        self._rest = text[cut:]
        self._end = (self._end + block)[-LONGEST_HEADER:]

    def finish(self) -> bool:
        """Look at what is left, and say whether the last line is the end marker."""
        self._look(self._rest, len(self._rest))
        self._rest = b""
        self._filling("")
        lines = self._end.strip().splitlines()
        return bool(lines) and lines[-1].startswith(END_MARKER.encode())

    def _look(self, text: bytes, cut: int) -> None:
        start = counted = 0
        for line in _LINE.finditer(text, 0, min(len(text), cut + LONGEST_HEADER)):
            if line.start() >= cut:
                break
            kind, found = str(line.lastgroup), line.group(str(line.lastgroup))
            if kind == "delimiter":
                self._delimiter = found
            if kind == "delimiter" or self._delimiter != b";":
                continue
            self._count(text, counted, line.start())
            counted = line.end()
            at = line.start() + 1
            before = self._kind, self._name
            self._turn(kind, found)
            if (self._kind, self._name) != before:
                self._give(before, text[start:at])
                start = at
        self._count(text, counted, cut)
        self._give((self._kind, self._name), text[start:cut])

    def _turn(self, kind: str, found: bytes) -> None:
        """Follow one line: another part of the dump begins, or a table is made or filled."""
        self._filling(_name(found) if kind == "filled" else "")
        if self._kind == TAIL:
            return
        if kind in (TABLE, SEQUENCES, DEFINITIONS, TAIL):
            self._kind, self._name = kind, _name(found) if kind == TABLE else ""
        elif kind == "history":
            self._past.add(self._name)
        elif kind == "created":
            self.tables.add(_name(found))
            self.rows.setdefault(_name(found), 0)
            if (self._kind, self._name) != (TABLE, _name(found)):
                self.strays.add(_name(found))
        elif kind == "trigger" and self._kind == TABLE:
            # Loaded with the rows it would keep the table from being renamed; and it is no part of the rows.
            self.triggers.add(self._name)
            self._kind, self._name = DEFINITIONS, ""
        elif kind == "trigger" and self._kind == HEAD:
            # A file of our own that has nothing but definitions.
            self._kind = DEFINITIONS

    def _filling(self, table: str) -> None:
        # An INSERT without a row at the beginning of a line has them all in one: MySQL's program writes so. One of a table
        # with a history has its first row in its first line, wherever that may end.
        if self._filled and (not self._counted or self._filled in self._past):
            self.rows.pop(self._filled, None)
        elif self._filled in self.rows:
            self.rows[self._filled] += self._counted
        self._filled, self._counted = table, 0

    def _count(self, text: bytes, start: int, end: int) -> None:
        if self._filled:
            self._counted += text.count(_ROW, start, end)

    def _give(self, part: tuple[str, str], content: bytes) -> None:
        if content and self._take:
            self._take(part[0], part[1], content)


class Writer:
    """Writes the parts of a dump into files of a new folder, and knows size and checksum of each."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.tables: dict[str, DumpFile] = {}
        self.others: dict[str, DumpFile] = {}
        """What is no table: {sequences | definitions: file}."""
        self._frame = {HEAD: b"", TAIL: b""}
        self._digests: dict[tuple[str, str], Any] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        self._open: tuple[tuple[str, str], BinaryIO] | None = None
        os.mkdir(os.path.join(folder, TABLES_FOLDER), 0o700)

    def take(self, kind: str, table: str, content: bytes) -> None:
        """Write down the next bytes of a part."""
        if kind in self._frame:
            self._frame[kind] += content
            if len(self._frame[kind]) > LONGEST_FRAME:
                raise StreamError("it has no tables in the form that is known here")
            return
        self._append((kind, table), content)

    def finish(self) -> None:
        """Give each file the dump's own end."""
        for part in list(self._sizes):
            self._append(part, self._frame[TAIL])
        self.close()
        for (kind, table), digest in self._digests.items():
            made = DumpFile(_path(kind, table), self._sizes[kind, table], digest.hexdigest())
            if kind == TABLE:
                self.tables[table] = made
            else:
                self.others[kind] = made

    def files(self) -> list[DumpFile]:
        """Return all files."""
        return [*self.tables.values(), *self.others.values()]

    def forget(self, tables: list[str]) -> None:
        """Take the files of tables away: they were dropped while the dump was at work, so nothing proves them."""
        for table in tables:
            os.unlink(os.path.join(self.folder, self.tables.pop(table).file))

    def close(self) -> None:
        """Close the file that is being written."""
        if self._open:
            # A full disk behind a network may say so only now.
            self._open[1].close()
            self._open = None

    def _append(self, part: tuple[str, str], content: bytes) -> None:
        if part not in self._sizes:
            self._sizes[part] = 0
            self._digests[part] = hashlib.sha256()
            content = self._frame[HEAD] + content
        if self._open is None or self._open[0] != part:
            self.close()
            path = os.path.join(self.folder, _path(*part))
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._open = (part, os.fdopen(descriptor, "wb"))
        self._open[1].write(content)
        self._sizes[part] += len(content)
        self._digests[part].update(content)


def split(path: str, folder: str) -> Writer:
    """Take a dump apart that lies in one file, as restore points of schema 1 have it. Raises StreamError, OSError."""
    os.mkdir(folder, 0o700)
    writer = Writer(folder)
    reader = Reader(writer.take)
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                reader.feed(block)
        reader.finish()
        writer.finish()
    finally:
        writer.close()
    if reader.strays or set(writer.tables) != reader.tables:
        raise StreamError("it has no tables in the form that is known here")
    return writer


def _path(kind: str, table: str) -> str:
    return FILES.get(kind) or file_name(table)


def _name(raw: bytes) -> str:
    return raw.replace(b"``", b"`").decode("utf-8", "replace")
