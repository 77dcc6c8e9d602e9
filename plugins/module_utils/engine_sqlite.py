# GPL-3.0-or-later
"""SQLite, as WordPress's drop-in `sqlite-database-integration` uses it: the database is a file of the site.

A restored database is a new file beside the live one and takes its name in one rename. The live one gets another name
first, and comes back by being renamed again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any, Mapping, Sequence

from . import sqlite_file
from .database import DatabaseError
from .dump import Dump, DumpError, Proof
from .dump_files import TABLES_FOLDER, DumpFile, file_name, overall
from .dump_stream import DEFINITIONS, FILES, SEQUENCES
from .engine import SQLITE, LoadError
from .points import PointError, dump_files
from .sqlite_file import BESIDE, Text
from .tree import remove

# Web servers give nobody a file that begins so: that is why WordPress's own is called .ht.sqlite.
PUT_AWAY, NEXT = ".ht.upkeep-away", ".ht.upkeep-next"


def beside(folder: str) -> str:
    """Return the file into which a run loads a dump; `folder` is the run's."""
    return os.path.join(folder, "incoming", "database.sqlite")


class Sqlite:
    """One file. Requests are kept out by the freeze while it is exchanged."""

    kind = SQLITE

    def __init__(self, path: str, folder: str) -> None:
        self.path = path
        self.name = path
        self._folder = folder
        self._loaded = beside(folder)

    def server_version(self) -> str:
        """Return the version of SQLite that reads the file here."""
        with sqlite_file.opened(self.path) as connection:
            return "SQLite " + str(connection.execute("SELECT sqlite_version()").fetchone()[0])

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        """Run one statement in the live file."""
        with sqlite_file.opened(self.path) as connection:
            rows = connection.execute(statement).fetchall()
        return [["NULL" if value is None else str(value) for value in row] for row in rows]

    def tables(self) -> list[str]:
        """Return all tables but SQLite's own."""
        with sqlite_file.opened(self.path) as connection:
            return list(sqlite_file.tables(connection))

    def size(self) -> int:
        """Return the bytes of the file and of the copy that is made of it before it is read."""
        return 2 * sum(os.path.getsize(path) for path in self.files() if os.path.exists(path))

    def other_connections(self) -> int:
        """Return 1 while somebody writes to the file, else 0."""
        if not os.path.exists(self.path):
            return 0
        with sqlite_file.opened(self.path) as connection:
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except Exception as error:
                if "locked" in str(error):
                    return 1
                raise
            connection.execute("ROLLBACK")
        return 0

    def files(self) -> list[str]:
        """Return the file, and what SQLite puts beside it while it works."""
        return [self.path, *(self.path + ending for ending in BESIDE), self._away, self._next]

    def take(self, folder: str, *, timeout: float) -> Dump:
        """Copy the file as of one moment, let SQLite look for faults in the copy, and write the copy down as SQL."""
        remove(folder)
        os.mkdir(folder, 0o700)
        os.mkdir(os.path.join(folder, TABLES_FOLDER), 0o700)
        copy = os.path.join(self._folder, "copy.sqlite")
        try:
            sqlite_file.copy(self.path, copy)
            return self._written(copy, folder)
        except (DatabaseError, OSError) as error:
            raise DumpError(f"the dump of {self.path} failed: {error}") from error
        finally:
            _unlink(copy)

    def _written(self, copy: str, folder: str) -> Dump:
        rows: dict[str, int] = {}
        files: dict[str, DumpFile] = {}
        others: dict[str, DumpFile] = {}
        with sqlite_file.opened(copy) as connection:
            made = sqlite_file.tables(connection)
            if not made:
                raise DumpError(f"the database {self.path} has no tables")
            virtual = [name for name, sql in made.items() if sql.upper().startswith("CREATE VIRTUAL")]
            if virtual:
                raise DumpError(f"the table {virtual[0]} is a virtual one, which this version cannot write down")
            for table, statement in made.items():
                if "'" in table + "".join(sqlite_file.columns(connection, table)[0]) or "\n" in table:
                    raise DumpError(f"the table {table!r} has a quote in its name or in a column's")
                with _file(folder, file_name(table)) as (text, finish):
                    rows[table] = sqlite_file.write_table(connection, table, statement, text)
                    files[table] = finish()
            with _file(folder, FILES[DEFINITIONS]) as (text, finish):
                sqlite_file.write_definitions(connection, text)
                others[DEFINITIONS] = finish()
            if sqlite_file.has_sequences(connection):
                with _file(folder, FILES[SEQUENCES]) as (text, finish):
                    sqlite_file.write_sequences(connection, text)
                    others[SEQUENCES] = finish()
            other = {table: sqlite_file.count(connection, table) for table in made}
            watched = sorted(table for table in made if sqlite_file.triggers(connection, table))
        if other != rows:
            raise DumpError("the dump has other numbers of rows than the database")
        every = [*files.values(), *others.values()]
        proof = Proof(
            bytes=sum(each.bytes for each in every),
            sha256=overall(every),
            end_marker=all(_ends(os.path.join(folder, each.file)) for each in every),
            tables=sorted(files),
            rows=rows,
            triggers=watched,
        )
        if not proof.end_marker:
            raise DumpError("a file of the dump does not end as it should")
        return Dump(folder, {"sqlite backup": 0, "sqlite integrity_check": 0}, proof, rows, files, others, [])

    def usable(self) -> None:
        """Raise DatabaseError when nothing can be put beside the live file."""
        if os.path.exists(self.path) and os.path.islink(self.path):
            raise LoadError(f"{self.path} is a link: what it leads to would not be exchanged")
        folder = os.path.dirname(self.path)
        if os.path.isdir(folder) and not os.access(folder, os.W_OK):
            raise LoadError(f"{os.path.dirname(self.path)} cannot be written to")

    def load(self, wanted: dict[str, Any], restored: str, tables: Sequence[str], *, timeout: float) -> dict[str, int]:
        """Make a new file of the dump, and write that down again: it must be the same, byte for byte."""
        names = sorted(tables or wanted["tables"])
        entries = {**{name: wanted["tables"][name] for name in names}, **({} if tables else wanted["others"])}
        _as_stored(wanted, restored, entries)
        self.leave()
        os.makedirs(os.path.dirname(self._loaded), mode=0o700, exist_ok=True)
        folder = restored + wanted["folder"]
        try:
            with sqlite_file.opened(self._loaded, make=True) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                for name in names:
                    sqlite_file.execute(connection, os.path.join(folder, wanted["tables"][name]["file"]))
                for kind in () if tables else (SEQUENCES, DEFINITIONS):
                    if kind in wanted["others"]:
                        sqlite_file.execute(connection, os.path.join(folder, wanted["others"][kind]["file"]))
                sqlite_file.sound(connection, self._loaded)
                _same(connection, wanted, names, whole=not tables)
                if tables:
                    self._refuse_other_tables(connection, names)
                rows = {name: sqlite_file.count(connection, name) for name in names}
        except UnicodeDecodeError as error:
            raise LoadError(f"the dump cannot be read: {error}") from error
        if not tables:
            self._as_before()
        return rows

    def _refuse_other_tables(self, loaded: Any, names: list[str]) -> None:
        """Raise LoadError unless these tables are made as they were: then their rows can come back by themselves."""
        then = sqlite_file.tables(loaded)
        with sqlite_file.opened(self.path) as live:
            now = sqlite_file.tables(live)
        other = [name for name in names if then[name] != now.get(name)]
        if other:
            raise LoadError(
                f"table {other[0]} is not made as it was when the restore point was taken, so its rows alone cannot come"
                " back. Ask for the whole database: --only database"
            )

    def _as_before(self) -> None:
        """Give the new file the live one's way of keeping a journal, which SQLite remembers in the file."""
        if not os.path.exists(self.path):
            return
        with sqlite_file.opened(self.path) as live:
            mode = str(live.execute("PRAGMA journal_mode").fetchone()[0])
        if mode == "wal":
            with sqlite_file.opened(self._loaded) as loaded:
                loaded.execute("PRAGMA journal_mode = wal")

    def counted(self) -> dict[str, int]:
        """Count the rows in the new file."""
        with sqlite_file.opened(self._loaded) as connection:
            return {table: sqlite_file.count(connection, table) for table in sqlite_file.tables(connection)}

    def plan(self, tables: Sequence[str]) -> dict[str, Any]:
        """Return the names that are exchanged."""
        return {"file": self.path, "away": self._away, "tables": list(tables), "new": not os.path.exists(self.path)}

    def switch(self, planned: dict[str, Any]) -> None:
        """Rename the new file to the live one's name; for some tables, a copy of the live file with their rows of then."""
        if planned["new"]:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            shutil.copyfile(self._loaded, self.path)
            os.chmod(self.path, 0o644)
            return
        live = os.stat(self.path)
        if planned["tables"]:
            sqlite_file.copy(self.path, self._next)
            self._bring_rows(planned["tables"])
        else:
            shutil.copyfile(self._loaded, self._next)
        os.chmod(self._next, live.st_mode & 0o7777)
        if (os.stat(self._next).st_uid, os.stat(self._next).st_gid) != (live.st_uid, live.st_gid):
            os.chown(self._next, -1, live.st_gid)
        with open(self._next, "rb") as file:
            os.fsync(file.fileno())
        # What is still beside the live file belongs to it: another file of that name would be read with it.
        self.settle()
        os.link(self.path, self._away)
        os.rename(self._next, self.path)

    def _bring_rows(self, names: list[str]) -> None:
        with sqlite_file.opened(self._next) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("ATTACH DATABASE ? AS incoming", (self._loaded,))
            connection.execute("BEGIN")
            for table in names:
                # Nothing but the rows may come: a trigger would write to other tables.
                held = sqlite_file.triggers(connection, table)
                named = connection.execute(
                    "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table,)
                ).fetchall()
                for row in named:
                    connection.execute(f"DROP TRIGGER main.{sqlite_file.quoted(row[0])}")
                columns = ", ".join(map(sqlite_file.quoted, sqlite_file.columns(connection, table)[0]))
                name = sqlite_file.quoted(table)
                connection.execute(f"DELETE FROM main.{name}")  # noqa: S608 - quoted
                connection.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM incoming.{name}")  # noqa: S608
                for statement in held:
                    connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("DETACH DATABASE incoming")
            torn = connection.execute("PRAGMA foreign_key_check").fetchall()
            if torn:
                raise LoadError(f"rows of {torn[0][0]} would lead to rows of {torn[0][2]} that are not there")
            sqlite_file.sound(connection, self._next)

    def settle(self) -> None:
        """Bring everything that SQLite has put beside the live file into the file itself. Raises when it is in use."""
        with sqlite_file.opened(self.path) as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise LoadError(f"{self.path} is in use")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        for ending in BESIDE:
            if os.path.exists(self.path + ending) and os.path.getsize(self.path + ending):
                raise LoadError(f"{self.path}{ending} is in use")
            _unlink(self.path + ending)

    def switch_back(self, planned: dict[str, Any]) -> None:
        """Rename the file of before back. Where there is none under its other name, it never lost its own."""
        if planned.get("new"):
            _unlink(planned["file"])
        if os.path.exists(planned["away"]):
            for ending in BESIDE:
                if not os.path.samefile(planned["away"], planned["file"]):
                    _unlink(planned["file"] + ending)
            os.replace(planned["away"], planned["file"])
            # Two names of one file: then rename() does nothing at all.
            _unlink(planned["away"])

    def left(self) -> list[str]:
        """Return nothing: the file is the site's own."""
        return []

    def leave(self) -> None:
        """Remove the new file."""
        for ending in ("", *BESIDE):
            _unlink(self._loaded + ending)
        _unlink(self._next)

    def forget(self) -> None:
        """Remove the file of before."""
        _unlink(self._away)

    def tidy(self, *, keep_staging: bool = False) -> list[str]:
        """Remove the file of before, and the new one."""
        found = [path for path in (self._away, self._next) if os.path.exists(path)]
        self.leave()
        self.forget()
        return found

    @property
    def _away(self) -> str:
        return os.path.join(os.path.dirname(self.path), PUT_AWAY)

    @property
    def _next(self) -> str:
        return os.path.join(os.path.dirname(self.path), NEXT)


