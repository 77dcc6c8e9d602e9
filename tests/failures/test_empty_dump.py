"""The dump has zero bytes and its program ends with 0 [restic 2135]: no restore point, the last good one stays the newest."""

from __future__ import annotations

import pytest

from tests.host.shop import Shop

pytestmark = pytest.mark.root


def test_empty_dump(shop: Shop) -> None:
    good = shop.snapshot()
    shop.programs(mariadb_dump=shop.install("/home/shop/dump", "#!/bin/sh\nexit 0\n"))

    played = shop.play("snapshot", check=False)

    assert played.code != 0
    assert "outcome: refused" in played.text
    assert "it is empty" in played.text
    assert shop.points() == [good["point"]]
    assert [entry["id"] for entry in shop.restic("snapshots", "--json")] == [good["restic"]["snapshot"]]
