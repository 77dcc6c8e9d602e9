"""What follows from a step: holds, incidents, restore points; and nothing from what a host makes up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.values import RunEntry
from orchestrator.plan.plan import Duty
from orchestrator.plan.step import Ending, Outcome, Seen
from orchestrator.run.events import StepReport
from orchestrator.run.record import Recorder, history
from tests.unit.run.desks import RUN, planned

BEGAN = datetime(2026, 11, 22, 2, tzinfo=UTC)


@pytest.fixture
def recorder(ledger: Ledger) -> Recorder:
    run = planned()
    ledger.begin_run(
        RunEntry(
            id=RUN,
            client=run.client,
            site=run.site,
            host=run.host,
            duty="update",
            digest="d",
            point=run.point,
            promised={},
            variables={},
            began=BEGAN,
        )
    )
    return Recorder(ledger, run)


def report(step: str, outcome: str | None, **evidence: Any) -> StepReport:
    ending = Ending.REPORTED if outcome else Ending.SILENT
    return StepReport(Seen(step, ending, Outcome(outcome) if outcome else None, "said"), evidence, BEGAN, 2.0)


def record(recorder: Recorder, *reports: StepReport) -> None:
    for each in reports:
        recorder.begin(each.seen.step, each.began)
        recorder.end(each)


def test_the_history_is_what_was_seen(recorder: Recorder, ledger: Ledger) -> None:
    record(recorder, report("preflight", "done"), report("promote", None))
    recorder.begin("recover", BEGAN)
    entry = ledger.run(RUN)
    assert entry is not None
    assert history(entry.steps) == (
        Seen("preflight", Ending.REPORTED, Outcome.DONE, "said"),
        Seen("promote", Ending.SILENT, None, "said"),
        Seen("recover", Ending.BEGUN),
    )


@pytest.mark.parametrize("held", [None, "all", [1, None], [{}], {"slug": "x"}])
def test_a_list_of_holds_of_another_shape_holds_nothing(recorder: Recorder, ledger: Ledger, held: Any) -> None:
    record(recorder, report("rehearse", "done", held=held))
    assert ledger.holds("example") == ()


def test_a_rehearsal_that_failed_holds_nothing(recorder: Recorder, ledger: Ledger) -> None:
    record(recorder, report("rehearse", "refused", held=[{"kind": "plugin", "slug": "a", "to": "1"}]))
    assert ledger.holds("example") == ()


def test_the_ledger_remembers_when_a_release_was_first_on_offer(recorder: Recorder, ledger: Ledger) -> None:
    offer = {"kind": "plugin", "slug": "good", "from": "1.0", "to": "2.0"}
    odd = [{**offer, "kind": "language"}, {**offer, "slug": "../x"}, {**offer, "to": "{{ 1 }}"}, {"kind": "plugin"}, 7]
    later = replace(report("rehearse", "nothing-to-do", offers=[offer]), began=BEGAN + timedelta(days=3))
    record(recorder, report("rehearse", "done", offers=[offer, *odd]), later)
    (seen,) = ledger.releases("example", since=BEGAN)
    assert (seen.kind, seen.slug, seen.version, (seen.last - seen.first).days) == ("plugin", "good", "2.0", 3)
    assert seen.first == BEGAN + timedelta(seconds=2)
    assert ledger.releases("example", since=BEGAN + timedelta(days=4)) == ()
    assert ledger.releases("other", since=BEGAN) == ()


@pytest.mark.parametrize("outcome", ["refused", None])
def test_a_restore_point_that_was_not_proven_is_none(recorder: Recorder, ledger: Ledger, outcome: str | None) -> None:
    record(recorder, report("snapshot", outcome, point=RUN, manifest={"point": RUN}))
    assert ledger.points("example") == ()


@pytest.mark.parametrize("taken", ["2026-11-22T02:00:05", "yesterday", None, 7])
def test_a_restore_point_without_a_sensible_time_has_the_steps(recorder: Recorder, ledger: Ledger, taken: Any) -> None:
    record(recorder, report("snapshot", "done", manifest={"taken": taken}))
    assert [(point.id, point.taken) for point in ledger.points("example")] == [(RUN, BEGAN)]


def test_an_incident_is_closed_only_by_a_site_that_was_seen_well(recorder: Recorder, ledger: Ledger) -> None:
    record(recorder, report("preflight", "unhealthy", verdict={"healthy": False, "reasons": ["/ answers 500"]}))
    record(recorder, report("preflight", "done"), report("preflight", "done", verdict={"healthy": False}))
    assert [each.reasons for each in ledger.incidents("example", open_only=True)] == [("/ answers 500",)]
    record(recorder, report("restore", "done", verdict={"healthy": True}))
    assert ledger.incidents("example", open_only=True) == ()


def test_a_drill_that_failed_is_an_incident_until_a_good_one(recorder: Recorder, ledger: Ledger) -> None:
    record(recorder, report("drill", "unhealthy", point=RUN))
    assert [(each.about, each.reasons) for each in ledger.incidents("example", open_only=True)] == [
        ("drill", ("said",))
    ]
    # That the site itself is well says nothing about its restore points.
    record(recorder, report("preflight", "done", verdict={"healthy": True}))
    assert len(ledger.incidents("example", open_only=True)) == 1
    record(recorder, report("drill", "done", point=RUN, recovery_seconds=60.0, data_age_seconds=60))
    assert ledger.incidents("example", open_only=True) == ()
    assert [drill.outcome for drill in ledger.drills("example")] == ["done", "unhealthy"]


def test_a_drill_that_took_longer_than_promised_is_an_incident(ledger: Ledger) -> None:
    run = replace(planned(), duty=Duty.DRILL, promised={"rto_hours": 2, "rpo_hours": 24})
    values = {"promised": run.promised, "variables": {}, "began": BEGAN}
    ledger.begin_run(
        RunEntry(RUN, run.client, run.site, run.host, "drill", "d", "newest", **values)  # type: ignore[arg-type]
    )
    record(Recorder(ledger, run), report("drill", "done", point=RUN, recovery_seconds=9000.0, data_age_seconds=100_000))
    (incident,) = ledger.incidents("example", open_only=True)
    assert incident.reasons == (
        "the recovery took 2.5 hours, and 2 are promised",
        "the age of its data was 27.8 hours, and 24 are promised",
    )


def test_what_changed_other_tables_in_production_than_in_staging_is_held(recorder: Recorder, ledger: Ledger) -> None:
    delivered = [{"kind": "plugin", "slug": "good", "from": "1.0", "to": "2.0"}]
    evidence = {"delivered": delivered, "verdict": {"healthy": True, "reasons": []}, "tables_only_here": ["wp_links"]}
    record(recorder, report("promote", "put-back", **evidence))
    (hold,) = ledger.holds("example")
    assert (hold.slug, hold.version) == ("good", "2.0")
    assert hold.reason == "changed tables in production that it did not change in staging: wp_links"
