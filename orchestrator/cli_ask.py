"""Answer the commands that only look: what they find out, and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.cli_run import Client, Settings, wants_pictures
from orchestrator.contract.load import expired_holds
from orchestrator.contract.model import Contract
from orchestrator.contract.scaffold import Answers, scaffold, write_scaffold
from orchestrator.errors import Refused, Usage
from orchestrator.ledger.ledger import Ledger, open_ledger, peek
from orchestrator.plan.explain import Explanation
from orchestrator.plan.plan import ID, choose_sites
from orchestrator.plan.window import window_at
from orchestrator.report.month import month_report, runs_report
from orchestrator.report.page import page
from orchestrator.results import Answer, hold_answer, status_answer
from orchestrator.run.ansible import InventoryError, host_variables
from orchestrator.run.eyes import lacking
from orchestrator.run.runs import alive
from orchestrator.run.store import KEYS, point_answers, stored_points
from orchestrator.screen import safe, show_rows, size
from orchestrator.screen import show_plan as show_planned

QUESTIONS = {
    "name": "The client's name, as in the agreement",
    "time_zone": "The clock of the windows",
    "site": "A short name of the first site",
    "url": "Its address",
    "host_address": "The host's name or IP address",
    "user": "The owner of the site's files, who logs in over SSH",
    "root": "The site's folder on the host",
    "endpoint": "The S3 store",
}
MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
LAST_RUNS = 10


def init(settings: Settings, client: str, given: Mapping[str, str], *, ask: bool, password: str) -> Path:
    """Make the folder of a new client."""
    known = {key: value for key, value in given.items() if value}
    if ask:
        for key, question in QUESTIONS.items():
            if key not in known:
                usual = client if key == "name" else str(getattr(Answers, key))
                known[key] = typer.prompt(question, default=usual)
    files = scaffold(client, today=settings.clock().date(), restic_password=password, answers=Answers(**known))
    return write_scaffold(settings.inventories, client, files)


def warnings(contract: Contract, today: date) -> list[str]:
    """Return what is no mistake in a contract and should be known: holds that are over, what is missing here for it."""
    missing, advice = lacking() if wants_pictures(contract) else ("", "")
    wanted = (
        [f"scope.update.pictures: {missing}, so upkeep here refuses its updates. Type: {advice}"] if missing else []
    )
    return [*expired_holds(contract, today), *wanted]


def show_init(console: Console, folder: Path, client: str) -> None:
    """Say what was made and what is left to do."""
    console.print(f"{folder} is made.", markup=False)
    console.print("Look through contract.yml and hosts.yml: what nobody told upkeep is marked with CHANGE.")
    vault = folder / "group_vars" / "all" / "vault.yml"
    console.print(f"Put the store's keys into the vault, then encrypt it: ansible-vault encrypt {vault}", markup=False)
    console.print(f"Next: upkeep check {client}", style="bold", markup=False)


def show_explanation(console: Console, explanation: Explanation) -> None:
    """Show what a contract leads to."""
    console.print(Text(f"{explanation.name} ({explanation.client})", style="bold"))
    for duty in explanation.duties:
        console.print()
        console.print(Text.assemble((duty.clause, "bold"), f": {duty.words}"))
        for place in duty.places:
            away = f", rehearsals on {place.staging_host}" if place.staging_host != place.host else ""
            console.print(Text(f"  at {place.site} ({place.url}), host {place.host}{away}"))
        rows = [
            {
                "step": step.step,
                "playbook": step.playbook,
                "role": f"{step.role}/{step.tasks}",
                "variables": [variable.name for variable in step.variables],
                "way_back": " → ".join(step.way_back),
            }
            for step in duty.steps
        ]
        show_rows(console, "", rows, ("step", "playbook", "role", "variables", "way_back"))
    console.print()
    unserved = [{"clause": each.clause, "words": each.words, "why": each.reason} for each in explanation.unserved]
    show_rows(console, "Clauses that nothing serves yet", unserved, ("clause", "words", "why"))


def show_plan(settings: Settings, client: Client, plan: Mapping[str, Any], next_type: str) -> None:
    """Show a plan, and whether it could be carried out now."""
    show_planned(settings.console, plan)
    update = client.contract.scope.update
    if update is not None and any(run["window"] for run in plan["runs"]):
        zone = client.contract.agreement.time_zone
        state = window_at(update.window, settings.clock(), ZoneInfo(zone))
        if state.is_open:
            settings.console.print(f"The window is open until {state.closes:%H:%M} ({zone}).", markup=False)
        else:
            settings.console.print(
                f"The window is closed. It opens {state.opens:%a %Y-%m-%d %H:%M} ({zone}).", markup=False
            )
            next_type += " --now   (outside of the window: only if the client agrees)"
    settings.console.print("Nothing was touched.")
    settings.console.print(f"Next: {next_type}", style="bold", markup=False)


def status(settings: Settings, client: str) -> Answer:
    """Ask the ledger how things stand. Without a ledger, nothing has been done yet."""
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
        scratch = settings.state / "work" / settings.new_id(settings.clock())
        try:
            keys = host_variables(settings.project(client.id), host, KEYS, scratch)
        except InventoryError as error:
            raise Refused(
                f"Ansible cannot read the inventory of {client.id}: {error}",
                f"ansible-inventory -i {settings.inventories / client.id} --list",
            ) from None
        if missing := [key for key in KEYS if key not in keys]:
            raise Refused(
                f"host {host} has no {' and no '.join(missing)}.",
                f"ansible-vault edit {settings.inventories / client.id}/group_vars/all/vault.yml",
            )
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


def report(settings: Settings, client: Client, *, month: str, runs: Sequence[str], last: int) -> tuple[Answer, str]:
    """Hold the promise and the ledger side by side; returns the values and the page."""
    contract, now = client.contract, settings.clock()
    ledger = peek(settings.ledger)
    if ledger is None:
        raise Usage("there is no ledger yet: nothing has been done.", f"upkeep run {client.id}")
    try:
        holds, incidents = ledger.holds(client.id), ledger.incidents(client.id)
        if not month:
            answer = runs_report(contract, _chosen(ledger, client.id, runs, last), holds=holds, made=now)
        else:
            begins, ends = _month(month, ZoneInfo(contract.agreement.time_zone))
            answer = month_report(
                contract,
                ledger.runs(client.id, since=begins, until=ends),
                points=ledger.points(client.id),
                holds=holds,
                incidents=incidents,
                verifications=ledger.verifications(client.id),
                drills=ledger.drills(client.id),
                begins=begins,
                ends=ends,
                made=now,
            )
    finally:
        ledger.close()
    return answer, page(answer, _pictures(answer["runs"]))


def _pictures(runs: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Read the pictures that a person should look at, those that are still here and still what the ledger says."""
    found: dict[str, bytes] = {}
    for run in runs:
        for seen in (run["pictures"] or {"pages": ()})["pages"]:
            for file in seen["files"] if seen["objections"] else ():
                if not file["file"].endswith(".png") or file["what"].startswith("again"):
                    continue
                with suppress(OSError):
                    data = (Path(run["pictures"]["folder"]) / Path(file["file"]).name).read_bytes()
                    if sha256(data).hexdigest() == file["sha256"]:
                        found[file["sha256"]] = data
    return found


