"""Hold a contract and the ledger side by side, for a month or for named runs. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from orchestrator.contract.model import Contract, UpdateDuty
from orchestrator.ledger.values import DrillEntry, HoldEntry, IncidentEntry, PointEntry, RunEntry, VerificationEntry
from orchestrator.report.story import run_story

Report = dict[str, Any]

# Worst last: a duty is as good as the worst that happened to it and was not made good.
KEPT, PARTLY, NOT_KEPT, NOBODY = "kept", "partly kept", "not kept", "not served yet"


def runs_report(contract: Contract, runs: Sequence[RunEntry], *, holds: Sequence[HoldEntry], made: datetime) -> Report:
    """Tell some runs, one after the other."""
    return {
        **_head(contract, made),
        "kind": "runs",
        "title": f"{len(runs)} run{'' if len(runs) == 1 else 's'}",
        "summary": _summary(runs),
        "duties": [],
        "proofs": [],
        "runs": [run_story(run) for run in runs],
        "holds": [_hold(hold) for hold in holds],
        "client_duties": _client_duties(runs),
        "incidents": [],
    }


def month_report(
    contract: Contract,
    runs: Sequence[RunEntry],
    *,
    points: Sequence[PointEntry],
    holds: Sequence[HoldEntry],
    incidents: Sequence[IncidentEntry],
    verifications: Sequence[VerificationEntry] = (),
    drills: Sequence[DrillEntry] = (),
    begins: datetime,
    ends: datetime,
    made: datetime,
) -> Report:
    """Tell a month: what was promised, what was done. `begins` and `ends` carry the agreement's clock."""
    runs = sorted(runs, key=lambda run: run.began)
    taken = [point for point in points if begins <= point.taken < ends]
    known = [each for each in incidents if each.opened < ends and (each.closed is None or each.closed >= begins)]
    last = min(ends, made)
    duties = []
    if contract.scope.backup is not None:
        duties.append(_backup(contract, taken, begins, last))
    if contract.scope.update is not None:
        duties.append(_update(contract.scope.update, [run for run in runs if run.duty == "update"], holds))
    duties += [
        {
            "duty": promise.duty,
            "promised": promise.words,
            "done": "Nothing serves this duty yet: a person has to.",
            "verdict": NOBODY,
        }
        for promise in contract.scope.promises
    ]
    return {
        **_head(contract, made),
        "kind": "month",
        "title": f"{begins:%B %Y}",
        "month": f"{begins:%Y-%m}",
        "summary": _summary(runs),
        "duties": duties,
        "proofs": _proofs(
            contract,
            [each for each in verifications if each.began < ends],
            [each for each in drills if each.began < ends],
        ),
        "runs": [run_story(run) for run in runs],
        "holds": [_hold(hold) for hold in holds],
        "client_duties": _client_duties(runs),
        "incidents": [_incident(each) for each in known],
    }


def _backup(contract: Contract, points: Sequence[PointEntry], begins: datetime, last: datetime) -> Report:
    zone = begins.tzinfo
    days = _days(begins, last, zone)
    without = []
    for site in contract.sites:
        covered = {point.taken.astimezone(zone).date() for point in points if point.site == site.name}
        without += [f"{site.name} {day}" for day in days if day not in covered]
    count = len(points)
    newest = max(points, key=lambda point: point.taken, default=None)
    done = f"{count} restore point{'' if count == 1 else 's'}, each with files, database and manifest"
    if newest is not None:
        done += f"; the newest is {newest.id} of {newest.site}"
    return {
        "duty": "backup",
        "promised": "A restore point of every site.",
        "done": f"{done}.",
        "verdict": NOT_KEPT if not points else KEPT if _every_site(contract, points) else PARTLY,
        "days": len(days),
        "days_without": without,
    }


def _proofs(
    contract: Contract, verifications: Sequence[VerificationEntry], drills: Sequence[DrillEntry]
) -> list[Report]:
    """Tell of each site its newest verification and its newest drill, beside what was promised; none when there was none."""
    backup = contract.scope.backup
    recovery = backup.recovery if backup is not None else None
    told = []
    for site in contract.sites:
        seen = next((each for each in verifications if each.site == site.name), None)
        drill = next((each for each in drills if each.site == site.name), None)
        told.append(
            {
                "site": site.name,
                "verified": seen.ended.isoformat() if seen else None,
                "points": len(seen.points) if seen else None,
                "incomplete": sum(1 for problems in seen.points.values() if problems) if seen else None,
                "damaged": len(seen.damage) if seen else None,
                "drilled": drill.began.isoformat() if drill else None,
                "drill_point": drill.point if drill else None,
                "drill_host": (drill.host or None) if drill else None,
                "drill_good": drill.outcome == "done" if drill else None,
                "drill_message": drill.message if drill else None,
                "recovery_seconds": drill.seconds if drill else None,
                "data_age_seconds": drill.age if drill else None,
                "rto_hours": recovery.rto_hours if recovery else None,
                "rpo_hours": recovery.rpo_hours if recovery else None,
            }
        )
    return told


