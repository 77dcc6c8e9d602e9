"""Which part of a restore point may be asked for, and what the role is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import Usage
from orchestrator.plan.part import Part, ask_part

ROOT = "/srv/shop/htdocs"
AGAIN = "upkeep restore example --site shop --point 20261122T020000Z-1f0c9a2b"


def asked(**given: Any) -> Part:
    """Ask for a part."""
    values: dict[str, Any] = {"only": "", "tables": (), "paths": (), "accept_other_version": False}
    return ask_part(**{**values, **given}, root=ROOT, again=AGAIN)


def test_without_a_part_the_role_is_told_nothing() -> None:
    assert asked().whole
    assert asked().variables() == {}
    assert asked().words() == "production"


def test_the_role_is_told_what_was_asked_for_and_no_more() -> None:
    part = asked(tables=["wp_posts", "wp_posts", "wp_with space"], paths=[f"{ROOT}/wp-content/ü", "./-x"])

    assert part.variables() == {
        "site_snapshot_tables": ["wp_posts", "wp_with space"],
        "site_snapshot_paths": [f"{ROOT}/wp-content/ü", "./-x"],
    }
    assert part.words() == f"table wp_posts, table wp_with space, {ROOT}/wp-content/ü, ./-x"
    assert asked(only="files", accept_other_version=True).variables() == {
        "site_snapshot_only": "files",
        "site_snapshot_accept_other_version": True,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tables": [""]}, "name of a table"),
        ({"tables": ["-x"]}, "name of a table"),
        ({"tables": ["a\nb"]}, "name of a table"),
        ({"tables": ["x" * 65]}, "name of a table"),
        ({"tables": ["{% x %}"]}, "name of a table"),
        ({"paths": [""]}, "name of a file"),
        ({"paths": ["a\x00b"]}, "name of a file"),
        ({"paths": ["\udcff"]}, "name of a file"),
        ({"paths": ["x" * 4001]}, "name of a file"),
        ({"paths": ["{# x"]}, "name of a file"),
        ({"paths": ["-rf"]}, "looks like an option"),
        ({"paths": ["a/../b"]}, "leads out of"),
        ({"paths": ["/srv/shop/htdocs-old/x"]}, "does not lie in"),
        ({"paths": ["/srv/shop"]}, "does not lie in"),
        ({"paths": ["."]}, "--only files"),
        ({"paths": [ROOT]}, "--only files"),
        ({"only": "database", "paths": ["a"]}, "--only database"),
        ({"only": "files", "tables": ["a"]}, "--only files"),
    ],
)
def test_what_can_be_no_part_is_refused_with_the_command_to_type(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Usage) as refused:
        asked(**given)

    assert said in refused.value.message
    assert refused.value.next_step.startswith(AGAIN)
