# GPL-3.0-or-later
"""Put one database's tables in the place of another's by renaming them: one statement, whatever their size.

The tables of before stay in the production database under other names, and come back by being renamed again.
Foreign keys of theirs are taken off meanwhile and put on again, because the name of a foreign key may be there only
once in a database.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from .database import PUT_AWAY, Database, quoted

WAIT_SECONDS = 30
# Another name than a promotion gives to its own: what a restoration put away stays until the release.
KEPT = PUT_AWAY + "restore_"


def crossing(database: Database, inside: Callable[[str], bool]) -> list[tuple[str, str, str]]:
    """Return the foreign keys between tables that are switched and others: a switch would tear them apart.

    Each is (name, table, the table that it leads to).
    """
    rows = database.query(
        "SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"
        " WHERE CONSTRAINT_SCHEMA = DATABASE()"
    )
    return [(row[0], row[1], row[2]) for row in rows if inside(row[1]) != inside(row[2])]


def triggers(database: Database, tables: Sequence[str]) -> list[dict[str, str]]:
    """Return the triggers of these tables, each with what makes it again, in the order in which they run.

    A trigger would stay with the table that is put away, so it is taken off meanwhile and made again, as keys are.
    """
    rows = database.query(
        "SELECT HEX(TRIGGER_NAME), HEX(EVENT_OBJECT_TABLE), DEFINER, HEX(SQL_MODE), CHARACTER_SET_CLIENT,"
        " COLLATION_CONNECTION, ACTION_TIMING, EVENT_MANIPULATION, HEX(ACTION_STATEMENT) FROM information_schema.TRIGGERS"
        " WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
    )
    found = []
    for name, table, definer, mode, characters, collation, timing, event, body in rows:
        text = {key: bytes.fromhex(value).decode() for key, value in (("name", name), ("table", table), ("mode", mode))}
        if text["table"] in tables:
            head = f"CREATE TRIGGER {quoted(text['name'])} {timing} {event} ON {quoted(text['table'])} FOR EACH ROW "
            made = {"definer": definer, "characters": characters, "collation": collation}
            found.append({**text, **made, "statement": head + bytes.fromhex(body).decode()})
    return found


def try_trigger(incoming: Database) -> None:
    """Raise DatabaseError when the site's account cannot make triggers: then none is taken off that would be lost."""
    table = quoted(PUT_AWAY + "try")
    incoming.query(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (id INT)")
    try:
        _make(
            incoming,
            [
                {
                    "name": PUT_AWAY + "try",
                    "mode": "",
                    "characters": "utf8mb4",
                    "collation": "utf8mb4_general_ci",
                    "statement": f"CREATE TRIGGER {table} BEFORE INSERT ON {table} FOR EACH ROW SET @upkeep = 1",
                }
            ],
        )
    finally:
        incoming.query(f"DROP TABLE IF EXISTS {table}")


def plan(production: Database, incoming: Database, prefix: str, only: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a switch does, to be written down before it: names to put away, names to bring, foreign keys.

    Only tables with the site's prefix are switched: others in the same database are another site's, and what was
    written there since is nobody's to throw away. With `only`, no others than these.
    """
    tables = _concerned(production.tables(), prefix, only)
    return {
        "away": {table: f"{KEPT}{number}" for number, table in enumerate(tables)},
        "tables": _concerned(incoming.tables(), prefix, only),
        "keys": _foreign_keys(production, tables),
        "triggers": triggers(production, tables),
        "prefix": prefix,
        "only": list(only),
    }


def switch(production: Database, incoming: Database, planned: dict[str, Any]) -> None:
    """Rename production's tables away and the incoming ones into their place."""
    moves = [(quoted(table), quoted(away)) for table, away in planned["away"].items()]
    moves += [(f"{quoted(incoming.name)}.{quoted(table)}", quoted(table)) for table in planned["tables"]]
    off = [f"ALTER TABLE {quoted(table)} DROP FOREIGN KEY {quoted(_name(clause))}" for table, clause in planned["keys"]]
    held = planned.get("triggers", [])
    _rename(production, [*_dropped(held), *off], moves, [])
    there = set(planned["tables"])
    _make(production, [each for each in held if each["table"] in there])


def switch_back(production: Database, incoming: Database, planned: dict[str, Any]) -> bool:
    """Undo a switch. Safe to repeat, and after a switch that did not happen. Returns whether tables were renamed.

    What there is to do is read from the database, not from the plan: the plan may be one step ahead.
    """
    there = set(production.ours(KEPT))
    back = {table: away for table, away in planned["away"].items() if away in there}
    moves = []
    if back or not planned["away"]:
        # What was not renamed away is still the table of before; everything else came with the switch or after it.
        current = set(_concerned(production.tables(), planned["prefix"], planned.get("only", ())))
        came = sorted(current - (set(planned["away"]) - set(back)))
        incoming.drop(sorted(set(incoming.tables()) & set(came)))
        moves += [(quoted(table), f"{quoted(incoming.name)}.{quoted(table)}") for table in came]
        moves += [(quoted(away), quoted(table)) for table, away in sorted(back.items())]
    known = {(table, _name(clause)) for table, clause in _foreign_keys(production, sorted(planned["away"]))}
    lost = [
        (table, clause) for table, clause in planned["keys"] if table in back or (table, _name(clause)) not in known
    ]
    held = planned.get("triggers", [])
    on = [f"ALTER TABLE {quoted(table)} ADD {clause}" for table, clause in lost]
    _rename(production, _dropped(held), moves, on)
    _make(production, held)
    return bool(moves)


def forget(production: Database) -> list[str]:
    """Drop the tables of before: from now on there is no way back by renaming. Returns their names."""
    away = production.ours(KEPT)
    production.drop(away)
    return away


def _concerned(tables: list[str], prefix: str, only: Sequence[str]) -> list[str]:
    return [table for table in tables if table.startswith(prefix) and (not only or table in only)]


def _foreign_keys(database: Database, tables: list[str]) -> list[tuple[str, str]]:
    """Return each foreign key as (table, the clause that makes it), as the server writes it."""
    rows = database.query(
        "SELECT DISTINCT TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()"
    )
    found = []
    for table in sorted({row[0] for row in rows} & set(tables)):
        for row in database.query(f"SHOW CREATE TABLE {quoted(table)}"):
            clause = row[0].strip().rstrip(",")
            if clause.startswith("CONSTRAINT `") and " FOREIGN KEY " in clause:
                found.append((table, clause))
    return found


def _dropped(held: Sequence[dict[str, str]]) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {quoted(each['name'])}" for each in held]


def _make(database: Database, held: Sequence[dict[str, str]]) -> None:
    """Make triggers again, with the settings under which they were made: a body means what these say."""
    text = "\n".join(each["statement"] for each in held)
    mark = next(f"@@{number}@@" for number in range(1000) if f"@@{number}@@" not in text)
    script = [f"DELIMITER {mark}\n"]
    for each in held:
        settings = (
            f"SET NAMES {each['characters']} COLLATE {each['collation']}",
            "SET SESSION sql_mode = '{}'".format(each["mode"].replace("'", "''")),
            each["statement"],
        )
        script += [f"{statement}\n{mark}\n" for statement in settings]
    if held:
        database.carry_out("".join(script))


def _name(clause: str) -> str:
    return clause.split("`")[1]


def _rename(database: Database, before: list[str], moves: list[tuple[str, str]], after: list[str]) -> None:
    statements = ["SET SESSION foreign_key_checks = 0", f"SET SESSION lock_wait_timeout = {WAIT_SECONDS}", *before]
    if moves:
        statements.append("RENAME TABLE " + ", ".join(f"{one} TO {other}" for one, other in moves))
    database.query(";\n".join([*statements, *after]), timeout=600)
