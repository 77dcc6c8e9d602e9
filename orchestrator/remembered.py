"""Answer the commands that ask the ledger and the store what they remember: how sites stand, what is due, restore points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from orchestrator.contract.load import find_client
from orchestrator.errors import Usage
from orchestrator.ledger.address import peek
from orchestrator.ledger.ledger import Ledger, open_ledger
from orchestrator.plan.due import Due, Proved
from orchestrator.plan.due import due as find_due
from orchestrator.plan.plan import choose_sites
from orchestrator.plan.rotation import Reading
from orchestrator.planning import Client, read_client
from orchestrator.results import Answer, hold_answer, status_answer
from orchestrator.run.runs import alive
from orchestrator.run.store import KEYS, point_answers, stored_points
from orchestrator.screen import safe, show_rows, size
from orchestrator.settings import Settings
from orchestrator.vault import kept_for

LAST_RUNS = 10


def status(settings: Settings, client: str) -> Answer:
    """Ask the ledger how things stand, with one client or with all. Without a ledger, nothing has been done yet."""
    if client:
        find_client(settings.inventories, client)
    ledger = peek(settings.ledger)
    if ledger is None:
        return status_answer(client, (), (), frozenset(), (), ())
    try:
        unfinished = ledger.unfinished(client)
        clients = [client] if client else sorted({run.client for run in ledger.runs()})
        return status_answer(
            client,
            ledger.runs(client, limit=LAST_RUNS),
            unfinished,
            frozenset(run.id for run in unfinished if run.state == "running" and alive(run.process)),
            [hold for each in clients for hold in ledger.holds(each)],
            [incident for each in clients for incident in ledger.incidents(each, open_only=True)],
        )
    finally:
        ledger.close()


def show_status(console: Console, answer: Mapping[str, Any]) -> None:
    """Show how things stand: what needs a person first."""
    line = ("run", "client", "site", "duty", "began", "last_step", "has_site_until")
    if answer["interrupted"]:
        show_rows(console, "Interrupted", answer["interrupted"], line)
        for client in sorted({run["client"] for run in answer["interrupted"]}):
            console.print(f"Next: upkeep run --resume {client}", style="bold", markup=False)
    show_rows(console, "Incidents", answer["incidents"], ("id", "client", "site", "about", "opened", "reasons"))
    show_rows(console, "Running", answer["running"], line)
    show_rows(console, "Held", answer["holds"], ("id", "client", "site", "kind", "slug", "version", "since", "reason"))
    show_rows(console, "Last runs", answer["runs"], ("run", "client", "site", "duty", "outcome", "seconds", "message"))


def points(settings: Settings, client: Client, sites: Sequence[str]) -> list[Answer]:
    """Ask the client's store which restore points there are, and the ledger what was proved of them."""
    ledger = peek(settings.ledger)
    try:
        verifications = ledger.verifications(client.id) if ledger else ()
        drills = ledger.drills(client.id) if ledger else ()
    finally:
        if ledger is not None:
            ledger.close()
    found: list[Answer] = []
    store = client.contract.store
    for name in choose_sites(client.contract, sites):
        host = client.contract.site(name).production.host
        keys = kept_for(settings, client, host, KEYS)
        stored = stored_points(store, access_key=keys[KEYS[0]], secret_key=keys[KEYS[1]], client=client.id, site=name)
        found += point_answers(
            stored,
            now=settings.clock(),
            verifications=[each for each in verifications if each.site == name],
            drills=[each for each in drills if each.site == name],
        )
    return found


def show_points(console: Console, client: str, found: Sequence[Mapping[str, Any]]) -> None:
    """List restore points."""
    columns = ("point", "site", "taken", "age", "core", "files", "bytes", "tables", "changed", "verified", "drilled")
    rows = [{**each, **_in_words(each)} for each in found]
    show_rows(console, f"Restore points of {client}", rows, columns)
    if found:
        newest = found[0]
        words = f"Next: upkeep restore {client} --site {newest['site']} --point {newest['point']}"
        console.print(safe(words), style="bold", markup=False)


def _in_words(point: Mapping[str, Any]) -> Answer:
    seconds = point["age_seconds"]
    days, hours = divmod((seconds or 0) // 3600, 24)
    age = f"{days} d {hours} h" if days else f"{hours} h"
    verified = str(point["verified"])[:10] if point["verified"] else None
    drilled = str(point["drilled"])[:10] if point["drilled"] else None
    if drilled and point["drilled_on"]:
        drilled += f" on {point['drilled_on']}"
    return {
        "age": age if seconds is not None else None,
        "changed": _changed(point["changes"]),
        "verified": f"{verified} NOT COMPLETE" if point["complete"] is False else verified,
        "drilled": drilled if drilled is None or point["drill"] == "done" else f"{drilled} FAILED",
    }


def _changed(changes: Mapping[str, Any] | None) -> str | None:
    """Say in a few words what changed since the point before."""
    if changes is None:
        return None
    words = []
    if changes["count"]:
        words.append(f"{changes['count']:+d} files")
    if changes["bytes"]:
        words.append(f"{'+' if changes['bytes'] > 0 else '-'}{size(abs(changes['bytes']))}")
    tables = changes["tables_added"], changes["tables_gone"], changes["tables_with_other_rows"]
    if any(tables):
        words.append(f"tables +{len(tables[0])} -{len(tables[1])} ~{len(tables[2])}")
    return ", ".join(words) or "same sizes"


def release_hold(settings: Settings, client: str, number: int) -> Answer:
    """Let a held release be tried again. Raises Usage when there is no such client, or he has no such hold."""
    find_client(settings.inventories, client)
    ledger = open_ledger(settings.ledger)
    try:
        hold = next((hold for hold in ledger.holds(client) if hold.id == number), None)
        if hold is None:
            raise Usage(f"{client} has no hold {number}.", f"upkeep status {client}")
        ledger.release_hold(number, settings.clock())
    finally:
        ledger.close()
    return {**hold_answer(hold), "released": True}


def due(settings: Settings, clients: Sequence[str]) -> list[Answer]:
    """Say which backups, verifications and drills of these clients are due."""
    answers: list[Answer] = []
    book = peek(settings.ledger)
    try:
        for name in clients:
            known = read_client(settings, name)
            found = find_due(known.contract, _proved(book, known), settings.clock())
            answers += [_due_answer(known.id, each) for each in found]
    finally:
        if book is not None:
            book.close()
    return answers


def _proved(book: Ledger | None, client: Client) -> list[Proved]:
    """Gather what the ledger has seen of each site."""
    if book is None:
        return [Proved(site.name) for site in client.contract.sites]
    points, verifications, drills = book.points(client.id), book.verifications(client.id), book.drills(client.id)
    return [
        Proved(
            site.name,
            point=max((each.taken for each in points if each.site == site.name), default=None),
            readings=[Reading(each.began, each.parts, each.of) for each in verifications if each.site == site.name],
            good_drill=max(
                (each.began for each in drills if each.site == site.name and each.outcome == "done"), default=None
            ),
        )
        for site in client.contract.sites
    ]


def _due_answer(client: str, found: Due) -> Answer:
    return {
        "client": client,
        "site": found.site,
        "duty": found.duty,
        "since": found.since.isoformat() if found.since else None,
        "reason": found.reason,
        "command": found.command,
    }
