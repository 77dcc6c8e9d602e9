"""Retention: what stays, what goes, and that no clock, no policy and no person takes the newest good point away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.contract.model import Retention
from orchestrator.errors import Refused
from orchestrator.plan.retention import FLOOR, Decision, KnownPoint, decide, taken_at

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POLICY = Retention(daily=7, weekly=4, monthly=12, yearly=2)
NOTHING = Retention(0, 0, 0, 0)


def point(taken: datetime, number: int = 0, **more: Any) -> KnownPoint:
    return KnownPoint(**{"id": f"{taken:%Y%m%dT%H%M%SZ}-{number:08x}", "client": "acme", "site": "shop", **more})


def nightly(count: int, last: datetime = NOW - timedelta(hours=10)) -> list[KnownPoint]:
    return [point(last - timedelta(days=day)) for day in range(count)]


def judge(points: list[KnownPoint], policy: Retention = POLICY, now: datetime = NOW, **more: Any) -> Decision:
    return decide(points, policy, now, **{"client": "acme", "site": "shop", "zone": BERLIN, **more})


def ids(judged: Any) -> list[str]:
    return [each.id for each in judged]


def reasons(decision: Decision) -> dict[str, tuple[str, ...]]:
    return {each.id: each.reasons for each in (*decision.kept, *decision.removed)}


# ---- by example ------------------------------------------------------------------------------------------------------


def test_two_years_of_nights_come_down_to_what_was_promised():
    decision = judge(nightly(730))
    assert len(decision.kept) == 21
    newest = decision.kept[0]
    assert newest.reasons == (
        "daily 2026-11-22", "weekly 2026-W47", "monthly 2026-11", "yearly 2026", "newest good point",
    )  # fmt: skip
    assert reasons(decision)["20261115T020000Z-00000000"] == ("weekly 2026-W46",)
    assert reasons(decision)["20261031T020000Z-00000000"] == ("monthly 2026-10",)
    assert reasons(decision)["20251231T020000Z-00000000"] == ("monthly 2025-12", "yearly 2025")
    assert {each.reasons for each in decision.removed} == {
        ("no span needs it (7 daily, 4 weekly, 12 monthly, 2 yearly)",)
    }


def test_a_site_that_was_quiet_for_years_keeps_what_it_has():
    decision = judge(nightly(7, datetime(2019, 3, 1, tzinfo=UTC)))
    assert decision.removed == ()


def test_a_clock_that_jumps_ahead_removes_no_more_than_the_right_one():
    assert judge(nightly(30)) == judge(nightly(30), now=NOW + timedelta(days=4000))


def test_the_clients_calendar_decides_what_a_day_is():
    evening, midnight = datetime(2026, 11, 20, 22, 30, tzinfo=UTC), datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    points = [point(evening), point(midnight), point(NOW)]
    only_days = Retention(3, 0, 0, 0)
    assert len(judge(points, only_days, floor=1).kept) == 3
    assert len(judge(points, only_days, floor=1, zone=UTC).kept) == 2


def test_the_day_on_which_the_clocks_go_back_is_one_day():
    # 02:30 comes twice in Berlin on 25 October 2026.
    first, second = (point(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1))
    decision = judge([first, second, point(NOW)], Retention(9, 0, 0, 0), floor=1)
    assert ids(decision.removed) == [first.id]
    assert reasons(decision)[second.id] == ("daily 2026-10-25",)


def test_the_last_days_of_december_belong_to_the_week_they_are_in():
    points = [point(datetime(2026, 12, 31, 12, tzinfo=UTC)), point(datetime(2027, 1, 3, 12, tzinfo=UTC))]
    decision = judge(points, Retention(0, 5, 0, 0), datetime(2027, 2, 1, tzinfo=UTC), floor=1)
    assert reasons(decision)[points[1].id] == ("weekly 2026-W53", "newest good point")
    assert ids(decision.removed) == [points[0].id]


def test_the_floor_keeps_the_newest_good_points_whatever_the_policy_says():
    decision = judge(nightly(10), Retention(1, 0, 0, 0))
    assert len(decision.kept) == FLOOR == 3
    assert decision.kept[2].reasons == ("floor: one of the newest 3 good points",)


def test_the_newest_good_point_stays_below_newer_ones_that_are_not_good():
    broken = point(NOW - timedelta(hours=1), problems=("its snapshot is not in the repository",))
    begun = point(NOW - timedelta(days=5), has_manifest=False)
    good = [point(NOW - timedelta(days=20)), point(NOW - timedelta(days=21))]
    decision = judge([broken, begun, *good], Retention(1, 0, 0, 0), floor=1)
    assert reasons(decision)[good[0].id] == ("daily 2026-11-02", "newest good point")
    assert "a person decides" in reasons(decision)[broken.id][0]
    assert ids(decision.removed) == [begun.id, good[1].id]


def test_an_empty_policy_removes_nothing_and_says_so():
    decision = judge(nightly(50), NOTHING)
    assert decision.removed == ()
    assert "keeps nothing" in decision.halted
    assert decision.kept[-1].reasons == (decision.halted,)


def test_a_point_from_the_future_stops_everything_and_is_named():
    ahead = point(NOW + timedelta(days=3650))
    decision = judge([*nightly(50), ahead])
    assert decision.removed == ()
    assert ahead.id in decision.halted
    assert decision.kept[0].reasons == ("taken in the future: kept",)


def test_a_clock_that_jumps_back_removes_nothing():
    decision = judge(nightly(50), now=NOW - timedelta(days=400))
    assert decision.removed == ()
    assert "a clock is wrong" in decision.halted


def test_a_person_can_name_the_point_from_the_future_and_the_rest_goes_on():
    ahead = point(NOW + timedelta(days=3650))
    decision = judge([*nightly(50), ahead], unwanted=frozenset({ahead.id}))
    assert decision.halted == ""
    assert reasons(decision)[ahead.id] == ("a person named it",)
    assert ids(decision.kept) == ids(judge(nightly(50)).kept)


def test_a_person_cannot_name_what_is_needed():
    points = nightly(10)
    locked = replace(points[9], locked_until=NOW + timedelta(days=3))
    needed = {points[8].id: "run 20261122T115900Z-00000001"}
    decision = judge([*points[:9], locked], unwanted=frozenset(each.id for each in points), in_use=needed)
    assert ids(decision.kept) == ids(points[:3]) + ids(points[8:])
    assert reasons(decision)[points[8].id] == ("needed by run 20261122T115900Z-00000001",)
    assert reasons(decision)[locked.id] == ("locked until 2026-11-25 12:00 UTC",)


def test_a_lock_that_has_run_out_keeps_nothing():
    points = nightly(40)
    over = replace(points[30], locked_until=NOW - timedelta(seconds=1))
    assert over.id in ids(judge([*points[:30], over]).removed)


@pytest.mark.parametrize("strange", [{"client": "other"}, {"site": "blog"}, {"client": ""}])
def test_a_point_of_somebody_else_is_an_error(strange: dict[str, str]):
    with pytest.raises(Refused, match=r"lies among those of acme/shop; nothing was removed"):
        judge([*nightly(5), point(NOW - timedelta(days=9), 1, **strange)])


def test_a_point_that_is_not_there_and_one_that_is_no_id_are_refused():
    with pytest.raises(Refused, match="has no restore point"):
        judge(nightly(5), unwanted=frozenset({"20200101T000000Z-00000000"}))
    for word in ("latest", "20261122T020000Z-1F0C9A2B", "20261322T020000Z-1f0c9a2b", "20261122T020000Z-1f0c9a2b\n"):
        with pytest.raises(Refused, match="is not the id"):
            taken_at(word)
    with pytest.raises(Refused, match="twice"):
        judge([point(NOW), point(NOW)])


@pytest.mark.parametrize(
    ("what", "age", "words"),
    [
        ({}, timedelta(hours=47), "it may belong to a run"),
        ({}, timedelta(hours=49), ""),
        ({"was_complete": True}, timedelta(days=90), "it was complete once"),
        ({"was_complete": True, "removal_begun": True}, timedelta(hours=1), ""),
    ],
)
def test_a_snapshot_without_a_manifest_goes_only_when_nobody_can_want_it(what: Any, age: timedelta, words: str):
    begun = point(NOW - age, 7, has_manifest=False, **what)
    decision = judge([*nightly(3), begun])
    assert (begun.id in ids(decision.kept)) == bool(words)
    assert words in reasons(decision)[begun.id][0]


def test_without_any_good_point_nothing_is_removed():
    points = [point(NOW - timedelta(days=day), has_manifest=False) for day in range(5, 20)]
    decision = judge(points)
    assert decision.removed == ()
    assert "no good restore point" in decision.halted
    assert judge([]) == Decision((), (), "")


# ---- by property -----------------------------------------------------------------------------------------------------

# Three years of days, any second of them: points of the same day and points far apart.
moments = st.builds(
    lambda days, seconds: NOW - timedelta(days=days, seconds=seconds), st.integers(0, 1100), st.integers(1, 86400)
)
zones = st.sampled_from(["Europe/Berlin", "Pacific/Apia", "America/St_Johns", "Australia/Lord_Howe", "UTC"]).map(
    ZoneInfo
)
policies = st.builds(Retention, st.integers(0, 9), st.integers(0, 6), st.integers(0, 14), st.integers(0, 4))


@st.composite
def stocks(draw: st.DrawFn, later_than_now: bool = False) -> list[KnownPoint]:
    top = draw(st.lists(moments, max_size=40, unique_by=lambda moment: f"{moment:%Y%m%d%H%M%S}"))
    if later_than_now:
        top.append(NOW + draw(st.timedeltas(timedelta(seconds=1), timedelta(days=4000))))
    kinds = st.sampled_from(
        [{}, {}, {}, {}, {"problems": ("bad",)}, {"has_manifest": False},
         {"has_manifest": False, "removal_begun": True}, {"locked_until": NOW + timedelta(days=1)}]
    )  # fmt: skip
    return [point(moment, number, **draw(kinds)) for number, moment in enumerate(top)]


def newest_good(points: list[KnownPoint]) -> list[str]:
    return sorted((each.id for each in points if each.good), reverse=True)


many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(stocks(), policies, zones, st.integers(0, 5))
def test_every_point_is_kept_or_removed_with_a_reason_and_the_newest_good_ones_stay(points, policy, zone, floor):
    decision = judge(points, policy, zone=zone, floor=floor)
    kept, removed = ids(decision.kept), ids(decision.removed)
    assert sorted(kept + removed) == sorted(each.id for each in points)
    assert not set(kept) & set(removed)
    assert all(each.reasons and all(each.reasons) for each in (*decision.kept, *decision.removed))
    assert set(newest_good(points)[: max(floor, 1)]) <= set(kept)
    assert not [each for each in decision.removed if each.point.locked_until]


@many
@given(stocks(), policies, zones)
def test_deciding_again_changes_nothing(points, policy, zone):
    first = judge(points, policy, zone=zone)
    again = judge([each.point for each in first.kept], policy, zone=zone)
    assert again.removed == ()
    assert ids(again.kept) == ids(first.kept)


@many
@given(stocks(), policies, zones, st.randoms(use_true_random=False))
def test_the_order_in_which_points_are_listed_does_not_matter(points, policy, zone, random):
    mixed = list(points)
    random.shuffle(mixed)
    assert judge(mixed, policy, zone=zone) == judge(points, policy, zone=zone)


@many
@given(stocks(), stocks(), policies, zones)
def test_more_points_never_take_the_newest_good_one_away(points, more, policy, zone):
    known = {each.id for each in points}
    both = [*points, *(each for each in more if each.id not in known)]
    decision = judge(both, policy, zone=zone)
    assert set(newest_good(both)[:1]) <= set(ids(decision.kept))


@many
@given(stocks(), policies, zones)
def test_a_more_generous_policy_keeps_all_that_a_meaner_one_keeps(points, policy, zone):
    more = Retention(policy.daily + 1, policy.weekly + 2, policy.monthly + 1, policy.yearly + 1)
    assert set(ids(judge(points, policy, zone=zone).kept)) <= set(ids(judge(points, more, zone=zone).kept)) or (
        # Where a policy of nothing keeps everything, one of something may remove.
        policy == NOTHING
    )


@many
@given(stocks(), policies, zones)
def test_what_is_not_good_never_takes_the_place_of_what_is(points, policy, zone):
    good = [each for each in points if each.good]
    with_others = {name for name in ids(judge(points, policy, zone=zone).kept) if name in set(ids(good))}
    assert with_others == set(ids(judge(good, policy, zone=zone).kept))


@many
@given(stocks(), policies, zones)
def test_each_span_has_as_many_points_as_were_promised_or_as_there_are(points, policy, zone):
    good = [each for each in points if each.good]
    told = [reason.split() for each in judge(points, policy, zone=zone).kept for reason in each.reasons]
    spans = {
        "daily": {f"{taken_at(each.id).astimezone(zone):%Y-%m-%d}" for each in good},
        "monthly": {f"{taken_at(each.id).astimezone(zone):%Y-%m}" for each in good},
        "yearly": {f"{taken_at(each.id).astimezone(zone):%Y}" for each in good},
    }
    for name, there in spans.items():
        kept = [words[1] for words in told if words[0] == name]
        assert len(kept) == len(set(kept)) == min(getattr(policy, name), len(there))
        assert set(kept) == set(sorted(there, reverse=True)[: len(kept)])


@many
@given(stocks(), policies, st.data())
def test_what_is_in_use_stays(points, policy, data):
    needed = data.draw(st.sets(st.sampled_from(ids(points)))) if points else set()
    decision = judge(points, policy, in_use=dict.fromkeys(needed, "run x"))
    assert needed <= set(ids(decision.kept))


@many
@given(stocks(later_than_now=True), policies, zones)
def test_with_a_point_from_the_future_nothing_at_all_is_removed(points, policy, zone):
    decision = judge(points, policy, zone=zone)
    assert decision.removed == ()
    assert "a clock is wrong" in decision.halted


@many
@given(stocks(), policies, st.data())
def test_a_person_removes_at_most_what_was_named_besides_what_goes_anyway(points, policy, data):
    named = frozenset(data.draw(st.sets(st.sampled_from(ids(points)))) if points else set())
    plain, decision = judge(points, policy), judge(points, policy, unwanted=named)
    assert set(ids(decision.removed)) <= set(ids(plain.removed)) | named
    assert set(newest_good(points)[:FLOOR]) <= set(ids(decision.kept))
