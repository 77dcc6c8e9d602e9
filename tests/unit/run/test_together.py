"""Several sites in one call of the real Ansible: they share a start and no fate."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.errors import Busy, UpkeepError
from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.values import RunEntry, StepEntry
from orchestrator.plan.plan import Duty, SiteRun
from orchestrator.plan.step import Outcome
from orchestrator.run.events import StepReport
from orchestrator.run.runs import Desk, Result, begin, process_name, sweep
from orchestrator.run.together import begin_together
from tests.unit.run.desks import Watcher, planned
from tests.unit.run.fake_project import FakeProject

pytestmark = pytest.mark.slow

MakeDesk = Callable[..., Desk]
GOOD = ["preflight", "snapshot", "stage", "rehearse", "promote", "release"]
# The real Ansible needs a moment for every step of every site: where the steps do not matter, there are few.
FEW = ["preflight", "snapshot", "release"]
RUNS = {"shop": "20261122T020000Z-1f0c9a2b", "blog": "20261122T020000Z-2e1d8b3c"}


@pytest.fixture(autouse=True)
def two_hosts(project: FakeProject) -> None:
    project.hosts("shop", "blog")


def runs(duty: Duty = Duty.UPDATE) -> list[SiteRun]:
    return [planned(duty, run, site) for site, run in RUNS.items()]


def ended(results: Sequence[Result | UpkeepError]) -> dict[str, Result]:
    found = [each for each in results if isinstance(each, Result)]
    assert len(found) == len(results), results
    return {each.entry.site: each for each in found}


def step(entry: RunEntry, name: str) -> StepEntry:
    found = entry.step(name)
    assert found is not None
    return found


def moment(value: datetime | None) -> datetime:
    assert value is not None
    return value


def test_two_sites_share_one_call_and_each_has_its_own_run(
    desk: MakeDesk, project: FakeProject, tmp_path: Path
) -> None:
    project.script(snapshot_shop={"evidence": {"point": "the shop's"}}, snapshot_blog={"evidence": {"point": "other"}})
    asked = runs()
    asked[1] = replace(asked[1], variables={**asked[1].variables, "upkeep_holds": [{"slug": "lab-banner"}]})
    results = ended(begin_together(desk(real=True), asked, "digest"))
    for site, run in RUNS.items():
        assert (results[site].entry.id, results[site].finish.outcome) == (run, Outcome.DONE)
        assert [each.name for each in results[site].entry.steps] == GOOD == project.steps(site)
        told = [call["variables"] for call in project.calls() if call["host"] == site]
        holds = [{"slug": "lab-banner"}] if site == "blog" else []
        assert told == [{"run": run, "point": run, "holds": holds}] * 6
    assert step(results["shop"].entry, "snapshot").evidence["point"] == "the shop's"
    assert step(results["blog"].entry, "snapshot").evidence["point"] == "other"
    # One call: every step is begun for both before the next one is begun for either.
    assert [call["step"] for call in project.calls()] == [name for name in GOOD for _ in RUNS]
    assert list((tmp_path / "state" / "work").iterdir()) == []


def test_a_site_that_fails_leaves_the_others_alone(desk: MakeDesk, project: FakeProject) -> None:
    project.script(snapshot_shop={"outcome": "refused", "msg": "the store is away"})
    results = ended(begin_together(desk(real=True), runs(Duty.BACKUP), "digest"))
    assert results["shop"].finish.outcome is Outcome.REFUSED
    assert results["shop"].finish.reason == "the store is away"
    assert project.steps("shop") == FEW
    assert results["blog"].finish.outcome is Outcome.DONE
    assert project.steps("blog") == FEW


def test_the_way_back_of_one_site_waits_for_no_other(desk: MakeDesk, project: FakeProject) -> None:
    project.script(
        promote_shop={"outcome": "not-put-back", "msg": "the tables are locked"},
        promote_blog={"seconds": 60, "until": "the shop is done"},
        back_shop={"outcome": "put-back"},
    )

    class Seen(Watcher):
        def step_ended(self, run: SiteRun, report: StepReport) -> None:
            if (run.site, report.seen.step) == ("shop", "release"):
                (project.content / "the shop is done").touch()

    results = ended(begin_together(replace(desk(real=True), watch=Seen()), runs(), "digest"))
    shop, blog = results["shop"].entry, results["blog"].entry
    assert (results["shop"].finish.outcome, results["blog"].finish.outcome) == (Outcome.PUT_BACK, Outcome.DONE)
    assert [each.name for each in shop.steps[-2:]] == ["back", "release"]
    assert moment(step(shop, "release").ended) < moment(step(blog, "promote").ended)
    assert moment(step(blog, "promote").ended) - moment(step(blog, "promote").began) < timedelta(seconds=60)
    assert project.steps("blog") == GOOD


def test_what_ansible_said_of_a_step_without_a_report_is_kept_for_that_site(
    desk: MakeDesk, project: FakeProject
) -> None:
    project.script(snapshot_shop={"crash": "out of memory"})
    results = ended(begin_together(desk(real=True), runs(Duty.BACKUP), "digest"))
    log = results["shop"].log
    assert log is not None
    assert "out of memory" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert (results["shop"].finish.outcome, results["blog"].finish.outcome) == (Outcome.REFUSED, Outcome.DONE)
    assert results["blog"].log is None


def test_only_what_no_site_has_a_use_for_is_left_out(desk: MakeDesk, project: FakeProject) -> None:
    playbook = project.content / "playbooks" / "preflight.yml"
    task = playbook.read_text().partition("tasks:\n")[2]
    tagged = [
        task.replace("step: preflight", f"step: {tag}") + f"      tags: [{tag}]\n"
        for tag in ("pictures", "staging_host")
    ]
    playbook.write_text(playbook.read_text() + "".join(tagged))
    shop, blog = runs(Duty.BACKUP)
    shop = replace(shop, needless=("pictures", "staging_host"))
    begin_together(desk(real=True), [shop, replace(blog, needless=("pictures",))], "digest")
    assert project.steps("shop") == project.steps("blog") == ["preflight", "staging_host", "snapshot", "release"]
    begin_together(desk(real=True), [replace(shop, run="20261123T020000Z-1f0c9a2b")], "digest")
    assert project.steps("shop")[4:] == ["preflight", "snapshot", "release"]


def test_a_site_that_another_run_has_is_busy_and_the_other_one_is_done(
    desk: MakeDesk, project: FakeProject, ledger: Ledger
) -> None:
    other = "20261122T015900Z-0a0b0c0d"
    occupied = planned(Duty.UPDATE, other, "shop")
    entry = RunEntry(
        id=other, client="example", site="shop", host="shop", duty="update", digest="", point=other, promised={},
        variables=occupied.variables, began=datetime.now().astimezone(), process=process_name(),
    )  # fmt: skip
    ledger.begin_run(entry)
    busy, done = begin_together(desk(real=True), runs(Duty.BACKUP), "digest")
    assert isinstance(busy, Busy)
    assert isinstance(done, Result)
    assert done.finish.outcome is Outcome.DONE
    assert project.steps("shop") == []
    assert project.steps("blog") == FEW


def test_ctrl_c_asks_every_host_in_which_state_its_site_is(desk: MakeDesk, project: FakeProject) -> None:
    project.script(
        snapshot={"seconds": 60},
        recover_shop={"evidence": {"state": "untouched"}},
        recover_blog={"evidence": {"state": "put-back"}},
    )
    stopped = desk(real=True, cancelled=lambda: project.steps().count("snapshot") == 2)
    results = ended(begin_together(stopped, runs(Duty.BACKUP), "digest"))
    assert all(each.cancelled for each in results.values())
    assert (results["shop"].finish.outcome, results["blog"].finish.outcome) == (Outcome.REFUSED, Outcome.PUT_BACK)
    assert project.steps("shop")[-1] == project.steps("blog")[-1] == "recover"


def test_a_host_that_is_away_does_not_keep_the_others_waiting(desk: MakeDesk, project: FakeProject) -> None:
    hosts = json.loads((project.inventory / "hosts.yml").read_text())
    hosts["all"]["hosts"]["shop"] = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    (project.inventory / "hosts.yml").write_text(json.dumps(hosts))
    results = ended(begin_together(desk(real=True), runs(Duty.BACKUP), "digest"))
    assert [each.ending for each in results["shop"].entry.steps] == ["unreachable"]
    assert (results["shop"].finish.outcome, results["blog"].finish.outcome) == (Outcome.REFUSED, Outcome.DONE)


def test_an_error_of_ours_ends_the_call_and_is_raised(desk: MakeDesk, project: FakeProject, ledger: Ledger) -> None:
    class Full:
        def __getattr__(self, name: str) -> Callable[..., None]:
            def say(*given: object) -> None:
                if name == "step_began" and given[1] == "snapshot":
                    raise OSError("no space left on device")

            return say

    with pytest.raises(OSError, match="no space left"):
        begin_together(replace(desk(real=True), watch=Full()), runs(Duty.BACKUP), "digest")
    assert {entry.site for entry in ledger.unfinished("example")} == set(RUNS)


def test_the_folder_of_a_call_that_goes_on_is_not_swept_away(
    desk: MakeDesk, project: FakeProject, ledger: Ledger, tmp_path: Path
) -> None:
    here = replace(desk(), process=process_name())
    work = tmp_path / "state" / "work"
    begin(here, planned(Duty.BACKUP), "digest")
    (work / f"{RUNS['shop']}.shared").mkdir(parents=True)
    (work / f"{RUNS['blog']}.shared").mkdir()
    sweep(tmp_path / "state", ledger)
    assert [each.name for each in work.iterdir()] == [f"{RUNS['shop']}.shared"]
