"""A restore on a real host: everything comes back together, and what goes wrong leaves the site as it was."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.host.shop import Shop

pytestmark = pytest.mark.root

FOREIGN_KEYS = """
SET NAMES utf8mb4;
CREATE TABLE wp_orders (id INT PRIMARY KEY, note TEXT, picture BLOB) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE wp_items (id INT PRIMARY KEY, item INT,
    CONSTRAINT items_of_orders FOREIGN KEY (item) REFERENCES wp_orders (id) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE TABLE wp_log (line TEXT) ENGINE=MyISAM;
INSERT INTO wp_orders VALUES (1, 'tea \\n(1,2),\\n🍵', x'00ff0a28'), (2, NULL, NULL);
INSERT INTO wp_items VALUES (7, 1), (8, 2);
INSERT INTO wp_log VALUES ('twice'), ('twice');
"""
OURS = "SELECT GROUP_CONCAT(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_NAME LIKE 'upkeep%'"


def rows(shop: Shop) -> dict[str, str]:
    """Return a checksum of every table."""
    tables = shop.host.sql("SHOW TABLES").split()
    lines = shop.host.sql("CHECKSUM TABLE " + ", ".join(name for name in tables if not name.startswith("upkeep_")))
    return dict(line.split("\t") for line in lines.splitlines())


def lively(sums: dict[str, Any]) -> dict[str, Any]:
    """Leave out the tables that a probe writes in: sessions of the administrator and passing notes."""
    return {
        name: value
        for name, value in sums.items()
        if name not in ("shop.wp_usermeta", "shop.wp_options", "shop.wp_posts", "shop.wp_postmeta")
    }


def test_files_and_database_come_back_together(shop: Shop) -> None:
    shop.host.sql(FOREIGN_KEYS)
    before = rows(shop)
    point = shop.snapshot()["point"]
    shop.host.sql(
        "DELETE FROM wp_posts; DROP TABLE wp_items; UPDATE wp_orders SET note = 'lost'; CREATE TABLE wp_bad (id INT)"
    )
    shop.host.run(
        ["sh", "-c", f"rm -rf {shop.host.root}/wp-includes; echo evil >{shop.host.root}/evil.php"], user="shop"
    )
    assert shop.host.fetch("/lab-post-1/").status != 200

    looked = shop.play("restore", "--check", upkeep_point="newest")
    assert f"would put {point} in the place of production" in re.sub(r"\s+", " ", looked.text)
    assert shop.host.run(["ls", f"{shop.host.root}/evil.php"]).returncode == 0
    played = shop.play("restore", upkeep_point=point)

    print(*re.findall(r"(?:frozen_)?seconds: [\d.]+", played.text))
    assert "outcome: done" in played.text
    page = shop.host.fetch("/lab-post-1/")
    assert page.status == 200
    assert "LAB-1" in page.body
    assert lively(rows(shop)) == lively(before)
    assert "items_of_orders" in shop.host.sql("SHOW CREATE TABLE wp_items")
    assert shop.host.run(["ls", f"{shop.host.root}/evil.php"]).returncode != 0
    # What was there before stays until the release …
    assert "upkeep_away_restore_0" in shop.host.sql(OURS)
    shop.play("release")
    # … and then nothing of ours is left.
    assert shop.host.sql(OURS).strip() == "NULL"
    assert shop.host.sql("SHOW TABLES", database="shop_staging") == ""
    assert [path.name for path in shop.workshop.iterdir() if path.name not in ("cache", "lock", "token.json")] == []
    left = shop.host.run(["sh", "-c", f"ls -A {shop.host.root} | grep -i -E 'upkeep|maintenance'"]).stdout
    assert left == ""


def test_a_restored_site_that_is_not_healthy_gives_way_to_what_was_there_before(shop: Shop) -> None:
    shop.host.sql(FOREIGN_KEYS)
    good = shop.host.run(["cat", f"{shop.host.root}/index.php"]).stdout
    shop.host.run(["sh", "-c", f"echo '<?php die();' >{shop.host.root}/index.php"], user="shop", check=True)
    point = shop.snapshot()["point"]
    shop.host.run(["sh", "-c", f"cat >{shop.host.root}/index.php"], user="shop", input=good, check=True)
    shop.host.sql("UPDATE wp_orders SET note = 'newer'")
    before = rows(shop)

    played = shop.play("restore", check=False, upkeep_point=point)

    assert played.code != 0
    assert "outcome: put-back" in played.text
    assert shop.host.fetch("/lab-post-1/").status == 200
    assert lively(rows(shop)) == lively(before)
    assert "items_of_orders" in shop.host.sql("SHOW CREATE TABLE wp_items")
    assert shop.host.sql("SELECT note FROM wp_orders WHERE id = 1").strip() == "newer"


# The database client of this host: where it is asked to rename tables, the module that called it dies.
DEADLY = """#!/bin/sh
asked=$(cat)
case $asked in *"RENAME TABLE"*) %s ;; esac
printf '%%s' "$asked" | mariadb "$@"
code=$?
case $asked in *"RENAME TABLE"*) %s ;; esac
exit $code
"""
KILL = "kill -9 $PPID; sleep 9"


@pytest.mark.parametrize(
    ("moments", "again"),
    [((KILL, ":"), "recover"), ((":", KILL), "restore")],
    ids=["before-the-tables-are-renamed-and-by-recover", "after-they-are-renamed-and-by-the-second-try"],
)
def test_a_restore_that_was_killed_is_put_back(shop: Shop, moments: tuple[str, str], again: str) -> None:
    """Ansible tries a step again when its connection broke: by that, production is put back as by `recover`."""
    shop.host.sql(FOREIGN_KEYS)
    point = shop.snapshot()["point"]
    shop.host.sql("UPDATE wp_orders SET note = 'newer'")
    before = rows(shop)
    run = "20261122T020000Z-1f0c9a2b"
    shop.programs(mariadb=shop.install("/home/shop/client", DEADLY % moments))

    died = shop.play("restore", check=False, upkeep_point=point, upkeep_run=run)
    assert died.code != 0
    assert shop.host.fetch("/").status == 503
    shop.programs(mariadb="mariadb")
    # Nothing that this run put away may be tidied up as long as it has not ended.
    refused = shop.play("release", check=False, upkeep_run=run)
    assert "has neither ended nor been put back" in re.sub(r"\s+", " ", refused.text)
    ended = shop.play(again, check=again == "recover", upkeep_point=point, upkeep_run=run)

    assert "state: put-back" in ended.text
    assert again == "recover" or "outcome: put-back" in ended.text
    shop.play("release", upkeep_run=run)
    assert shop.host.fetch("/lab-post-1/").status == 200
    assert lively(rows(shop)) == lively(before)
    assert "items_of_orders" in shop.host.sql("SHOW CREATE TABLE wp_items")
    assert shop.host.sql(OURS).strip() == "NULL"


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ("20200101T000000Z-00000000", "has no manifest"),
        ("../../other/shop/points/x", "is not the id of a restore point"),
    ],
)
def test_a_point_that_does_not_exist_is_refused(shop: Shop, point: str, reason: str) -> None:
    played = shop.play("restore", check=False, upkeep_point=point)

    assert played.code != 0
    assert "outcome: refused" in played.text
    assert reason in re.sub(r"\s+", " ", played.text)
    assert not shop.workshop.exists()


def test_a_point_of_another_client_is_refused(shop: Shop) -> None:
    point = shop.snapshot()["point"]
    path = shop.store / "points" / f"{point}.json"
    # As many bytes as before: the lab's store remembers the size of what it has given out.
    path.write_text(path.read_text().replace('"client": "example"', '"client": "another"'))

    played = shop.play("restore", check=False, upkeep_point=point)

    assert played.code != 0
    assert "outcome: refused" in played.text
    assert "it is for client 'another'" in re.sub(r"\s+", " ", played.text)
