# GPL-3.0-or-later
"""Find the largest set of changes with which a site stays healthy, in few tries.

A try is dear: the whole staged site is put back, changed and probed. Everything together is tried
first, because that mostly works. Then halves are tried on top of what is known to be good, so one
bad change among n is named after at most log2(n) + 2 tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Generic, Mapping, Sequence, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What may be delivered, what is held, and how many tries it took; both lists keep the given order.

    `delivered` was tried exactly as it is and was healthy, or it is empty. It need not be the last
    set that was tried.
    """

    delivered: list[T]
    held: list[T]
    rounds: int


@dataclass(frozen=True)
class _Conviction:
    """`culprit` on top of `base` was tried and broke the site; `base` without it did not."""

    culprit: int
    base: frozenset[int]

    @property
    def together(self) -> frozenset[int]:
        return self.base | {self.culprit}


def search(changes: Sequence[T], healthy: Callable[[list[T]], Any]) -> Outcome[T]:
    """Try sets of changes, each from the same staged state, until the largest healthy set is known.

    `healthy` says True, or gives a verdict with `healthy` in it. Put what others need first: a change
    that works only with another one is tried on top of those before it. The empty set is taken as
    healthy: the caller has probed the staged state. "Largest" rests on one belief: what breaks the
    site also breaks it in the company of more changes.
    """
    tries = _Tries(changes, healthy)
    every = frozenset(range(len(changes)))
    delivered, convictions = _halve(tries, frozenset(), every)
    if len(convictions) > 1:
        # One held change cannot be too many: everything together was tried and is bad.
        delivered = _largest(tries, every, delivered, convictions)
    return Outcome(tries.named(delivered), tries.named(every - delivered), tries.rounds)


class _Tries(Generic[T]):
    """The tries that were made and their results. Changes are numbers here, so nothing is asked of T."""

    def __init__(self, changes: Sequence[T], healthy: Callable[[list[T]], Any]) -> None:
        self._changes = changes
        self._healthy = healthy
        self._known: dict[frozenset[int], bool] = {frozenset(): True}
        self.rounds = 0

    def named(self, numbers: frozenset[int]) -> list[T]:
        return [self._changes[number] for number in sorted(numbers)]

    def good(self, numbers: frozenset[int]) -> bool:
        """Try this very set, unless it was tried before."""
        if numbers not in self._known:
            self.rounds += 1
            verdict = self._healthy(self.named(numbers))
            # A verdict is a dictionary, and one that says "unhealthy" is true as well.
            self._known[numbers] = bool(verdict["healthy"] if isinstance(verdict, Mapping) else verdict)
        return self._known[numbers]

    def surely_good(self, numbers: frozenset[int]) -> bool:
        """As `good`, but conclude from smaller bad and larger good sets. Never enough for what is delivered."""
        for known, was_good in self._known.items():
            if was_good and numbers <= known:
                return True
            if not was_good and known <= numbers:
                return False
        return self.good(numbers)


def _halve(
    tries: _Tries[T], base: frozenset[int], candidates: frozenset[int]
) -> tuple[frozenset[int], list[_Conviction]]:
    """Grow `base` by every candidate that it bears. What is returned was tried as a whole, unless nothing was added."""
    left = sorted(candidates)
    convictions: list[_Conviction] = []
    at_once = len(left)
    while left:
        chosen, left = left[:at_once], left[at_once:]
        if tries.good(base.union(chosen)):
            base = base.union(chosen)
            at_once *= 2
            continue
        base_before = base
        while len(chosen) > 1:
            middle = (len(chosen) + 1) // 2
            half, other = chosen[:middle], chosen[middle:]
            if tries.good(base.union(half)):
                base, chosen = base.union(half), other
            else:
                chosen, left = half, other + left
        convictions.append(_Conviction(chosen[0], base))
        # One culprit is the rule, so all the rest is tried at once. Where nothing was good between
        # two culprits, most of the rest will be bad too: go on in small steps.
        hopeless = base == base_before and len(convictions) > 1
        at_once = max(1, min(at_once, len(left)) // 4) if hopeless else len(left)
    return base, convictions


def _largest(
    tries: _Tries[T], every: frozenset[int], best: frozenset[int], convictions: list[_Conviction]
) -> frozenset[int]:
    """Show that no larger set is healthy, or find one.

    Halving ends with a set that bears nothing more, but another set may be larger: when a breaks b,
    c and d, leaving out a alone is better. So the convictions are sharpened into the smallest sets
    that break the site. Whatever is delivered leaves out one of each.
    """
    waiting = list(convictions)
    breaking: list[frozenset[int]] = []
    while _at_least(breaking + [conviction.together for conviction in waiting]) < len(every - best):
        if waiting:
            breaking.append(_sharpen(tries, waiting.pop(0)))
            continue
        left_out = _smallest_cut(breaking, every - best)
        if len(left_out) >= len(every - best):
            break
        candidate = every - left_out
        if tries.good(candidate):
            return candidate
        waiting = _halve(tries, best & candidate, candidate - best)[1][:1]
    return best


def _sharpen(tries: _Tries[T], conviction: _Conviction) -> frozenset[int]:
    """Reduce the culprit and its company to those that are needed to break the site."""
    needed = frozenset({conviction.culprit})
    company = sorted(conviction.base)
    while company and tries.surely_good(needed):
        good, bad = 0, len(company)
        while bad - good > 1:
            middle = (good + bad) // 2
            if tries.surely_good(needed.union(company[:middle])):
                good = middle
            else:
                bad = middle
        needed = needed | {company[bad - 1]}
        company = company[: bad - 1]
    return needed


def _at_least(breaking: Sequence[frozenset[int]]) -> int:
    """Count breaking sets that share nothing: at least so many changes must be left out."""
    seen: frozenset[int] = frozenset()
    count = 0
    for numbers in sorted(breaking, key=len):
        if not numbers & seen:
            seen |= numbers
            count += 1
    return count


def _smallest_cut(breaking: Sequence[frozenset[int]], known: frozenset[int]) -> frozenset[int]:
    """Choose the fewest changes so that each breaking set loses one; `known` is such a choice already."""
    best = known

    def choose(left_out: frozenset[int]) -> None:
        nonlocal best
        whole = sorted((numbers for numbers in breaking if not numbers & left_out), key=len)
        if len(left_out) + _at_least(whole) >= len(best):
            return
        if not whole:
            best = left_out
            return
        for number in sorted(whole[0]):
            choose(left_out | {number})

    choose(frozenset())
    return best
