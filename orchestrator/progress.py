"""Show runs while they go on. Nothing is decided here."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from orchestrator.plan.plan import SiteRun
from orchestrator.plan.step import STEPS, Ending
from orchestrator.run.events import StepReport
from orchestrator.screen import COLOURS, HEARTBEAT_SECONDS, clip, safe


@dataclass(frozen=True)
class _Open:
    """A step that goes on."""

    step: str
    since: float

    def words(self, now: float) -> str:
        return f"{self.step} {now - self.since:.0f} s"


class Progress:
    """Shows runs while they go on: a line for each step, a sign of life in the long ones. Several threads may tell it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open: dict[str, _Open] = {}
        self._width = 0
        self._said = self._idle_since = time.monotonic()
        self._status: Status | None = None
        self._lock = threading.RLock()

    def side_by_side(self, sites: Sequence[str]) -> None:
        """From now on these sites are worked on at once, and each line says of which it speaks; of one it need not."""
        self._width = max(map(len, sites)) if len(sites) > 1 else 0

    def step_began(self, run: SiteRun, name: str) -> None:
        """Say which step begins and what it is for."""
        with self._lock:
            self._said = time.monotonic()
            self._open[run.site] = _Open(name, self._said)
            if not self._console.is_terminal:
                self._console.print(f"{self._margin(run)}{name:<10} {STEPS[name].purpose} …", markup=False)
            elif self._status is None:
                self._status = self._console.status(self._moving(), spinner="dots")
                self._status.start()

    def step_ended(self, run: SiteRun, report: StepReport) -> None:
        """Say how the step ended, and how long it took."""
        with self._lock:
            self._open.pop(run.site, None)
            if not self._open:
                self._calm()
            seen = report.seen
            word = seen.outcome.value if seen.outcome else seen.ending.value
            if seen.outcome:
                colour = COLOURS[seen.outcome.value]
            else:
                colour = "bold red" if seen.ending in (Ending.SILENT, Ending.UNREACHABLE) else "yellow"
            line = Text(f"{self._margin(run)}{seen.step:<10} ")
            line.append(f"{word:<13} ", style=colour)
            line.append(f"{report.seconds:6.1f} s  ", style="dim")
            line.append(safe(clip(seen.message or _in_short(report.evidence))))
            self._console.print(line)
            self._said = self._idle_since = time.monotonic()

    def tick(self) -> None:
        """Give a sign of life."""
        with self._lock:
            now = time.monotonic()
            if self._status is not None:
                self._status.update(self._moving())
            elif now - self._said >= HEARTBEAT_SECONDS:
                self._said = now
                if self._width:
                    going_on = ", ".join(f"{site} {each.words(now)}" for site, each in sorted(self._open.items()))
                    self._console.print(f"  still at it: {going_on or 'Ansible'}", markup=False)
                else:
                    each = next(iter(self._open.values()), _Open("Ansible", self._idle_since))
                    self._console.print(f"  {each.step:<10} still at it, {now - each.since:.0f} s", markup=False)

    def recovering(self, run: SiteRun) -> None:
        """Say that the host is asked for the truth. Ctrl-C does not disturb this."""
        with self._lock:
            self._calm()
            self._console.print(
                f"  Asking {run.host} in which state {run.site} is, and putting it right. This is not interrupted.",
                style="yellow",
                markup=False,
            )

    def heading(self, text: str) -> None:
        """Begin the part of one site, or of several that go side by side."""
        self._console.print(Text(text, style="bold"))

    def stopping(self) -> None:
        """Say that Ctrl-C was heard."""
        # Told by a signal, perhaps in the middle of one of the others: no lock is waited for that a thread may hold.
        self._calm()
        self._console.print("\n  Stopping. The site is left whole: this takes a moment.", style="yellow", markup=False)

    def _margin(self, run: SiteRun) -> str:
        return f"  {run.site:<{self._width}}  " if self._width else "  "

    def _calm(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _moving(self) -> Text:
        now = time.monotonic()
        if self._width:
            return Text(" · ".join(f"{site} {each.words(now)}" for site, each in sorted(self._open.items())))
        each = next(iter(self._open.values()))
        line = Text(f"{each.step:<10} {STEPS[each.step].purpose} ")
        line.append(f"{now - each.since:.0f} s", style="dim")
        return line


def _in_short(evidence: Mapping[str, Any]) -> str:
    """Say what a step did that says nothing itself."""
    words = [str(evidence["state"])] if evidence.get("state") else []
    for key in ("delivered", "held", "skipped", "removed"):
        if isinstance(evidence.get(key), list):
            words.append(f"{len(evidence[key])} {key}")
    if isinstance(evidence.get("touches"), dict):
        words.append(str(evidence["touches"].get("class")))
    clone, database = evidence.get("clone"), evidence.get("database")
    if isinstance(clone, dict) and isinstance(database, dict):
        words.append(f"{clone.get('files')} files, {database.get('tables')} tables")
    if isinstance(evidence.get("frozen_seconds"), int | float):
        words.append(f"frozen for {evidence['frozen_seconds']:.1f} s")
    return ", ".join(words)


class Silence:
    """Shows nothing: with --json, the answer is all there is."""

    def step_began(self, run: SiteRun, name: str) -> None:
        """Nothing."""

    def step_ended(self, run: SiteRun, report: StepReport) -> None:
        """Nothing."""

    def side_by_side(self, sites: Sequence[str]) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def recovering(self, run: SiteRun) -> None:
        """Nothing."""

    def heading(self, text: str) -> None:
        """Nothing."""

    def stopping(self) -> None:
        """Nothing."""
