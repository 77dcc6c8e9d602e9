"""Decide which part of a site's data is read back next, so that all of it is read within the promised time.

A part is `k` of `n`, by restic's own rule (`restic check --read-data-subset=k/n`): the first byte of a pack's name,
modulo n. So what is here called part 2 of 4 is the same that restic reads, and data that comes between two turns lies in
some part at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.contract.model import Verify
from orchestrator.contract.schema import PERIOD_DAYS

# A byte has no more values.
MOST_PARTS = 256


@dataclass(frozen=True)
class Reading:
    """Parts that were read back once. All of it is part 1 of 1."""

    at: datetime
    parts: tuple[int, ...]
    of: int


@dataclass(frozen=True)
class Turn:
    """What is read back now."""

    parts: tuple[int, ...]
    of: int

    def takes(self, pack: str) -> bool:
        """Whether a pack, by its name, is in one of these parts."""
        return part_of(int(pack[:2], 16), self.of) in self.parts

    @property
    def whole(self) -> bool:
        """Whether everything is read."""
        return len(self.parts) == self.of


ALL = Turn((1,), 1)


def part_of(first_byte: int, of: int) -> int:
    """Return the part in which packs of that first byte are."""
    return first_byte % of + 1


def parts_of(promise: Verify) -> int:
    """Return into how many parts the data is divided, so that one part at each turn is enough."""
    return max(1, min(MOST_PARTS, promise.all_within_days // PERIOD_DAYS[promise.every]))


def next_turn(readings: Sequence[Reading], promise: Verify, now: datetime) -> Turn:
    """Return the part that was read back longest ago, and each that would be overdue before the turn after this one.

    Readings with another number of parts count for what they read, so a contract may change at any time. What has never
    been read counts from the first reading on: a promise of thirty days is not broken on its first day.
    """
    of = parts_of(promise)
    last = _last_read(readings)
    first = min((reading.at for reading in readings), default=now)
    ages = {
        part: now - min(last.get(byte, first) for byte in range(MOST_PARTS) if part_of(byte, of) == part)
        for part in range(1, of + 1)
    }
    # Of parts that were read together, one that was never read comes first.
    never = {part_of(byte, of) for byte in range(MOST_PARTS) if byte not in last}
    oldest = max(ages, key=lambda part: (ages[part], part in never, -part))
    most = timedelta(days=promise.all_within_days) - timedelta(days=PERIOD_DAYS[promise.every])
    return Turn(tuple(part for part in ages if part == oldest or ages[part] > most), of)


def all_read_since(readings: Iterable[Reading]) -> datetime | None:
    """Return the moment since which every part was read back at least once; None while one never was."""
    last = _last_read(readings)
    return min(last.values()) if len(last) == MOST_PARTS else None


def _last_read(readings: Iterable[Reading]) -> dict[int, datetime]:
    last: dict[int, datetime] = {}
    for reading in readings:
        for byte in range(MOST_PARTS):
            if part_of(byte, reading.of) in reading.parts and reading.at > last.get(byte, reading.at - timedelta(1)):
                last[byte] = reading.at
    return last
