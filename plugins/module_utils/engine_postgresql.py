# GPL-3.0-or-later
"""PostgreSQL: a dump is loaded into schemas beside the live ones, which then change names with them in one transaction.

A statement that fails takes the whole transaction with it, so the live schemas are never half of anything. No superuser is
needed: the site's account owns its database.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, Sequence

from . import command, dump_postgresql
from .database import DatabaseError
from .dump import Dump
from .dump_files import DumpFile
from .dump_postgresql import AFTER, BEFORE, FILES, SCHEMAS, SEQUENCES, Rows, Stream, script_of_rows
from .engine import POSTGRESQL, LoadError
from .points import PointError, dump_files
from .postgresql import AWAY, INCOMING, STEADY, Server, Table, literal, quoted
from .sqlite_file import Text

_KEYS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I;', conrelid::regclass, conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s;', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND (conrelid = ANY ({tables}) OR confrelid = ANY ({tables}))
ORDER BY conname
"""
_TRIGGERS = """
SELECT format('ALTER TABLE %s DISABLE TRIGGER %I;', tgrelid::regclass, tgname),
    format('ALTER TABLE %s ENABLE %sTRIGGER %I;', tgrelid::regclass, CASE tgenabled WHEN 'A' THEN 'ALWAYS ' ELSE '' END, tgname)
FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgrelid = ANY ({tables})
"""
LONGEST_LOAD = 3600.0


