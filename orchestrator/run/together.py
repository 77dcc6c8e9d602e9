"""Several sites in one call of Ansible, each in a run of its own.

Starting Ansible costs the controller about as much CPU as ten tasks of it, so the sites of a client share a start. What they
do not share is their fate: a site that fails leaves the call, and its way back begins at once, by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import UpkeepError
from orchestrator.plan.plan import SiteRun
from orchestrator.run.ansible import Call, Listener, Part, Project, carry_out, carry_out_together
from orchestrator.run.runs import SHARED, Desk, Result, begin


def begin_together(desk: Desk, runs: Sequence[SiteRun], digest: str) -> list[Result | UpkeepError]:
    """Carry out several runs whose first steps are the same, each on another host; return how each ended, in their order.

    A run that could not begin is an UpkeepError in that list. Any other error is raised when all runs have ended.
    """
    table = _Table(desk.project, desk.state / "work" / f"{runs[0].run}{SHARED}", len(runs))

    def one(run: SiteRun) -> Result | UpkeepError:
        seat = _Seat(table)
        try:
            return begin(replace(desk, carry_out=seat.carry_out), run, digest)
        except UpkeepError as error:
            return error
        finally:
            seat.leave()

    try:
        with ThreadPoolExecutor(len(runs)) as threads:
            return list(threads.map(one, runs))
    finally:
        table.wait()


class _Table:
    """Waits until every run has said what it wants, or that it wants nothing, and makes one call of all that."""

    def __init__(self, project: Project, scratch: Path, seats: int) -> None:
        self._project, self._scratch, self._awaited = project, scratch, seats
        self._taken: list[tuple[_Seat, Part]] = []
        self._lock = threading.Lock()
        # Of its own: Ansible ends with the thread that started it, and any site may be through before the others.
        self._thread = threading.Thread(target=self._call, name="together")

    def sit(self, seat: _Seat, part: Part) -> None:
        with self._lock:
            self._taken.append((seat, part))
            self._begin()

    def leave(self) -> None:
        with self._lock:
            self._awaited -= 1
            self._begin()

    def wait(self) -> None:
        if self._taken:
            self._thread.join()

    def _begin(self) -> None:
        if self._taken and len(self._taken) == self._awaited:
            self._thread.start()

    def _call(self) -> None:
        try:
            carry_out_together(self._project, self._scratch, [part for _, part in self._taken])
        except Exception as error:
            for seat, _ in self._taken:
                seat.error = error
        finally:
            for seat, _ in self._taken:
                seat.over.set()


class _Seat:
    """One run's place at the table: its first call is carried out with those of the others, each later one alone."""

    def __init__(self, table: _Table) -> None:
        self._table, self._called = table, False
        self.over = threading.Event()
        self.error: Exception | None = None

    def carry_out(self, project: Project, call: Call, listener: Listener) -> None:
        if self._called:
            carry_out(project, call, listener)
            return
        self._called = True
        self._table.sit(self, Part(call, listener, self.over.set))
        self.over.wait()
        if self.error is not None:
            raise self.error

    def leave(self) -> None:
        if not self._called:
            self._called = True
            self._table.leave()
