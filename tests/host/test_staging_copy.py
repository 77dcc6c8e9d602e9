"""The staging copy of the database, on a real server: it is production row for row, and every round begins with the same one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contract.load import load_contract
from orchestrator.plan.variables import place_variables
from tests.host.interrupted import Interrupted
from tests.lab.processes import wait_for
from tests.pipeline import Site

pytestmark = pytest.mark.root

# An empty mode stands for old servers and for WordPress's own: zero dates, a row 0 in a counter.
ODD = """
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE wp_parent (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  stamp TIMESTAMP NULL, t TEXT, KEY (t(20)), FULLTEXT (t));
INSERT INTO wp_parent (id, t, stamp) VALUES (0, 'zero', NULL), (7, 'tab\\tline\\nquote\\'"\\\\', '2026-10-25 00:30:00'), (9, '💥', NULL);
CREATE TABLE wp_child (id INT PRIMARY KEY, parent INT, cents INT, euros DOUBLE AS (cents / 100) STORED, half INT AS (cents DIV 2),
  hidden BIT(3) INVISIBLE DEFAULT b'101', b BLOB, e ENUM('a', 'b'), CONSTRAINT tied FOREIGN KEY (parent) REFERENCES wp_parent (id));
INSERT INTO wp_child (id, parent, cents, b, e) VALUES (1, 0, 150, X'00FF0A09', 'b'), (2, 9, 7, '', NULL);
CREATE TABLE `wp_with space` (id INT) ENGINE=MyISAM; INSERT INTO `wp_with space` VALUES (1), (1);
CREATE VIEW wp_view AS SELECT id, cents FROM wp_child;
CREATE TRIGGER counted BEFORE INSERT ON wp_child FOR EACH ROW SET NEW.cents = NEW.cents + 1000;
"""
FEW_ROWS = "DELETE FROM wp_child WHERE id = 2; INSERT INTO wp_terms (name) VALUES ('round');"
ONLY_A_COUNTER = "INSERT INTO wp_parent (t) VALUES ('x'); DELETE FROM wp_parent WHERE t = 'x';"
MUCH = """
ALTER TABLE wp_child DROP FOREIGN KEY tied; DROP TRIGGER counted; DROP VIEW wp_view; DROP TABLE `wp_with space`;
ALTER TABLE wp_parent DROP COLUMN t, ADD cents INT NOT NULL DEFAULT 3; CREATE TABLE wp_came (id INT); CREATE VIEW wp_other AS SELECT 1;
"""


def copied(site: Site, *rounds: str, first: str = "", small: int = 1 << 24) -> dict[str, Any]:
    """Copy the shop's database for staging, and put it back after each of these changes."""
    host = Interrupted.of(site)
    shutil.copy(Path(__file__).with_name("copies_for_staging.py"), host.place)
    variables = place_variables(load_contract(site.shop.inventory / "contract.yml"), "shop")
    request = {
        "site": variables["cms_update_site"],
        "folder": host.home,
        "first": first,
        "small": small,
        "rounds": rounds,
    }
    done = host.python("copies_for_staging.py", request)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@contextmanager
def a_row_locked(site: Site) -> Iterator[None]:
    """Have a visitor's transaction open, which has written to a row and not ended, while the block lasts."""
    found = re.search(r"'DB_PASSWORD', '([^']+)'", (site.root / "wp-config.php").read_text(encoding="utf-8"))
    assert found is not None
    words = "BEGIN; UPDATE wp_lab_orders SET amount = amount + 1; SELECT SLEEP(100)"
    visitor = subprocess.Popen(
        site.host.inside(["mariadb", "-u", "shop", "shop", "-e", words]),
        env={**site.host.login(), "MYSQL_PWD": found.group(1)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    asleep = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(100)'"
    try:
        wait_for("the visitor has written", lambda: bool(site.host.sql(asleep)), 10)
        yield
    finally:
        for number in site.host.sql(asleep).split():
            site.host.sql(f"KILL {number}")
        visitor.wait(10)


def test_the_copy_is_exact_waits_for_nobody_and_is_made_again_table_by_table(site: Site) -> None:

    copied(site, first=ODD)
    with a_row_locked(site):
        answer = copied(site, "", FEW_ROWS, "", ONLY_A_COUNTER, MUCH, "")

    assert answer["evidence"]["method"] == "inside the server", answer["evidence"]
    assert answer["staged"] == answer["production"]
    assert all(each["exact"] for each in answer["rounds"]), answer["rounds"]
    everything = sorted(answer["staged"]["tables"])
    # A trigger would write while its table is filled: then all is made again.
    assert [each["again"] for each in answer["rounds"]] == [[], everything, [], ["wp_parent"], everything, []]
    assert answer["left"] == []


def test_big_tables_are_kept_when_the_first_round_begins_and_what_is_no_common_table_takes_a_dump(site: Site) -> None:
    answer = copied(site, "DELETE FROM wp_options", FEW_ROWS.partition(";")[2], "", small=0)

    assert answer["kept"][0] == 0
    assert answer["kept"][1] == len(answer["staged"]["tables"])
    # What the first look at the copy has changed in a big table belongs to what all rounds begin with.
    assert [each["again"] for each in answer["rounds"]] == [[], ["wp_terms"], []]
    assert answer["left"] == []

    site.host.sql(
        "CREATE SEQUENCE wp_numbers; CREATE TABLE wp_past (id INT PRIMARY KEY) WITH SYSTEM VERSIONING; INSERT INTO wp_past VALUES (1)"
    )
    dumped = copied(site, "DELETE FROM wp_lab_orders")

    assert dumped["evidence"]["method"] == "dump and load"
    assert dumped["evidence"]["because"] == "it has more than common tables"
    assert dumped["staged"]["sums"] == dumped["production"]["sums"]
    assert dumped["rounds"][0]["exact"] is True
    assert dumped["left"] == []
