"""A part of a restore point on a real host: it comes back as it was, and what was not asked for stays as it is."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.conftest import HOST
from tests.host.shop import Played, Shop, shop_of
from tests.lab import Lab
from tests.trials import AsTemplate

pytestmark = pytest.mark.root

# Everything that is easily lost on the way through a text.
ODD = """
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE `wp_odd one/é` (id INT AUTO_INCREMENT PRIMARY KEY, n INT, t TEXT, b BLOB, j JSON, d DATETIME DEFAULT '0000-00-00 00:00:00',
    f DOUBLE, bits BIT(9), made INT AS (n * 2) STORED, shown VARCHAR(20) AS (CONCAT('#', n)) VIRTUAL) DEFAULT CHARSET utf8mb4;
INSERT INTO `wp_odd one/é` (id, n, t, b, j, f, bits) VALUES
    (0, 0, '🍵 tab\\t line\\n quote\\' \\\\ %', X'00FF0A0D09271A', '{"a": "💥"}', 1e-300, b'101010101'), (7, 7, '', '', NULL, NULL, NULL),
    (9, 9, NULL, NULL, '[]', -0.1, b'0');
CREATE TABLE wp_orders (id INT PRIMARY KEY, note TEXT);
INSERT INTO wp_orders VALUES (1, 'tea');
CREATE TABLE wp_prices (id INT PRIMARY KEY, cents INT) WITH SYSTEM VERSIONING;
INSERT INTO wp_prices VALUES (1, 5);
UPDATE wp_prices SET cents = 7;
CREATE DEFINER = shop@localhost VIEW wp_notes AS SELECT note, 'a\\nb' AS folded FROM wp_orders;
CREATE DEFINER = shop@localhost FUNCTION wp_seven() RETURNS INT DETERMINISTIC RETURN 7;
CREATE DEFINER = shop@localhost EVENT wp_yearly ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01' DO DELETE FROM wp_orders;
"""
# What keeps a whole database from being exchanged; a body that looks like a part of a dump is none.
MORE = """
CREATE SEQUENCE wp_numbers START WITH 40;
CREATE TABLE wp_numbered (id INT DEFAULT NEXTVAL(wp_numbers) PRIMARY KEY, t TEXT);
INSERT INTO wp_numbered (t) VALUES ('a'), ('b');
DELIMITER //
CREATE DEFINER = shop@localhost TRIGGER wp_watch BEFORE INSERT ON wp_orders FOR EACH ROW BEGIN
SET NEW.note = CONCAT(NEW.note, '
--
-- Table structure for table `wp_not_there`
--
');
END//
DELIMITER ;
"""
TABLE = "wp_odd one/é"
PHOTO = "wp-content/uploads/photo [1].jpg"
IDENTITY = "stat -c '%i %A %U %G %n' . ; find . -type f ! -name '.maintenance' -printf '%i %m %s %p\\n' | sort"
SHELL = "cd /srv/shop/htdocs; "


@pytest.fixture(scope="module")
def shop(lab: Lab, tmp_path_factory: pytest.TempPathFactory, sockets: Path, as_template: AsTemplate) -> Shop:
    """Return one shop with one bucket for all tests of this file: each leaves a site that is well."""
    as_template.taken(HOST)
    shop = shop_of(lab, HOST, tmp_path_factory.mktemp("parts") / "inventories" / "example", sockets)
    shop.host.sql(ODD)
    written(shop, PHOTO, "old")
    written(shop, "wp-content/uploads/gone/deep/x.txt", "old")
    return shop


@pytest.fixture(scope="module")
def manifest(shop: Shop) -> dict[str, Any]:
    """Return the manifest of a restore point of it."""
    return shop.snapshot()


@pytest.fixture
def point(shop: Shop, manifest: dict[str, Any]) -> str:
    """Return a restore point's id, after much has happened to the site since then."""
    sql(shop, "UPDATE ODD SET t = 'newer', id = id + 1 WHERE id > 0; UPDATE wp_orders SET note = 'newer'")
    written(shop, PHOTO, "newer")
    written(shop, "wp-content/uploads/upload.txt", "newer")
    shop.host.run(["rm", "-rf", f"{shop.host.root}/wp-content/uploads/gone"], check=True)
    return str(manifest["point"])


def written(shop: Shop, path: str, text: str) -> None:
    """Write a file of the site as its owner."""
    shop.host.run(
        ["sh", "-c", 'cd /srv/shop/htdocs && mkdir -p "$(dirname "$1")" && cat >"$1"', "sh", path],
        user="shop", input=text, check=True,
    )  # fmt: skip


def read(shop: Shop, path: str) -> str:
    """Return a file of the site, or nothing when it is not there."""
    return shop.host.run(["cat", f"{shop.host.root}/{path}"]).stdout


def files(shop: Shop) -> list[str]:
    """Return inode, mode and size of every file, that of the document root first."""
    return shop.host.run(["sh", "-c", SHELL + IDENTITY], check=True).stdout.splitlines()


def sql(shop: Shop, statement: str) -> str:
    """Run SQL; ODD stands for the odd table."""
    return shop.host.sql(statement.replace("ODD", f"`{TABLE}`"))


def odd(shop: Shop) -> str:
    """Return what the odd table holds, to the bit."""
    sums = sql(shop, "CHECKSUM TABLE ODD")
    return sums + sql(shop, "SELECT id, n, HEX(t), HEX(b), j, d, f, HEX(bits), made, shown FROM ODD")


def note(shop: Shop) -> str:
    """Return what is in the table that nobody asked for."""
    return shop.host.sql("SELECT note FROM wp_orders").strip()


def restored(shop: Shop, point: str, **part: Any) -> Played:
    """Restore a part, and release: then nothing of ours is left and the site is well."""
    played = shop.play("restore", "release", upkeep_point=point, **part)
    assert "outcome: done" in played.text
    assert shop.host.fetch("/lab-post-1/").status == 200
    assert shop.host.sql("SHOW TABLES LIKE 'upkeep%'") == shop.host.sql("SHOW TABLES", database="shop_staging") == ""
    return played


def test_one_table_comes_back_and_neither_files_nor_other_tables_change(
    shop: Shop, manifest: dict[str, Any], point: str
) -> None:
    before = files(shop)

    restored(shop, point, site_snapshot_tables=[TABLE])

    assert sql(shop, "SELECT GROUP_CONCAT(id), GROUP_CONCAT(made) FROM ODD").split() == ["0,7,9", "0,14,18"]
    assert sql(shop, "SELECT HEX(t), HEX(b), j FROM ODD WHERE id = 0").split("\t")[:2] == [
        "🍵 tab\t line\n quote' \\ %".encode().hex().upper(),
        "00FF0A0D09271A",
    ]
    assert manifest["dump"]["tables"][TABLE]["rows"] == 3
    assert manifest["dump"]["tables"]["wp_prices"]["rows"] == 2
    assert note(shop) == "newer"
    assert files(shop) == before


def test_the_database_comes_back_and_the_files_stay(shop: Shop, point: str) -> None:
    before = files(shop)

    restored(shop, point, site_snapshot_only="database")

    assert sql(shop, "SELECT GROUP_CONCAT(id) FROM ODD").split() == ["0,7,9"]
    assert note(shop) == "tea"
    assert shop.host.sql("SELECT cents FROM wp_prices FOR SYSTEM_TIME ALL ORDER BY row_start").split() == ["5", "7"]
    assert files(shop) == before
    # Views, routines and events were what they had been, and see the tables of then.
    assert shop.host.sql("SELECT note, wp_seven() FROM wp_notes").split() == ["tea", "7"]


def test_all_files_of_a_dump_together_make_the_same_database(shop: Shop, tmp_path: Path) -> None:
    shop.host.run(["mariadb", "shop"], input=MORE, check=True)
    try:
        manifest = shop.snapshot()
        refused = shop.play("restore", check=False, upkeep_point="newest", site_snapshot_only="database")
        assert "the restore point has sequences" in re.sub(r"\s+", " ", refused.text)
        place = tmp_path / "then"
        folder = manifest["dump"]["folder"]
        shop.restic("restore", manifest["restic"]["snapshot"], "--target", str(place), "--include", folder)
        dump = Path(f"{place}{folder}")
        files = [dump / "sequences.sql", *sorted(dump.glob("tables/*.sql")), dump / "definitions.sql"]
        text = "".join(path.read_text() for path in files)
        # As docs/restore.md has it, for whoever has restic and a client and not us.
        shop.host.run(["mariadb", "--binary-mode", "shop_staging"], input=text, check=True)

        assert "wp_not_there" not in manifest["dump"]["tables"]
        assert made(shop, "shop_staging") == made(shop, "shop")
    finally:
        shop.host.sql("DROP TRIGGER wp_watch; DROP TABLE wp_numbered; DROP SEQUENCE wp_numbers")
        shop.host.sql("DROP DATABASE shop_staging; CREATE DATABASE shop_staging")


def test_triggers_stay_on_the_tables_that_come_and_on_those_that_come_back(shop: Shop, point: str) -> None:
    watch = """
DELIMITER //
CREATE DEFINER = shop@localhost TRIGGER wp_second BEFORE INSERT ON wp_orders FOR EACH ROW SET NEW.note = CONCAT(NEW.note, '2; /* a */');
CREATE DEFINER = shop@localhost TRIGGER wp_first BEFORE INSERT ON wp_orders FOR EACH ROW PRECEDES wp_second BEGIN
    -- a remark
    SET NEW.note = CONCAT(NEW.note, "1
");
END//
"""
    shop.host.run(["mariadb", "--comments", "shop"], input=watch, check=True)
    before = triggers(shop)
    try:
        restored(shop, point, site_snapshot_tables=["wp_orders"])
        assert triggers(shop) == before
        assert note(shop) == "tea"
        shop.host.sql("INSERT INTO wp_orders VALUES (2, 'x')")
        assert sql(shop, "SELECT HEX(note) FROM wp_orders WHERE id = 2").strip() == b"x1\n2; /* a */".hex().upper()
        # A restore point that has them, and a site that is not well with it: both ways.
        sql(shop, "UPDATE wp_posts SET post_content = 'not what was promised'")
        bad = shop.snapshot()["point"]
        sql(shop, "UPDATE wp_posts SET post_content = 'LAB-1'; DELETE FROM wp_orders WHERE id = 2")
        played = shop.play("restore", check=False, upkeep_point=bad, site_snapshot_only="database")
        assert "What was there before the restoration is back" in played.text
        assert triggers(shop) == before
        assert note(shop) == "tea"
    finally:
        shop.host.sql(
            "DROP TRIGGER IF EXISTS wp_first; DROP TRIGGER IF EXISTS wp_second; DELETE FROM wp_orders WHERE id = 2"
        )


def triggers(shop: Shop) -> str:
    """Return all that the server knows of the triggers, but the moment in which they were made."""
    return shop.host.sql(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_ORDER, HEX(ACTION_STATEMENT), ACTION_TIMING, EVENT_MANIPULATION, SQL_MODE,"
        " DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION FROM information_schema.TRIGGERS ORDER BY 1"
    )


def made(shop: Shop, database: str) -> list[str]:
    """Return checksums of all tables and every definition of a database."""
    program = ["mariadb-dump", "--no-data", "--routines", "--events", "--triggers", "--skip-comments", database]
    tables = shop.host.sql(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' AND TABLE_TYPE = 'BASE TABLE'"
    )
    names = ", ".join(f"`{name}`" for name in tables.splitlines())
    sums = [line.split("\t")[1] for line in shop.host.sql(f"CHECKSUM TABLE {names}", database=database).splitlines()]
    return sums + shop.host.run(program, check=True).stdout.replace("shop_staging", "shop").splitlines()


def test_the_files_come_back_and_the_database_stays(shop: Shop, point: str) -> None:
    before = odd(shop)

    restored(shop, point, site_snapshot_only="files")

    assert (read(shop, PHOTO), read(shop, "wp-content/uploads/upload.txt")) == ("old", "")
    assert (odd(shop), note(shop)) == (before, "newer")


def test_paths_come_back_and_every_other_file_is_the_same_file(shop: Shop, point: str) -> None:
    before, rows = files(shop), odd(shop)

    restored(shop, point, site_snapshot_paths=[PHOTO, f"{shop.host.root}/wp-content/uploads/gone/deep"])

    assert (read(shop, PHOTO), read(shop, "wp-content/uploads/upload.txt")) == ("old", "newer")
    assert read(shop, "wp-content/uploads/gone/deep/x.txt") == "old"
    changed = sorted(line.partition("./")[2] for line in set(before[1:]) ^ set(files(shop)[1:]))
    assert changed == sorted([PHOTO, PHOTO, "wp-content/uploads/gone/deep/x.txt"])
    assert files(shop)[0].split()[1:] == before[0].split()[1:]
    assert (odd(shop), note(shop)) == (rows, "newer")


def test_a_part_that_breaks_the_site_gives_way_to_what_was_there_before(shop: Shop, point: str) -> None:
    good = read(shop, "index.php")
    written(shop, "index.php", "<?php die();")
    bad = shop.snapshot()["point"]
    written(shop, "index.php", good)
    sql(shop, "DELETE FROM ODD")
    before, rows = files(shop), odd(shop)

    played = shop.play(
        "restore", check=False, upkeep_point=bad, site_snapshot_paths=["index.php"], site_snapshot_tables=[TABLE]
    )

    assert "outcome: put-back" in played.text
    assert (files(shop), odd(shop)) == (before, rows)
    assert shop.host.fetch("/lab-post-1/").status == 200


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"site_snapshot_tables": ["wp_postz"]}, "it has no table wp_postz. Did you mean wp_posts?"),
        ({"site_snapshot_paths": ["wp-config.phq"]}, "it has no wp-config.phq below the document root. Did you mean wp-config.php?"),
        ({"site_snapshot_paths": ["../.ssh"]}, "leads out of the document root"),
        ({"site_snapshot_tables": ["wp_child"]}, "the foreign key child_of ties these tables to others: add wp_parent"),
        ({"site_snapshot_only": "database"}, "the site has WordPress 6.2.6 now, which wants database version 99999"),
    ],
    ids=["no-such-table", "no-such-path", "outside", "tied", "newer-core"],
)  # fmt: skip
def test_what_cannot_be_put_back_alone_is_refused_before_anything_is_touched(
    shop: Shop, manifest: dict[str, Any], part: dict[str, Any], said: str
) -> None:
    code = read(shop, "wp-includes/version.php")
    if "99999" in said:
        written(shop, "wp-includes/version.php", re.sub(r"(wp_db_version = )\d+", r"\g<1>99999", code))
    point = manifest["point"]
    if "tied" in said or "ties" in said:
        shop.host.sql(
            "CREATE TABLE wp_parent (id INT PRIMARY KEY);"
            "CREATE TABLE wp_child (id INT, CONSTRAINT child_of FOREIGN KEY (id) REFERENCES wp_parent (id))"
        )
        point = shop.snapshot()["point"]
    before, rows = files(shop), odd(shop)

    played = shop.play("restore", check=False, upkeep_point=point, **part)

    assert "outcome: refused" in played.text
    assert said in re.sub(r"\s+", " ", played.text)
    assert "Production was not touched" in re.sub(r"\s+", " ", played.text)
    assert (files(shop), odd(shop)) == (before, rows)
    written(shop, "wp-includes/version.php", code)
    shop.host.sql("DROP TABLE IF EXISTS wp_child, wp_parent")


