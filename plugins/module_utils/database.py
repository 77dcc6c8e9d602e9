# GPL-3.0-or-later
"""The site's MariaDB or MySQL database, by its own client programs and the site's own account.

The password is in an option file of mode 0600, never in an argument: arguments are public (see borgmatic issue 848).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from . import command
from .lease import write_whole

TABLE = re.compile(r"^[0-9A-Za-z_$\-]{1,64}$")
END_MARKER = "-- Dump completed"
PUT_ASIDE = "upkeep_aside_"
PUT_AWAY = "upkeep_away_"


class DatabaseError(Exception):
    """A statement failed or the server cannot do what is needed."""


@dataclass(frozen=True)
class Credentials:
    """How the CMS reaches its database, read from its own configuration."""

    name: str
    user: str
    password: str
    host: str

    def option_file(self, path: str) -> str:
        """Write the client's option file (0600) and return its path."""
        lines = ["[client]", "user=" + _quoted(self.user), "password=" + _quoted(self.password)]
        host, _, rest = self.host.partition(":")
        if rest.startswith("/"):
            lines.append("socket=" + _quoted(rest))
        else:
            lines.append("host=" + _quoted(host or "localhost"))
            if rest.isdigit():
                lines.append("port=" + rest)
        write_whole(path, "\n".join([*lines, "default-character-set=utf8mb4", ""]))
        return path


