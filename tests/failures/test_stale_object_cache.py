"""A persistent object cache serves rows of the database from before the restore [jetpack 52059]: it is flushed each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root

DROP_IN = Path(__file__).parents[1] / "lab" / "plugins" / "object-cache.php"
CACHE = "/home/shop/object-cache"
RENAME = "UPDATE wp_options SET option_value = 'Newer Bakery' WHERE option_name = 'blogname'"


def reads(site: Site) -> str:
    """Return which name of the site a visitor reads."""
    page = site.get()
    assert page.status == 200, page.body
    return next(name for name in ("Newer Bakery", "Example Bakery") if name in page.body)


def newer(site: Site) -> Site:
    """Rename the site past the cache, and let the cache know the newer name only."""
    # As stale as the test needs it: what was read once is not asked of the database again.
    assert reads(site) == "Example Bakery"
    site.host.sql(RENAME)
    assert reads(site) == "Example Bakery"
    site.host.run(["rm", "-rf", CACHE], check=True)
    assert [reads(site), reads(site)] == ["Newer Bakery"] * 2
    return site


@pytest.fixture
def cached(site: Site) -> Site:
    """Return the shop with a cache that outlives its restores."""
    site.put_file("wp-content/object-cache.php", DROP_IN.read_text(encoding="utf-8"))
    return site


def test_stale_object_cache(cached: Site) -> None:
    cached.shop.snapshot()
    newer(cached)

    cached.shop.play("restore", upkeep_point="newest")

    assert cached.host.sql("SELECT option_value FROM wp_options WHERE option_name = 'blogname'") == "Example Bakery\n"
    assert reads(cached) == "Example Bakery"


def test_stale_object_cache_of_a_restore_that_was_put_back(cached: Site) -> None:
    """The probes of the restored site have filled the cache with rows that are not there any more."""
    whole = (cached.root / "index.php").read_text(encoding="utf-8")
    cached.put_file("index.php", "<?php die();")
    cached.shop.snapshot()
    cached.put_file("index.php", whole)
    newer(cached)

    played = cached.shop.play("restore", check=False, upkeep_point="newest")

    assert "outcome: put-back" in played.text
    assert reads(cached) == "Newer Bakery"