# The database client of this host: when it has renamed tables, the module that called it dies.
DEADLY = """#!/bin/sh
asked=$(cat)
printf '%s' "$asked" | mariadb "$@"
code=$?
case $asked in *"RENAME TABLE"*) kill -9 $PPID; sleep 9 ;; esac
exit $code
"""


def test_a_part_that_was_half_way_when_the_host_died_is_put_back_by_the_recovery(shop: Shop, point: str) -> None:
    run = "20261122T020000Z-1f0c9a2b"
    before, orders = files(shop), shop.host.sql("CHECKSUM TABLE wp_orders")
    sql(shop, "RENAME TABLE ODD TO wp_was_dropped")
    shop.programs(mariadb=shop.install("/home/shop/client", DEADLY))

    died = shop.play(
        "restore", check=False, upkeep_point=point, upkeep_run=run,
        site_snapshot_tables=[TABLE, "wp_orders"], site_snapshot_paths=[PHOTO],
    )  # fmt: skip
    assert died.code != 0
    assert (shop.host.fetch("/").status, note(shop)) == (503, "tea")
    shop.programs(mariadb="mariadb")
    recovered = shop.play("recover", upkeep_run=run)

    assert "state: put-back" in recovered.text
    assert shop.host.fetch("/lab-post-1/").status == 200
    assert (files(shop), shop.host.sql("CHECKSUM TABLE wp_orders")) == (before, orders)
    assert TABLE not in shop.host.sql("SHOW TABLES")
    sql(shop, "RENAME TABLE wp_was_dropped TO ODD")