@dataclass(frozen=True)
class Database:
    """One database on one server, reached through an option file."""

    name: str
    options: str
    client: str
    dump_program: str

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        """Run SQL (by standard input) and return the rows as text. Raises DatabaseError."""
        argv = [
            self.client,
            "--defaults-extra-file=" + self.options,
            "--batch",
            "--skip-column-names",
            "--raw",
            self.name,
        ]
        done = _run(argv, statement, timeout)
        return [line.split("\t") for line in done.out.splitlines()]

    def server_version(self) -> str:
        """Return the server's version, such as 10.11.14-MariaDB."""
        return self.query("SELECT VERSION()")[0][0]

    def tables(self) -> list[str]:
        """Return the names of the base tables that are not ours, sorted."""
        rows = self.query(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME"
        )
        return [row[0] for row in rows if not row[0].startswith((PUT_ASIDE, PUT_AWAY))]

    def ours(self, prefix: str) -> list[str]:
        """Return the tables of ours that begin with `prefix`."""
        rows = self.query(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME"
        )
        return [row[0] for row in rows if row[0].startswith(prefix)]

    def size(self) -> int:
        """Return the bytes of data and indexes of all tables."""
        rows = self.query(
            "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE()"
        )
        return int(float(rows[0][0]))

    def checksums(self, tables: list[str]) -> dict[str, str]:
        """Return one text for each table that changes when its rows or its definition change."""
        if not tables:
            return {}
        sums = self.query("CHECKSUM TABLE {}".format(", ".join(quoted(table) for table in tables)), timeout=600)
        columns = self.query(
            "SELECT TABLE_NAME, MD5(GROUP_CONCAT(CONCAT_WS('|', COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE,"
            " COALESCE(COLUMN_DEFAULT, '-'), EXTRA, COLUMN_KEY, COALESCE(COLLATION_NAME, ''))"
            " ORDER BY ORDINAL_POSITION SEPARATOR ';')) FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA = DATABASE() GROUP BY TABLE_NAME"
        )
        definition = dict((row[0], row[1]) for row in columns)
        result = {}
        for name, value in sums:
            table = name.partition(".")[2]
            result[table] = value + ":" + definition.get(table, "")
        return result

    def cannot_put_aside(self, tables: list[str]) -> list[str]:
        """Return those tables that a copy cannot stand for: they have foreign keys or triggers."""
        rows = self.query(
            "SELECT TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()"
            " UNION SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
        )
        return sorted({row[0] for row in rows} & set(tables))

    def put_aside(self, tables: list[str]) -> dict[str, str]:
        """Copy tables beside themselves and return {table: copy}. The caller has stopped all writers."""
        copies = {table: "%s%d" % (PUT_ASIDE, number) for number, table in enumerate(tables)}
        statements = ["SET SESSION foreign_key_checks = 0", "SET SESSION unique_checks = 0"]
        for table, copy in copies.items():
            statements += [
                f"DROP TABLE IF EXISTS {quoted(copy)}",
                f"CREATE TABLE {quoted(copy)} LIKE {quoted(table)}",
                f"INSERT INTO {quoted(copy)} SELECT * FROM {quoted(table)}",
            ]
        if copies:
            self.query(";\n".join(statements), timeout=3600)
        return copies

    def put_back(self, copies: dict[str, str], known: list[str]) -> list[str]:
        """Rename copies back to their tables, in one statement, and drop what was not there before.

        `known` are the tables that existed before the change. Does nothing for copies that are already back: the
        statement is atomic, so either all copies are there or none. Returns the tables that were put back.
        """
        there = set(self.ours(PUT_ASIDE))
        back = {table: copy for table, copy in copies.items() if copy in there}
        current = set(self.tables())
        moves = []
        for number, (table, copy) in enumerate(sorted(back.items())):
            if table in current:
                moves.append("{} TO {}".format(quoted(table), quoted("%s%d" % (PUT_AWAY, number))))
            moves.append(f"{quoted(copy)} TO {quoted(table)}")
        if moves:
            self.query("RENAME TABLE " + ", ".join(moves))
        self.drop([table for table in sorted(current - set(known)) if table not in copies])
        self.drop(self.ours(PUT_AWAY))
        return sorted(back)

    def drop(self, tables: list[str]) -> None:
        """Drop tables by name."""
        if tables:
            names = ", ".join(quoted(table) for table in tables)
            self.query("SET SESSION foreign_key_checks = 0; DROP TABLE IF EXISTS " + names)

    def empty(self) -> None:
        """Drop every table and view: only ever called for a staging database."""
        rows = self.query("SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()")
        if rows:
            self.query("DROP VIEW IF EXISTS " + ", ".join(quoted(row[0]) for row in rows))
        self.drop([*self.tables(), *self.ours(PUT_ASIDE), *self.ours(PUT_AWAY)])

    def dump_arguments(self) -> list[str]:
        """Return the dump command: one transaction, primary-key order so that it deduplicates, no secrets."""
        return [
            self.dump_program,
            "--defaults-extra-file=" + self.options,
            "--single-transaction",
            "--quick",
            "--order-by-primary",
            "--skip-lock-tables",
            "--triggers",
            "--no-tablespaces",
            "--hex-blob",
            "--skip-dump-date",
            self.name,
        ]

    def load_arguments(self) -> list[str]:
        """Return the client command that loads a dump; it stops at the first statement that fails."""
        return [self.client, "--defaults-extra-file=" + self.options, "--max-allowed-packet=1G", self.name]

    def copy_to(self, other: Database, *, timeout: float = 3600.0) -> None:
        """Copy this database into `other`, which is emptied first. Raises DatabaseError if either side fails."""
        other.empty()
        dumped, loaded, said = command.pipe(self.dump_arguments(), other.load_arguments(), timeout=timeout)
        if dumped or loaded:
            raise DatabaseError(
                "copying database %s to %s failed (dump exit %d, load exit %d): %s"
                % (self.name, other.name, dumped, loaded, command.last_line(said))
            )
        if self.tables() != other.tables():
            raise DatabaseError(f"copying database {self.name} to {other.name} lost tables")

    def other_connections(self) -> int:
        """Return how many other connections the site's account has open in this database: requests still at work."""
        rows = self.query(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
        )
        return int(rows[0][0])


def quoted(name: str) -> str:
    """Quote an identifier. Raises DatabaseError for a name that no CMS uses."""
    if not TABLE.match(name):
        raise DatabaseError(f"refusing the table name {name!r}")
    return f"`{name}`"


def opened(credentials: Credentials, folder: str, programs: dict[str, str], name: str = "") -> Database:
    """Return the Database for these credentials; the option file lies in `folder` (which only the owner reads)."""
    options = credentials.option_file(os.path.join(folder, "database.cnf"))
    return Database(name or credentials.name, options, programs["mariadb"], programs["mariadb_dump"])


def _quoted(value: str) -> str:
    return '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))


def _run(argv: list[str], statement: str, timeout: float) -> command.Finished:
    try:
        return command.run(argv, timeout=timeout, stdin=statement)
    except command.CommandFailed as error:
        raise DatabaseError(str(error)) from error
