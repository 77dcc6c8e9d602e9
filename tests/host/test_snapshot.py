"""A restore point on a real host: what is in it, what it costs, and when there is none."""

from __future__ import annotations

import hashlib
import re
import time

import pytest

from tests.host.shop import Shop

pytestmark = pytest.mark.root


def test_a_restore_point_holds_all_files_and_all_rows(shop: Shop) -> None:
    manifest = shop.snapshot()
    posts = int(shop.host.sql("SELECT COUNT(*) FROM wp_posts"))
    files = int(shop.host.run(["sh", "-c", f"find {shop.host.root} -type f | wc -l"]).stdout)

    assert manifest["client"] == "example"
    assert manifest["site"] == "shop"
    assert manifest["files"]["count"] == files
    assert manifest["dump"]["tables"]["wp_posts"] == {"rows": posts}
    assert manifest["dump"]["exit_codes"] == {"mariadb-dump": 0}
    assert manifest["dump"]["end_marker"] is True
    assert manifest["versions"]["core"] == "6.2.6"
    assert manifest["previous"] == ""
    assert re.fullmatch("[0-9a-f]{64}", manifest["restic"]["snapshot"])
    listed = shop.restic("snapshots", "--json")
    assert [entry["id"] for entry in listed] == [manifest["restic"]["snapshot"]]
    assert f"point={manifest['point']}" in listed[0]["tags"]


def test_the_dump_in_the_store_is_the_one_that_was_proved_and_none_is_left_on_the_host(shop: Shop) -> None:
    manifest = shop.snapshot()
    dump = shop.restic("dump", manifest["restic"]["snapshot"], manifest["dump"]["file"])

    assert hashlib.sha256(dump.encode()).hexdigest() == manifest["dump"]["sha256"]
    assert dump.splitlines()[-1].startswith("-- Dump completed")
    assert not list(shop.workshop.rglob("*.sql"))
    assert not (shop.workshop / "lease.json").exists()


def test_an_unchanged_site_is_not_sent_again(shop: Shop) -> None:
    started = time.monotonic()
    first = shop.snapshot()
    between = time.monotonic()
    second = shop.snapshot()
    print(f"first {between - started:.1f} s (host {first['seconds']} s), unchanged {time.monotonic() - between:.1f} s (host {second['seconds']} s)")

    assert second["previous"] == first["point"]
    assert second["files"] == first["files"]
    trees = [shop.restic("stats", "--json", "--mode", "raw-data", manifest["restic"]["snapshot"]) for manifest in (first, second)]
    both = shop.restic("stats", "--json", "--mode", "raw-data")
    assert both["total_size"] < trees[0]["total_size"] * 1.2


def test_check_mode_touches_nothing(shop: Shop) -> None:
    played = shop.play("snapshot", "--check")

    assert "would store" in played.text
    assert not shop.workshop.exists()
    assert list(shop.lab.s3.data.iterdir()) == []


def test_a_file_that_the_owner_cannot_read_means_no_restore_point(shop: Shop) -> None:
    shop.host.run(["sh", "-c", f"echo x >{shop.host.root}/root-only && chmod 600 {shop.host.root}/root-only"], check=True)
    played = shop.play("snapshot", check=False)

    assert played.code != 0
    assert "root-only" in played.text
    assert "outcome: refused" in played.text
    assert shop.points() == []
    assert shop.restic("snapshots", "--json") in ([], None)


def test_a_restore_point_half_as_big_as_the_one_before_is_refused_unless_it_is_meant(shop: Shop) -> None:
    shop.snapshot()
    shop.host.run(["sh", "-c", f"rm -rf {shop.host.root}/wp-admin {shop.host.root}/wp-includes/js {shop.host.root}/wp-includes/blocks"])
    shop.host.run(["rm", "-rf", f"{shop.host.root}/wp-includes/css", f"{shop.host.root}/wp-content/plugins"])
    played = shop.play("snapshot", check=False)
    assert played.code != 0
    assert "less than half" in played.text
    assert len(shop.points()) == 1

    shop.play("snapshot", site_snapshot_allow_shrunk=True)
    assert len(shop.points()) == 2


def test_another_run_has_the_site(shop: Shop) -> None:
    shop.play("snapshot", upkeep_keep_lease=True)
    played = shop.play("snapshot", check=False)

    assert played.code != 0
    assert "outcome: busy" in played.text
    assert len(shop.points()) == 1


def test_secrets_are_printed_nowhere(shop: Shop) -> None:
    played = shop.play("snapshot", "-vvv")
    database = shop.host.run(["sh", "-c", f"grep DB_PASSWORD {shop.host.root}/wp-config.php"]).stdout.split("'")[3]

    for secret in (*shop.secrets.values(), database):
        assert secret not in played.text
