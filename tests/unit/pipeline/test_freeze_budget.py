"""How long a freeze will be, said before it begins; what is copied in it, and what is copied ahead."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.module_utils.database import DatabaseError
from plugins.module_utils.freeze_budget import AHEAD, IN_THE_FREEZE, Expected, Pace, expected, refuse, with_spare
from plugins.module_utils.tables_aside import TablesAside, from_staging
from plugins.module_utils.task import Stop

MB = 1_000_000
# 20 MB are copied in a second, and 200 MB compared.
PACE = Pace(copied_bytes=20 * MB, copy_seconds=1.0, looked_bytes=200 * MB, look_seconds=1.0)
REST = {"migrate": 0.5, "probe": 1.0}


def freeze(sizes: dict[str, int], *, must: list[str], budget: float = 60.0) -> Expected:
    return expected(PACE, sizes, must, set(sizes) - set(must), budget=budget, rest=REST)


def test_the_seconds_follow_from_the_bytes_and_what_the_run_measured() -> None:
    found = freeze({"posts": 40 * MB, "orders": 100 * MB}, must=["posts"])

    assert (found.way, found.tables, found.bytes) == (IN_THE_FREEZE, ["posts"], 40 * MB)
    assert found.parts == {
        "drain": 0.15, "checksums": 0.5, "put_aside": 2.0, "migrate": 0.5, "probe": 1.0, "verify": 0.5,
    }  # fmt: skip
    assert found.evidence()["seconds"] == 4.65
    refuse(found, {}, "acme")


def test_where_copying_takes_too_long_the_copies_are_made_ahead_and_compared_in_the_freeze() -> None:
    found = freeze({"posts": 2000 * MB, "orders": 100 * MB}, must=["posts"])

    assert found.way == AHEAD
    assert found.parts["put_aside"] == 0
    assert found.parts["checksums"] == 10.5
    assert found.seconds < 60
    refuse(found, {}, "acme")


def test_a_freeze_that_is_too_long_in_any_way_is_refused_with_numbers_and_what_to_change() -> None:
    sizes = {"posts": 2000 * MB, "orders": 100 * MB}
    with pytest.raises(Stop) as stop:
        refuse(freeze(sizes, must=["posts"], budget=10), sizes, "acme")

    assert stop.value.outcome == "refused"
    for words in (
        "about 13 s",
        "allows 10 s (scope.update.freeze_seconds)",
        "comparing tables before 10.5 s",
        "posts 2000.0 MB, orders 100.0 MB",
        "Production was not touched. Allow 13 s",
        "upkeep run acme",
    ):
        assert words in str(stop.value)
    assert stop.value.evidence["expected"]["seconds"] == 12.65


def test_small_tables_that_visitors_wrote_to_are_copied_too_and_big_ones_are_not() -> None:
    sizes = {"posts": 20 * MB, "small": 1 * MB, "smaller": MB // 2, "big": 900 * MB}
    found = freeze(sizes, must=["posts"])

    more = with_spare(found, PACE, sizes, ["big", "small", "smaller"])

    assert (more.tables, more.spare) == (["posts", "smaller", "small"], ["smaller", "small"])
    assert more.bytes == 21.5 * MB
    assert more.seconds == pytest.approx(found.seconds + 0.075)


def test_nothing_is_copied_too_where_that_would_exceed_what_is_allowed() -> None:
    sizes = {"posts": 20 * MB, "small": 1 * MB}
    found = freeze(sizes, must=["posts"])
    tight = freeze(sizes, must=["posts"], budget=found.seconds + 0.01)

    assert with_spare(tight, PACE, sizes, ["small"]).spare == []


def test_where_nothing_was_measured_nothing_is_refused() -> None:
    found = expected(Pace(), {"posts": 5000 * MB}, ["posts"], [], budget=60, rest={})
    refuse(found, {}, "acme")


class Server:
    """Tables of one database, `{name: rows}`; a definition is a word."""

    def __init__(self, name: str = "shop", **tables: str) -> None:
        self.name, self.rows, self.sized = name, dict(tables), 1000
        self.words = dict.fromkeys(tables, "d")
        self.log: list[Any] = []

    def tables(self) -> list[str]:
        return sorted(name for name in self.rows if not name.startswith("upkeep_"))

    def sizes(self) -> dict[str, int]:
        return dict.fromkeys(self.tables(), self.sized)

    def looked_at(self, tables: list[str]) -> tuple[dict[str, str], dict[str, str]]:
        definitions = {name: self.words[name] for name in self.tables()}
        return {name: f"{self.rows.get(name, 'NULL')}:{definitions.get(name, '')}" for name in tables}, definitions

    def checksums(self, tables: list[str]) -> dict[str, str]:
        return self.looked_at(tables)[0]

    def cannot_put_aside(self, tables: list[str]) -> list[str]:
        return [name for name in tables if "tied" in name]

    def lay_out(self, tables: list[str]) -> dict[str, str]:
        copies = {name: f"upkeep_aside_{number}" for number, name in enumerate(tables)}
        self.rows.update(dict.fromkeys(copies.values(), ""))
        return copies

    def put_aside(self, copies: dict[str, str], *, writers: bool = False) -> None:
        self.log.append(("copied", sorted(copies), writers))
        self.rows.update({copy: self.rows[name] for name, copy in copies.items()})

    def put_aside_again(self, copies: dict[str, str]) -> None:
        self.log.append(("again", sorted(copies)))
        self.put_aside(copies)

    def write(self, **tables: str) -> None:
        self.rows.update(tables)
        for name in tables:
            self.words.setdefault(name, "d")


# Staging saw wp_changed change and wp_made come; of the others it holds these rows.
STAGED = {"sums": {"wp_quiet": "1:d", "wp_lively": "1:d", "wp_tied": "1:d"}, "new_tables": ["wp_made"]}


def aside(server: Server, *, budget: float = 60.0, pace: Any = None, elsewhere: str = "") -> TablesAside:
    staged = {**STAGED, "pace": pace or {}, "elsewhere": elsewhere}
    tables = TablesAside(server, "wp_", ["wp_changed"], staged)  # type: ignore[arg-type]
    tables.plan(budget=budget, migrates=False, probe_seconds=0.1, client="acme")
    tables.lay_out()
    return tables


def shop() -> Server:
    return Server(wp_changed="1", wp_quiet="1", wp_lively="2", wp_tied="1", other_site="1")


def frozen(tables: TablesAside) -> dict[str, Any]:
    seen = tables.look()
    tables.fill(seen.pop("again"))
    return seen


def test_what_staging_still_holds_needs_no_copy_and_what_was_written_since_gets_one() -> None:
    tables = aside(shop())
    seen = frozen(tables)

    assert tables.tables == ["wp_changed", "wp_lively"]
    # A table with foreign keys or triggers cannot be put back by renaming; one of another site is not looked at.
    assert (sorted(seen["sums"]), seen["spares"]) == (["wp_quiet", "wp_tied"], ["wp_quiet"])


def test_what_staging_holds_on_another_server_is_copied_here() -> None:
    server = shop()
    tables = aside(server, elsewhere="yard")
    journal = frozen(tables)

    assert tables.tables == ["wp_changed", "wp_quiet", "wp_lively"]
    assert (sorted(journal["sums"]), journal["spares"], journal["quiet"]) == (["wp_tied"], [], {"wp_quiet": "1:d"})
    assert tables.expected.evidence()["measured"].startswith("copying and comparing here")
    server.write(wp_changed="9", wp_lively="9", wp_made="1")
    assert tables.changed(journal) == ([], [])
    server.write(wp_quiet="2", wp_tied="2", wp_came="1")
    assert tables.changed(journal) == (["wp_came", "wp_quiet"], ["wp_tied"])


def test_what_takes_long_to_copy_for_want_of_staging_is_copied_ahead() -> None:
    server = shop()
    # One table takes 0.4 s, which is no freeze worth speaking of; two are more than is spent for a spare.
    pace = {"copied_bytes": 1000, "copy_seconds": 0.6, "looked_bytes": 10_000, "look_seconds": 1.0}
    assert aside(shop(), pace=pace).expected.way == IN_THE_FREEZE

    tables = aside(server, pace=pace, elsewhere="yard")

    assert (tables.expected.way, server.log) == (AHEAD, [("copied", ["wp_changed", "wp_quiet"], True)])
    server.write(wp_quiet="3")
    journal = frozen(tables)
    assert server.log[1] == ("again", ["wp_quiet"])
    assert journal["quiet"] == {"wp_quiet": "3:d"}
    server.write(wp_quiet="4")
    assert tables.changed(journal) == (["wp_quiet"], [])


def test_tables_of_a_site_whose_prefix_begins_with_this_ones_are_left_alone() -> None:
    server = shop()
    server.write(wp_two_options="1", wp_two_posts="1", wp_two_users="1", wp_two_shop="1", wp_x_options="1")
    seen = frozen(aside(server))
    assert [name for name in seen["sums"] if name.startswith("wp_two")] == []
    assert "wp_x_options" in aside(server).tables


def test_a_table_that_changed_only_in_production_is_seen() -> None:
    server = shop()
    tables = aside(server)
    journal = frozen(tables)
    server.write(wp_changed="9", wp_lively="9", wp_made="1", other_site="9", made_by_another="1")
    assert tables.changed(journal) == ([], [])

    server.write(wp_quiet="2", wp_tied="2", wp_came="1")

    assert tables.changed(journal) == (["wp_came", "wp_quiet"], ["wp_tied"])


def test_an_index_that_came_and_a_table_that_went_are_changes() -> None:
    server = shop()
    tables = aside(server)
    journal = frozen(tables)
    server.words["wp_quiet"] = "e"
    assert tables.changed(journal) == (["wp_quiet"], [])
    del server.rows["wp_quiet"]
    assert tables.changed(journal) == (["wp_quiet"], [])


SLOW = {"copied_bytes": 100, "copy_seconds": 10.0, "looked_bytes": 10_000, "look_seconds": 1.0}


def test_copies_made_ahead_are_made_again_where_somebody_wrote_meanwhile() -> None:
    server = shop()
    tables = aside(server, pace=SLOW)
    assert (tables.expected.way, server.log) == (AHEAD, [("copied", ["wp_changed"], True)])
    frozen(tables)
    assert server.log[1:] == []

    server.sized = 10
    server.write(wp_changed="2")
    frozen(tables)

    assert server.log[-2] == ("again", ["wp_changed"])
    assert server.rows[tables.copies["wp_changed"]] == "2"


def test_a_copy_made_ahead_that_the_server_cannot_compare_is_made_again() -> None:
    server = shop()
    server.write(wp_changed="NULL")
    tables = aside(server, pace=SLOW)
    server.sized = 10
    frozen(tables)
    assert server.log[-2] == ("again", ["wp_changed"])


def test_too_much_written_meanwhile_stops_before_anything_is_exchanged() -> None:
    server = shop()
    tables = aside(server, pace=SLOW)
    server.write(wp_changed="2")
    with pytest.raises(
        DatabaseError, match=r"wp_changed were written to after they had been copied.* 60 s are allowed"
    ):
        frozen(tables)


def test_a_definition_that_changes_at_the_last_moment_stops() -> None:
    server = shop()
    tables = aside(server)
    server.words["wp_changed"] = "e"
    with pytest.raises(DatabaseError, match="definition of a table at the last moment"):
        frozen(tables)


def test_a_table_that_no_copy_can_stand_for_stops_before_anything_is_laid_out() -> None:
    server = Server(wp_changed="1", wp_tied="1")
    tables = TablesAside(server, "wp_", ["wp_tied"], STAGED)  # type: ignore[arg-type]
    with pytest.raises(DatabaseError, match="cannot be put aside: wp_tied"):
        tables.plan(budget=60, migrates=False, probe_seconds=0.1, client="acme")


def test_only_what_staging_still_holds_row_for_row_is_taken_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    live, staging = shop(), Server("shop_staging", wp_quiet="1", wp_lively="7")
    monkeypatch.setattr("plugins.module_utils.tables_aside.replace", lambda database, name: staging)
    taken: list[Any] = []
    monkeypatch.setattr(Server, "take_over", lambda self, tables, other: taken.append((tables, other)), raising=False)
    sums = {"wp_quiet": "1:d", "wp_lively": "2:d"}
    journal = {"sums": sums, "spares": ["wp_quiet", "wp_lively"], "staging": "shop_staging"}

    back = from_staging(live, journal, ["wp_lively", "wp_quiet"])  # type: ignore[arg-type]

    assert (back, taken) == (["wp_quiet"], [(["wp_quiet"], "shop_staging")])
    assert from_staging(live, {"sums": sums}, ["wp_quiet"]) == []  # type: ignore[arg-type]
