"""Eight releases, one breaks the site: seven are delivered, the bad one is named, held, and not offered again."""

from __future__ import annotations

import pytest

from tests.lab.bad_releases import GREEK
from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_one_bad_of_many(site: Site) -> None:
    good = [f"lab-{word}" for word in GREEK[:7]]
    site.shop.lab.mirror.offer(plugins={"lab-banner": "2.2", **dict.fromkeys(good, "1.1")})

    ran = site.upkeep("run", "example", "--now")

    assert ran.code == 0, ran.text
    (first,) = ran.answer["runs"]
    assert sorted(change["slug"] for change in first["delivered"]) == sorted(good)
    assert [(held["slug"], held["to"]) for held in first["held"]] == [("lab-banner", "2.2")]
    assert "the page breaks off" in first["held"][0]["reason"]
    assert [site.version(slug) for slug in good] == ["1.1"] * 7
    body = site.get().body
    assert all(f"<!-- {slug} 1.1 -->" in body for slug in good)
    site.serves("1.0")
    site.tidy()
    (hold,) = site.upkeep("status", "example").answer["holds"]
    assert (hold["slug"], hold["version"]) == ("lab-banner", "2.2")

    again = site.upkeep("run", "example", "--now")

    assert again.code == 0, again.text
    (second,) = again.answer["runs"]
    assert second["delivered"] == []
    assert second["held"] == []
    assert [(skipped["slug"], skipped["to"]) for skipped in second["skipped"]] == [("lab-banner", "2.2")]
    assert "held" in second["skipped"][0]["reason"]
    site.serves("1.0")
    site.tidy()
