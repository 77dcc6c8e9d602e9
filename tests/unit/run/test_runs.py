"""Whole runs: steps say what a script tells them to. Where Ansible itself matters, it is the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import Busy, Refused
from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.values import RunEntry
from orchestrator.plan.plan import Duty
from orchestrator.plan.step import Outcome
from orchestrator.results import exit_code
from orchestrator.run.runs import Desk, alive, begin, process_name, resume, sweep
from tests.unit.contract.samples import SAMPLE
from tests.unit.run.desks import RUN, Watcher, planned
from tests.unit.run.fake_project import FakeProject

MakeDesk = Callable[..., Desk]


def everything_under(folder: Path) -> str:
    return "".join(path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())


def wait_until(true: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_good_run_is_done_and_every_step_is_in_the_ledger(
    desk: MakeDesk, project: FakeProject, ledger: Ledger, watcher: Watcher, tmp_path: Path
) -> None:
    held = {"kind": "plugin", "slug": "bad", "from": "1", "to": "2", "sha256": "a" * 64, "reason": "white page"}
    project.script(
        preflight={"evidence": {"verdict": {"healthy": True}}},
        snapshot={"evidence": {"point": RUN, "manifest": {"taken": "2026-11-22T02:00:09+00:00"}}},
        rehearse={"evidence": {"held": [held]}},
        promote={"evidence": {"frozen_seconds": 0.4}},
    )
    result = begin(desk(real=True), planned(), "digest")
    steps = ["preflight", "snapshot", "stage", "rehearse", "promote", "release"]
    assert result.finish.outcome is Outcome.DONE
    assert exit_code(result) == 0
    assert project.steps() == steps == watcher.began
    # Two calls of Ansible, because the controller decides once: after the rehearsal.
    assert [step.name for step in result.entry.steps] == steps
    assert [step.outcome for step in result.entry.steps] == ["done"] * 6
    assert result.entry.steps[4].evidence["frozen_seconds"] == 0.4
    assert all(call["variables"] == {"run": RUN, "point": RUN, "holds": []} for call in project.calls())
    assert [(hold.slug, hold.version, hold.reason) for hold in ledger.holds("example")] == [("bad", "2", "white page")]
    assert [point.id for point in ledger.points("example", "shop")] == [RUN]
    # Nothing is left of the calls: ansible-runner writes the environment and all arguments down.
    assert list((tmp_path / "state" / "work").iterdir()) == []
    assert result.log is None
    assert "not-for-anybody" not in everything_under(tmp_path / "state")


def test_a_release_that_breaks_production_ends_the_run_as_put_back(desk: MakeDesk, project: FakeProject) -> None:
    project.script(promote={"outcome": "put-back", "msg": "white page on /", "evidence": {"broken_seconds": 1.5}})
    result = begin(desk(), planned(), "digest")
    assert (result.finish.outcome, result.finish.reason) == (Outcome.PUT_BACK, "white page on /")
    assert exit_code(result) == 3
    assert project.steps()[-2:] == ["promote", "release"]
    assert result.entry.steps[4].evidence == {"step": "promote", "broken_seconds": 1.5}


def test_what_broke_production_is_held_so_that_the_next_window_does_not_break_it_again(
    desk: MakeDesk, project: FakeProject, ledger: Ledger
) -> None:
    change = {"kind": "plugin", "slug": "lab-banner", "from": "1.0", "to": "2.12", "sha256": "b" * 64}
    verdict = {"healthy": False, "reasons": ["front page: status 500, expected 200"]}
    evidence = {"delivered": [change], "verdict": verdict, "broken_seconds": 2.1}
    project.script(promote={"outcome": "put-back", "evidence": evidence})
    begin(desk(), planned(), "digest")
    (hold,) = ledger.holds("example", "shop")
    assert (hold.kind, hold.slug, hold.version) == ("plugin", "lab-banner", "2.12")
    assert "front page: status 500" in hold.reason


def test_a_promotion_that_was_only_interrupted_holds_nothing(
    desk: MakeDesk, project: FakeProject, ledger: Ledger
) -> None:
    change = {"kind": "plugin", "slug": "lab-alpha", "from": "1.0", "to": "1.1"}
    evidence = {"delivered": [change], "broken": ["the run was told to stop"]}
    project.script(promote={"outcome": "put-back", "evidence": evidence})
    begin(desk(), planned(), "digest")
    assert ledger.holds("example", "shop") == ()


def test_a_site_that_is_not_well_before_is_not_touched_and_gets_an_incident(
    desk: MakeDesk, project: FakeProject, ledger: Ledger
) -> None:
    verdict = {"healthy": False, "reasons": ["/ answers 500"]}
    project.script(preflight=[{"outcome": "unhealthy", "evidence": {"verdict": verdict}}, {}])
    result = begin(desk(), planned(), "digest")
    assert exit_code(result) == 12
    assert project.steps() == ["preflight", "release"]
    assert [incident.reasons for incident in ledger.incidents("example")] == [("/ answers 500",)]
    verdict.update(healthy=True, reasons=[])
    project.script(preflight={"evidence": {"verdict": verdict}})
    begin(desk(), planned(Duty.BACKUP, "20261123T020000Z-1f0c9a2b"), "digest")
    assert ledger.incidents("example", open_only=True) == ()


@pytest.mark.slow
def test_a_module_that_crashes_in_production_has_the_host_asked(
    desk: MakeDesk, project: FakeProject, watcher: Watcher, tmp_path: Path
) -> None:
    project.script(restore={"crash": "out of memory"}, recover={"evidence": {"state": "put-back"}})
    result = begin(desk(real=True), planned(Duty.RESTORE), "digest")
    assert exit_code(result) == 3
    assert watcher.asked == 1
    assert project.steps() == ["preflight", "restore", "recover"]
    assert "out of memory" in result.entry.steps[1].message
    assert result.log == tmp_path / "state" / "logs" / f"{RUN}.log"
    assert result.log.stat().st_mode & 0o777 == 0o600
    assert "out of memory" in result.log.read_text()
    assert "not-for-anybody" not in everything_under(tmp_path / "state")


def test_a_module_that_is_still_at_work_is_waited_for(desk: MakeDesk, project: FakeProject, watcher: Watcher) -> None:
    busy = {"outcome": "busy", "msg": "still at work"}
    project.script(promote={"crash": "boom"}, recover=[busy, {"evidence": {"state": "put-back"}}])
    assert exit_code(begin(desk(), planned(), "digest")) == 3
    assert watcher.asked == 2


@pytest.mark.slow
def test_a_playbook_that_cannot_be_read_is_found_before_any_step(desk: MakeDesk, project: FakeProject) -> None:
    (project.content / "playbooks" / "snapshot.yml").write_text("- hosts: [\n")
    result = begin(desk(real=True), planned(Duty.BACKUP), "digest")
    assert exit_code(result) == 12
    assert project.steps() == ["release"]
    assert "YAML" in result.finish.reason


@pytest.mark.slow
def test_a_host_that_is_away_from_the_start_is_refused(desk: MakeDesk, project: FakeProject) -> None:
    hosts = {"shop": {"ansible_host": "127.0.0.1", "ansible_port": 1}}
    (project.inventory / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    result = begin(desk(real=True), planned(Duty.BACKUP), "digest")
    assert exit_code(result) == 12
    assert [step.ending for step in result.entry.steps] == ["unreachable"]


@pytest.mark.slow
def test_a_host_that_is_not_in_the_inventory_is_refused(desk: MakeDesk) -> None:
    run = planned(Duty.BACKUP)
    batches = tuple(tuple(replace(step, host="shp") for step in batch) for batch in run.batches)
    result = begin(desk(real=True), replace(run, host="shp", batches=batches), "digest")
    assert exit_code(result) == 12
    assert "no hosts" in result.finish.reason


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_production_ends_ansible_and_asks_the_host(
    desk: MakeDesk, project: FakeProject, watcher: Watcher
) -> None:
    project.script(restore={"seconds": 60}, recover={"evidence": {"state": "put-back"}, "msg": "put back"})
    result = begin(desk(real=True, cancelled=lambda: "restore" in project.steps()), planned(Duty.RESTORE), "digest")
    assert result.cancelled
    assert exit_code(result) == 3
    assert project.steps() == ["preflight", "restore", "recover"]
    assert [step.ending for step in result.entry.steps[1:]] == ["cancelled", "reported"]
    module = next(call["process"] for call in project.calls() if call["step"] == "restore")
    deadline = time.monotonic() + 5
    while Path(f"/proc/{module}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{module}").exists(), "the module outlived Ansible"


def test_ctrl_c_before_production_is_touched_ends_with_130(desk: MakeDesk, project: FakeProject) -> None:
    project.script(snapshot={"seconds": 60}, recover={"evidence": {"state": "untouched"}})
    result = begin(desk(lambda: "snapshot" in project.steps()), planned(), "digest")
    assert (exit_code(result), result.finish.outcome) == (130, Outcome.REFUSED)


@pytest.mark.slow
def test_ansible_does_not_outlive_a_controller_that_was_killed(project: FakeProject, tmp_path: Path) -> None:
    # Left alone it would go on to the release, and take away what tells a resumed run how far production came.
    project.script(promote={"seconds": 45})
    (project.inventory / "contract.yml").write_text(SAMPLE.read_text())
    environment = {**os.environ, "PYTHONPATH": str(SAMPLE.parents[2]), "UPKEEP_CONTENT": str(project.content)}
    where = ["--inventories", str(project.inventory.parent), "--ledger", str(tmp_path / "state" / "ledger.sqlite")]
    command = [sys.executable, "-m", "orchestrator.cli", "run", "example", "--now", *where]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as controller:
        wait_until(lambda: "promote" in project.steps())
        children = Path(f"/proc/{controller.pid}/task/{controller.pid}/children").read_text().split()
        controller.kill()
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), seconds=20)
    assert "release" not in project.steps()


def test_a_run_whose_truth_is_unknown_stays_open_keeps_its_site_and_can_be_taken_up(
    desk: MakeDesk, project: FakeProject, ledger: Ledger
) -> None:
    project.script(promote={"crash": "boom"}, recover=[{"silent": True}, {"evidence": {"state": "finished"}}])
    first = begin(desk(), planned(), "digest")
    assert first.finish.unfinished
    assert exit_code(first) == 4
    with pytest.raises(Refused, match="did not come to its end") as refused:
        begin(desk(), planned(run="20261123T020000Z-1f0c9a2b"), "digest")
    assert refused.value.next_step == "upkeep run --resume example"
    (entry,) = ledger.unfinished("example")
    second = resume(desk(), entry)
    assert (exit_code(second), second.entry.outcome) == (0, "done")
    assert ledger.unfinished("example") == ()
    assert project.steps()[4:] == ["promote", "recover", "recover"]


def test_a_host_that_goes_away_in_production_leaves_the_run_open(desk: MakeDesk, project: FakeProject) -> None:
    project.script(promote={"unreachable": "Connection timed out"})
    result = begin(desk(), planned(), "digest")
    assert (exit_code(result), result.entry.state, result.finish.reason) == (4, "open", "Connection timed out")


def test_one_run_at_a_time_on_a_site(desk: MakeDesk, ledger: Ledger) -> None:
    other = replace(desk(), process=process_name())
    entry_of_other = planned(run="20261121T020000Z-aaaaaaaa")
    ledger.begin_run(
        RunEntry(
            id=entry_of_other.run,
            client="example",
            site="shop",
            host="shop",
            duty="update",
            digest="d",
            point=entry_of_other.run,
            promised={},
            variables={},
            began=other.clock(),
            process=other.process,
        )
    )
    with pytest.raises(Busy, match="20261121T020000Z-aaaaaaaa is at work on example/shop"):
        begin(desk(), planned(), "digest")
    (entry,) = ledger.unfinished()
    with pytest.raises(Busy):
        resume(desk(), entry)


def test_a_run_is_carried_out_once(desk: MakeDesk) -> None:
    begin(desk(), planned(Duty.BACKUP), "digest")
    with pytest.raises(Refused, match="carried out already"):
        begin(desk(), planned(Duty.BACKUP), "digest")


def test_a_process_that_died_is_told_from_one_that_lives() -> None:
    me = process_name()
    machine, number, started = me.split(":")
    assert alive(me)
    assert not alive(f"{machine}:{number}:{int(started) - 1}"), "another process had this number before"
    with subprocess.Popen(["sleep", "60"]) as other:
        name = f"{machine}:{other.pid}:" + Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        assert alive(name)
        os.kill(other.pid, signal.SIGKILL)
    assert not alive(name)
    assert alive(f"elsewhere:{number}:{started}"), "what cannot be seen from here counts as alive"
    assert not alive("")


def test_what_killed_calls_left_behind_is_swept_away(desk: MakeDesk, ledger: Ledger, tmp_path: Path) -> None:
    left = tmp_path / "state" / "work" / RUN / "artifacts"
    left.mkdir(parents=True)
    (left / "command").write_text("the whole environment")
    sweep(tmp_path / "state", ledger)
    assert not left.exists()


def test_a_ledger_that_fails_in_the_middle_ends_ansible_and_leaves_the_run_to_be_resumed(
    desk: MakeDesk, project: FakeProject, ledger: Ledger
) -> None:
    project.script(promote={"seconds": 60}, recover={"evidence": {"state": "put-back"}})

    class Full:
        """A watcher standing for whatever breaks while events come in."""

        def __getattr__(self, name: str) -> Callable[..., None]:
            def say(*given: object) -> None:
                if name == "step_began" and given[1] == "promote":
                    raise OSError("no space left on device")

            return say

    broken = replace(desk(), watch=Full())
    with pytest.raises(OSError, match="no space left"):
        begin(broken, planned(), "digest")
    (entry,) = ledger.unfinished("example")
    assert entry.steps[-1].ending == "begun"
    result = resume(replace(desk(), process="elsewhen:1:1"), replace(entry, process=""))
    assert exit_code(result) == 3
