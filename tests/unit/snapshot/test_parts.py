"""Which part of a restore point may be asked for on the host, and what of it a restore point must have."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.module_utils.parts import Part, PartError

ROOT = "/srv/shop/htdocs"
LINK = "/srv/shop/current"
TABLES = ["wp_options", "wp_posts"]


def asked(**given: Any) -> Part:
    """Ask for a part."""
    return Part.from_parameters({"only": "all", "tables": [], "paths": [], **given}, ROOT, LINK)


@pytest.mark.parametrize(
    ("given", "files", "tree", "database", "named"),
    [
        ({}, True, True, True, "all"),
        ({"only": "files"}, True, True, False, "the files"),
        ({"only": "database"}, False, False, True, "the database"),
        ({"tables": ["wp_posts"]}, False, False, True, "table wp_posts"),
        ({"only": "database", "tables": ["wp_posts"]}, False, False, True, "table wp_posts"),
        ({"paths": ["a/b"]}, False, True, False, "a/b"),
        ({"only": "files", "paths": ["a/b"]}, False, True, False, "a/b"),
        ({"paths": ["a"], "tables": ["wp_posts"]}, False, True, True, "table wp_posts, a"),
    ],
)
def test_what_is_asked_for_says_what_changes(
    given: dict[str, Any], files: bool, tree: bool, database: bool, named: str
) -> None:
    part = asked(**given)

    assert (part.files, part.tree, part.database, part.whole) == (files, tree, database, not given)
    assert part.named() == named
    assert Part.from_journal(part.asked()) == part


def test_a_journal_of_before_is_one_of_a_whole_restore_point() -> None:
    assert Part.from_journal({}).whole


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"only": "half"}, "is not one of"),
        ({"only": "files", "tables": ["a"]}, "tables belong to the database"),
        ({"only": "database", "paths": ["a"]}, "paths belong to the files"),
        ({"tables": ["wp`x"]}, "cannot be the name of a table"),
        ({"tables": ["--all-databases"]}, "cannot be the name of a table"),
        ({"tables": [""]}, "cannot be the name of a table"),
        ({"paths": [""]}, "cannot be the name of a file"),
        ({"paths": ["a\nb"]}, "cannot be the name of a file"),
        ({"paths": ["--target=/"]}, "looks like an option"),
        ({"paths": ["../other"]}, "leads out of the document root"),
        ({"paths": ["a/../../other"]}, "leads out of the document root"),
        ({"paths": [f"{ROOT}/../other"]}, "leads out of the document root"),
        ({"paths": ["/etc/passwd"]}, "does not lie in the document root"),
        ({"paths": [f"{ROOT}2/x"]}, "does not lie in the document root"),
        ({"paths": [ROOT + "/"]}, "site_snapshot_only=files"),
        ({"paths": [LINK]}, "site_snapshot_only=files"),
        ({"paths": ["./"]}, "site_snapshot_only=files"),
    ],
)
def test_what_can_be_no_part_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(PartError, match=said.replace("(", r"\(")):
        asked(**given)


def test_one_path_has_one_name_however_it_is_written() -> None:
    part = asked(paths=["a/b", "./a//b/", f"{ROOT}/a/b", f"{LINK}/a/b", "./-x"])

    assert part.paths == ("a/b", "-x")
    assert [part.covers(path) for path in ("a/b", "a/b/c", "a/bc", "a", "b")] == [True, True, False, False, False]


def test_what_the_restore_point_does_not_have_is_named_with_what_it_may_have_meant() -> None:
    part = asked(tables=["wp_post"], paths=["wp-content/upload", "x/y"])

    assert part.missing(TABLES) == ["it has no table wp_post. Did you mean wp_posts?"]
    assert part.missing(TABLES, ["wp-content", "wp-content/uploads"])[1:] == [
        "it has no wp-content/upload below the document root. Did you mean wp-content/uploads?",
        "it has no x/y below the document root",
    ]
    assert asked(tables=["zzz"]).missing(TABLES) == ["it has no table zzz, only wp_options, wp_posts"]
    assert asked(tables=["wp_posts"], paths=["a"]).missing(TABLES, ["a"]) == []
