"""Carry out what `upkeep run` and `upkeep restore` were asked for: one site after the other, Ctrl-C heard."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from orchestrator.complaint import complain_json
from orchestrator.contract.load import contract_digest, find_client, load_contract, machines_beside
from orchestrator.contract.model import Contract, Hold
from orchestrator.errors import Refused, UpkeepError, Usage
from orchestrator.ledger.ledger import Ledger, ledger_file, open_ledger, peek
from orchestrator.plan.part import Part
from orchestrator.plan.plan import (
    WHOLE,
    Duty,
    FirstSeen,
    Plan,
    Released,
    SiteRun,
    choose_duty,
    choose_sites,
    make_plan,
    plan_json,
    read_plan,
    same_plan,
)
from orchestrator.plan.waves import waves
from orchestrator.plan.window import window_at
from orchestrator.probe.functions import pictured
from orchestrator.progress import Progress, Silence
from orchestrator.results import Answer, exit_code, refused_answer, run_answer
from orchestrator.run.ansible import Project
from orchestrator.run.eyes import lacking
from orchestrator.run.runs import Desk, Result, begin, process_name, resume, sweep
from orchestrator.run.together import begin_together
from orchestrator.screen import show_run

# A release that nobody has seen on offer for so long begins its cool-down anew when it comes back.
FORGOTTEN_AFTER_DAYS = 400


@dataclass(frozen=True)
class Settings:
    """What every command is told. The clock and the maker of ids come from `cli`, and from nowhere else."""

    inventories: Path
    ledger: str
    as_json: bool
    console: Console
    clock: Callable[[], datetime]
    new_id: Callable[[datetime], str]
    vault_password_file: Path | None = None
    content: Path | None = None
    program: str = ""

    @property
    def state(self) -> Path:
        """The folder beside the ledger, for logs and for what a running step needs."""
        file = ledger_file(self.ledger)
        return file.parent if file is not None else Path.home() / ".local" / "state" / "upkeep"

    def project(self, client: str) -> Project:
        """Where Ansible finds this client's hosts and our playbooks. It works in another folder, so paths are whole."""
        vault = self.vault_password_file.absolute() if self.vault_password_file else None
        content = self.content.absolute() if self.content else None
        return Project((self.inventories / client).absolute(), content, vault, self.program)


@dataclass(frozen=True)
class Client:
    """A client's contract as it is on disk now."""

    contract: Contract
    digest: str

    @property
    def id(self) -> str:
        """The client's id, which is the folder's name too."""
        return self.contract.client.id


def read_client(settings: Settings, client: str) -> Client:
    """Load a client's contract. Raises ContractInvalid with every mistake."""
    path = find_client(settings.inventories, client)
    digest = contract_digest(path)
    contract = load_contract(path)
    if contract_digest(path) != digest:
        raise Refused(f"{path} was changed while it was read; nothing was touched.", f"upkeep plan {client}")
    return Client(contract, digest)


def planned(
    settings: Settings,
    client: Client,
    sites: Sequence[str],
    duty: Duty | None,
    point: str = "",
    part: Part = WHOLE,
    to: str = "",
) -> Plan:
    """Plan for a client, on another host than production's with `to`. Reads the ledger's holds, if any; makes nothing."""
    chosen = choose_duty(client.contract, duty)
    names = choose_sites(client.contract, sites)
    refuse_without_eyes(client, chosen)
    now = settings.clock()
    ids = {name: settings.new_id(now) for name in names}
    return make_plan(
        client.contract,
        client.digest,
        made=now,
        duty=chosen,
        ids=ids,
        point=point,
        part=part,
        to=to,
        **_remembered(settings, client.id, names),
    )