class PostgreSql:
    """All schemas of one database: it is the site's own."""

    kind = POSTGRESQL

    def __init__(self, server: Server, folder: str) -> None:
        self.server = server
        self.name = server.name
        self._folder = folder
        self._beside: dict[str, str] = {}

    def server_version(self) -> str:
        """Return the server's version."""
        return "PostgreSQL " + self.server.query("SHOW server_version")[0][0].split(" ")[0]

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        """Run SQL in the live database."""
        return self.server.query(statement, timeout=timeout)

    def tables(self) -> list[str]:
        """Return the tables; those outside of the schema public with their schema's name."""
        return sorted(table.name for table in self.server.tables(self.server.schemas()))

    def size(self) -> int:
        """Return the bytes of the database."""
        return int(self.server.query("SELECT pg_database_size(current_database())")[0][0])

    def other_connections(self) -> int:
        """Return 0: an application may keep connections open for ever, and a transaction waits for nobody."""
        return 0

    def files(self) -> list[str]:
        """Return nothing: the server has the files."""
        return []

    def take(self, folder: str, *, timeout: float) -> Dump:
        """Dump in one exported snapshot."""
        return dump_postgresql.take(self.server, folder, timeout=timeout)

    def usable(self) -> None:
        """Raise LoadError with what to type when the site's account may not make and rename schemas."""
        user = self.server.environment["PGUSER"]
        able, owner = self.server.query(
            "SELECT has_database_privilege(current_database(), 'CREATE'),"
            " coalesce((SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            " AND NOT pg_has_role(nspowner, 'USAGE') ORDER BY 1 LIMIT 1), '')"
        )[0]
        if able != "t" or owner:
            what = f"rename the schema {owner}" if owner else "make a schema"
            raise LoadError(
                f"the account {user} may not {what} in {self.name}. Ask for: ALTER DATABASE {self.name} OWNER TO {user}"
            )

    def load(self, wanted: dict[str, Any], restored: str, tables: Sequence[str], *, timeout: float) -> dict[str, int]:
        """Load into schemas beside, then write all rows down again: the files must be the same, byte for byte."""
        folder = restored + wanted["folder"]
        if any(letter in folder for letter in "'\\\n"):
            raise LoadError(f"the folder {folder!r} cannot be named in a script")
        _as_stored(wanted, folder, tables)
        self.leave()
        try:
            if tables:
                loaded, places = self._load_rows(wanted, folder, list(tables), timeout)
            else:
                loaded, places = self._load_schemas(wanted, folder, timeout)
            rows = self._written_again(loaded, places, timeout)
        except BaseException:
            self.leave()
            raise
        for table in sorted({*(tables or wanted["tables"]), *rows.files}):
            told, found = wanted["tables"].get(table), rows.files.get(table)
            if told is None or found is None or (found.sha256, rows.rows[table]) != (told["sha256"], told["rows"]):
                raise LoadError(f"the loaded table {table} is not the one of the restore point")
        return rows.rows

    def _load_schemas(self, wanted: dict[str, Any], folder: str, timeout: float) -> tuple[list[Table], list[str]]:
        """Load everything into schemas of the very names that the dump has, and give them others in the same transaction.

        The live schemas have other names meanwhile, which nobody but this transaction sees.
        """
        schemas = _schemas(os.path.join(folder, FILES[BEFORE]))
        live = self.server.schemas()
        self._refuse_extensions(live)
        both = [schema for schema in schemas if schema in live]
        files = [
            FILES[BEFORE],
            *(wanted["tables"][name]["file"] for name in sorted(wanted["tables"])),
            FILES[SEQUENCES],
            FILES[AFTER],
        ]
        script = [
            *(
                f"ALTER SCHEMA {quoted(schema)} RENAME TO {quoted(f'upkeep_live_{live.index(schema)}')};\n"
                for schema in both
            ),
            *(f"\\i '{folder}/{file}'\n" for file in files),
            *(self._shared(both)),
            *(
                f"ALTER SCHEMA {quoted(schema)} RENAME TO {quoted(INCOMING + str(number))};\n"
                for number, schema in enumerate(schemas)
            ),
            *(
                f"ALTER SCHEMA {quoted(f'upkeep_live_{live.index(schema)}')} RENAME TO {quoted(schema)};\n"
                for schema in both
            ),
        ]
        self.server.change("".join(script), timeout=timeout)
        self._beside = places = {INCOMING + str(number): schema for number, schema in enumerate(schemas)}
        there = self.server.tables(list(places))
        loaded = [Table(places[each.schema], each.table, each.columns, each.made, each.key) for each in there]
        return loaded, [each.place for each in there]

    def _shared(self, schemas: list[str]) -> list[str]:
        """Return the statements that give new schemas the owner that they have now, and let everybody use what everybody may."""
        owners = self.server.query("SELECT nspname, rolname FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner")
        rows = self.server.query(
            "SELECT DISTINCT nspname FROM pg_namespace, aclexplode(nspacl) WHERE grantee = 0 AND privilege_type = 'USAGE'"
        )
        given = [
            f"ALTER SCHEMA {quoted(schema)} OWNER TO {quoted(owner)};\n"
            for schema, owner in owners
            if schema in schemas
        ]
        return given + [f"GRANT USAGE ON SCHEMA {quoted(row[0])} TO PUBLIC;\n" for row in rows if row[0] in schemas]

    def _refuse_extensions(self, schemas: list[str]) -> None:
        rows = self.server.query(
            "SELECT extname, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
        )
        for extension, schema in rows:
            if schema in schemas:
                raise LoadError(
                    f"the extension {extension} lies in the schema {schema} and would be put away with it. Give it a schema"
                    f" of its own: CREATE SCHEMA extensions; ALTER EXTENSION {extension} SET SCHEMA extensions"
                )

    def _load_rows(
        self, wanted: dict[str, Any], folder: str, names: list[str], timeout: float
    ) -> tuple[list[Table], list[str]]:
        """Load the rows of some tables into copies of them that have nothing but their columns."""
        live = {table.name: table for table in self.server.tables(self.server.schemas())}
        inside = quoted(INCOMING + "0")
        script = [f"CREATE SCHEMA {inside};\n"]
        places = []
        for number, name in enumerate(names):
            path = os.path.join(folder, wanted["tables"][name]["file"])
            table = live.get(name)
            with open(path, encoding="utf-8", newline="\n") as file:
                head = file.readline() + file.readline()
                if table is None or head != table.head:
                    raise LoadError(
                        f"table {name} is not made as it was when the restore point was taken, so its rows alone cannot come"
                        " back. Ask for the whole database: --only database"
                    )
                place = f"{inside}.{quoted(f'rows_{number}')}"
                renamed = os.path.join(self._folder, f"rows_{number}.sql")
                with open(renamed, "w", encoding="utf-8", newline="\n") as out:
                    os.chmod(renamed, 0o600)
                    out.write(f"COPY {place} ({table.columns}) FROM stdin;\n")
                    shutil.copyfileobj(file, out, 1 << 20)
            script.append(
                f"CREATE TABLE {place} AS SELECT {table.columns} FROM ONLY {table.place} WITH NO DATA;\n\\i '{renamed}'\n"  # noqa: S608
            )
            places.append(place)
        try:
            self.server.change("".join(script), timeout=timeout)
        finally:
            for number in range(len(names)):
                path = os.path.join(self._folder, f"rows_{number}.sql")
                if os.path.exists(path):
                    os.unlink(path)
        return [live[name] for name in names], places

    def _written_again(self, tables: list[Table], places: list[str], timeout: float) -> Rows:
        rows = Rows(tables)
        stream = Stream(rows.take)
        end = "\\echo '\\\\!upkeep end'\n"
        with self.server.script(STEADY + script_of_rows(tables, places) + end) as path:
            done = command.stream(
                self.server.arguments(path),
                timeout=timeout,
                take=stream.feed,
                extra_environment=self.server.environment,
            )
        rows.close()
        if done.code != 0 or not stream.finish():
            raise DatabaseError(f"the loaded rows cannot be read: {command.last_line(done.err)}")
        return rows

    def counted(self) -> dict[str, int]:
        """Count the rows of what is loaded, under the names that the restore point has for the tables."""
        found = {}
        names = self._beside
        for table in self.server.tables(list(names)):
            place = f"{quoted(table.schema)}.{quoted(table.table)}"
            name = Table(names[table.schema], table.table, "", "", "").name
            found[name] = int(self.server.query(f"SELECT count(*) FROM ONLY {place}")[0][0])  # noqa: S608 - quoted
        return found

    def plan(self, tables: Sequence[str]) -> dict[str, Any]:
        """Return which schemas change names, or which tables get other rows."""
        if tables:
            return {"tables": list(tables)}
        away = {schema: f"{AWAY}{number}" for number, schema in enumerate(self.server.schemas())}
        return {"tables": [], "away": away, "bring": self._beside}

    def switch(self, planned: dict[str, Any]) -> None:
        """Change names, or rows, in one transaction."""
        if planned["tables"]:
            self._exchange_rows(planned["tables"], INCOMING + "0", aside=True)
            return
        moves = [(schema, away) for schema, away in planned["away"].items()]
        moves += [(beside, schema) for beside, schema in planned["bring"].items()]
        self._rename(moves)

    def switch_back(self, planned: dict[str, Any]) -> None:
        """Change them back. What there is to do is read from the database: the plan may be one step ahead of it."""
        there = self.server.ours(AWAY)
        if not there:
            return
        if planned["tables"]:
            self._exchange_rows(planned["tables"], AWAY + "0", aside=False)
            return
        moves = [(schema, beside) for beside, schema in planned["bring"].items()]
        moves += [(away, schema) for schema, away in planned["away"].items()]
        self._rename(moves)

    def _rename(self, moves: list[tuple[str, str]]) -> None:
        self.server.change("".join(f"ALTER SCHEMA {quoted(one)} RENAME TO {quoted(other)};\n" for one, other in moves))

    def _exchange_rows(self, names: list[str], source: str, *, aside: bool) -> None:
        """Give tables the rows that lie in a schema of ours; with `aside` their own are put away first.

        Nothing but rows comes: triggers are off meanwhile, and foreign keys are made anew afterwards, which looks at
        every row. Sequences stay where they are, so that no number is given out twice.
        """
        live = {table.name: table for table in self.server.tables(self.server.schemas())}
        lost = [name for name in names if name not in live]
        if lost:
            raise DatabaseError(f"there is no table {lost[0]} any more")
        listed = "ARRAY[{}]::oid[]".format(", ".join(f"{literal(live[name].place)}::regclass" for name in names))
        keys = self.server.query("SET search_path = '';\n" + _KEYS.replace("{tables}", listed))
        triggers = self.server.query("SET search_path = '';\n" + _TRIGGERS.replace("{tables}", listed))
        script = ["SET LOCAL search_path = '';\n"]
        script += [f"LOCK TABLE {live[name].place} IN ACCESS EXCLUSIVE MODE;\n" for name in names]
        if aside:
            script.append(f"CREATE SCHEMA {quoted(AWAY + '0')};\n")
        script += [f"{off}\n" for off, _ in [*keys, *triggers]]
        for number, name in enumerate(names):
            table, rows = live[name], quoted(f"rows_{number}")
            if aside:
                script.append(
                    f"CREATE TABLE {quoted(AWAY + '0')}.{rows} AS SELECT {table.columns} FROM ONLY {table.place};\n"  # noqa: S608
                )
            script.append(f"DELETE FROM ONLY {table.place};\n")  # noqa: S608 - quoted
            script.append(
                f"INSERT INTO {table.place} ({table.columns}) OVERRIDING SYSTEM VALUE SELECT {table.columns} FROM {quoted(source)}.{rows};\n"  # noqa: S608
            )
        script += [f"{on}\n" for _, on in [*keys, *triggers]]
        if not aside:
            script.append(f"DROP SCHEMA {quoted(source)} CASCADE;\n")
        self.server.change("SET LOCAL client_min_messages = warning;\n" + "".join(script), timeout=LONGEST_LOAD)

    def left(self) -> list[str]:
        """Return nothing: the database is the site's own."""
        return []

    def leave(self) -> None:
        """Drop what was loaded."""
        self.server.drop(self.server.ours(INCOMING))

    def forget(self) -> None:
        """Drop what was put away."""
        self.server.drop(self.server.ours(AWAY))

    def tidy(self, *, keep_staging: bool = False) -> list[str]:
        """Drop both."""
        found = [*self.server.ours(INCOMING), *self.server.ours(AWAY)]
        self.server.drop(found)
        return ["schema " + name for name in found]


def _schemas(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        line = file.readline()
    if not line.startswith(SCHEMAS):
        raise LoadError(f"{os.path.basename(path)} does not say which schemas it makes")
    return [str(name) for name in json.loads(line[len(SCHEMAS) :])]


def _as_stored(wanted: dict[str, Any], folder: str, tables: Sequence[str]) -> None:
    """Raise LoadError when a file is not the one that the manifest names."""
    try:
        stored = {each.file: each for each in dump_files(wanted)}
    except PointError as error:
        raise LoadError(str(error)) from error
    entries = [wanted["tables"][name] for name in tables or wanted["tables"]]
    entries += [] if tables else list(wanted["others"].values())
    for entry in entries:
        text = Text()
        with open(os.path.join(folder, entry["file"]), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                text.write_bytes(block)
        if DumpFile(entry["file"], text.bytes, text.sha256) != stored[entry["file"]]:
            raise LoadError(f"the dump's file {entry['file']} that came back is not the one that was stored")