def _every_site(contract: Contract, points: Iterable[PointEntry]) -> bool:
    return {site.name for site in contract.sites} <= {point.site for point in points}


def _update(update: UpdateDuty, runs: Sequence[RunEntry], holds: Sequence[HoldEntry]) -> Report:
    outcomes = [run.outcome for run in runs]
    good = sum(1 for each in outcomes if each in ("done", "nothing-to-do"))
    delivered = sum(len(run_story(run)["delivered"]) for run in runs)
    words = [f"{len(runs)} run{'' if len(runs) == 1 else 's'}, {good} good", f"{delivered} releases delivered"]
    if "put-back" in outcomes:
        words.append(f"put back {outcomes.count('put-back')} time{'' if outcomes.count('put-back') == 1 else 's'}")
    if holds:
        words.append(f"{len(holds)} held")
    last = outcomes[-1] if outcomes else ""
    if "not-put-back" in outcomes or not runs:
        verdict = NOT_KEPT
    else:
        verdict = KEPT if last in ("done", "nothing-to-do") else PARTLY
    core = {"none": "WordPress itself is left alone", "minor": "minor releases of WordPress"}.get(
        update.core, "all releases of WordPress"
    )
    packs = "; language packs: all" if update.translations == "all" else ""
    return {
        "duty": "update",
        "promised": f"{core}; plugins: {_policy(update.plugins)}; themes: {_policy(update.themes)}{packs}.",
        "done": f"{', '.join(words)}.",
        "verdict": verdict,
    }


def _client_duties(runs: Sequence[RunEntry]) -> list[Report]:
    """Tell what the client has to do, as each site's last look at the releases on offer found it."""
    last: dict[str, RunEntry] = {}
    for run in sorted(runs, key=lambda run: run.began):
        looked = run.step("rehearse")
        if looked is not None and looked.evidence:
            last[run.site] = run
    return [
        {"site": site, "duty": duty, "seen": run.began.isoformat()}
        for site, run in sorted(last.items())
        for duty in run_story(run)["client_duties"]
    ]


def _summary(runs: Sequence[RunEntry]) -> Report:
    stories = [run_story(run) for run in runs]
    frozen = [story["frozen_seconds"] for story in stories if story["frozen_seconds"] is not None]
    broken = [story["broken"]["seconds"] for story in stories if story["broken"] and story["broken"]["seconds"]]
    outcomes = [run.outcome for run in runs]
    return {
        "runs": len(runs),
        "done": outcomes.count("done") + outcomes.count("nothing-to-do"),
        "put_back": outcomes.count("put-back"),
        "need_a_person": outcomes.count("not-put-back") + sum(1 for run in runs if run.state == "open"),
        "delivered": sum(len(story["delivered"]) for story in stories),
        "held": sum(len(story["held"]) for story in stories),
        "points": sum(1 for story in stories if story["point"] and story["duty"] != "restore"),
        "frozen_seconds": round(sum(frozen), 1) if frozen else None,
        "broken_seconds": round(sum(broken), 1) if broken else None,
    }


def _head(contract: Contract, made: datetime) -> Report:
    agreement = contract.agreement
    return {
        "schema": 1,
        "client": {"id": contract.client.id, "name": contract.client.name},
        "agreement": {
            "number": agreement.number,
            "begins": agreement.begins.isoformat(),
            "ends": agreement.ends.isoformat(),
            "time_zone": agreement.time_zone,
        },
        "sites": [{"name": site.name, "url": site.url} for site in contract.sites],
        "made": made.isoformat(),
    }


def _hold(hold: HoldEntry) -> Report:
    return {
        "site": hold.site,
        "kind": hold.kind,
        "slug": hold.slug,
        "version": hold.version,
        "sha256": hold.sha256,
        "reason": hold.reason,
        "since": hold.since.isoformat(),
    }


def _incident(incident: IncidentEntry) -> Report:
    return {
        "site": incident.site,
        "about": incident.about,
        "opened": incident.opened.isoformat(),
        "closed": incident.closed.isoformat() if incident.closed else None,
        "reasons": list(incident.reasons),
    }


def _policy(policy: str | tuple[str, ...]) -> str:
    return policy if isinstance(policy, str) else ", ".join(policy)


def _days(begins: datetime, last: datetime, zone: tzinfo | None) -> list[Any]:
    first, end = begins.date(), last.astimezone(zone).date()
    return [first + timedelta(days=number) for number in range((end - first).days)]
