"""The ink: show what happens and what the commands answer. Nothing is decided here, and nothing here is read by a program."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from orchestrator.contract.suggest import printable
from orchestrator.plan.step import STEPS, Ending, Outcome
from orchestrator.report.touches import words as touched

if TYPE_CHECKING:
    from orchestrator.plan.plan import SiteRun
    from orchestrator.run.events import StepReport

# No step is silent for longer than 10 s; the tick comes about once a second.
HEARTBEAT_SECONDS = 8.0

# A file or a pipe has no edge.
WIDE = 200

LONGEST_REASON = 160
MOST_REASONS = 4
LONG_COLUMNS = ("reason", "reasons", "message", "words", "why", "variables")

COLOURS = {
    "done": "green",
    "nothing-to-do": "green",
    "put-back": "yellow",
    "busy": "yellow",
    "refused": "yellow",
    "unhealthy": "yellow",
    "not-put-back": "bold red",
}


class _Console(Console):
    """A console that a reader who has gone cannot bring down: a run goes on when its terminal is closed."""

    def _write_buffer(self) -> None:
        try:
            super()._write_buffer()
        except OSError:
            self.quiet = True

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console(*, stderr: bool = False) -> Console:
    """Make a console: colour on a terminal only, and lines as long as they are where nobody watches."""
    # Without emoji: a mistake in line 100 would stand in "contract.yml💯12", and whatever a host says may hold colons.
    console = _Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def safe(value: Any) -> str:
    """Make a text harmless for a terminal: much of what is shown was said by a host."""
    return "\n".join(printable(line) for line in str(value).splitlines())


def clip(value: Any) -> str:
    """Shorten a reason to what fits; all of it is in the report and in --json."""
    text = str(value)
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON].rsplit(" ", 1)[0] + " …"


class Progress:
    """Shows a run while it goes on: a line for each step, a sign of life in the long ones."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._task = ""
        self._since = self._said = time.monotonic()
        self._status: Status | None = None

    def step_began(self, run: SiteRun, name: str) -> None:
        """Say which step begins and what it is for."""
        self._step, self._task = name, ""
        self._since = self._said = time.monotonic()
        if self._console.is_terminal:
            self._status = self._console.status(self._moving(), spinner="dots")
            self._status.start()
        else:
            self._console.print(f"  {name:<10} {STEPS[name].purpose} …", markup=False)

    def step_ended(self, run: SiteRun, report: StepReport) -> None:
        """Say how the step ended, and how long it took."""
        self._calm()
        seen = report.seen
        word = seen.outcome.value if seen.outcome else seen.ending.value
        if seen.outcome:
            colour = COLOURS[seen.outcome.value]
        else:
            colour = "bold red" if seen.ending in (Ending.SILENT, Ending.UNREACHABLE) else "yellow"
        line = Text(f"  {seen.step:<10} ")
        line.append(f"{word:<13} ", style=colour)
        line.append(f"{report.seconds:6.1f} s  ", style="dim")
        line.append(safe(clip(seen.message or _in_short(report.evidence))))
        self._console.print(line)
        self._step = ""
        self._said = time.monotonic()

    def task_began(self, name: str, task: str) -> None:
        """Keep what Ansible is at."""
        self._task = task

    def tick(self) -> None:
        """Give a sign of life."""
        if self._status is not None:
            self._status.update(self._moving())
        elif time.monotonic() - self._said >= HEARTBEAT_SECONDS:
            self._said = time.monotonic()
            what = self._step or "Ansible"
            self._console.print(f"  {what:<10} still at it, {self._said - self._since:.0f} s", markup=False)

    def recovering(self, run: SiteRun) -> None:
        """Say that the host is asked for the truth. Ctrl-C does not disturb this."""
        self._calm()
        self._console.print(
            f"  Asking {run.host} in which state {run.site} is, and putting it right. This is not interrupted.",
            style="yellow",
            markup=False,
        )

    def heading(self, text: str) -> None:
        """Begin the part of one site."""
        self._console.print(Text(text, style="bold"))

    def stopping(self) -> None:
        """Say that Ctrl-C was heard."""
        self._calm()
        self._console.print("\n  Stopping. The site is left whole: this takes a moment.", style="yellow", markup=False)

    def _calm(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _moving(self) -> Text:
        seconds = time.monotonic() - self._since
        line = Text(f"{self._step:<10} {STEPS[self._step].purpose} ")
        line.append(f"{seconds:.0f} s", style="dim")
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

    def task_began(self, name: str, task: str) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def recovering(self, run: SiteRun) -> None:
        """Nothing."""

    def heading(self, text: str) -> None:
        """Nothing."""

    def stopping(self) -> None:
        """Nothing."""


def show_run(console: Console, answer: Mapping[str, Any]) -> None:
    """Show how a run ended: the verdict first, what to type last."""
    colour = "yellow" if answer.get("look_first") else COLOURS.get(str(answer["outcome"]), "bold red")
    line = Text("  ")
    line.append(str(answer["headline"]), style=colour)
    line.append(f": {safe(answer.get('meaning') or answer['message'])}")
    console.print(line)
    # What was broken is told below.
    untold = answer["outcome"] not in (Outcome.DONE, Outcome.NOTHING_TO_DO) and not answer.get("broken")
    if answer.get("meaning") and answer["message"] and untold:
        console.print(Text(f"  {safe(answer['message'])}"))
    if answer.get("run"):
        _show_facts(console, answer)
    if answer.get("log"):
        console.print(Text(f"  Ansible's own words: {answer['log']}"))
    console.print(Text.assemble("  Next: ", (answer["next"], "bold")))
    console.print()


def _show_facts(console: Console, answer: Mapping[str, Any]) -> None:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("  run", answer["run"])
    if answer["point"]:
        facts.add_row("  restore point", Text(_point_words(answer["point"])))
    if answer["drill"]:
        for title, words in drill_rows(answer["drill"]):
            facts.add_row(f"  {title}", Text(words, style="yellow" if answer["drill"]["missed"] else ""))
    for change in answer["changes"]:
        facts.add_row(
            f"  {safe(change['kind'])}", Text(safe(f"{change['name']}  {change['before']} → {change['after']}"))
        )
    for title, releases in (
        ("would get", answer["passed"]),
        ("held", answer["held"]),
        ("tried", answer["tried"]),
        ("left out", answer["skipped"]),
    ):
        for release in releases:
            words = f"{release.get('kind', '')} {release.get('slug', '')} {release.get('to', '')}".strip()
            reason = f": {clip(release['reason'])}" if release.get("reason") else ""
            facts.add_row(f"  {title}", Text(safe(words + reason), style="yellow" if title == "held" else ""))
    if answer["touches"]:
        for title, words in touch_rows(answer["touches"]):
            facts.add_row(f"  {title}", Text(safe(words)))
    for number, words in enumerate(answer["look_first"][:MOST_REASONS]):
        facts.add_row("  look at" if number == 0 else "", Text(safe(clip(words)), style="yellow"))
    if answer["pictures"]:
        facts.add_row("  pictures", Text(safe(answer["pictures"]["folder"])))
    for number, words in enumerate(answer["degraded"][:MOST_REASONS]):
        facts.add_row("  not done yet" if number == 0 else "", Text(safe(clip(words)), style="yellow"))
    if answer["frozen_seconds"] is not None:
        facts.add_row("  frozen", _frozen_words(answer))
    if answer["broken"]:
        seconds = answer["broken"]["seconds"]
        reasons = answer["broken"]["reasons"]
        if seconds is not None:
            facts.add_row("  broken for", Text(f"{seconds:.1f} s", style="yellow"))
        for number, reason in enumerate(reasons[:MOST_REASONS]):
            facts.add_row("  what was wrong" if number == 0 else "", Text(safe(clip(reason)), style="yellow"))
        if len(reasons) > MOST_REASONS:
            facts.add_row("", Text(f"and {len(reasons) - MOST_REASONS} more: see the report", style="dim"))
    console.print(facts)


def touch_rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what each release touches, and all of them together, and which way back follows."""
    rows = [("touches", f"{each['slug']} {each['to']}: {each['class']}; {touched(each)}") for each in told["releases"]]
    if len(rows) != 1 or told["outside"]:
        rows.append(("together", f"{told['class']}; {touched(told)}"))
    return [*rows, ("way back", told["way_back"])]


def _frozen_words(answer: Mapping[str, Any]) -> str:
    told, freeze = f"{answer['frozen_seconds']:.1f} s", answer["freeze"]
    if freeze and freeze["expected_seconds"] is not None and freeze["budget_seconds"] is not None:
        told += f" (expected: {freeze['expected_seconds']:.1f} s, allowed: {freeze['budget_seconds']:g} s)"
    return told


def drill_rows(drill: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what a drill has measured, beside what was promised."""
    where = f" on {drill['host']}" if drill.get("host") else ""
    rows = [("recovered" if where else "drilled", safe(drill["point"]) + where)]
    for title, seconds, promise in (
        ("recovered in", "recovery_seconds", "rto"),
        ("age of its data", "data_age_seconds", "rpo"),
    ):
        if drill[seconds] is not None:
            hours = drill[f"{promise}_hours"]
            promised = f"promised: {hours} h" if hours is not None else "nothing promised"
            rows.append((title, f"{span(drill[seconds])} ({promised})"))
    return rows


def span(seconds: float) -> str:
    """Say a length of time."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _point_words(point: Mapping[str, Any]) -> str:
    words = [str(point["id"])]
    if point.get("files") is not None:
        words.append(f"{point['files']} files")
    if point.get("bytes") is not None:
        words.append(size(point["bytes"]))
    if point.get("tables") is not None:
        words.append(f"{point['tables']} tables")
    return ", ".join(words)


def show_plan(console: Console, plan: Mapping[str, Any]) -> None:
    """Show what would be done, and how each step comes back."""
    for run in plan["runs"]:
        console.print(
            Text(f"{plan['client']}/{run['site']}: {run['duty']} on {run['host']}, run {run['run']}", style="bold")
        )
        if run["window"]:
            window = run["window"]
            days = ", ".join(window["days"])
            console.print(Text(f"  window: {days} {window['from']}–{window['to']} ({window['time_zone']})"))
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for title in ("", "step", "what it is for", "role", "way back"):
            table.add_column(title, overflow="fold")
        for number, step in enumerate(run["steps"], 1):
            table.add_row(
                str(number),
                Text(step["name"], style="bold" if step["changes_production"] else ""),
                step["purpose"] + (f" (on {step['host']})" if step["host"] != run["host"] else ""),
                f"{step['role']}/{step['tasks']}",
                " → ".join(step["way_back"]),
            )
        console.print(table)
        held = run["run_variables"]["upkeep_holds"]
        if held:
            words = ", ".join(f"{each['kind']} {each['slug']} {each['version']}" for each in held)
            console.print(Text(f"  held from earlier runs: {safe(words)}"))
        console.print()


def show_rows(console: Console, title: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Show a list; an empty one in a word."""
    rows = list(rows)
    if not rows:
        console.print(Text.assemble((title, "bold"), ": none"))
        return
    console.print(Text(title, style="bold"))
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in columns:
        # An id that is broken in two cannot be copied.
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column not in LONG_COLUMNS)
    for row in rows:
        table.add_row(*[_cell(column, row.get(column)) for column in columns])
    console.print(table)


def _cell(column: str, value: Any) -> Text:
    if value is None:
        return Text("–", style="dim")
    if column == "variables":
        return Text(safe("\n".join(value)))
    if isinstance(value, list | tuple):
        return Text(safe("; ".join(str(each) for each in value)))
    if column in ("reason", "message"):
        return Text(safe(clip(value)))
    if column == "outcome":
        return Text(str(value), style=COLOURS.get(str(value), ""))
    if column in ("began", "since", "opened", "taken", "ended"):
        return Text(str(value)[:19].replace("T", " "))
    if column == "bytes":
        return Text(size(value))
    return Text(safe(value))


def size(count: float) -> str:
    """Say a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
