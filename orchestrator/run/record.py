"""Record steps in the ledger, and what follows from them. The one module that does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.values import DRILL, SITE, HoldEntry, IncidentEntry, PointEntry, StepEntry
from orchestrator.plan.plan import FirstSeen, SiteRun, passable
from orchestrator.plan.step import Ending, Outcome, Seen
from orchestrator.report.story import missed
from orchestrator.run.events import StepReport

LONGEST_REASON = 500
# More than any site has on offer at once; a host is not to fill the ledger.
MOST_OFFERS = 1000


class Recorder:
    """Writes one run's steps down while they happen: a row when a step begins, the rest of it when it ends."""

    def __init__(self, ledger: Ledger, run: SiteRun) -> None:
        self._ledger, self._run = ledger, run
        self._position = 0

    def begin(self, name: str, began: datetime) -> None:
        """Write down that a step begins, before anybody knows how it ends."""
        self._position = self._ledger.begin_step(self._run.run, name, began)

    def end(self, report: StepReport) -> None:
        """Write down how the step ended, what was observed, and what the site gets from that: holds, incidents."""
        seen = report.seen
        ended = report.began + timedelta(seconds=report.seconds)
        self._ledger.end_step(
            self._run.run,
            StepEntry(
                position=self._position,
                name=seen.step,
                began=report.began,
                ended=ended,
                ending=seen.ending.value,
                outcome=seen.outcome.value if seen.outcome else "",
                message=seen.message,
                seconds=report.seconds,
                evidence=report.evidence,
            ),
        )
        if seen.step in ("preflight", "restore"):
            self._health(report, ended)
        elif seen.step == "rehearse" and seen.fine:
            for held in _dicts(report.evidence.get("held")):
                # What has no name and no version cannot be recognised when it is on offer again.
                if held.get("slug") and held.get("to"):
                    self._hold(held, ended)
            self._releases(report, ended)
        elif seen.step == "promote" and seen.outcome in (Outcome.PUT_BACK, Outcome.NOT_PUT_BACK):
            if report.evidence.get("soak"):
                self.incident((seen.message[:LONGEST_REASON],), ended)
            self._hold_what_broke_production(report, ended)
        elif seen.step == "snapshot" and seen.fine:
            self._point(report)
        elif seen.step == "drill" or (seen.step == "rebuild" and seen.outcome is not Outcome.REFUSED):
            self._drill(report, ended)

    def incident(self, reasons: tuple[str, ...], opened: datetime, *, about: str = SITE) -> None:
        """Open an incident: a person has to look at this site."""
        run = self._run
        self._ledger.open_incident(IncidentEntry(0, run.client, run.site, run.run, opened, reasons, about=about))

    def _health(self, report: StepReport, ended: datetime) -> None:
        verdict = report.evidence.get("verdict")
        verdict = verdict if isinstance(verdict, dict) else {}
        if report.seen.outcome is Outcome.UNHEALTHY:
            reasons = tuple(str(reason)[:LONGEST_REASON] for reason in verdict.get("reasons") or ())
            self.incident(reasons or (report.seen.message,), ended)
        elif report.seen.fine and verdict.get("healthy") is True:
            self._ledger.close_incidents(self._run.client, self._run.site, ended)

    def _drill(self, report: StepReport, ended: datetime) -> None:
        """A drill that failed, or that took longer than was promised, is an incident; a good one ends it."""
        if report.seen.outcome in (Outcome.UNHEALTHY, Outcome.REFUSED):
            self.incident((report.seen.message[:LONGEST_REASON],), ended, about=DRILL)
        elif report.seen.fine:
            late = missed(self._run.promised, report.evidence)
            if late:
                self.incident(late, ended, about=DRILL)
            else:
                self._ledger.close_incidents(self._run.client, self._run.site, ended, about=DRILL)

    def _hold_what_broke_production(self, report: StepReport, ended: datetime) -> None:
        """Hold every release of a promotion that the probes condemned: the next window must not break the site again.

        Which of several it was is not known, because staging saw nothing; a person lets them go one by one.
        A promotion that was only interrupted condemns nothing. One that changed other tables than in staging is held too.
        """
        verdict, tables = report.evidence.get("verdict"), report.evidence.get("tables_only_here")
        if isinstance(verdict, dict) and verdict.get("healthy") is False:
            reason = f"broke production, not staging: {(verdict.get('reasons') or ['unhealthy'])[0]}"
        elif isinstance(tables, list) and tables:
            reason = f"changed tables in production that it did not change in staging: {', '.join(map(str, tables))}"
        else:
            return
        for change in _dicts(report.evidence.get("delivered")):
            self._hold({**change, "reason": reason}, ended)

    def _releases(self, report: StepReport, seen: datetime) -> None:
        """Remember what was on offer: a cool-down counts from the first time. Names that no release has are left out."""
        named = [
            FirstSeen(str(each.get("kind")), str(each.get("slug") or ""), str(each.get("to") or ""), seen.date())
            for each in _dicts(report.evidence.get("offers"))[:MOST_OFFERS]
        ]
        offered = [(each.kind, each.slug, each.version) for each in named if passable(each)]
        self._ledger.saw_releases(self._run.client, offered, seen)

    def _hold(self, held: Mapping[str, Any], since: datetime) -> None:
        self._ledger.add_hold(
            HoldEntry(
                id=0,
                client=self._run.client,
                site=self._run.site,
                kind=str(held.get("kind", "")),
                slug=str(held.get("slug", "")),
                version=str(held.get("to", "")),
                sha256=str(held.get("sha256", "")),
                reason=str(held.get("reason", ""))[:LONGEST_REASON],
                run=self._run.run,
                since=since,
            )
        )

    def _point(self, report: StepReport) -> None:
        manifest = report.evidence.get("manifest")
        manifest = manifest if isinstance(manifest, dict) else {}
        self._ledger.add_point(
            PointEntry(
                id=self._run.point,
                client=self._run.client,
                site=self._run.site,
                run=self._run.run,
                taken=_moment(manifest.get("taken"), report.began),
                manifest=manifest,
            )
        )


def history(steps: tuple[StepEntry, ...]) -> tuple[Seen, ...]:
    """Return what the ledger kept of a run's steps, as the walk wants it."""
    return tuple(
        Seen(
            step.name,
            Ending(step.ending),
            Outcome(step.outcome) if step.outcome else None,
            step.message,
            str(step.evidence.get("state", "")),
        )
        for step in steps
    )


def _dicts(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


def _moment(value: Any, otherwise: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return otherwise
    return moment if moment.tzinfo else otherwise
