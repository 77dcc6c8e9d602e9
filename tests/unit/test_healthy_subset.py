"""The search for the largest healthy set, against worlds of changes that break alone, in pairs or in company."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils.healthy_subset import Outcome, search


class World:
    """A staged site that is broken by some sets of changes, and remembers what was tried."""

    def __init__(self, breaking: Iterable[Iterable[int]]) -> None:
        self.breaking = [set(numbers) for numbers in breaking]
        self.tried: list[list[int]] = []

    def healthy(self, changes: list[int]) -> bool:
        self.tried.append(list(changes))
        return not any(numbers <= set(changes) for numbers in self.breaking)

    def largest(self, count: int) -> int:
        """Find the answer by trying every set, largest first."""
        fresh = World(self.breaking)
        for size in range(count, -1, -1):
            if any(fresh.healthy(list(chosen)) for chosen in itertools.combinations(range(count), size)):
                return size
        return 0


def searched(count: int, breaking: Iterable[Iterable[int]]) -> tuple[World, Outcome[int]]:
    """Search, and check what must hold of every outcome."""
    world = World(breaking)
    outcome = search(list(range(count)), world.healthy)
    assert outcome.delivered == sorted(outcome.delivered)
    assert outcome.held == sorted(outcome.held)
    assert sorted(outcome.delivered + outcome.held) == list(range(count))
    assert outcome.rounds == len(world.tried)
    assert [] not in world.tried, "the staged state needs no try"
    assert len({tuple(tried) for tried in world.tried}) == len(world.tried), "nothing is tried twice"
    assert all(tried == sorted(tried) for tried in world.tried), "the order of the changes is kept"
    if outcome.delivered:
        assert outcome.delivered in world.tried, "what is delivered was tried as a whole"
        assert World(world.breaking).healthy(outcome.delivered)
    return world, outcome


def test_no_changes_need_no_try() -> None:
    world, outcome = searched(0, [])
    assert outcome == Outcome([], [], 0)
    assert world.tried == []


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_when_all_is_well_one_try_is_enough(count: int) -> None:
    _, outcome = searched(count, [])
    assert (outcome.held, outcome.rounds) == ([], 1)


@pytest.mark.parametrize("count", [*range(1, 18), 31, 32, 33, 64])
def test_one_bad_of_many_is_found_in_few_rounds(count: int) -> None:
    for culprit in range(count):
        _, outcome = searched(count, [[culprit]])
        assert outcome.held == [culprit]
        assert outcome.rounds <= math.ceil(math.log2(count)) + 2


@pytest.mark.parametrize("count", range(2, 10))
def test_two_bad_together_are_found_and_one_of_them_is_held(count: int) -> None:
    for pair in itertools.combinations(range(count), 2):
        _, outcome = searched(count, [pair])
        assert len(outcome.held) == 1
        assert set(outcome.held) < set(pair)
        assert outcome.rounds <= math.ceil(math.log2(count)) + 2


@pytest.mark.parametrize(("count", "most"), [(1, 1), (2, 3), (4, 8), (8, 15), (32, 50)])
def test_when_all_are_bad_nothing_is_delivered(count: int, most: int) -> None:
    _, outcome = searched(count, [[number] for number in range(count)])
    assert outcome.delivered == []
    assert outcome.rounds <= most


@pytest.mark.parametrize(
    ("count", "breaking", "held", "most"),
    [
        (8, [[2], [5]], [2, 5], 10),
        (8, [[0], [7]], [0, 7], 10),
        (8, [[0], [1], [2]], [0, 1, 2], 14),
        # One that goes with nobody: leaving it out is better than leaving out the three others.
        (8, [[0, 3], [0, 5], [0, 7]], [0], 22),
        (8, [[0, 1], [0, 2], [3, 4], [3, 5]], [0, 3], 30),
        (4, [[0, 1, 2, 3]], [3], 4),
        # A bad one, and beside it two that break together.
        (8, [[4], [1, 6]], [4, 6], 14),
    ],
)
def test_several_culprits(count: int, breaking: list[list[int]], held: list[int], most: int) -> None:
    _, outcome = searched(count, breaking)
    assert outcome.held == held
    assert outcome.rounds <= most


def breaking_sets(count: int, largest: int) -> st.SearchStrategy[list[frozenset[int]]]:
    return st.lists(st.frozensets(st.integers(0, count - 1), min_size=1, max_size=largest), max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 9).flatmap(lambda count: st.tuples(st.just(count), breaking_sets(count, 3))))
def test_the_largest_healthy_set_is_delivered(case: tuple[int, list[frozenset[int]]]) -> None:
    count, breaking = case
    world, outcome = searched(count, breaking)
    assert len(outcome.delivered) == world.largest(count)
    assert outcome.rounds <= 2**count - 1


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.frozensets(st.integers(0, n - 1), max_size=5))))
def test_culprits_that_break_alone_are_held_and_no_others(case: tuple[int, frozenset[int]]) -> None:
    count, culprits = case
    _, outcome = searched(count, [[number] for number in culprits])
    assert outcome.held == sorted(culprits)
    if culprits:
        # Each costs its halving, one try of the rest and one try alone; small steps may cost a little more.
        halvings = math.ceil(math.log2(count))
        assert outcome.rounds <= 1 + len(culprits) * (halvings + 2) + (halvings if len(culprits) > 1 else 0)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 20).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.frozensets(st.integers(0, n - 1), max_size=2),
            st.lists(st.frozensets(st.integers(0, n - 1), min_size=2, max_size=2), max_size=2),
        )
    )
)
def test_culprits_and_pairs_together_cost_few_rounds(case: tuple[int, frozenset[int], list[frozenset[int]]]) -> None:
    count, culprits, pairs = case
    _, outcome = searched(count, [*([number] for number in culprits), *pairs])
    assert len(outcome.held) <= len(culprits) + len(pairs)
    assert outcome.rounds <= 1 + (len(culprits) + len(pairs)) * 2 * (math.ceil(math.log2(count)) + 2)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(1, 2**n - 1)))))
def test_a_site_without_rhyme_or_reason_gets_only_what_was_tried(case: tuple[int, set[int]]) -> None:
    """Healthy sets at random: no belief holds, and still nothing untried is delivered and the search ends."""
    count, good = case
    tried: list[list[int]] = []

    def healthy(changes: list[int]) -> bool:
        tried.append(list(changes))
        return sum(1 << number for number in changes) in good

    outcome = search(list(range(count)), healthy)
    assert not outcome.delivered or outcome.delivered in tried
    assert not outcome.delivered or sum(1 << number for number in outcome.delivered) in good
    assert sorted(outcome.delivered + outcome.held) == list(range(count))


def test_a_change_that_needs_an_earlier_one_is_delivered_with_it() -> None:
    def healthy(changes: list[str]) -> bool:
        return "bad" not in changes and ("add-on" not in changes or "shop" in changes)

    assert search(["core", "shop", "add-on", "bad"], healthy).held == ["bad"]
    assert search(["bad", "core", "shop", "add-on"], healthy).held == ["bad"]


def test_a_verdict_may_be_a_dictionary_and_a_change_may_be_anything() -> None:
    changes: list[dict[str, Any]] = [{"slug": "good"}, {"slug": "bad"}]

    def healthy(chosen: list[dict[str, Any]]) -> dict[str, Any]:
        return {"healthy": changes[1] not in chosen, "reasons": []}

    assert search(changes, healthy) == Outcome([changes[0]], [changes[1]], 2)


def test_an_error_of_the_caller_comes_through() -> None:
    def healthy(changes: list[int]) -> bool:
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        search([1], healthy)
