# GPL-3.0-or-later
"""Production's tables in the staging database: copied inside the server, and put back table by table between rounds.

What was copied is kept a second time beside it, in tables of ours without keys. A table that a round has changed is made
anew from its definition and filled from there; all others are left alone. Big tables are kept before the first round, as
they are then: where nothing is on offer there is none.
"""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Iterable, Mapping, Sequence

from . import command, dump, tree
from .database import DUMP_HISTORY, END_MARKER, NO_SUM, NOBODY_WAITS, OURS, STAGED, Database, DatabaseError, quoted
from .dump_stream import DEFINITIONS, HEAD, SEQUENCES, TABLE, TAIL, Reader
from .lease import write_whole

INSIDE, BY_DUMP = "inside the server", "dump and load"
# A table of another engine may stand for rows that are somewhere else, as one of MERGE or FEDERATED does.
ENGINES = ("aria", "archive", "csv", "innodb", "memory", "myisam", "rocksdb")
CONNECTIONS = 2
# Bytes of a table that is kept at once. The first look at a copy writes to small ones.
SMALL = 16 << 20
# Numbers and texts as they are, a 0 in a counter and the dates 0000-00-00 of WordPress too. InnoDB's way of filling an empty
# table in bulk, which unique_checks=0 would choose, takes twice as long.
AS_THEY_ARE = (
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', SESSION foreign_key_checks = 0, SESSION time_zone = '+00:00';"
    f" {NOBODY_WAITS}"
)
_ERROR = re.compile(r"\bERROR (\d+)\b")


@dataclass(frozen=True)
class Definitions:
    """What a dump without rows says: its own beginning and end, each table, and all that is no table."""

    head: str
    tables: dict[str, str]
    others: str
    tail: str
    with_triggers: list[str]
    sequences: bool

    def script(self, tables: Iterable[str]) -> str:
        """Return what makes these tables, without triggers."""
        return self.head + "".join(self.tables[table] for table in tables) + self.tail

    def rest(self) -> str:
        """Return what makes views and triggers."""
        return self.head + self.others + self.tail


@dataclass(frozen=True)
class Kept:
    """What the staging database was when it was copied: definitions, and of the tables that are kept, where, and their sums."""

    definitions: Definitions
    copies: dict[str, str]
    sums: dict[str, str]


def create(production: Database, staging: Database, folder: str) -> dict[str, Any]:
    """Copy production's database; return {tables, bytes, method} for the evidence, and why where it was not INSIDE.

    Raises DatabaseError.
    """
    for name in ("base.sql", "kept.json"):
        tree.remove(os.path.join(folder, name))
    staging.empty()
    sizes, reason = production.sizes(), {}
    try:
        _inside(production, staging, sizes, folder)
    except DatabaseError as error:
        found = _ERROR.search(str(error))
        # What the server says may hold words of a row.
        reason = {"because": f"the server's error {found.group(1)}" if found else str(error)[:200]}
        file = os.path.join(folder, "base.sql")
        _dump(production, file)
        staging.empty()
        dump.load(staging, file)
    tables = staging.tables()
    if tables != production.tables():
        raise DatabaseError("the staging database lacks tables of production")
    method = BY_DUMP if reason else INSIDE
    return {"tables": len(tables), "bytes": sum(sizes.values()), "method": method, **reason}


def keep(staging: Database, folder: str) -> None:
    """Let a staging database that was not copied of production here begin with what it is. Raises DatabaseError."""
    for name in ("base.sql", "kept.json"):
        tree.remove(os.path.join(folder, name))
    try:
        _only_common_tables(staging, definitions(staging))
        sizes = staging.sizes()
        small, columns = [table for table in sorted(sizes) if sizes[table] <= SMALL], _columns(staging)
        copies = {table: f"{STAGED}{number}" for number, table in enumerate(small)}
        _share_out(staging, {table: [_beside(table, copies[table], columns[table])] for table in small}, sizes)
        _store(folder, Kept(definitions(staging), copies, staging.checksums(small)))
    except DatabaseError:
        staging.drop(staging.ours(STAGED))
        _dump(staging, os.path.join(folder, "base.sql"))


