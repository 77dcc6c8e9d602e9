"""The store refuses, or stops in the middle: a clear error, nothing half-counted, the site untouched, the next run goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.front import Front, front
from tests.pipeline import Site

pytestmark = pytest.mark.root


@pytest.fixture
def store(untouched_site: Site) -> Iterator[Front]:
    """Return what stands in front of the store, in the address that the contract names."""
    shop = untouched_site.shop
    contract = shop.inventory / "contract.yml"
    with front(shop.lab.s3.endpoint, shop.lab.instance.controller_address) as made:
        contract.write_text(contract.read_text().replace(shop.lab.s3.endpoint, made.endpoint))
        yield made


class Breaks:
    """A store that is busy for ever, from the moment when so many objects of data have come in."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.refused = 0

    def __call__(self, method: str, path: str, headers: Any) -> int:
        """Decide about one request."""
        if self.left and method == "PUT" and "/restic/data/" in path:
            self.left -= 1
            return 0
        self.refused += not self.left
        return 0 if self.left else 503


def by_way_of(site: Site, transport: str) -> None:
    """Let the client's hosts reach the store in this way."""
    path = site.shop.inventory / "group_vars" / "all" / "vars.yml"
    path.write_text(f"site_snapshot_transport: {transport}\nsite_snapshot_timeout: 4\n")


@pytest.mark.parametrize("transport", ["direct", "gateway"])
def test_store_away(untouched_site: Site, store: Front, transport: str) -> None:
    site = untouched_site
    by_way_of(site, transport)
    site.offer(lab_banner="1.1")
    store.rule = lambda *_: 503

    ran = site.upkeep("run", "example", "--now")

    assert ran.code == 12
    (run,) = ran.answer["runs"]
    assert run["outcome"] == "refused", run["message"]
    assert "503" in run["message"]
    assert "upkeep store check example" in run["message"]
    assert run["next"].startswith("upkeep run example --site shop")
    assert site.shop.points() == []
    assert not list((site.shop.store / "restic").glob("data/*/*"))
    site.serves("1.0")
    site.tidy()


def test_store_away_in_the_middle(untouched_site: Site, store: Front) -> None:
    """Through the gateway it is the same restic; what the gateway does then is in tests/module/test_gateway_flood.py."""
    site = untouched_site
    by_way_of(site, "direct")
    store.rule = breaks = Breaks(2)

    steps = site.run("preflight", "snapshot")

    assert breaks.refused, "the store never broke"
    assert steps["snapshot"].outcome == "refused"
    assert "restic did not end within 4 s" in steps["snapshot"].message
    assert site.run("release")["release"].outcome == "done"
    assert site.shop.points() == []
    assert not list((site.shop.store / "restic").glob("snapshots/*"))
    assert list((site.shop.store / "restic").glob("data/*/*")), "it broke before anything was there"
    site.serves("1.0")
    site.tidy()

    store.rule = lambda *_: 0
    manifest = site.shop.snapshot(site_snapshot_timeout=60)

    assert [each["id"] for each in site.shop.restic("snapshots", "--json")] == [manifest["restic"]["snapshot"]]
    # The restic that was killed could not take its lock away. It is no exclusive one: it stopped nobody.
    assert "no errors were found" in site.shop.restic("check", "--read-data", "--no-lock")


def test_store_away_while_a_restore_is_wanted(untouched_site: Site, store: Front) -> None:
    site = untouched_site
    site.shop.snapshot()
    store.close()

    played = site.shop.play("restore", check=False, upkeep_point="newest")

    assert "outcome: refused" in played.text
    site.run("release")
    assert "upkeep store check example" in re.sub(r"\s+", " ", played.text)
    site.serves("1.0")
    site.tidy()
