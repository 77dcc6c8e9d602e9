"""A WordPress on SQLite, by the drop-in `sqlite-database-integration`: restore points, their drill, and all ways back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HOST
from tests.host.leaving_words import typed
from tests.host.shop import Shop, shop_of
from tests.lab import Lab
from tests.lab.drop_in import unpack_drop_in
from tests.trials import AsTemplate

pytestmark = pytest.mark.root

FILE = "wp-content/database/.ht.sqlite"
INSTALL = """<?php
$_SERVER['HTTP_HOST'] = 'shop.example.test';
define('WP_INSTALLING', true);
require '/srv/shop/htdocs/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/admin.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
add_filter('pre_http_request', fn() => new WP_Error('offline', 'offline'));
add_filter('pre_wp_mail', '__return_true');
wp_install('Example Bakery', 'admin', 'admin@example.test', true, '', 'not a secret');
update_option('siteurl', 'http://shop.example.test');
update_option('home', 'http://shop.example.test');
update_option('permalink_structure', '/%postname%/');
wp_insert_post(['post_title' => 'Lab post 1', 'post_name' => 'lab-post-1', 'post_status' => 'publish', 'post_content' => "LAB-1 it's\\n🍵"]);
flush_rewrite_rules(false);
update_option('active_plugins', ['sqlite-database-integration/load.php']);
echo get_class($GLOBALS['wpdb']);
"""


@pytest.fixture(scope="module")
def shop(lab: Lab, tmp_path_factory: pytest.TempPathFactory, sockets: Path, as_template: AsTemplate) -> Shop:
    """Return the shop, moved to SQLite: the drop-in stands in its place and WordPress is installed anew."""
    as_template.taken(HOST)
    shop = shop_of(lab, HOST, tmp_path_factory.mktemp("sqlite") / "inventories" / "example", sockets)
    unpack_drop_in(shop.host.disk / "htdocs" / "wp-content" / "plugins")
    script = "cp plugins/sqlite-database-integration/db.copy db.php && chown -R shop:shop . && systemctl stop mariadb"
    shop.host.run(["sh", "-c", f"cd {shop.host.root}/wp-content && {script}"], check=True)
    said = shop.host.run(["php"], user="shop", input=INSTALL, check=True).stdout
    assert said.endswith("WP_SQLite_DB"), said
    assert "LAB-1" in shop.host.fetch("/lab-post-1/").body
    return shop


@pytest.fixture(scope="module")
def manifest(shop: Shop) -> dict[str, Any]:
    """Return the manifest of a restore point of it."""
    return shop.snapshot()


def sql(shop: Shop, statement: str) -> str:
    """Ask the live file, by a program that is not ours."""
    return shop.host.run(["sqlite3", f"{shop.host.root}/{FILE}", statement], user="shop", check=True).stdout


def state(shop: Shop, table: str = "") -> set[str]:
    """Return every line that SQLite's own program writes down of the live file, whatever their order.

    What WordPress writes whenever somebody looks at it is left out.
    """
    lines = sql(shop, f".dump {table}").splitlines()
    return {
        line
        for line in lines
        if not re.search(
            r"_transient_|'cron'|sqlite_sequence|session_tokens|dashboard|auto-draft|recently_activated", line
        )
    }


def test_a_restore_point_has_the_tables_and_not_the_file_that_is_written_to(
    shop: Shop, manifest: dict[str, Any]
) -> None:
    dump = manifest["dump"]
    assert (dump["engine"], dump["database"]) == ("sqlite", f"{shop.host.root}/{FILE}")
    assert {name: entry["rows"] for name, entry in dump["tables"].items()} == {
        name: int(sql(shop, f'SELECT COUNT(*) FROM "{name}"'))  # noqa: S608 - WordPress's own names
        for name in dump["tables"]
    }
    assert manifest["versions"]["db_version"] == "53496"
    listed = shop.restic("ls", manifest["restic"]["snapshot"])
    assert f"{shop.host.root}/wp-content/db.php" in listed
    assert FILE not in listed
    assert "LAB-1" in shop.restic("dump", manifest["restic"]["snapshot"], f"{dump['folder']}/tables/wp_posts.sql")
    assert not (shop.workshop / "dump").exists()
    # A client who leaves types this.
    shop.restic("restore", manifest["restic"]["snapshot"], "--target", str(shop.host.disk / "left"))
    left = "/srv/shop/left"
    shop.host.run(["bash", "-c", f"WHERE={left} DUMP={left}{dump['folder']}\n{typed('SQLite')}"], check=True)
    assert set(shop.host.run(["sqlite3", f"{left}/database.sqlite", ".dump"]).stdout.splitlines()) >= state(shop)


def test_a_drill_serves_the_restored_file_and_leaves_the_live_one_alone(shop: Shop, manifest: dict[str, Any]) -> None:
    before = state(shop, "wp_posts")
    played = shop.play("drill", site_snapshot_point=manifest["point"])
    assert "makes a healthy site" in played.text
    assert state(shop, "wp_posts") == before


def test_all_of_it_comes_back_and_one_table_alone(shop: Shop, manifest: dict[str, Any]) -> None:
    before = state(shop)
    sql(shop, "UPDATE wp_posts SET post_content = 'gone'; DROP TABLE wp_links; CREATE TABLE later (id)")
    (shop.host.disk / "htdocs" / "wp-links-opml.php").unlink()
    shop.play("restore", site_snapshot_point=manifest["point"])
    assert state(shop) == before
    assert (shop.host.disk / "htdocs" / "wp-links-opml.php").exists()

    sql(
        shop,
        "UPDATE wp_posts SET post_content = 'gone'; UPDATE wp_options SET option_value = 'new' WHERE option_name = 'blogdescription'",
    )
    shop.play("restore", site_snapshot_point=manifest["point"], site_snapshot_tables=["wp_posts"])
    assert state(shop, "wp_posts") <= before
    assert sql(shop, "SELECT option_value FROM wp_options WHERE option_name = 'blogdescription'") == "new\n"
    # What was there before is kept until the release.
    shop.play("release")
    assert sorted(path.name for path in (shop.host.disk / "htdocs" / FILE).parent.iterdir()) == [
        ".ht.sqlite", ".htaccess", "index.php",
    ]  # fmt: skip


def test_a_restore_that_breaks_the_site_gives_way_and_no_row_is_lost(shop: Shop, manifest: dict[str, Any]) -> None:
    sql(shop, "UPDATE wp_posts SET post_content = 'not what was promised'")
    bad = shop.snapshot()["point"]
    shop.play("restore", site_snapshot_point=manifest["point"], site_snapshot_only="database")
    sql(shop, "INSERT INTO wp_options (option_name, option_value) VALUES ('order', 'tea')")
    before = state(shop, "wp_posts")

    played = shop.play("restore", check=False, site_snapshot_point=bad)

    assert played.code != 0
    assert "What was there before the restoration is back" in played.text
    assert state(shop, "wp_posts") == before
    assert sql(shop, "SELECT option_value FROM wp_options WHERE option_name = 'order'") == "tea\n"
    assert "LAB-1" in shop.host.fetch("/lab-post-1/").body


def test_an_update_is_refused_before_anything_is_touched(shop: Shop) -> None:
    played = shop.play("stage", check=False)
    assert played.code != 0
    assert "take `update` out of the contract's scope" in played.text
