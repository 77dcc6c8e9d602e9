"""Answer `upkeep report`: the promise and the ledger side by side, as values and as a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.errors import Usage
from orchestrator.ledger.address import peek
from orchestrator.ledger.ledger import Ledger
from orchestrator.plan.plan import ID
from orchestrator.planning import Client
from orchestrator.report.month import month_report, runs_report
from orchestrator.report.page import page
from orchestrator.results import Answer
from orchestrator.settings import Settings

MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


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