def put_back(staging: Database, folder: str, sums: Mapping[str, str]) -> list[str]:
    """Make the staging database what it was when it was copied; `sums` are what Database.looked_at() says of it now.

    Returns the tables that were made anew. Raises DatabaseError.
    """
    try:
        kept = _load(os.path.join(folder, "kept.json"))
    except FileNotFoundError:
        staging.empty()
        dump.load(staging, os.path.join(folder, "base.sql"))
        return staging.tables()
    now = definitions(staging)
    kept = _keep_all(staging, folder, kept, now, sums)
    wanted = kept.definitions
    there = {table for table, text in now.tables.items() if text == wanted.tables.get(table)}
    same = {table for table in there if sums.get(table) == kept.sums[table] and not sums[table].startswith(NO_SUM)}
    changed = set(wanted.tables) - same
    others = now.others != wanted.others or bool(changed & set(wanted.with_triggers))
    if others:
        changed = set(wanted.tables)
        staging.drop_views()
    again = sorted(changed)
    staging.drop(sorted(changed | (set(now.tables) - set(wanted.tables))))
    if again:
        staging.carry_out(wanted.script(again))
        columns = _columns(staging)
        _carry_out(staging, [_filled(table, kept.copies[table], columns[table]) for table in again])
    if others:
        staging.carry_out(wanted.rest())
    if again or others:
        after = staging.checksums(again)
        wrong = [table for table in again if _differs(after[table], kept.sums[table])]
        if wrong or definitions(staging) != wanted:
            raise DatabaseError(
                f"the staging database could not be made what it was: {', '.join(wrong) or 'definitions'}"
            )
    return again


def definitions(database: Database) -> Definitions:
    """Return how the database's tables, views and triggers are made. Raises DatabaseError."""
    found: dict[tuple[str, str], bytes] = {}

    def take(kind: str, table: str, content: bytes) -> None:
        found[kind, table] = found.get((kind, table), b"") + content

    reader = Reader(take)
    arguments = [*database.dump_arguments()[:-1], "--no-data", database.name]
    try:
        done = command.stream(arguments, timeout=600, take=reader.feed, grace=5.0)
        text = {part: content.decode() for part, content in found.items()} if reader.finish() else {}
    except (command.CommandFailed, UnicodeDecodeError) as error:
        raise DatabaseError(f"the definitions of {database.name} cannot be read: {error}") from error
    if done.code != 0 or not text or reader.strays:
        raise DatabaseError(f"the definitions of {database.name} cannot be read: {command.last_line(done.err)}")
    head = text.get((HEAD, ""), "")
    if head.encode().startswith(dump.SANDBOX):
        head = head.partition("\n")[2]
    return Definitions(
        head,
        {name: made for (kind, name), made in text.items() if kind == TABLE and not name.startswith(OURS)},
        text.get((DEFINITIONS, ""), ""),
        text.get((TAIL, ""), ""),
        sorted(reader.triggers),
        (SEQUENCES, "") in text,
    )


def _inside(production: Database, staging: Database, sizes: Mapping[str, int], folder: str) -> None:
    """Copy and keep by statements alone, so that no row leaves the server. Raises DatabaseError."""
    made = definitions(production)
    _only_common_tables(production, made)
    tables = sorted(made.tables)
    staging.carry_out(made.script(tables))
    columns, small = _columns(staging), [table for table in tables if sizes.get(table, 0) <= SMALL]
    copies = {table: f"{STAGED}{number}" for number, table in enumerate(small)}
    work = {table: [_filled(table, table, columns[table], production.name)] for table in tables}
    for table in small:
        work[table].append(_beside(table, copies[table], columns[table]))
    _share_out(staging, work, sizes)
    if made.others:
        staging.carry_out(made.rest())
    # Of the others the sums are those of the moment when they are kept.
    _store(folder, Kept(definitions(staging), copies, staging.checksums(small)))


