"""Other people's words in our messages are quoted, harmless and short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.suggest import did_you_mean, dotted, one_of, printable, quoted


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "'plain'"),
        ("Bäckerei", "'Bäckerei'"),
        ("a\nb\x1b[2J", "'a\\nb\\x1b[2J'"),
        ("\u202e", "'\\u202e'"),
        ("x" * 61, "'" + "x" * 60 + "'…"),
        (None, "nothing"),
        (True, "true"),
        ({"a": 1}, "a mapping"),
        ([1], "a list"),
        (1.5, "1.5"),
    ],
)
def test_a_value_is_quoted(value, written):
    assert quoted(value) == written


@given(st.text())
def test_nothing_leaves_that_a_terminal_would_obey(text):
    assert quoted(text).isprintable()
    assert printable(text).isprintable()
    assert dotted([text, 0, text]).isprintable()


def test_a_path_is_written_as_a_person_counts():
    assert dotted(("sites", "shop", "functions", 0, "path")) == "sites.shop.functions[1].path"
    assert dotted(("sites", "a b")) == "sites.'a b'"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("word", "hint"),
    [("minorr", " Did you mean 'minor'?"), ("MINOR", " Did you mean 'minor'?"), ("zebra", ""), ("", ""), (3, "")],
)
def test_a_near_word_is_suggested_and_a_far_one_is_not(word, hint):
    assert did_you_mean(word, ["none", "minor", "major"]) == hint


def test_a_very_long_word_is_not_compared_at_all():
    assert did_you_mean("minor" * 100_000, ["minor"]) == ""


def test_choices_are_listed_as_people_do():
    assert one_of(["a"]) == "'a'"
    assert one_of(["a", "b", 3]) == "'a', 'b' or 3"
