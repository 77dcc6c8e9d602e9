# GPL-3.0-or-later
"""The tables of a promotion: copied aside, compared in the freeze, and seen not to change where staging saw no change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Iterable, Mapping

from . import freeze_budget
from .database import NO_SUM, Database, DatabaseError
from .freeze_budget import AHEAD, Expected, Pace


@dataclass
class TablesAside:
    """What of production's database has a copy while it is migrated, and which one.

    `tables` are those that staging saw change, `staged` what else the rehearsal has left: the checksums of what it did not
    change, the tables that came, and how fast the server is.
    """

    database: Database
    prefix: str
    tables: list[str]
    staged: Mapping[str, Any]
    expected: Expected = field(default_factory=lambda: Expected(freeze_budget.IN_THE_FREEZE, [], [], 0, 0.0))
    # What all tables were like when the copies were laid out; those that no copy can stand for.
    definitions: dict[str, str] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    copies: dict[str, str] = field(default_factory=dict)
    # Checksums of the copies that were made ahead.
    ahead: dict[str, str] = field(default_factory=dict)
    # What staging, on another server, has not changed and nobody has written to since: copied here, for want of another copy.
    quiet: set[str] = field(default_factory=set)

    @property
    def elsewhere(self) -> bool:
        """Whether staging is on another server, so that it holds no copy that could be put back here."""
        return bool(self.staged.get("elsewhere"))

    @property
    def pace(self) -> Pace:
        """What this run measured in staging."""
        return Pace(**self.staged.get("pace", {}))

    def plan(self, *, budget: float, migrates: bool, probe_seconds: float, client: str) -> None:
        """Choose what is copied and when. Raises Stop when the freeze would be longer than `budget` seconds."""
        sizes = self.database.sizes()
        own = set(own_tables(sizes, self.prefix)) - set(self.tables)
        parts = {"migrate": self.pace.migrate_seconds if migrates else 0.0, "probe": probe_seconds}
        found = freeze_budget.expected(self.pace, sizes, self.tables, own, budget=budget, rest=parts)
        freeze_budget.refuse(found, sizes, client)
        sums, self.definitions = self.database.looked_at(sorted(own))
        self.stuck = set(self.database.cannot_put_aside(sorted(sizes)))
        stuck = sorted(self.stuck & set(self.tables))
        if stuck:
            raise DatabaseError(
                "tables with foreign keys, triggers, generated columns or a history cannot be put aside: "
                + ", ".join(stuck)
            )
        lively = {table for table in own - self.stuck if sums[table] != self._staged_sum(table)}
        if self.elsewhere:
            self.quiet = own - self.stuck - lively
            found = freeze_budget.with_quiet(found, self.pace, sizes, self.quiet)
            freeze_budget.refuse(found, sizes, client)
        self.expected = freeze_budget.with_spare(found, self.pace, sizes, lively)
        self.tables = self.expected.tables

    def lay_out(self) -> None:
        """Make the copies, empty, or full where they are made ahead. Production is only read."""
        self.copies = self.database.lay_out(self.tables)
        if self.expected.way == AHEAD:
            self.database.put_aside(self.copies, writers=True)
            self.ahead = self.database.checksums(list(self.copies.values()))

    def look(self) -> dict[str, Any]:
        """Compare all tables, in the freeze. Returns what the way back has to know. Raises DatabaseError.

        {known: the tables that there are, sums: what those without a copy here are like, spares: those of them that staging
        still holds as they are, again: copies made ahead that are not what their tables are any more, quiet: what those of `quiet`
        are like}
        """
        known = self.database.tables()
        others = [table for table in own_tables(known, self.prefix) if table not in self.copies]
        made = sorted(set(self.copies) & set(known)) if self.ahead else []
        copied = sorted(self.quiet & set(self.copies) - set(made))
        sums, now = self.database.looked_at([*others, *made, *copied])
        quiet = {table: sums[table] for table in sorted(self.quiet & set(sums))}
        if any(now.get(table) != self.definitions.get(table) for table in self.copies):
            raise DatabaseError("somebody changed the definition of a table at the last moment")
        then = {table: self.ahead.get(self.copies[table], NO_SUM) for table in made}
        # What the server cannot compare may have changed.
        again = [
            table for table in made if _rows(sums.pop(table)) != _rows(then[table]) or then[table].startswith(NO_SUM)
        ]
        seen = {"known": known, "sums": {table: sums[table] for table in others}, "again": again}
        if self.elsewhere:
            return {**seen, "spares": [], "quiet": quiet}
        spares = [table for table in others if table not in self.stuck and sums[table] == self._staged_sum(table)]
        return {**seen, "spares": spares}

    def fill(self, again: list[str]) -> None:
        """Copy what has to be copied in the freeze. Raises DatabaseError when that would take longer than is allowed."""
        if not self.ahead:
            self.database.put_aside(self.copies)
            return
        if again:
            sizes = self.database.sizes()
            size = sum(sizes.get(table, 0) for table in again)
            seconds = self.expected.seconds + self.pace.copy(size)
            if seconds > self.expected.budget:
                raise DatabaseError(
                    f"{', '.join(again[:5])} were written to after they had been copied, and copying them again would keep"
                    f" visitors out for {seconds:.0f} s, where {self.expected.budget:g} s are allowed"
                )
            self.database.put_aside_again({table: self.copies[table] for table in again})

    def changed(self, journal: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Return the tables that changed although staging saw no change: those that nobody else writes, and the others.

        The first ones came with the update, or were what staging still holds: they can be put back, row for row. The others
        were written to since they were staged, and have no copy.
        """
        quiet = dict(journal.get("quiet", {}))
        then = {**journal["sums"], **quiet}
        sums, definitions = self.database.looked_at(sorted(then))
        other = {table for table in sums if sums[table] != then[table]}
        known = {*journal["known"], *self.staged.get("new_tables", ())}
        came = set(own_tables(definitions, self.prefix)) - known
        strange = came | (other & {*journal["spares"], *quiet})
        return sorted(strange), sorted(other - strange)

    def _staged_sum(self, table: str) -> str:
        return str(self.staged.get("sums", {}).get(table, ""))


def from_staging(database: Database, journal: Mapping[str, Any], changed: list[str]) -> list[str]:
    """Put tables that staging still holds as they were in the freeze in the place of production's. Returns their names.

    What staging holds is compared first; a table that is not what it was is left alone. Safe to repeat.
    """
    wanted = [table for table in changed if table in journal.get("spares", ())]
    if not wanted:
        return []
    held = replace(database, name=journal["staging"]).checksums(wanted)
    good = [table for table in wanted if held[table] == journal["sums"][table]]
    database.take_over(good, journal["staging"])
    return good


def own_tables(tables: Iterable[str], prefix: str) -> list[str]:
    """Return the tables of the site with this prefix, without those of another one whose prefix begins with it.

    Visitors of that one are not kept out: what they write would be lost on a way back.
    """
    names = {table for table in tables if table.startswith(prefix)}
    options = [
        table[: -len("options")] for table in names if table.endswith("_options") and table != prefix + "options"
    ]
    others = tuple(other for other in options if {other + "posts", other + "users"} <= names)
    return sorted(table for table in names if not table.startswith(others))


def _rows(checksum: str) -> str:
    return checksum.partition(":")[0]
