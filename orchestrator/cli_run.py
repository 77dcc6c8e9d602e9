"""Carry out what `upkeep run` and `upkeep restore` were asked for, several sites at once where that may be; Ctrl-C is heard."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType

from orchestrator.contract.load import find_client, machines_beside
from orchestrator.errors import UpkeepError
from orchestrator.ledger.ledger import open_ledger
from orchestrator.plan.plan import Plan, SiteRun
from orchestrator.plan.waves import waves
from orchestrator.planning import Client
from orchestrator.progress import Progress, Silence
from orchestrator.results import Answer, exit_code, refused_answer, run_answer, worst
from orchestrator.run.runs import Desk, Result, begin, process_name, resume, sweep
from orchestrator.run.together import begin_together
from orchestrator.screen import show_rows, show_run
from orchestrator.settings import Settings, end_with


def carry_out_plan(settings: Settings, client: Client, plan: Plan, together: int = 1) -> list[Answer]:
    """Carry out a plan, at most `together` sites at once. What goes wrong with one does not keep the others from going on."""
    answers: list[Answer] = []
    machines = machines_beside(find_client(settings.inventories, client.id)) if together > 1 else {}
    with _desk(settings, client.id) as desk:
        for wave in waves(plan.runs, machines, together):
            if desk.cancelled():
                message, again = "not begun: the command was interrupted.", f"upkeep run {client.id}"
                answers += [refused_answer(run.client, run.site, run.duty, 130, message, again) for run in wave]
                continue
            _heading(desk, wave)
            # Of one site it is said at once how it ended, of several when all have ended.
            for run, work in zip(wave, _begun(desk, wave, plan.digest), strict=True):
                if len(wave) > 1 and not settings.as_json:
                    settings.console.print(f"{run.client}/{run.site}:", style="bold", markup=False)
                answers.append(_answer(settings, run.client, run.site, run.duty, work))
    return answers


def _begun(desk: Desk, wave: Sequence[SiteRun], digest: str) -> list[Callable[[], Result]]:
    """Carry out what goes side by side; return for each run what gives its result, or raises why there is none."""
    if len(wave) == 1:
        return [lambda: begin(desk, wave[0], digest)]

    def given(ended: Result | UpkeepError) -> Result:
        if isinstance(ended, UpkeepError):
            raise ended
        return ended

    return [partial(given, ended) for ended in begin_together(desk, wave, digest)]


def carry_on(settings: Settings, client: str) -> list[Answer]:
    """Finish or put back every run of a client that did not come to its end, or could not be put back."""
    find_client(settings.inventories, client)
    answers: list[Answer] = []
    with _desk(settings, client) as desk:
        for entry in (*desk.ledger.unfinished(client), *desk.ledger.not_put_back(client)):
            if not settings.as_json:
                settings.console.print(f"{client}/{entry.site}: taking up run {entry.id}", style="bold", markup=False)
            answers.append(
                _answer(settings, client, entry.site, entry.duty, lambda: resume(desk, entry))  # noqa: B023  # called at once
            )
    return answers


def _answer(settings: Settings, client: str, site: str, duty: str, work: Callable[[], Result]) -> Answer:
    try:
        result = work()
    except UpkeepError as error:
        answer = refused_answer(client, site, duty, error.exit_code, error.message, error.next_step)
    else:
        answer = run_answer(result)
        assert answer["exit_code"] == exit_code(result)  # noqa: S101
    if not settings.as_json:
        show_run(settings.console, answer)
    return answer


def _heading(desk: Desk, wave: Sequence[SiteRun]) -> None:
    if isinstance(desk.watch, Progress):
        desk.watch.side_by_side([run.site for run in wave])
        for run in wave:
            desk.watch.heading(f"{run.client}/{run.site}: {run.duty}, run {run.run}")


@contextmanager
def _desk(settings: Settings, client: str) -> Iterator[Desk]:
    watch = Silence() if settings.as_json else Progress(settings.console)
    ledger = open_ledger(settings.ledger)
    try:
        sweep(settings.state, ledger)
        with _interruptible(watch) as cancelled:
            yield Desk(
                project=settings.project(client),
                ledger=ledger,
                state=settings.state,
                clock=settings.clock,
                cancelled=cancelled,
                watch=watch,
                process=process_name(),
            )
    finally:
        ledger.close()


@contextmanager
def _interruptible(watch: Progress | Silence) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C, and a polite kill, into a wish that the run hears when it can leave the site whole."""
    wanted: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        if not wanted:
            watch.stopping()
        wanted.append(number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, hear) for each in signals}
    try:
        yield lambda: bool(wanted)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def end(settings: Settings, answers: Sequence[Answer]) -> None:
    """End a command of several runs, each of which was shown when it ended, with the code of the worst."""
    whole = {"exit_code": worst(answer["exit_code"] for answer in answers), "runs": list(answers)}
    end_with(settings, whole, answers, lambda: _show_end(settings, answers))


def _show_end(settings: Settings, answers: Sequence[Answer]) -> None:
    if not answers:
        settings.console.print("No run was interrupted: there is nothing to take up.")
    elif len(answers) > 1:
        show_rows(settings.console, "Together", answers, ("site", "duty", "outcome", "seconds", "message"))
