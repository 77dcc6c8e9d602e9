"""A restore point on a real host: what is in it, what it costs, and when there is none."""

from __future__ import annotations

import hashlib
import re
import time
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
    """Return one shop with one bucket for all tests of this file: they only look at the site, all but the last.

    Its first restore point makes bucket and repository.
    """
    as_template.taken(HOST)
    folder = tmp_path_factory.mktemp("snapshot") / "inventories" / "example"
    return shop_of(lab, HOST, folder, sockets, repository=False)


@pytest.fixture(scope="module")
def first(shop: Shop) -> dict[str, Any]:
    """Return the manifest of the first restore point."""
    return shop.snapshot()


def test_check_mode_touches_nothing(shop: Shop) -> None:
    played = shop.play("snapshot", "--check")

    assert "would store" in played.text
    assert not shop.workshop.exists()
    assert not shop.store.exists()


def test_a_restore_point_holds_all_files_and_all_rows(shop: Shop, first: dict[str, Any]) -> None:
    manifest = first
    posts = int(shop.host.sql("SELECT COUNT(*) FROM wp_posts"))
    files = int(shop.host.run(["sh", "-c", f"find {shop.host.root} -type f | wc -l"]).stdout)

    assert manifest["client"] == "example"
    assert manifest["site"] == "shop"
    assert manifest["files"]["count"] == files
    assert manifest["dump"]["tables"]["wp_posts"]["rows"] == posts
    assert manifest["dump"]["not_transactional"] == []
    assert manifest["dump"]["exit_codes"] == {"mariadb-dump": 0}
    assert manifest["dump"]["end_marker"] is True
    assert manifest["versions"]["core"] == "6.2.6"
    assert manifest["previous"] == ""
    assert re.fullmatch("[0-9a-f]{64}", manifest["restic"]["snapshot"])
    listed = shop.restic("snapshots", "--json")
    assert [entry["id"] for entry in listed] == [manifest["restic"]["snapshot"]]
    assert f"point={manifest['point']}" in listed[0]["tags"]


def test_each_table_is_a_file_in_the_store_that_loads_alone_and_none_is_left_on_the_host(
    shop: Shop, first: dict[str, Any]
) -> None:
    dump = first["dump"]
    texts = {
        table: shop.restic("dump", first["restic"]["snapshot"], f"{dump['folder']}/{entry['file']}")
        for table, entry in dump["tables"].items()
        if table in ("wp_posts", "wp_options")
    }

    for table, text in texts.items():
        assert hashlib.sha256(text.encode()).hexdigest() == dump["tables"][table]["sha256"]
        assert text.splitlines()[-1].startswith("-- Dump completed")
        assert re.findall("^CREATE TABLE `(.*?)`", text, re.MULTILINE) == [table]
        shop.host.run(["mariadb", "shop_staging"], input=text, check=True)
        sums = [shop.host.sql(f"CHECKSUM TABLE {table}", database=name).split()[1] for name in ("shop", "shop_staging")]
        assert sums[0] == sums[1]
        shop.host.sql(f"DROP TABLE {table}", database="shop_staging")
    assert not list(shop.workshop.rglob("*.sql"))
    assert not (shop.workshop / "lease.json").exists()


def test_an_unchanged_site_is_not_sent_again(shop: Shop, first: dict[str, Any]) -> None:
    started = time.monotonic()
    second = shop.snapshot()
    print(
        f"host: first {first['seconds']} s, unchanged {second['seconds']} s; the whole playbook {time.monotonic() - started:.1f} s"
    )

    assert second["previous"] == first["point"]
    assert second["files"] == first["files"]
    trees = [
        shop.restic("stats", "--json", "--mode", "raw-data", manifest["restic"]["snapshot"])
        for manifest in (first, second)
    ]
    both = shop.restic("stats", "--json", "--mode", "raw-data")
    assert both["total_size"] < trees[0]["total_size"] * 1.2


def test_a_file_that_the_owner_cannot_read_means_no_restore_point(shop: Shop) -> None:
    shop.host.run(
        ["sh", "-c", f"echo x >{shop.host.root}/root-only && chmod 600 {shop.host.root}/root-only"], check=True
    )
    known = shop.points()
    played = shop.play("snapshot", check=False)

    assert played.code != 0
    assert "root-only" in played.text
    assert "outcome: refused" in played.text
    assert shop.points() == known
    assert len(shop.restic("snapshots", "--json")) == len(known)
    shop.host.run(["rm", f"{shop.host.root}/root-only"], check=True)


def test_another_run_has_the_site(shop: Shop) -> None:
    shop.play("snapshot", upkeep_keep_lease=True)
    known = shop.points()
    played = shop.play("snapshot", check=False)

    assert played.code != 0
    assert "outcome: busy" in played.text
    assert shop.points() == known
    (shop.workshop / "lease.json").unlink()


def test_secrets_are_printed_nowhere(shop: Shop) -> None:
    played = shop.play("snapshot", "-vvv")
    database = shop.host.run(["sh", "-c", f"grep DB_PASSWORD {shop.host.root}/wp-config.php"]).stdout.split("'")[3]

    for secret in (*shop.secrets.values(), database):
        assert secret not in played.text


def test_a_restore_point_half_as_big_as_the_one_before_is_refused_unless_it_is_meant(shop: Shop) -> None:
    """This one changes the site, so it is the last of its file."""
    known = shop.points() or [shop.snapshot()["point"]]
    shop.host.run(
        [
            "sh",
            "-c",
            f"rm -rf {shop.host.root}/wp-admin {shop.host.root}/wp-includes/js {shop.host.root}/wp-includes/blocks",
        ]
    )
    shop.host.run(["rm", "-rf", f"{shop.host.root}/wp-includes/css", f"{shop.host.root}/wp-content/plugins"])
    played = shop.play("snapshot", check=False)
    assert played.code != 0
    assert "less than half" in played.text
    assert shop.points() == known

    shop.play("snapshot", site_snapshot_allow_shrunk=True)
    assert len(shop.points()) == len(known) + 1