def _only_common_tables(database: Database, made: Definitions) -> None:
    """Raise DatabaseError when statements alone cannot copy what is there."""
    rows = database.query(
        "SELECT TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, '') FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE <> 'VIEW'"
    )
    strange = [row for row in rows if row[1] != "BASE TABLE" or row[2].lower() not in ENGINES]
    if strange or made.sequences:
        raise DatabaseError("it has more than common tables")


def _keep_all(staging: Database, folder: str, kept: Kept, now: Definitions, sums: Mapping[str, str]) -> Kept:
    """Keep what is not kept yet, as it is now, and return what there is to go back to."""
    rest = sorted(set(kept.definitions.tables) - set(kept.copies))
    if not rest:
        return kept
    there = [table for table in rest if table in now.tables]
    columns, taken = _columns(staging), len(kept.copies)
    copies = {table: f"{STAGED}{taken + number}" for number, table in enumerate(there)}
    _share_out(staging, {table: [_beside(table, copies[table], columns[table])] for table in there}, {})
    tables = {name: text for name, text in kept.definitions.tables.items() if name in kept.copies}
    tables.update({table: now.tables[table] for table in there})
    whole = Kept(
        replace(kept.definitions, tables=tables),
        {**kept.copies, **copies},
        {table: sums[table] if table in copies else kept.sums[table] for table in tables},
    )
    _store(folder, whole)
    return whole


def _share_out(database: Database, work: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> None:
    """Carry out each table's statements, the biggest table first, each by the connection that has least to do."""
    shares: list[list[str]] = [[] for _ in range(CONNECTIONS)]
    loads = [0] * CONNECTIONS
    for table in sorted(work, key=lambda name: -sizes.get(name, 0)):
        least = loads.index(min(loads))
        loads[least] += sizes.get(table, 0) + 1
        shares[least] += work[table]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda share: _carry_out(database, share), shares))


def _store(folder: str, kept: Kept) -> None:
    write_whole(os.path.join(folder, "kept.json"), json.dumps(asdict(kept)))


def _load(path: str) -> Kept:
    with open(path, encoding="utf-8") as file:
        value = json.load(file)
    return Kept(Definitions(**value["definitions"]), value["copies"], value["sums"])


def _columns(database: Database) -> dict[str, str]:
    """Return the columns of each table that can be written to, as a list for SQL: what is generated makes itself."""
    rows = database.query(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
        " AND COALESCE(GENERATION_EXPRESSION, '') = '' ORDER BY TABLE_NAME, ORDINAL_POSITION"
    )
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(quoted(column))
    return {table: ", ".join(columns) for table, columns in found.items()}


def _filled(table: str, source: str, columns: str, other: str = "") -> str:
    place = f"{quoted(other)}.{quoted(source)}" if other else quoted(source)
    return f"INSERT INTO {quoted(table)} ({columns}) SELECT {columns} FROM {place}"  # noqa: S608 - quoted names


def _beside(table: str, copy: str, columns: str) -> str:
    return f"CREATE TABLE {quoted(copy)} AS SELECT {columns} FROM {quoted(table)}"  # noqa: S608 - quoted names


def _carry_out(database: Database, statements: Sequence[str]) -> None:
    """Carry out statements by one connection, each for itself: no lock is held for longer than one table takes."""
    if statements:
        database.query(";\n".join([AS_THEY_ARE, *statements]), timeout=3600)


def _dump(production: Database, file: str) -> None:
    past = [DUMP_HISTORY] if production.with_history() else []
    arguments = [*production.dump_arguments()[:-1], *past, "--result-file=" + file, production.name]
    dumped = command.run(arguments, timeout=3600, check=False)
    if dumped.code != 0 or not ends_with_marker(file):
        raise DatabaseError("the dump for staging is not whole: " + command.last_line(dumped.err))


def _differs(now: str, then: str) -> bool:
    return now != then and not then.startswith(NO_SUM)


def ends_with_marker(path: str) -> bool:
    """Whether a dump ends with the line that mariadb-dump writes last: an exit code of 0 alone proves nothing."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 200))
            return END_MARKER.encode() in file.read()
    except OSError:
        return False
