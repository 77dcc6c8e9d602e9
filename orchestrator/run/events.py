"""Read Ansible's events: which step began, what our modules reported, how it ended.

Values in, values out. Of a module's result only `outcome`, `evidence` and `msg` are looked at; the rest may hold what is
nobody's business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.plan.step import Ending, Outcome, Seen

Evidence = dict[str, Any]

OUTCOMES = frozenset(outcome.value for outcome in Outcome)
COMPLAINTS = ("ERROR!", "[ERROR]:", "fatal:", "usage:", "ansible-playbook: error")


@dataclass(frozen=True)
class StepReport:
    """One step as it was seen: its ending, its evidence, its seconds."""

    seen: Seen
    evidence: Evidence
    began: datetime
    seconds: float


@dataclass
class _Open:
    name: str
    began: datetime
    outcome: Outcome | None = None
    evidence: Evidence = field(default_factory=dict)
    message: str = ""
    silent: bool = False
    unreachable: bool = False


class Reader:
    """Turn the events of one call of ansible-playbook into the step reports of one site, one after the other.

    Each play of the call is one step, in the order of `steps`. Where several sites are in one call, `hosts` are those of this
    one; without it every host is.
    """

    def __init__(
        self,
        steps: tuple[str, ...],
        hosts: Collection[str] = (),
        *,
        on_begin: Callable[[str, datetime], None],
        on_end: Callable[[StepReport], None],
    ) -> None:
        self._waiting = list(steps)
        self._hosts = frozenset(hosts)
        self._on_begin, self._on_end = on_begin, on_end
        self._open: _Open | None = None
        self._last: datetime | None = None
        self.reports: list[StepReport] = []
        self.complaints: list[str] = []
        self.process: int | None = None
        # Nothing more comes of this site: it failed, and Ansible goes on without it if it goes on at all.
        self.failed = False

    @property
    def over(self) -> bool:
        """Whether no further step of this site will be seen."""
        return self.failed or not (self._waiting or self._open)

    def read(self, event: Mapping[str, Any]) -> None:
        """Take in one event of ansible-runner."""
        kind = str(event.get("event", ""))
        data = event.get("event_data") or {}
        if event.get("created"):
            self._last = _instant(str(event["created"]))
        if isinstance(event.get("pid"), int):
            self.process = event["pid"]
        if self.over:
            return
        if kind == "playbook_on_play_start":
            self._close()
            self._begin()
        elif kind == "playbook_on_stats":
            self._close()
        elif kind in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable"):
            if not self._hosts or data.get("host") in self._hosts:
                self._result(kind, data)
        elif kind in ("verbose", "error", "warning", "system_warning", "playbook_on_no_hosts_matched"):
            self._complaint(kind, str(event.get("stdout", "")))

    def finish(self, *, code: int | None, cancelled: bool, now: datetime) -> tuple[StepReport, ...]:
        """Close what is open once the process has gone, and name the step that an unexplained end belongs to."""
        self._last = self._last or now
        if self._open is not None:
            # Its playbook did not come to its end, whatever a module had already said.
            self._close(Ending.CANCELLED if cancelled else Ending.SILENT)
        elif self._waiting and not self.failed and (cancelled or (all(each.seen.fine for each in self.reports))):
            # Ansible ended before it came to this step: a playbook that cannot be read, an unknown host, a Ctrl-C.
            self._begin()
            self._close(Ending.CANCELLED if cancelled else Ending.SILENT, code=code)
        return tuple(self.reports)

    def _begin(self) -> None:
        if not self._waiting:
            return
        name = self._waiting.pop(0)
        assert self._last is not None  # noqa: S101  # every event of a playbook carries its time
        self._open = _Open(name, self._last)
        self._on_begin(name, self._last)

    def _result(self, kind: str, data: Mapping[str, Any]) -> None:
        if self._open is None:
            return
        result = data.get("res") or {}
        message = str(result.get("msg") or result.get("censored") or "")
        if kind == "runner_on_unreachable":
            self._open.unreachable = True
            self._open.message = message or "the host could not be reached"
            self._fail()
            return
        if result.get("outcome") in OUTCOMES:
            self._open.outcome = Outcome(result["outcome"])
            self._open.message = message
            evidence = result.get("evidence")
            if isinstance(evidence, dict):
                # A step may have a part on the host and a part here: together they are its evidence.
                self._open.evidence.update(evidence)
            if kind == "runner_on_failed" and self._open.outcome in (Outcome.DONE, Outcome.NOTHING_TO_DO):
                self._open.silent = True
        elif kind == "runner_on_failed" and not data.get("ignore_errors"):
            self._open.silent = True
            self._open.message = _task_says(str(data.get("task", "")), message)
        if kind == "runner_on_failed" and not data.get("ignore_errors"):
            self._fail()

    def _fail(self) -> None:
        # At once: the other hosts of a call may take hours yet, and this site's way back does not wait for them.
        self._close()
        self.failed = True

    def _close(self, ending: Ending | None = None, code: int | None = None) -> None:
        if self._open is None:
            return
        done, self._open = self._open, None
        if ending is None:
            ending = _ending(done)
        elif ending is Ending.SILENT and done.unreachable:
            ending = Ending.UNREACHABLE
        message = done.message
        if ending is Ending.SILENT and not message:
            message = " ".join(self.complaints[:3]) or _unexplained(code)
        outcome = done.outcome if ending is Ending.REPORTED else None
        assert self._last is not None  # noqa: S101  # it was opened at a time
        seen = Seen(done.name, ending, outcome, message, str(done.evidence.get("state", "")))
        report = StepReport(seen, done.evidence, done.began, max(0.0, (self._last - done.began).total_seconds()))
        self.reports.append(report)
        self._on_end(report)

    def _complaint(self, kind: str, text: str) -> None:
        text = text.strip()
        if text and (kind == "error" or text.startswith(COMPLAINTS)):
            self.complaints.append(text.removeprefix("[ERROR]: ").removeprefix("ERROR! "))


def _ending(done: _Open) -> Ending:
    if done.unreachable:
        return Ending.UNREACHABLE
    if done.silent or done.outcome is None:
        return Ending.SILENT
    return Ending.REPORTED


def _task_says(task: str, message: str) -> str:
    return f"{task}: {message}" if task and message else task or message


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _unexplained(code: int | None) -> str:
    return f"ansible-playbook ended with code {code} and no report" if code else "the playbook ended without a report"