def release_hold(settings: Settings, client: str, number: int) -> Answer:
    """Let a held release be tried again."""
    ledger = open_ledger(settings.ledger)
    try:
        hold = next((hold for hold in ledger.holds(client) if hold.id == number), None)
        if hold is None:
            raise Usage(f"{client} has no hold {number}.", f"upkeep status {client}")
        ledger.release_hold(number, settings.clock())
    finally:
        ledger.close()
    return {**hold_answer(hold), "released": True}


def show_end(console: Console, answers: Sequence[Mapping[str, Any]]) -> None:
    """Close a command of several runs; each was shown when it ended."""
    if not answers:
        console.print("No run was interrupted: there is nothing to take up.")
    elif len(answers) > 1:
        show_rows(console, "Together", answers, ("site", "duty", "outcome", "seconds", "message"))


def _chosen(ledger: Ledger, client: str, runs: Sequence[str], last: int) -> list[Any]:
    if last:
        return list(reversed(ledger.runs(client, limit=last)))
    chosen = []
    for run in runs:
        entry = ledger.run(run) if ID.fullmatch(run) else None
        if entry is None or entry.client != client:
            raise Usage(f"{client} has no run '{run[:60]}'.", f"upkeep status {client}")
        chosen.append(entry)
    return chosen


def _month(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    if not MONTH.fullmatch(month):
        raise Usage(f"'{month[:20]}' is not a month.", "write it like 2026-11")
    year, number = int(month[:4]), int(month[5:])
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(year, number, 1, tzinfo=zone), datetime(*after, 1, tzinfo=zone)
