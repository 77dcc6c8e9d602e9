"""Which releases a person has let go."""

from __future__ import annotations

import pytest

from plugins.action.site_look import was_let_go

CHANGE = {"kind": "plugin", "slug": "lab-banner", "from": "1.0", "to": "2.41", "sha256": "a" * 64, "bytes": 4711}
LET_GO = {"kind": "plugin", "slug": "lab-banner", "version": "2.41", "sha256": "a" * 64}


@pytest.mark.parametrize(
    ("other", "was"),
    [({}, True), ({"sha256": "b" * 64}, False), ({"version": "2.42"}, False), ({"kind": "theme"}, False)],
)
def test_a_person_lets_these_bytes_go_and_no_others(other: dict[str, str], was: bool) -> None:
    assert was_let_go(CHANGE, [{**LET_GO, **other}]) is was


def test_without_a_person_nothing_is_let_go() -> None:
    assert not was_let_go(CHANGE, [])
