"""Ansible's events read: what is taken from them, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.plan.step import Ending, Outcome
from orchestrator.run.events import Reader, StepReport

START = datetime(2026, 11, 22, 2, tzinfo=UTC)


class Played:
    """Feeds events to a reader, one second apart."""

    def __init__(self, *steps: str) -> None:
        self.begun: list[str] = []
        self.ended: list[StepReport] = []
        self.moment = START
        self.reader = Reader(
            steps,
            on_begin=lambda name, _at: self.begun.append(name),
            on_end=self.ended.append,
        )

    def event(self, kind: str, **data: Any) -> Played:
        self.moment += timedelta(seconds=1)
        stdout = data.pop("stdout", "")
        created = self.moment.replace(tzinfo=UTC).isoformat()
        self.reader.read({"event": kind, "created": created, "pid": 42, "stdout": stdout, "event_data": data})
        return self

    def playbook(self, name: str, *results: tuple[str, dict[str, Any]], stats: bool = True) -> Played:
        self.event("playbook_on_play_start", name=f"Play of {name}")
        for kind, result in results:
            self.event(kind, res=result, task=f"Task of {name}", host="shop")
        return self.event("playbook_on_stats") if stats else self

    def finish(self, code: int | None = 0, *, cancelled: bool = False) -> list[tuple[str, str, str | None]]:
        reports = self.reader.finish(code=code, cancelled=cancelled, now=START)
        return [
            (each.seen.step, each.seen.ending.value, each.seen.outcome.value if each.seen.outcome else None)
            for each in reports
        ]


def ok(**result: Any) -> tuple[str, dict[str, Any]]:
    return "runner_on_ok", {"outcome": "done", "evidence": {}, "msg": "", **result}


def failed(**result: Any) -> tuple[str, dict[str, Any]]:
    return "runner_on_failed", result


def test_each_playbook_of_a_batch_is_a_step_with_its_evidence_and_seconds() -> None:
    played = Played("preflight", "snapshot")
    played.playbook("preflight", ok(evidence={"verdict": {"healthy": True}}, msg="well"))
    played.playbook("snapshot", ok(evidence={"point": "p"}))
    assert played.finish() == [("preflight", "reported", "done"), ("snapshot", "reported", "done")]
    assert played.begun == ["preflight", "snapshot"]
    assert played.ended[0].evidence == {"verdict": {"healthy": True}}
    assert played.ended[0].seen.message == "well"
    assert played.ended[0].seconds == 2.0


def test_a_step_with_a_part_on_the_host_and_a_part_here_has_one_evidence() -> None:
    played = Played("snapshot")
    played.playbook("snapshot", ok(evidence={"point": "p"}), ok(evidence={"manifest": {"schema": 1}}))
    played.finish()
    assert played.ended[0].evidence == {"point": "p", "manifest": {"schema": 1}}


def test_a_failing_module_says_what_it_had_done_by_then() -> None:
    played = Played("promote", "release")
    played.playbook("promote", failed(outcome="put-back", msg="white page", evidence={"put_back": True}))
    assert played.finish(2) == [("promote", "reported", "put-back")]
    assert played.ended[0].evidence == {"put_back": True}


@pytest.mark.parametrize(
    "results",
    [
        [failed(msg="Traceback", module_stderr="secret")],
        [ok(), failed(msg="the second task failed")],
        [failed(outcome="done", msg="says done and fails")],
        [failed(outcome="splendid", msg="no word of ours")],
        [("runner_on_ok", {"changed": False})],
        [],
    ],
)
def test_a_step_that_does_not_report_in_our_words_is_silent(results: list[tuple[str, dict[str, Any]]]) -> None:
    played = Played("promote").playbook("promote", *results)
    assert played.finish(2) == [("promote", "silent", None)]
    assert "secret" not in str(played.ended)
    assert played.ended[0].seen.message


def test_a_failure_that_the_playbook_ignores_is_not_ours_to_count() -> None:
    played = Played("preflight")
    played.event("playbook_on_play_start", name="Look")
    played.event("runner_on_failed", res={"msg": "no"}, ignore_errors=True)
    played.event("runner_on_ok", res={"outcome": "done", "evidence": {}, "msg": ""}).event("playbook_on_stats")
    assert played.finish() == [("preflight", "reported", "done")]


def test_a_host_that_cannot_be_reached_is_neither_good_nor_bad() -> None:
    played = Played("preflight").playbook("preflight", ("runner_on_unreachable", {"msg": "timed out"}))
    assert played.finish(4) == [("preflight", "unreachable", None)]
    assert played.ended[0].seen.message == "timed out"


def test_what_no_log_hides_stays_hidden() -> None:
    played = Played("snapshot").playbook("snapshot", failed(censored="the output has been hidden"))
    played.finish(2)
    assert played.ended[0].seen.message == "Task of snapshot: the output has been hidden"


def test_an_end_in_the_middle_of_a_step_is_silent_or_cancelled_and_keeps_the_evidence() -> None:
    for cancelled, ending in ((False, Ending.SILENT), (True, Ending.CANCELLED)):
        played = Played("promote", "release").playbook("promote", ok(evidence={"frozen_seconds": 1}), stats=False)
        assert played.finish(None, cancelled=cancelled) == [("promote", ending.value, None)]
        assert played.ended[0].evidence == {"frozen_seconds": 1}


def test_an_end_before_any_step_is_laid_to_the_first_one_with_what_ansible_said() -> None:
    played = Played("preflight", "snapshot")
    played.event("verbose", stdout="[WARNING]: nothing to see")
    played.event("verbose", stdout="ERROR! the playbook: preflight.yml could not be found")
    assert played.finish(1) == [("preflight", "silent", None)]
    assert played.ended[0].seen.message == "the playbook: preflight.yml could not be found"


def test_an_end_between_two_steps_is_laid_to_the_second() -> None:
    assert Played("promote", "release").playbook("promote", ok()).finish(1) == [
        ("promote", "reported", "done"),
        ("release", "silent", None),
    ]
    assert Played("promote", "release").playbook("promote", ok()).finish(None, cancelled=True)[1] == (
        "release",
        "cancelled",
        None,
    )


def test_after_a_failing_step_the_ones_that_did_not_begin_are_not_spoken_of() -> None:
    played = Played("preflight", "snapshot").playbook("preflight", failed(outcome="busy", msg="", evidence={}))
    assert played.finish(2) == [("preflight", "reported", Outcome.BUSY.value)]
