"""A run to carry out, and somebody who watches it."""

from __future__ import annotations

from orchestrator.plan.plan import Duty, SiteRun, remade_run
from orchestrator.run.events import StepReport

RUN = "20261122T020000Z-1f0c9a2b"


def planned(duty: Duty = Duty.UPDATE, run: str = RUN, site: str = "shop") -> SiteRun:
    """Return a run for a site as the planner would make it. Its host has the same name."""
    variables = {"upkeep_run": run, "upkeep_point": run, "upkeep_keep_lease": True, "upkeep_holds": []}
    return remade_run(run=run, point=run, client="example", site=site, host=site, duty=duty, variables=variables)


class Watcher:
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.asked = 0

    def step_began(self, run: SiteRun, name: str) -> None:
        """Remember the step."""
        self.began.append(name)

    def step_ended(self, run: SiteRun, report: StepReport) -> None:
        """Nothing is remembered of the end: the ledger has it."""

    def tick(self) -> None:
        """Time goes by."""

    def recovering(self, run: SiteRun) -> None:
        """Count how often the host is asked."""
        self.asked += 1
