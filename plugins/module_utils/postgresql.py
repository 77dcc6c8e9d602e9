# GPL-3.0-or-later
"""A PostgreSQL database, by its own programs and the site's own account.

The password is in a file of mode 0600 that PGPASSFILE names, never in an argument: arguments are public.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from dataclasses import dataclass
from typing import Any, Iterator

from . import command
from .database import Credentials, DatabaseError
from .lease import write_whole

AWAY, INCOMING = "upkeep_away_", "upkeep_in_"
CREDENTIALS_FILE = "database.pgpass"
LOCK_SECONDS = 30
ANSWER_SECONDS = 60.0
FIELD, RECORD = "\x1f", "\x1e"
# What decides how a value is written: always the same, whatever the server, the database or the account prefers.
STEADY = (
    "SET search_path = ''; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';"
    " SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET row_security = off;"
    " SET statement_timeout = 0; SET synchronize_seqscans = off; SET xmloption = 'content';\n"
)
_TABLES = """
SELECT n.nspname, c.relname,
    (SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
    (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT string_agg(format('%I%s', a.attname, CASE WHEN a.attcollation <> 0 THEN ' COLLATE pg_catalog."C"' END), ', '
            ORDER BY k.place)
        FROM pg_index i, unnest(i.indkey::int[]) WITH ORDINALITY AS k (attnum, place), pg_attribute a
        WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname = ANY ({schemas})
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
_SCHEMAS = """
SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname !~ '^upkeep_'
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = pg_namespace.oid
        AND d.classid = 'pg_namespace'::regclass AND d.deptype = 'e')
ORDER BY nspname COLLATE "C"
"""


@dataclass(frozen=True)
class Table:
    """One table. What is in it is written as SQL: columns that hold values, all columns with their types, the order."""

    schema: str
    table: str
    columns: str
    made: str
    key: str

    @property
    def name(self) -> str:
        """As manifests and people call it."""
        return self.table if self.schema == "public" else f"{self.schema}.{self.table}"

    @property
    def place(self) -> str:
        """As SQL calls it."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    @property
    def head(self) -> str:
        """The beginning of its file: how it is made, and the statement that takes its rows."""
        return f"-- Table {self.place} ({self.made})\nCOPY {self.place} ({self.columns}) FROM stdin;\n"

    def rows(self, place: str = "") -> str:
        """Return the statement that writes its rows, or those of a copy elsewhere, always in the same order."""
        order = self.key or 't::text COLLATE pg_catalog."C"'
        return f"COPY (SELECT {self.columns} FROM ONLY {place or self.place} AS t ORDER BY {order}) TO STDOUT;\n"  # noqa: S608


@dataclass(frozen=True)
class Server:
    """One database on one server, reached by the programs psql and pg_dump."""

    name: str
    environment: dict[str, str]
    psql: str
    pg_dump: str
    folder: str

    def arguments(self, script: str) -> list[str]:
        """Return the command that carries out a script and stops at the first statement that fails."""
        return [
            self.psql,
            "-X",
            "-w",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-F",
            FIELD,
            "-R",
            RECORD,
            "-f",
            script,
        ]

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        """Run SQL and return the rows as text. Raises DatabaseError."""
        done = self._run(statement, timeout)
        return [row.split(FIELD) for row in done.out.rstrip("\n").split(RECORD) if row]

    def change(self, statements: str, *, timeout: float = 600.0) -> None:
        """Run statements in one transaction. Raises DatabaseError; then nothing has changed."""
        self._run(f"BEGIN;\nSET LOCAL lock_timeout = '{LOCK_SECONDS}s';\n{statements}\nCOMMIT;\n", timeout)

    def _run(self, script: str, timeout: float) -> command.Finished:
        with self.script(script) as path:
            try:
                done = command.run(
                    self.arguments(path), timeout=timeout, extra_environment=self.environment, check=False
                )
            except command.CommandFailed as error:
                raise DatabaseError(str(error)) from error
        if done.code != 0:
            raise DatabaseError(f"PostgreSQL: {said(done.err)}")
        return done

    @contextlib.contextmanager
    def script(self, text: str) -> Iterator[str]:
        """Have a script in a file while the block lasts: it may be longer than an argument."""
        path = os.path.join(self.folder, "script.sql")
        write_whole(path, text)
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[str]:
        """Hold one moment of the database while the block lasts; yields the name by which others see it too."""
        holder = command.start(
            self.arguments("-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, extra_environment=self.environment
        )
        try:
            words: Any = holder.stdin
            words.write(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();\n\\echo\n")
            words.flush()
            ready, _, _ = select.select([holder.stdout.fileno()], [], [], ANSWER_SECONDS)  # type: ignore[union-attr]
            name = holder.stdout.readline().decode().strip() if ready else ""  # type: ignore[union-attr]
            if not name:
                raise DatabaseError("PostgreSQL gives no snapshot")
            yield name
            words.write(b"COMMIT;\n")
            words.close()
            if holder.wait(timeout=30) != 0:
                raise DatabaseError("the transaction that held the moment of the dump ended before it")
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DatabaseError(f"psql: {error}") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(holder.pid, signal.SIGKILL)
            holder.wait()
            for pipe in (holder.stdin, holder.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def schemas(self) -> list[str]:
        """Return the schemas that are neither the server's nor ours."""
        return [row[0] for row in self.query(_SCHEMAS)]

    def ours(self, prefix: str) -> list[str]:
        """Return the schemas of ours that begin with `prefix`."""
        rows = self.query(f"SELECT nspname FROM pg_namespace WHERE starts_with(nspname, {literal(prefix)})")  # noqa: S608
        return sorted(row[0] for row in rows)

    def tables(self, schemas: list[str]) -> list[Table]:
        """Return the tables of these schemas."""
        listed = f"ARRAY[{', '.join(map(literal, schemas))}]::text[]"
        # Types of these schemas are named without them: so they are the same in a copy under another name.
        path = ", ".join(map(quoted, schemas)) or "''"
        rows = self.query(f"SET search_path = {path};\n" + _TABLES.replace("{schemas}", listed))
        return [Table(*row) for row in rows]

    def drop(self, schemas: list[str]) -> None:
        """Drop schemas of ours with all that is in them."""
        if schemas:
            self.change(
                "SET LOCAL client_min_messages = warning;\n"
                + "".join(f"DROP SCHEMA {quoted(name)} CASCADE;\n" for name in schemas)
            )


def server(credentials: Credentials, folder: str, programs: dict[str, str]) -> Server:
    """Return the server that these credentials open. The password's file stays in `folder` until the step is over."""
    host, _, port = credentials.host.rpartition(":") if ":" in credentials.host else (credentials.host, "", "")
    file = os.path.join(folder, CREDENTIALS_FILE)
    if credentials.password:
        escaped = credentials.password.replace("\\", "\\\\").replace(":", "\\:")
        write_whole(file, f"*:*:*:*:{escaped}\n")
    environment = {
        "PGPASSFILE": file,
        "PGHOST": host,
        "PGPORT": port or "5432",
        "PGUSER": credentials.user,
        "PGDATABASE": credentials.name,
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "20",
        "PGAPPNAME": "upkeep",
    }
    return Server(credentials.name, environment, programs["psql"], programs["pg_dump"], folder)


def forget_password(folder: str) -> None:
    """Remove the file with the password: each step is handed it anew."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, CREDENTIALS_FILE))


def quoted(name: str) -> str:
    """Quote an identifier."""
    if "\x00" in name or "\n" in name:
        raise DatabaseError(f"refusing the name {name!r}")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text."""
    escaped = text.replace("'", "''")
    return f"E'{escaped}'".replace("\\", "\\\\") if "\\" in text else f"'{escaped}'"


def said(err: str) -> str:
    """Return the error among what psql said, without the lines that quote a value of a row."""
    lines = [line for line in err.splitlines() if "ERROR:" in line or "FATAL:" in line or "error:" in line]
    return (lines[0].split(": ", 1)[-1] if lines else command.last_line(err))[:300]
