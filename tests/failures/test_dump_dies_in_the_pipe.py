"""The dump fails midway and a shell's pipe hides it [restic 4251, community.mysql 256].

There is no restore point, the run fails, and the last good one stays the newest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HOST
from tests.host.shop import Shop, shop_of
from tests.lab import Lab
from tests.trials import AsTemplate

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shop(lab: Lab, tmp_path_factory: pytest.TempPathFactory, sockets: Path, as_template: AsTemplate) -> Shop:
    """Return one shop with one bucket for all cases: none of them changes the site."""
    as_template.taken(HOST)
    return shop_of(lab, HOST, tmp_path_factory.mktemp("dump") / "inventories" / "example", sockets)


@pytest.fixture(scope="module")
def good(shop: Shop) -> dict[str, Any]:
    """Return the manifest of a restore point from before the dump program broke."""
    return shop.snapshot()


# The same pipe that hid it there: its exit code is that of the last program, which is well.
HALF_AND_ZERO = """#!/bin/sh
mariadb-dump "$@" | head -c 20000
"""
HALF_AND_TWO = """#!/bin/sh
mariadb-dump "$@" | head -c 20000
exit 2
"""
# Whole but for one table: the end marker is there and the exit code is 0.
A_TABLE_LESS = """#!/bin/sh
exec mariadb-dump "$@" --ignore-table=shop.wp_options
"""
# Every table is there, and none of them has a row.
NO_ROWS = """#!/bin/sh
exec mariadb-dump "$@" --no-data
"""


@pytest.mark.parametrize(
    "script", [HALF_AND_ZERO, HALF_AND_TWO, A_TABLE_LESS, NO_ROWS], ids=["exit-0", "exit-2", "a-table-less", "no-rows"]
)
def test_dump_dies_in_the_pipe(shop: Shop, good: dict[str, Any], script: str) -> None:
    shop.programs(mariadb_dump=shop.install("/home/shop/dump", script))

    played = shop.play("snapshot", check=False)

    assert played.code != 0
    assert "outcome: refused" in played.text
    assert "No restore point" in played.text
    assert shop.points() == [good["point"]]
    assert [entry["id"] for entry in shop.restic("snapshots", "--json")] == [good["restic"]["snapshot"]]
    assert not list(shop.workshop.rglob("*.sql"))
