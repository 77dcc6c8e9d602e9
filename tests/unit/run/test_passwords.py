"""A password by chance is known by its form: what a person may have thought of never has it."""

from __future__ import annotations

import base64
import secrets

import pytest

from orchestrator.run.passwords import PREFIX, is_by_chance, make

PASSWORD = make(bytes(range(32)))


def test_what_was_made_by_chance_is_known() -> None:
    assert len(PASSWORD) == len(PREFIX) + 43 + 6
    assert all(is_by_chance(make(secrets.token_bytes(32))) for _ in range(100))


@pytest.mark.parametrize("place", range(len(PASSWORD)))
def test_one_changed_character_is_enough(place: int) -> None:
    other = "B" if PASSWORD[place] != "B" else "C"
    assert not is_by_chance(PASSWORD[:place] + other + PASSWORD[place + 1 :])


@pytest.mark.parametrize(
    "password",
    [
        "",
        "seeded-restic-password",
        PASSWORD[:-1],
        PASSWORD[:-6],
        PASSWORD + "A",
        PASSWORD + "\n",
        " " + PASSWORD,
        PASSWORD.upper(),
        PASSWORD.removeprefix(PREFIX),
        PASSWORD[:-6] + "AAAAAA",
        "upkeep-" + "ä" * 49,
    ],
)
def test_another_length_or_form_is_not_by_chance(password: str) -> None:
    assert not is_by_chance(password)


@pytest.mark.parametrize("count", [0, 16, 31, 33])
def test_fewer_bytes_make_no_password(count: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make(bytes(count))


def test_all_of_the_bytes_are_in_it() -> None:
    assert base64.urlsafe_b64decode(PASSWORD[len(PREFIX) : -6] + "=") == bytes(range(32))