def planned_before(settings: Settings, file: Path) -> tuple[Client, Plan]:
    """Make the plan of a file again. Raises Refused when the contract, or anybody else, has changed it since."""
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Usage(f"{file} cannot be read as a plan: {error}", "upkeep plan CLIENT --out FILE") from None
    asked = read_plan(written)
    client = read_client(settings, asked.client)
    again = f"upkeep plan {client.id} --out {file}"
    if client.digest != asked.digest:
        raise Refused(
            f"the contract of {client.id} has changed since this plan was made ({asked.made:%Y-%m-%d %H:%M} UTC); "
            "nothing was touched.",
            again,
        )
    choose_sites(client.contract, tuple(asked.runs))
    for _, _, duty in asked.runs.values():
        refuse_without_eyes(client, duty)
    duties = {duty for _, _, duty in asked.runs.values()}
    points = {point for run, point, _ in asked.runs.values() if point != run}
    if len(duties) != 1 or Duty.RESTORE in duties or points:
        raise Refused("a plan file is for one duty, and a restore is asked for by name; nothing was touched.", again)
    plan = make_plan(
        client.contract,
        client.digest,
        made=asked.made,
        duty=choose_duty(client.contract, duties.pop()),
        ids={site: run for site, (run, _, _) in asked.runs.items()},
        **_remembered(settings, client.id, tuple(asked.runs)),
    )
    if not same_plan(written, plan_json(plan, client.contract)):
        raise Refused(
            "this plan says something else than the contract leads to: it was edited, or made by another version of "
            "upkeep; nothing was touched.",
            again,
        )
    return client, plan


def refuse_without_eyes(client: Client, duty: Duty) -> None:
    """Raise Refused when the contract wants pictures for this duty and this machine has nothing to take them with."""
    missing, advice = lacking() if wants_pictures(client.contract) else ("", "")
    if missing and duty in (Duty.UPDATE, Duty.REHEARSE):
        raise Refused(f"the contract of {client.id} wants pictures, and {missing}; nothing was touched.", advice)


def wants_pictures(contract: Contract) -> bool:
    """Tell whether a browser is needed for a contract."""
    update = contract.scope.update
    return update is not None and any(pictured(update.pictures, site) for site in contract.sites)


def check_window(settings: Settings, client: Client, plan: Plan) -> None:
    """Raise Refused when an update is asked for outside of its window."""
    update = client.contract.scope.update
    if update is None or all(run.duty is not Duty.UPDATE for run in plan.runs):
        return
    zone_name = client.contract.agreement.time_zone
    state = window_at(update.window, settings.clock(), ZoneInfo(zone_name))
    if not state.is_open:
        raise Refused(
            f"the update window of {client.id} is closed; nothing was touched. It opens next on "
            f"{state.opens:%a %Y-%m-%d at %H:%M} ({zone_name}) and closes at {state.closes:%H:%M}.",
            f"wait until then, or, if the client agrees: upkeep run {client.id} --now",
        )


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


def _remembered(settings: Settings, client: str, sites: Sequence[str]) -> dict[str, Any]:
    """Return what make_plan wants of the ledger: holds, those let go, releases seen on offer; less, when there is none."""
    ledger = peek(settings.ledger)
    if ledger is None:
        return {"holds": {}}
    try:
        seen = ledger.releases(client, since=settings.clock() - timedelta(days=FORGOTTEN_AFTER_DAYS))
        return {
            "holds": _holds(ledger, client, sites),
            "first_seen": tuple(FirstSeen(each.kind, each.slug, each.version, each.first.date()) for each in seen),
            "released": {
                site: tuple(
                    Released(each.kind, each.slug, each.version, each.sha256)
                    for each in ledger.released_holds(client, site)
                )
                for site in sites
            },
        }
    finally:
        ledger.close()


def _holds(ledger: Ledger, client: str, sites: Sequence[str]) -> Mapping[str, tuple[Hold, ...]]:
    kinds: dict[str, Any] = {each: each for each in ("core", "plugin", "theme", "translation")}
    return {
        site: tuple(
            Hold(kinds[hold.kind], hold.slug, hold.version, hold.reason)
            for hold in ledger.holds(client, site)
            if hold.kind in kinds
        )
        for site in sites
    }


def say(settings: Settings, answer: Answer, ink: Callable[[], object]) -> None:
    """Give a command's answer: as JSON on standard output where that was asked for, else as `ink` shows it."""
    if settings.as_json:
        sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    else:
        ink()


def end_with(settings: Settings, whole: Answer, answers: Sequence[Answer], ink: Callable[[], object]) -> None:
    """Say what came of several things, and end the command with the code of `whole`, which is that of the worst of them."""
    say(settings, whole, ink)
    code = whole["exit_code"]
    if code and settings.as_json:
        bad = next(answer for answer in answers if answer["exit_code"] == code)
        complain_json(code, str(bad["message"]), str(bad["next"]))
    if code:
        raise typer.Exit(code)
