"""Which part is read back next: all of it within the promised time, whatever the turns and the contract's changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.contract.model import Verify
from orchestrator.plan.rotation import ALL, MOST_PARTS, Reading, Turn, all_read_since, next_turn, part_of, parts_of

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
WEEKLY = Verify("weekly", 30)


@pytest.mark.parametrize(
    ("promise", "parts"),
    [
        (WEEKLY, 4),
        (Verify("weekly", 7), 1),
        (Verify("daily", 30), 30),
        (Verify("monthly", 31), 1),
        (Verify("monthly", 62), 2),
        (Verify("daily", 366), 256),
    ],
)
def test_there_are_as_many_parts_as_turns_in_the_promised_time(promise: Verify, parts: int) -> None:
    assert parts_of(promise) == parts


def test_one_part_after_the_other_and_round_again() -> None:
    readings: list[Reading] = []
    taken = []
    for week in range(9):
        turn = next_turn(readings, WEEKLY, NOW + week * WEEK)
        readings.append(Reading(NOW + week * WEEK, turn.parts, turn.of))
        taken.append(turn.parts)
    assert taken == [(1,), (2,), (3,), (4,), (1,), (2,), (3,), (4,), (1,)]


def test_what_would_be_overdue_before_the_next_turn_is_read_now() -> None:
    readings = [Reading(NOW + week * WEEK, (week + 1,), 4) for week in range(4)]
    assert next_turn(readings, WEEKLY, NOW + timedelta(days=38)) == Turn((1, 2, 3), 4)


def test_all_that_was_read_at_once_counts_for_every_part() -> None:
    readings = [Reading(NOW, ALL.parts, ALL.of)]
    assert all_read_since(readings) == NOW
    assert next_turn(readings, WEEKLY, NOW + WEEK) == Turn((1,), 4)


def test_a_contract_that_changes_forgets_nothing_that_was_read() -> None:
    # Parts 1 and 3 of 4 are part 1 of 2.
    readings = [Reading(NOW, (1,), 4), Reading(NOW + WEEK, (2,), 4), Reading(NOW + WEEK, (4,), 4)]
    assert next_turn(readings, Verify("weekly", 14), NOW + 1.5 * WEEK) == Turn((1,), 2)
    assert all_read_since(readings) is None


def test_a_part_is_what_restic_reads_for_it() -> None:
    assert [part_of(byte, 4) for byte in (0, 1, 4, 7, 255)] == [1, 2, 1, 4, 4]
    assert Turn((2, 4), 4).takes("01" + "0" * 62)
    assert not Turn((2, 4), 4).takes("02" + "0" * 62)
    assert ALL.whole
    assert not Turn((2,), 4).whole


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([WEEKLY, Verify("daily", 10), Verify("weekly", 7), Verify("monthly", 100), Verify("daily", 300)]),
    st.lists(st.floats(0.3, 1.0), min_size=5, max_size=40),
)
def test_whoever_comes_in_time_has_read_everything_in_time(promise: Verify, steps: list[float]) -> None:
    period = {"daily": 1, "weekly": 7, "monthly": 31}[promise.every]
    now, readings = NOW, []
    last = dict.fromkeys(range(MOST_PARTS), NOW)
    for step in steps:
        turn = next_turn(readings, promise, now)
        readings.append(Reading(now, turn.parts, turn.of))
        last.update({byte: now for byte in range(MOST_PARTS) if part_of(byte, turn.of) in turn.parts})
        now += timedelta(days=step * period)
        assert now - min(last.values()) <= timedelta(days=promise.all_within_days)
