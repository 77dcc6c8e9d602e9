"""What a client's own packages add to what is on offer, and of several releases the one that is taken."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from plugins.module_utils import package_source
from plugins.module_utils.package_source import with_artefacts
from plugins.module_utils.packages import PackageError
from plugins.module_utils.release_choice import NO_LICENCE, Terms, choose

OBSERVED = {
    "core": "6.5.5",
    "plugins": {"forms/forms.php": {"name": "Forms", "slug": "forms", "version": "1.0", "active": True}},
    "themes": {"leaf": {"version": "1.0", "active": False}},
}
SHA = "a" * 64
POLICY = {"core": "major", "plugins": "all", "themes": "all"}
TERMS = Terms(POLICY, [], date(2026, 11, 23))


def artefact(version: str = "2.0", **changes: Any) -> dict[str, Any]:
    """Return an entry of the client's index."""
    return {"kind": "plugin", "slug": "forms", "file": "forms/forms.php", "version": version, "sha256": SHA, **changes}


def offer(to: str, package: str = "") -> dict[str, Any]:
    """Return what the publisher offers."""
    named = {"kind": "plugin", "slug": "forms", "file": "forms/forms.php", "from": "1.0", "to": to}
    return {**named, "package": package}


def test_what_is_newer_than_the_installed_version_is_on_offer() -> None:
    (found,) = with_artefacts([], [artefact()], OBSERVED)

    assert found == offer("2.0", f"artefact:{SHA}")
    theme = artefact(kind="theme", slug="leaf", file="")
    assert [each["to"] for each in with_artefacts([], [theme], OBSERVED)] == ["2.0"]


@pytest.mark.parametrize(
    "entry",
    [
        artefact("1.0"),
        artefact("0.9"),
        artefact("1.0-beta"),
        artefact(slug="other", file="other/other.php"),
        # A folder may hold several plugins; another main file is another plugin.
        artefact(file="forms/other.php"),
        artefact(kind="theme", slug="forms", file=""),
    ],
)
def test_what_the_site_has_or_does_not_have_is_not_on_offer(entry: dict[str, Any]) -> None:
    assert with_artefacts([], [entry], OBSERVED) == []


def test_an_offer_without_a_download_gets_the_clients_own_package() -> None:
    taken, skipped = choose(with_artefacts([offer("2.0")], [artefact()], OBSERVED), TERMS)

    assert [(each.to, each.package) for each in taken] == [("2.0", f"artefact:{SHA}")]
    assert skipped == []


def test_an_offer_with_a_download_stays_the_publishers() -> None:
    theirs = offer("2.0", "https://forms.example.test/2.0.zip")

    assert with_artefacts([theirs], [artefact()], OBSERVED) == [theirs]


def test_an_older_package_is_taken_while_the_newer_release_lacks_a_licence() -> None:
    taken, skipped = choose(with_artefacts([offer("3.0")], [artefact()], OBSERVED), TERMS)

    assert [each.to for each in taken] == ["2.0"]
    assert [(each["to"], each["reason"]) for each in skipped] == [("3.0", NO_LICENCE)]


def test_of_several_releases_the_newest_that_the_contract_takes_is_taken() -> None:
    entries = [artefact(version) for version in ("2.0", "2.10", "2.9")]
    held = Terms(POLICY, [{"kind": "plugin", "slug": "forms", "version": "2.10"}], TERMS.today)
    theirs = offer("2.9.1", "https://forms.example.test/x.zip")

    assert [each.to for each in choose(with_artefacts([], entries, OBSERVED), TERMS)[0]] == ["2.10"]
    assert [each.to for each in choose(with_artefacts([], entries, OBSERVED), held)[0]] == ["2.9"]
    assert [each.to for each in choose(with_artefacts([theirs], entries, OBSERVED), held)[0]] == ["2.9.1"]


def test_a_package_of_the_clients_waits_like_every_other() -> None:
    waiting = Terms({**POLICY, "cool_down_days": 7}, [], TERMS.today)

    taken, skipped = choose(with_artefacts([], [artefact()], OBSERVED), waiting)

    assert taken == []
    assert skipped[0]["reason"].startswith("waits until 2026-11-30")


def test_without_a_way_to_the_store_the_clients_package_is_left_out(tmp_path: Any) -> None:
    (change,) = choose(with_artefacts([], [artefact()], OBSERVED), TERMS)[0]

    with pytest.raises(PackageError, match="lies in the client's store, and no way leads there"):
        package_source.fetch(change, str(tmp_path), "")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://downloads.wordpress.org/plugin/forms.2.0.zip", "plugin/forms.2.0.zip"),
        ("http://downloads.wordpress.org/release/de_DE/wordpress-6.5.5.zip", "release/de_DE/wordpress-6.5.5.zip"),
        ("https://downloads.wordpress.org.example.test/plugin/forms.2.0.zip", ""),
        ("https://forms.example.test/plugin/forms.2.0.zip", ""),
        ("https://downloads.wordpress.org/plugin/forms.2.0.zip?token=1", ""),
        ("https://user@downloads.wordpress.org/plugin/forms.2.0.zip", ""),
    ],
)
def test_what_wordpress_org_delivers_is_known_by_its_address(url: str, path: str) -> None:
    found = package_source.WORDPRESS_ORG.match(url)

    assert (found.group(1) if found else "") == path
