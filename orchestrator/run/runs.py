"""Carry runs out: the walk says what comes next, Ansible does it, the ledger remembers it."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from orchestrator.errors import Busy, Refused
from orchestrator.ledger.ledger import Ledger, SiteOccupied
from orchestrator.ledger.values import RUNNING, RunEntry
from orchestrator.plan.plan import Duty, SiteRun, remade_run
from orchestrator.plan.step import Ending, Outcome, Seen
from orchestrator.plan.walk import Batch, Finish, next_move
from orchestrator.run.ansible import Call, Listener, Project, carry_out
from orchestrator.run.events import StepReport
from orchestrator.run.places import pictures_folder
from orchestrator.run.record import Recorder, history


class Watch(Protocol):
    """Whoever wants to show what happens."""

    def step_began(self, run: SiteRun, name: str) -> None:
        """A step begins."""

    def step_ended(self, run: SiteRun, report: StepReport) -> None:
        """A step has ended."""

    def tick(self) -> None:
        """About a second has gone by."""

    def recovering(self, run: SiteRun) -> None:
        """The host is about to be asked in which state the site is."""


# A folder of several runs, named after one of them.
SHARED = ".shared"


@dataclass(frozen=True)
class Desk:
    """What a run needs around it."""

    project: Project
    ledger: Ledger
    # The folder for logs and for what lives as long as one call of Ansible.
    state: Path
    clock: Callable[[], datetime]
    cancelled: Callable[[], bool]
    watch: Watch
    process: str
    # A module that was cut off needs a moment to end before the site's lock is free.
    recover_pause: float = 3.0
    # Starts Ansible for one batch and returns when no more of it will be seen.
    carry_out: Callable[[Project, Call, Listener], object] = carry_out


@dataclass(frozen=True)
class Result:
    """How a run ended, with everything that the ledger now knows of it."""

    entry: RunEntry
    finish: Finish
    cancelled: bool
    # Ansible's own screen, when something ended without a report of ours.
    log: Path | None

    @property
    def client(self) -> str:
        """Whose run it was."""
        return self.entry.client


def begin(desk: Desk, run: SiteRun, digest: str) -> Result:
    """Carry out a run from its first step."""
    entry = RunEntry(
        id=run.run,
        client=run.client,
        site=run.site,
        host=run.host,
        duty=run.duty.value,
        digest=digest,
        point=run.point,
        promised=run.promised,
        variables=run.variables,
        began=desk.clock(),
        process=desk.process,
    )
    if desk.ledger.run(run.run) is not None:
        raise Refused(f"run {run.run} has been carried out already; nothing was touched.", f"upkeep plan {run.client}")
    try:
        desk.ledger.begin_run(entry)
    except SiteOccupied as occupied:
        raise _occupied(occupied.run) from None
    return _walk(desk, run, resumed_at=None)


def resume(desk: Desk, entry: RunEntry) -> Result:
    """Finish or put back a run that did not come to its end."""
    if entry.state == RUNNING and alive(entry.process):
        raise _occupied(entry)
    try:
        desk.ledger.take_over(entry.id, desk.process)
    except SiteOccupied as occupied:
        raise _occupied(occupied.run) from None
    run = remade_run(
        run=entry.id,
        point=entry.point,
        client=entry.client,
        site=entry.site,
        host=entry.host,
        duty=Duty(entry.duty),
        variables=entry.variables,
    )
    return _walk(desk, run, resumed_at=len(entry.steps))


def _walk(desk: Desk, run: SiteRun, *, resumed_at: int | None) -> Result:
    recorder = Recorder(desk.ledger, run)
    log = desk.state / "logs" / f"{run.run}.log"
    recovers = 0
    while True:
        move = next_move(run.batches, _seen(desk, run), resumed_at=resumed_at)
        if isinstance(move, Finish):
            return _finish(desk, run, recorder, move, log)
        recovering = move.steps[0].name == "recover"
        if recovering:
            desk.watch.recovering(run)
            if recovers:
                time.sleep(desk.recover_pause)
            recovers += 1
        _batch(desk, run, recorder, move, log, heed_cancel=not recovering)


def _batch(desk: Desk, run: SiteRun, recorder: Recorder, batch: Batch, log: Path, *, heed_cancel: bool) -> None:
    def on_begin(name: str, began: datetime) -> None:
        recorder.begin(name, began)
        desk.watch.step_began(run, name)

    def on_end(report: StepReport) -> None:
        recorder.end(report)
        desk.watch.step_ended(run, report)

    def cancelled() -> bool:
        desk.watch.tick()
        return heed_cancel and desk.cancelled()

    call = Call(
        steps=tuple(step.name for step in batch.steps),
        host=",".join(dict.fromkeys(step.host for step in batch.steps)),
        # The folder is this machine's business, so no plan has it.
        variables={**run.variables, "upkeep_pictures_folder": str(pictures_folder(desk.state, run.run))},
        scratch=desk.state / "work" / run.run,
        log=log,
        needless=run.needless,
    )
    desk.carry_out(desk.project, call, Listener(on_begin, on_end, cancelled))


def _finish(desk: Desk, run: SiteRun, recorder: Recorder, finish: Finish, log: Path) -> Result:
    now = desk.clock()
    if finish.outcome is Outcome.NOT_PUT_BACK:
        recorder.incident((finish.reason,), now)
    outcome = finish.outcome.value if finish.outcome else ""
    desk.ledger.end_run(run.run, outcome=outcome, message=finish.reason, ended=now)
    entry = desk.ledger.run(run.run)
    assert entry is not None  # noqa: S101  # it was written by begin()
    cancelled = any(seen.ending is Ending.CANCELLED for seen in history(entry.steps))
    return Result(entry, finish, cancelled, log if log.exists() else None)


def _seen(desk: Desk, run: SiteRun) -> tuple[Seen, ...]:
    # Asked afresh each time: the ledger is the only memory, so a killed controller has forgotten nothing.
    entry = desk.ledger.run(run.run)
    return history(entry.steps) if entry is not None else ()


def _occupied(run: RunEntry) -> Busy | Refused:
    site = f"{run.client}/{run.site}"
    if run.state == RUNNING and alive(run.process):
        return Busy(
            f"run {run.id} is at work on {site} since {run.began:%H:%M:%S} UTC; nothing was touched.",
            f"upkeep status {run.client}",
        )
    return Refused(
        f"run {run.id} of {site} did not come to its end; nothing was touched now.", f"upkeep run --resume {run.client}"
    )


def process_name() -> str:
    """Name this process so that it can be told from a later one with the same number."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def alive(process: str) -> bool:
    """Tell whether a process still lives. One of another machine cannot be seen from here and counts as alive."""
    machine, _, rest = process.rpartition(":")[0].rpartition(":")
    if machine != socket.gethostname():
        return bool(machine)
    started = process.rpartition(":")[2]
    return rest.isdigit() and _started(int(rest)) == started != ""


def _started(process: int) -> str:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    # The second field is the program's name in brackets and may hold spaces and brackets itself.
    return text.rpartition(")")[2].split()[19]


def sweep(state: Path, ledger: Ledger) -> None:
    """Remove what killed calls of Ansible left behind: ansible-runner writes its environment down."""
    work = state / "work"
    if not work.is_dir():
        return
    for folder in work.iterdir():
        run = ledger.run(folder.name.removesuffix(SHARED))
        if run is None or not alive(run.process):
            shutil.rmtree(folder, ignore_errors=True)
