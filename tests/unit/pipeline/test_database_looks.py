"""What is asked of a database to know what changed in it, and how the answers are read."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.module_utils import freeze_budget, touched
from plugins.module_utils.database import Database


class Scripted(Database):
    """A database that gives these answers: `{words of a statement: rows}`, and remembers what it was asked."""

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        super().__init__("shop", "", "", "")
        object.__setattr__(self, "answers", answers)
        object.__setattr__(self, "asked", [])

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        told: Any = self
        told.asked.append(statement)
        return [row for words, rows in told.answers.items() if words in statement for row in rows]


DEFINITIONS = [
    ["wp_a", "InnoDB|utf8mb4", ""], ["upkeep_aside_0", "InnoDB|utf8mb4", ""], ["wp_posts", "MyISAM|latin1", ""],
    ["wp_a", "c1"], ["wp_posts", "c2"], ["a_view", "c3"], ["wp_a", "i1"],
]  # fmt: skip
ANSWERS = {
    "SELECT TABLE_NAME FROM information_schema.TABLES": [["upkeep_aside_0"], ["wp_a"], ["wp_posts"]],
    "CHECKSUM TABLE `wp_a`, `wp_posts`; ": [["shop.wp_a", "11"], ["shop.wp_posts", "NULL"]],
    "group_concat_max_len": DEFINITIONS,
    "CRC32": [["wp_posts", "3", "77"]],
}


def test_one_call_tells_rows_and_definitions_and_views_and_copies_of_ours_are_left_out() -> None:
    database = Scripted(ANSWERS)

    sums, definitions = database.looked_at(["wp_a", "wp_posts"])

    assert definitions == {"wp_a": "InnoDB|utf8mb4 c1 i1", "wp_posts": "MyISAM|latin1 c2"}
    assert sums == {"wp_a": "11:InnoDB|utf8mb4 c1 i1", "wp_posts": "NULL:MyISAM|latin1 c2"}
    assert len(database.asked) == 1  # type: ignore[attr-defined]
    assert database.looked_at([])[0] == {}
    assert database.checksums([]) == {}


def test_of_the_tables_that_hold_notes_what_is_none_is_looked_at() -> None:
    database = Scripted(ANSWERS)

    look = touched.look(database, "wp_")

    assert look.kept == {"wp_posts": "3 77"}
    statement = database.asked[-1]  # type: ignore[attr-defined]
    # Only tables that are there are asked.
    assert "FROM `wp_posts` WHERE post_status <> 'auto-draft'" in statement
    assert "wp_options" not in statement
    effect = touched.compare(look, look)
    assert effect.unknown == {"wp_posts"}


@pytest.mark.parametrize(
    ("size", "limit", "counted"), [(1000, "", 1000), (640 * 1024 * 1024, " LIMIT 1001", 64 * 1024 * 1024)]
)
def test_how_fast_tables_are_copied_is_measured_on_some_rows_of_big_ones(size: int, limit: str, counted: int) -> None:
    rows = {"TABLE_ROWS": [["wp_a", "10000"], ["wp_posts", "NULL"]]}
    database = Scripted(
        {
            "SELECT TABLE_NAME FROM information_schema.TABLES": ANSWERS[
                "SELECT TABLE_NAME FROM information_schema.TABLES"
            ],
            **rows,
        }
    )

    found, seconds = freeze_budget.measured(database, ["wp_a", "wp_gone"], {"wp_a": size, "wp_gone": 7})

    assert found == counted
    assert seconds >= 0
    asked: Any = database
    (copied,) = [statement for statement in asked.asked if "INSERT" in statement]
    assert copied.split("FROM ")[1].startswith(f"`wp_a`{limit};")
    assert "DROP TABLE IF EXISTS `upkeep_aside_0`" in asked.asked[-1]


def test_copies_ahead_keep_no_writer_waiting() -> None:
    database = Scripted({})
    database.put_aside({"wp_a": "upkeep_aside_0"}, writers=True)
    database.put_aside({"wp_a": "upkeep_aside_0"})
    database.put_aside_again({})
    ahead, frozen = database.asked  # type: ignore[attr-defined]
    assert "READ COMMITTED" in ahead
    assert "READ COMMITTED" not in frozen