def carry(path: str, root: str, waiting: str) -> None:
    """Give a tree that waits to be exchanged the live database file: it is no file of any restore point.

    It is one file with two names then, so whichever tree is live, no row is lost.
    """
    if not path.startswith(root + "/") or not os.path.exists(path):
        return
    target = waiting + path[len(root) :]
    os.makedirs(os.path.dirname(target), exist_ok=True)
    for ending in ("", *BESIDE):
        _unlink(target + ending)
    os.link(path, target)


@contextlib.contextmanager
def _file(folder: str, name: str) -> Any:
    path = os.path.join(folder, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        text = Text(file)

        def finish() -> DumpFile:
            file.flush()
            return DumpFile(name, text.bytes, text.sha256)

        yield text, finish


def _as_stored(wanted: dict[str, Any], restored: str, entries: Mapping[str, Any]) -> None:
    """Raise LoadError when a file is not the one that the manifest names."""
    try:
        stored = {each.file: each for each in dump_files(wanted)}
    except PointError as error:
        raise LoadError(str(error)) from error
    for name, entry in entries.items():
        text = Text()
        path = os.path.join(restored + wanted["folder"], entry["file"])
        with open(path, encoding="utf-8", newline="\n") as file:
            for line in file:
                text.write(line)
        if DumpFile(entry["file"], text.bytes, text.sha256) != stored[entry["file"]] or not _ends(path):
            raise LoadError(f"the dump of {name} that came back is not the one that was stored")


def _same(connection: Any, wanted: dict[str, Any], names: list[str], *, whole: bool) -> None:
    """Raise LoadError unless what was loaded is written down just as what was dumped."""
    made = sqlite_file.tables(connection)
    if sorted(made) != names:
        raise LoadError("the loaded database has other tables than the restore point")
    for name in names:
        text = Text()
        rows = sqlite_file.write_table(connection, name, made[name], text)
        if text.sha256 != wanted["tables"][name]["sha256"] or rows != wanted["tables"][name]["rows"]:
            raise LoadError(f"the loaded table {name} is not the one of the restore point")
    if whole:
        text = Text()
        sqlite_file.write_definitions(connection, text)
        if text.sha256 != wanted["others"][DEFINITIONS]["sha256"]:
            raise LoadError("the loaded views and triggers are not those of the restore point")


def _ends(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - len(sqlite_file.TAIL)))
        return file.read() == sqlite_file.TAIL.encode()


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
