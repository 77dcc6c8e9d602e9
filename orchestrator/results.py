"""What the commands answer, as plain values: the same ones are shown on a screen and printed as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.ledger.values import HoldEntry, IncidentEntry, RunEntry
from orchestrator.plan.step import Outcome
from orchestrator.report.look import look_first
from orchestrator.report.story import run_story

if TYPE_CHECKING:
    from orchestrator.run.runs import Result

Answer = dict[str, Any]

EXIT_CODES = {
    Outcome.DONE: 0,
    Outcome.NOTHING_TO_DO: 0,
    Outcome.PUT_BACK: 3,
    Outcome.NOT_PUT_BACK: 4,
    Outcome.BUSY: 11,
    Outcome.REFUSED: 12,
    Outcome.UNHEALTHY: 12,
}
DEGRADED = 6
# A browser saw something that a person should see: production was not touched, and somebody has to come.
LOOK_FIRST = 12
INTERRUPTED = 130
# From the best to the worst: with several sites the worst decides.
SEVERITY = (0, DEGRADED, 11, 12, INTERRUPTED, 3, 4)


def exit_code(result: Result) -> int:
    """Say with which code a run ends the command."""
    if result.finish.outcome is None:
        return EXIT_CODES[Outcome.NOT_PUT_BACK]
    if result.finish.outcome is Outcome.DONE and run_story(result.entry)["degraded"]:
        return DEGRADED
    if look_first(result.entry):
        return LOOK_FIRST
    code = EXIT_CODES[result.finish.outcome]
    # After Ctrl-C with nothing touched: the code that a shell expects.
    return INTERRUPTED if result.cancelled and result.finish.outcome is Outcome.REFUSED else code


def worst(codes: Iterable[int]) -> int:
    """Return the code of the worst of several runs."""
    return max(codes, key=lambda code: SEVERITY.index(code) if code in SEVERITY else len(SEVERITY), default=0)


def run_answer(result: Result) -> Answer:
    """Tell how a run ended."""
    return {
        **run_story(result.entry),
        "exit_code": exit_code(result),
        "unfinished": result.finish.unfinished,
        "cancelled": result.cancelled,
        "log": str(result.log) if result.log else None,
        "next": next_step(result),
    }


def next_step(result: Result) -> str:
    """Say what to type next."""
    client, site, entry = result.entry.client, result.entry.site, result.entry
    if result.finish.unfinished:
        return f"upkeep run --resume {client}"
    if look_first(entry):
        return (
            f"upkeep report {client} --run {entry.id}, and if the pictures are right: upkeep status {client}, then "
            f"upkeep release-hold {client} ID"
        )
    if entry.duty == "show" and result.finish.outcome is Outcome.DONE:
        return f"look at it (docs/restore.md), then: upkeep restore {client} --site {site} --to staging --remove"
    if entry.duty == "rehearse" and result.finish.outcome is Outcome.DONE:
        return f"upkeep run {client} --site {site}"
    if entry.duty == "rebuild":
        return _after_rebuild(result)
    match result.finish.outcome:
        case Outcome.NOT_PUT_BACK:
            again = f"upkeep run --resume {client}"
            return f"{again}, and if that does not help: upkeep restore {client} --site {site} --point {entry.point}"
        case Outcome.REFUSED | Outcome.UNHEALTHY if entry.duty == "drill":
            return f"upkeep verify {client} --site {site} --full"
        case Outcome.PUT_BACK | Outcome.UNHEALTHY:
            return f"upkeep report {client} --run {entry.id}"
        case Outcome.BUSY:
            return f"upkeep status {client}"
        case Outcome.REFUSED:
            if entry.duty == "rehearse":
                return f"upkeep rehearse {client} --site {site}"
            return (
                f"upkeep run {client} --site {site} --duty {entry.duty}"
                if entry.duty in ("backup", "update")
                else (f"upkeep points {client} --site {site}")
            )
        case _:
            return f"upkeep status {client}"


def _after_rebuild(result: Result) -> str:
    entry, contract = result.entry, f"inventories/{result.entry.client}/contract.yml"
    match result.finish.outcome:
        case Outcome.DONE:
            return (
                f"lead the site's name to {entry.host}, write `host: {entry.host}` into {contract}, then: "
                f"upkeep run {entry.client} --site {entry.site} --duty backup"
            )
        case Outcome.UNHEALTHY:
            return f"upkeep report {entry.client} --run {entry.id}"
        case Outcome.BUSY:
            return f"upkeep status {entry.client}"
        case _:
            return f"upkeep restore {entry.client} --site {entry.site} --point {entry.point} --to {entry.host}"


def refused_answer(client: str, site: str, duty: str, code: int, message: str, next_type: str) -> Answer:
    """Tell that a run did not even begin."""
    outcome = Outcome.BUSY if code == EXIT_CODES[Outcome.BUSY] else Outcome.REFUSED
    return {
        "run": None,
        "client": client,
        "site": site,
        "duty": duty,
        "state": "not-begun",
        "outcome": outcome.value,
        "headline": outcome.value.capitalize(),
        "message": message,
        "exit_code": code,
        "unfinished": False,
        "next": next_type,
    }


def status_answer(
    client: str,
    runs: Sequence[RunEntry],
    unfinished: Sequence[RunEntry],
    alive: frozenset[str],
    holds: Sequence[HoldEntry],
    incidents: Sequence[IncidentEntry],
) -> Answer:
    """Tell how a client's sites stand."""
    return {
        "client": client or None,
        "running": [_line(run) for run in unfinished if run.id in alive],
        "interrupted": [_line(run) for run in unfinished if run.id not in alive],
        "runs": [_line(run) for run in runs],
        "holds": [hold_answer(hold) for hold in holds],
        "incidents": [
            {
                "id": incident.id,
                "client": incident.client,
                "site": incident.site,
                "run": incident.run or None,
                "about": incident.about,
                "opened": incident.opened.isoformat(),
                "reasons": list(incident.reasons),
            }
            for incident in incidents
        ],
    }


def hold_answer(hold: HoldEntry) -> Answer:
    """Tell one hold."""
    return {
        "id": hold.id,
        "client": hold.client,
        "site": hold.site,
        "kind": hold.kind,
        "slug": hold.slug,
        "version": hold.version,
        "sha256": hold.sha256,
        "reason": hold.reason,
        "run": hold.run,
        "since": hold.since.isoformat(),
    }


def _line(run: RunEntry) -> Answer:
    story = run_story(run)
    keys = ("run", "client", "site", "duty", "state", "outcome", "headline", "message", "began", "ended", "seconds")
    last = run.steps[-1].name if run.steps else None
    return {**{key: story[key] for key in keys}, "last_step": last, "has_site_until": _until(run), "point": run.point}


def _until(run: RunEntry) -> str | None:
    """Until when the host has given the site to a run that has not ended, as its first step saw; a step prolongs it."""
    leases = [step.evidence.get("lease") for step in run.steps if step.name == "preflight"]
    found = leases[-1].get("expires") if leases and isinstance(leases[-1], dict) and not run.outcome else None
    return str(found) if found else None
