# GPL-3.0-or-later
"""One SQLite file: opened, copied as of one moment, written down as SQL in files that deduplicate, and made again of them.

Everything is by Python's own sqlite3, in which a copy is one call of SQLite's backup interface: a site at work waits for
as long as that takes, and sees no lock while the copy is written down.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import urllib.parse
from typing import Any, BinaryIO, Callable, Iterator

from .database import END_MARKER, DatabaseError

try:
    import sqlite3
except ImportError:  # Python was built without it
    sqlite3 = None  # type: ignore[assignment]

LOCK_SECONDS = 15.0
BESIDE = ("-journal", "-wal", "-shm")
HEAD = "PRAGMA encoding = 'UTF-8';\nPRAGMA foreign_keys = OFF;\nBEGIN;\n"
TAIL = f"COMMIT;\n{END_MARKER}\n"
# sqlite_sequence belongs to SQLite itself, and is the one of its tables that holds something of the site's.
SEQUENCE = "sqlite_sequence"
_TABLES = (
    "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
)
_MORE = "SELECT sql FROM sqlite_master WHERE type = ? AND tbl_name = ? AND sql IS NOT NULL ORDER BY name"
_LOOKS = "SELECT sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL ORDER BY rowid"


@contextlib.contextmanager
def opened(path: str, *, make: bool = False) -> Iterator[Any]:
    """Open a file and close it afterwards. Raises DatabaseError for whatever SQLite says meanwhile."""
    if sqlite3 is None:
        raise DatabaseError("Python on this host has no sqlite3: install it (Debian has it in python3 itself)")
    connection = None
    try:
        address = f"file:{urllib.parse.quote(path)}?mode={'rwc' if make else 'rw'}"
        connection = sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
        # Text that is no UTF-8 is kept byte for byte.
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        yield connection
    except sqlite3.Error as error:
        raise DatabaseError(f"SQLite says of {path}: {error}") from error
    finally:
        if connection is not None:
            connection.close()


def copy(path: str, target: str) -> None:
    """Copy a file that may be in use, as of one moment. Raises DatabaseError when the copy is not sound."""
    for ending in ("", *BESIDE):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target + ending)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with opened(path) as source, opened(target, make=True) as made:
        source.backup(made)
        sound(made, path)


def sound(connection: Any, path: str) -> None:
    """Raise DatabaseError unless SQLite itself finds no fault in the file."""
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise DatabaseError(f"SQLite finds {path} damaged: {'; '.join(map(str, found))[:300]}")


def tables(connection: Any) -> dict[str, str]:
    """Return {table: the statement that makes it}, without SQLite's own."""
    return dict(connection.execute(_TABLES))


def triggers(connection: Any, table: str) -> list[str]:
    """Return the statements that make a table's triggers."""
    return [row[0] for row in connection.execute(_MORE, ("trigger", table))]


def count(connection: Any, table: str) -> int:
    """Return how many rows a table has."""
    return int(connection.execute(f"SELECT COUNT(*) FROM {quoted(table)}").fetchone()[0])  # noqa: S608 - quoted


def columns(connection: Any, table: str) -> tuple[list[str], list[str]]:
    """Return the columns that hold values, and those of the primary key in its order. Generated ones hold none."""
    rows = connection.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
    held = [row[1] for row in rows if row[6] == 0]
    return held, [row[1] for row in sorted((row for row in rows if row[5]), key=lambda row: row[5])]


class Text:
    """Takes text, writes it into a file or nowhere, and knows bytes and checksum of it."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, text: str) -> None:
        """Take the next words."""
        self.write_bytes(text.encode())

    def write_bytes(self, raw: bytes) -> None:
        """Take the next bytes."""
        self.bytes += len(raw)
        self._digest.update(raw)
        if self._file:
            self._file.write(raw)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    @property
    def sha256(self) -> str:
        """The checksum of everything until now."""
        return self._digest.hexdigest()


def write_table(connection: Any, table: str, statement: str, out: Text) -> int:
    """Write down a table: how it is made, its rows by primary key, its indexes. Returns the number of rows."""
    out.write(f"-- Table {table!r}\n{HEAD}{statement};\n")
    held, key = columns(connection, table)
    named = ", ".join(map(quoted, held))
    # A table without a key has its rows in the order in which they came.
    order = ", ".join(map(quoted, key)) or "rowid"
    number = 0
    for row in connection.execute(f"SELECT {named} FROM {quoted(table)} ORDER BY {order}"):  # noqa: S608 - quoted
        out.write(f"INSERT INTO {quoted(table)} ({named}) VALUES ({', '.join(map(literal, row))});\n")  # noqa: S608 - quoted
        number += 1
    for row in connection.execute(_MORE, ("index", table)):
        out.write(f"{row[0]};\n")
    out.write(TAIL)
    return number


def write_sequences(connection: Any, out: Text) -> None:
    """Write down the numbers that tables with AUTOINCREMENT have come to."""
    out.write(HEAD + "DELETE FROM sqlite_sequence;\n")  # noqa: S608 - a constant
    for row in connection.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name"):
        out.write("INSERT INTO sqlite_sequence (name, seq) VALUES (" + ", ".join(map(literal, row)) + ");\n")  # noqa: S608
    out.write(TAIL)


def write_definitions(connection: Any, out: Text) -> None:
    """Write down views, triggers, and the two numbers that an application may keep in a file's head."""
    out.write(HEAD)
    for name in ("user_version", "application_id"):
        out.write(f"PRAGMA {name} = {int(connection.execute(f'PRAGMA {name}').fetchone()[0])};\n")
    for kind in ("view", "trigger"):
        for row in connection.execute(_LOOKS, (kind,)):
            out.write(f"{row[0]};\n")
    out.write(TAIL)


def has_sequences(connection: Any) -> bool:
    """Whether a table of the file has AUTOINCREMENT."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (SEQUENCE,)).fetchone())


def execute(connection: Any, path: str) -> None:
    """Carry out a file that was written here, statement by statement. It may do nothing outside of its database."""
    connection.set_authorizer(_only_here)
    for statement in _statements(path):
        connection.execute(statement)


def literal(value: Any) -> str:
    """Write a value so that SQLite reads the very same one, of the same type."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, float):
        return {"inf": "9e999", "-inf": "-9e999"}.get(repr(value), repr(value))
    if isinstance(value, int):
        return str(value)
    text = str(value)
    raw = text.encode("utf-8", "surrogateescape")
    # SQLite's own reader stops at a NUL, and a carriage return would not outlive every editor.
    if "\x00" in text or "\r" in text or raw != text.encode("utf-8", "replace"):
        return f"CAST(X'{raw.hex()}' AS TEXT)"
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _statements(path: str) -> Iterator[str]:
    complete: Callable[[str], bool] = sqlite3.complete_statement
    gathered: list[str] = []
    quotes = 0
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            if not gathered and (line.startswith("--") or not line.strip()):
                continue
            gathered.append(line)
            quotes += line.count("'")
            if not line.endswith(";\n"):
                continue
            # Rows may be long, and theirs are the only quotes in them; what makes a table may have quotes in a remark.
            if quotes % 2 == 0 if gathered[0].startswith("INSERT INTO ") else complete("".join(gathered)):
                yield "".join(gathered)
                gathered, quotes = [], 0
    if gathered:
        raise DatabaseError(f"{os.path.basename(path)} breaks off in the middle of a statement")


def _only_here(action: int, *_: Any) -> int:
    refused = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    return int(sqlite3.SQLITE_DENY if action in refused else sqlite3.SQLITE_OK)