def test_a_restore_is_refused_while_another_run_has_the_site_and_for_a_point_of_another_site(
    shop: Shop, manifest: dict[str, Any]
) -> None:
    before, rows = files(shop), odd(shop)
    lease = shop.workshop / "lease.json"
    lease.write_text(json.dumps({"run": "20261122T020000Z-00000000", "since": 0, "expires": time.time() + 600}))
    busy = shop.play("restore", check=False, upkeep_point=manifest["point"], site_snapshot_only="files")
    assert "outcome: busy" in busy.text
    assert "run 20261122T020000Z-00000000 has this site until" in re.sub(r"\s+", " ", busy.text)
    lease.unlink()

    path = shop.store / "points" / f"{manifest['point']}.json"
    text = path.read_text()
    # As many bytes as before: the lab's store remembers the size of what it has given out.
    path.write_text(text.replace('"site": "shop"', '"site": "blog"'))
    other = shop.play("restore", check=False, upkeep_point=manifest["point"], site_snapshot_tables=["wp_posts"])
    path.write_text(text)

    assert "outcome: refused" in other.text
    assert "it is for site 'blog', not 'shop'" in re.sub(r"\s+", " ", other.text)
    assert (files(shop), odd(shop)) == (before, rows)


def test_a_restore_point_of_before_gives_one_table_too(shop: Shop, manifest: dict[str, Any], point: str) -> None:
    """Until schema 2 the whole dump was one file; such points lie in stores for years."""
    shop.play("restore", "release", upkeep_point=point, site_snapshot_only="database")
    wanted = odd(shop)
    old = in_one_file(shop, manifest)
    sql(shop, "DROP TABLE ODD; UPDATE wp_orders SET note = 'newer'")

    restored(shop, old, site_snapshot_tables=[TABLE])

    assert (odd(shop), note(shop)) == (wanted, "newer")


