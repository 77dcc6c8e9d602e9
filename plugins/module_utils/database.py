# GPL-3.0-or-later
"""The site's MariaDB or MySQL database, by its own client programs and the site's own account.

The password is in an option file of mode 0600, never in an argument: arguments are public (see borgmatic issue 848).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from . import command, own_way_back
from .lease import write_whole
from .own_way_back import OURS as OURS
from .own_way_back import PUT_ASIDE as PUT_ASIDE
from .own_way_back import PUT_AWAY as PUT_AWAY
from .own_way_back import STAGED as STAGED
from .own_way_back import STAGING_MARK as STAGING_MARK

# No quotes, so that a name is safe between quotes of any kind, and nothing that ends a line of output.
TABLE = re.compile(r"[^\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff'\"`\\]{1,64}\Z")
END_MARKER = "-- Dump completed"
GLOBAL_OPTIONS = ("/etc/my.cnf", "/etc/mysql/my.cnf")
LOCK_SECONDS = 60
WHATEVER_IS_THERE = f"SET SESSION foreign_key_checks = 0, SESSION lock_wait_timeout = {LOCK_SECONDS}"
# In any other isolation InnoDB locks the rows that INSERT … SELECT reads until the end, and their writers wait.
NOBODY_WAITS = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
# What the server says instead of a checksum of a table that it cannot compare.
NO_SUM = "NULL:"
# MariaDB's name for a table that keeps its history.
VERSIONED = "SYSTEM VERSIONED"
# MariaDB's dump program has it from 10.11 on. Another one ends with an error, and leaves out nothing in silence.
DUMP_HISTORY = "--dump-history"
# A list of parts is cut off where it is longer than this, silently.
DEFINITIONS = (
    "SET SESSION group_concat_max_len = 1000000;"
    " SELECT TABLE_NAME, CONCAT_WS('|', ENGINE, TABLE_COLLATION), '' FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED');"
    " SELECT TABLE_NAME, MD5(GROUP_CONCAT(CONCAT_WS('|', COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE,"
    " COALESCE(COLUMN_DEFAULT, '-'), EXTRA, COLUMN_KEY, COALESCE(COLLATION_NAME, ''))"
    " ORDER BY ORDINAL_POSITION SEPARATOR ';')) FROM information_schema.COLUMNS"
    " WHERE TABLE_SCHEMA = DATABASE() GROUP BY TABLE_NAME;"
    " SELECT TABLE_NAME, MD5(GROUP_CONCAT(CONCAT_WS('|', INDEX_NAME, COLUMN_NAME, COALESCE(SUB_PART, ''), INDEX_TYPE, NON_UNIQUE)"
    " ORDER BY INDEX_NAME, SEQ_IN_INDEX SEPARATOR ';')) FROM information_schema.STATISTICS"
    " WHERE TABLE_SCHEMA = DATABASE() GROUP BY TABLE_NAME"
)


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
        """Write the client's option file (0600) and return its path.

        It is the only one that the programs read, because ~/.my.cnf would be read after it and may name another
        account. The host's own files come in first: they may say where the socket is.
        """
        lines = ["!include " + file for file in GLOBAL_OPTIONS if os.access(file, os.R_OK)]
        lines += ["[client]", "user=" + _quoted(self.user), "password=" + _quoted(self.password)]
        lines += [f"{name}={_quoted(value)}" for name, value in self.reached().items()]
        write_whole(path, "\n".join([*lines, "default-character-set=utf8mb4", ""]))
        return path

    def reached(self) -> dict[str, str]:
        """Return host, port and socket as WordPress reads them out of DB_HOST (wpdb::parse_db_host)."""
        host, socket, _ = re.sub(r"^p:", "", self.host), "", ""
        if ":/" in host:
            host, _, rest = host.partition(":/")
            socket = "/" + rest
        pattern = r"\[?([0-9a-fA-F:]+)(?:\]:(\d+))?" if host.count(":") > 1 else r"([^:/]*)(?::(\d+))?"
        found = re.match(pattern, host)
        name, port = (found.group(1) or "localhost", found.group(2) or "") if found else ("localhost", "")
        if socket:
            return {"host": "localhost", "socket": socket}
        # PHP speaks to localhost through the socket, whatever the port.
        return {"host": name, "port": port} if port and name != "localhost" else {"host": name}


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
            "--defaults-file=" + self.options,
            "--batch",
            "--skip-column-names",
            "--raw",
            self.name,
        ]
        done = _run(argv, statement, timeout)
        return [line.split("\t") for line in done.out.split("\n")[:-1]]

    def server_version(self) -> str:
        """Return the server's version, such as 10.11.14-MariaDB."""
        return self.query("SELECT VERSION()")[0][0]

    def tables(self) -> list[str]:
        """Return the names of the base tables that are not ours, sorted."""
        rows = self.query(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME"
        )
        return [row[0] for row in rows if not row[0].startswith(OURS)]

    def with_history(self) -> list[str]:
        """Return the base tables that keep the rows of before (MariaDB's system-versioned tables), sorted."""
        rows = self.query(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_TYPE = 'SYSTEM VERSIONED' ORDER BY TABLE_NAME"
        )
        return [row[0] for row in rows if not row[0].startswith(OURS)]

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

    def sizes(self) -> dict[str, int]:
        """Return the bytes of data and indexes of each base table, as the server estimates them."""
        rows = self.query(
            "SELECT TABLE_NAME, COALESCE(DATA_LENGTH + INDEX_LENGTH, 0) FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')"
        )
        return {row[0]: int(float(row[1])) for row in rows if not row[0].startswith(OURS)}

    def checksums(self, tables: list[str]) -> dict[str, str]:
        """Return one text for each table that changes when its rows or its definition change.

        It begins with NULL for a table that cannot be compared.
        """
        return self.looked_at(tables)[0] if tables else {}

    def looked_at(self, tables: list[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return checksums() of these tables and definitions() of all, by one call of the client."""
        asked = "CHECKSUM TABLE {}; ".format(", ".join(quoted(table) for table in tables)) if tables else ""
        rows = self.query(asked + DEFINITIONS, timeout=600)
        definitions = _definitions(rows[len(tables) :])
        sums = {name[len(self.name) + 1 :]: value for name, value in rows[: len(tables)]}
        return {table: f"{value}:{definitions.get(table, '')}" for table, value in sums.items()}, definitions

    def definitions(self) -> dict[str, str]:
        """Return one text for each base table that changes when its columns, indexes, engine or collation change."""
        return _definitions(self.query(DEFINITIONS))

    def cannot_put_aside(self, tables: list[str]) -> list[str]:
        """Return those tables that a copy cannot stand for: with foreign keys, triggers, generated columns or a history."""
        rows = self.query(
            "SELECT TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()"
            " UNION SELECT REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"
            " WHERE CONSTRAINT_SCHEMA = DATABASE()"
            " UNION SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
            " UNION SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
            " AND COALESCE(GENERATION_EXPRESSION, '') <> ''"
            " UNION SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_TYPE = 'SYSTEM VERSIONED'"
        )
        return sorted({row[0] for row in rows} & set(tables))

    def lay_out(self, tables: list[str]) -> dict[str, str]:
        """Make an empty copy beside each table and return {table: copy}: that waits for the disk, so not in a freeze."""
        copies = {table: f"{PUT_ASIDE}{number}" for number, table in enumerate(tables)}
        self.drop(self.ours(PUT_ASIDE))
        if copies:
            made = [f"CREATE TABLE {quoted(copy)} LIKE {quoted(table)}" for table, copy in copies.items()]
            self.query(";\n".join(made), timeout=600)
        return copies

    def put_aside(self, copies: dict[str, str], *, writers: bool = False, rows: dict[str, int] | None = None) -> None:
        """Copy all rows, or the first so many `rows` of a table, into the copies that were laid out.

        The caller has stopped all writers, or says that there are `writers`: they are not kept waiting then.
        """
        if not copies:
            return
        # Rows are copied as they are: a row 0 in a counter, and the dates 0000-00-00 of WordPress. One transaction
        # waits for the disk once.
        statements = [
            "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', SESSION unique_checks = 0, SESSION autocommit = 0"
        ]
        if writers:
            statements.append(NOBODY_WAITS)
        for table, copy in copies.items():
            limit = f" LIMIT {int(rows[table])}" if rows and table in rows else ""
            statements.append(
                f"INSERT INTO {quoted(copy)} SELECT * FROM {quoted(table)}{limit}"  # noqa: S608 - quoted names
            )
        self.query(";\n".join([*statements, "COMMIT"]), timeout=3600)

    def put_aside_again(self, copies: dict[str, str]) -> None:
        """Copy all rows once more into copies that are not what their tables are any more."""
        if copies:
            self.query(";\n".join(f"TRUNCATE TABLE {quoted(copy)}" for copy in copies.values()), timeout=600)
            self.put_aside(copies)

    def take_over(self, tables: list[str], other: str) -> None:
        """Put tables of another database of this server in the place of this one's: see own_way_back.take_over()."""
        own_way_back.take_over(self.query, tables, other)

    def put_back(self, copies: dict[str, str], known: list[str], prefix: str) -> list[str]:
        """Rename copies back to their tables and drop what was not there before: see own_way_back.tables_back()."""
        return own_way_back.tables_back(self.query, copies, known, prefix)

    def drop(self, tables: list[str]) -> None:
        """Drop tables by name."""
        if tables:
            self.query(f"{WHATEVER_IS_THERE}; {_dropped('TABLE', tables)}")

    def empty(self) -> None:
        """Drop every table and view of a staging database, and leave a mark that it is one.

        Raises DatabaseError, and drops nothing, when there are tables and no mark: then they are somebody else's.
        """
        rows = self.query(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME"
        )
        names = [row[0] for row in rows]
        tables = [row[0] for row in rows if row[1] in ("BASE TABLE", VERSIONED) and not row[0].startswith(OURS)]
        if tables and STAGING_MARK not in names:
            raise DatabaseError(
                f"the staging database {self.name} has {len(tables)} tables that are not a staging copy's, such as"
                f" {tables[0]}: name another one in the contract, or empty it"
            )
        statements = [
            f"CREATE TABLE IF NOT EXISTS {STAGING_MARK} (what VARCHAR(99) PRIMARY KEY) COMMENT = 'Upkeep empties this database'"
        ]
        views = [row[0] for row in rows if row[1] == "VIEW"]
        if views:
            statements.insert(0, _dropped("VIEW", views))
        # DROP TABLE drops MariaDB's sequences, too.
        strange = {row[0] for row in rows if row[1] not in ("BASE TABLE", VERSIONED, "VIEW")}
        tables += sorted(strange | {name for name in names if name.startswith((PUT_ASIDE, PUT_AWAY, STAGED))})
        if tables:
            statements += [WHATEVER_IS_THERE, _dropped("TABLE", tables)]
        self.query(";\n".join(statements))

    def drop_views(self) -> None:
        """Drop every view."""
        rows = self.query("SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()")
        if rows:
            self.query(_dropped("VIEW", [row[0] for row in rows]))

    def leave(self) -> bool:
        """Empty a staging database and take the mark away. Returns whether there was something of ours."""
        if not self.ours(STAGING_MARK):
            return False
        self.empty()
        self.drop([STAGING_MARK])
        return True

    def dump_arguments(self) -> list[str]:
        """Return the dump command: one transaction, primary-key order so that it deduplicates, no secrets."""
        return [
            self.dump_program,
            "--defaults-file=" + self.options,
            "--single-transaction",
            "--quick",
            "--order-by-primary",
            "--skip-lock-tables",
            # A table whose numbers come from a sequence could not be loaded: LOCK TABLES would have to name both.
            "--skip-add-locks",
            "--triggers",
            "--no-tablespaces",
            "--hex-blob",
            "--skip-dump-date",
            self.name,
        ]

    def load_arguments(self) -> list[str]:
        """Return the client command that loads a dump; it stops at the first statement that fails.

        In binary mode the client knows no commands but DELIMITER, so nothing in a dump can make it start a program.
        """
        return [
            self.client,
            "--defaults-file=" + self.options,
            "--max-allowed-packet=1G",
            "--binary-mode",
            self.name,
        ]

    def carry_out(self, script: str) -> None:
        """Carry out a script as a dump is loaded; it may use DELIMITER, and its remarks reach the server."""
        _run([*self.load_arguments()[:-1], "--comments", self.name], script, 600.0)

    def other_connections(self) -> int:
        """Return how many other connections the site's account has open in this database: requests still at work."""
        rows = self.query(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
        )
        return int(rows[0][0])


def quoted(name: str) -> str:
    """Quote an identifier. Raises DatabaseError for a name with quotes or control characters in it."""
    if not TABLE.match(name):
        raise DatabaseError(f"refusing the table name {name!r}")
    return f"`{name}`"


def opened(credentials: Credentials, folder: str, programs: dict[str, str], name: str = "") -> Database:
    """Return the Database for these credentials; the option file lies in `folder` (which only the owner reads)."""
    options = credentials.option_file(os.path.join(folder, "database.cnf"))
    return Database(name or credentials.name, options, programs["mariadb"], programs["mariadb_dump"])


def _dropped(kind: str, names: list[str]) -> str:
    return f"DROP {kind} IF EXISTS {', '.join(quoted(name) for name in names)}"


def _definitions(rows: list[list[str]]) -> dict[str, str]:
    """Join the parts of each base table; what is none, as a view, has no row with three columns and is left out."""
    found = {row[0]: row[1] for row in rows if len(row) == 3 and not row[0].startswith(OURS)}
    for row in rows:
        if len(row) == 2 and row[0] in found:
            found[row[0]] += " " + row[1]
    return found


def _quoted(value: str) -> str:
    """Write a value of an option file so that the client reads these very characters."""
    escaped = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    )
    return f'"{escaped}"'


def _run(argv: list[str], statement: str, timeout: float) -> command.Finished:
    try:
        return command.run(argv, timeout=timeout, stdin=statement)
    except command.CommandFailed as error:
        raise DatabaseError(str(error)) from error
