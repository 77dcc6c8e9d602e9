# GPL-3.0-or-later
"""How long a freeze will be, from what this run has measured, and which tables are copied aside in it.

Copied are the tables that staging saw change and those that could not be compared. Of the others each is looked at before
and after, in the freeze. Most are then what staging still holds, row for row: that is their copy. Where visitors have
written since, there is none, so small ones are copied too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping

from .database import Database
from .freeze import QUIET_SECONDS
from .task import Stop

BUDGET_SECONDS = 60.0
# Copies of tables that staging did not see change are worth so much of a freeze, and no more.
SPARE_SECONDS = 0.5
# A copy of so many bytes says how fast the server copies; copying all of a big table for that would tell no more.
SAMPLE_BYTES = 64 * 1024 * 1024

IN_THE_FREEZE, AHEAD = "in the freeze", "ahead"


@dataclass(frozen=True)
class Pace:
    """What this run measured in staging, on the same server: seconds for so many bytes, and for a migration."""

    copied_bytes: int = 0
    copy_seconds: float = 0.0
    looked_bytes: int = 0
    look_seconds: float = 0.0
    migrate_seconds: float = 0.0

    def copy(self, size: float) -> float:
        """Return the seconds that a copy of so many bytes will take; 0 where nothing was measured."""
        return self.copy_seconds * size / self.copied_bytes if self.copied_bytes else 0.0

    def look(self, size: float) -> float:
        """Return the seconds in which tables of so many bytes are compared once."""
        return self.look_seconds * size / self.looked_bytes if self.looked_bytes else 0.0


@dataclass(frozen=True)
class Expected:
    """What a freeze will need: tables and bytes to copy in it, and seconds by part."""

    way: str
    tables: list[str]
    spare: list[str]
    """Those of the tables that staging did not see change."""
    bytes: int
    budget: float
    parts: dict[str, float] = field(default_factory=dict)
    measured: str = "copying, comparing and migrating in staging, probes in preflight, by this run"

    @property
    def seconds(self) -> float:
        """Return the seconds of the whole freeze."""
        return sum(self.parts.values())

    def evidence(self) -> dict[str, Any]:
        """Return what the ledger keeps of it."""
        return {
            "seconds": round(self.seconds, 2),
            "budget": self.budget,
            "bytes": self.bytes,
            "tables": len(self.tables),
            "copied": self.way,
            "parts": {name: round(seconds, 3) for name, seconds in self.parts.items()},
            "measured": self.measured,
        }


def measured(
    staging: Database, tables: Iterable[str], sizes: Mapping[str, int], *, writers: bool = False
) -> tuple[int, float]:
    """Copy tables in the staging database, as a promotion does in production. Returns bytes and seconds.

    Without a staging database here it is production's own, where there are `writers`, who are not kept waiting.

    `sizes` are production's: of tables that were loaded a moment ago the server's estimate is not good yet. Of more than
    SAMPLE_BYTES only so many rows are copied as that makes. Raises DatabaseError.
    """
    names = sorted(set(tables) & set(staging.tables()) & set(sizes))
    total = sum(sizes[name] for name in names)
    share = min(1.0, SAMPLE_BYTES / total) if total else 1.0
    limits = {}
    if share < 1:
        rows = staging.query(
            "SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        )
        limits = {row[0]: int(share * int(row[1])) + 1 for row in rows if row[0] in names and row[1].isdigit()}
    copies = staging.lay_out(names)
    started = time.monotonic()
    try:
        staging.put_aside(copies, rows=limits, writers=writers)
        return int(share * total), round(time.monotonic() - started, 4)
    finally:
        staging.drop(list(copies.values()))


def expected(
    pace: Pace,
    sizes: Mapping[str, int],
    must: Iterable[str],
    others: Iterable[str],
    *,
    budget: float,
    rest: Mapping[str, float],
) -> Expected:
    """Say what a freeze will need that copies `must` and compares `others` before and after; `rest` are seconds beside that.

    When copying in the freeze would take too long, the copies are made ahead: then only what was written since is copied in
    the freeze, and all of them are compared there, which is faster.
    """
    must, others = sorted(set(must)), sorted(set(others))
    copied, compared = (sum(sizes.get(name, 0) for name in names) for names in (must, others))
    parts = {
        "drain": QUIET_SECONDS,
        "checksums": pace.look(compared),
        "put_aside": pace.copy(copied),
        **rest,
        "verify": pace.look(compared),
    }
    found = Expected(IN_THE_FREEZE, must, [], copied, budget, parts)
    if found.seconds <= budget:
        return found
    return Expected(
        AHEAD, must, [], copied, budget, {**parts, "checksums": pace.look(compared + copied), "put_aside": 0.0}
    )


def with_spare(found: Expected, pace: Pace, sizes: Mapping[str, int], lively: Iterable[str]) -> Expected:
    """Add small tables that were written to since staging, so that they have a copy too, for SPARE_SECONDS at most."""
    room = min(SPARE_SECONDS, found.budget - found.seconds)
    spare: list[str] = []
    for name in sorted(lively, key=lambda table: (sizes.get(table, 0), table)):
        if pace.copy(sum(sizes.get(each, 0) for each in [*spare, name])) > room or found.way == AHEAD:
            break
        spare.append(name)
    more = sum(sizes.get(each, 0) for each in spare)
    parts = {**found.parts, "put_aside": found.parts["put_aside"] + pace.copy(more)}
    tables = [*found.tables, *spare]
    return Expected(found.way, tables, spare, found.bytes + more, found.budget, parts, found.measured)


def with_quiet(found: Expected, pace: Pace, sizes: Mapping[str, int], quiet: Iterable[str]) -> Expected:
    """Add the tables that are as staging has them, where staging is on another server: here there is no copy of them yet.

    They are copied in the freeze, for SPARE_SECONDS at most; where that would take longer, all copies are made ahead.
    """
    names = sorted(set(quiet))
    more = sum(sizes.get(name, 0) for name in names)
    seconds = pace.copy(more)
    if found.way == IN_THE_FREEZE and seconds <= min(SPARE_SECONDS, found.budget - found.seconds):
        way, parts = IN_THE_FREEZE, {**found.parts, "put_aside": found.parts["put_aside"] + seconds}
    else:
        # They are compared as all others are, and so are the copies.
        compared = found.parts["verify"] + pace.look(found.bytes + more)
        way, parts = AHEAD, {**found.parts, "checksums": compared, "put_aside": 0.0}
    told = "copying and comparing here, migrating on the staging host, probes in preflight, by this run"
    return Expected(way, [*found.tables, *names], [], found.bytes + more, found.budget, parts, told)


def refuse(found: Expected, sizes: Mapping[str, int], client: str) -> None:
    """Raise Stop when the freeze would be longer than the contract allows, whatever is done ahead."""
    if found.seconds <= found.budget:
        return
    biggest = sorted(sizes, key=lambda table: -sizes[table])[:3]
    named = ", ".join(f"{table} {megabytes(sizes[table])}" for table in biggest)
    least = int(found.seconds) + 1
    raise Stop(
        "refused",
        f"Visitors would be kept out for about {found.seconds:.0f} s, and the contract allows {found.budget:g} s"
        f" (scope.update.freeze_seconds): {_parts(found)}. The biggest tables: {named}. Production was not touched. Allow"
        f" {least} s, or make these tables smaller, then type: upkeep run {client}",
        {"expected": found.evidence()},
    )


def megabytes(size: float) -> str:
    """Say a number of bytes."""
    return f"{size / 1e6:.1f} MB"


def _parts(found: Expected) -> str:
    words = {"checksums": "comparing tables before", "put_aside": "copying them", "verify": "comparing them after"}
    told = [f"{words.get(name, name)} {seconds:.1f} s" for name, seconds in found.parts.items() if seconds >= 0.05]
    return ", ".join(told)