def in_one_file(shop: Shop, manifest: dict[str, Any]) -> str:
    """Take a restore point as schema 1 had it, and return its id."""
    store, file = shop.lab.s3, "/srv/shop/.upkeep/dump/shop.sql"
    dump = "mariadb-dump --single-transaction --order-by-primary --hex-blob --skip-dump-date shop"
    shop.host.run(["sh", "-ec", f"mkdir -p {Path(file).parent}; {dump} >{file}; chown -R shop {Path(file).parent}"], check=True)  # fmt: skip
    environment = {
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "RESTIC_PASSWORD": shop.secrets["site_snapshot_password"],
        "RESTIC_REPOSITORY": f"s3:{store.endpoint}/{shop.bucket}/example/shop/restic",
    }
    words = [f"{name}={value}" for name, value in environment.items()]
    shop.host.run(["env", *words, "restic", "backup", "-q", "/srv/shop/htdocs", str(Path(file).parent)], check=True)
    newest = max(shop.restic("snapshots", "--json"), key=lambda entry: str(entry["time"]))
    content = shop.host.run(["cat", file], check=True).stdout.encode()
    shop.host.run(["rm", "-r", str(Path(file).parent)], check=True)
    point = "20200101T000000Z-00000001"
    tables = {name: {"rows": entry["rows"]} for name, entry in manifest["dump"]["tables"].items()}
    written_then = {
        **manifest,
        "schema": 1,
        "point": point,
        "restic": {**manifest["restic"], "snapshot": newest["id"]},
        "dump": {
            "file": file, "exit_codes": {"mariadb-dump": 0}, "end_marker": True, "tables": tables, "database": "shop",
            "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        },
    }  # fmt: skip
    # Through the store: what is laid beside it on the disk it sees later.
    configuration = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    session = boto3.session.Session(store.access_key, store.secret_key, region_name="us-east-1")
    client = session.client("s3", endpoint_url=store.endpoint, config=configuration)
    client.put_object(
        Bucket=shop.bucket, Key=f"example/shop/points/{point}.json", Body=json.dumps(written_then).encode()
    )
    return point
