"""Tables copied aside and put back, on a real server: row for row, whatever they are called and whatever is in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contract.load import load_contract
from orchestrator.plan.variables import place_variables
from tests.host.interrupted import Interrupted
from tests.pipeline import Site

pytestmark = pytest.mark.root

# An empty mode stands for old servers and for WordPress's own: zero dates, a row 0 in a counter.
ODD = """
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE `wp_with space` (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', t TEXT);
INSERT INTO `wp_with space` (id, t) VALUES (0, 'zero'), (7, 'tab\\tline\\nquote\\'"\\\\'), (9, NULL);
CREATE TABLE `wp_dotted.näme` (a VARCHAR(20), b BLOB, KEY (a)) DEFAULT CHARSET utf8mb4;
INSERT INTO `wp_dotted.näme` VALUES ('💥', X'00FF0A09'), ('', '');
CREATE TABLE wp_memory (id INT) ENGINE=MyISAM;
INSERT INTO wp_memory VALUES (1), (1);
CREATE TABLE other_things (id INT PRIMARY KEY);
"""
CHANGE = """
ALTER TABLE `wp_with space` DROP COLUMN t, ADD cents INT NOT NULL DEFAULT 3;
DELETE FROM `wp_dotted.näme`;
DROP TABLE wp_memory;
CREATE TABLE wp_brought_along (id INT);
CREATE TABLE appeared_meanwhile (id INT);
"""


def copied(site: Site, tables: list[str], change: str = "") -> dict[str, Any]:
    """Copy tables aside, change them, and put them back."""
    host = Interrupted.of(site)
    shutil.copy(Path(__file__).with_name("copies_of_tables.py"), host.place)
    variables = place_variables(load_contract(site.shop.inventory / "contract.yml"), "shop")
    request = {"site": variables["cms_update_site"], "folder": host.home, "tables": tables, "change": change}
    answer: dict[str, Any] = json.loads(host.python("copies_of_tables.py", request).stdout)
    return answer


def test_tables_come_back_row_for_row(site: Site) -> None:
    site.host.sql(ODD)
    tables = ["wp_with space", "wp_dotted.näme", "wp_memory", "wp_options"]

    answer = copied(site, tables, CHANGE)

    assert answer["stuck"] == []
    assert answer["hidden"] is True
    # What comes with the site's prefix goes with it; what somebody else made meanwhile stays.
    assert answer["changed"] == ["appeared_meanwhile", "wp_brought_along", "wp_dotted.näme", "wp_with space"]
    assert answer["back"] == [sorted(tables), []]
    assert answer["wrong"] == ["appeared_meanwhile"]
    assert answer["left"] == []
    assert site.host.sql("SELECT id, at FROM `wp_with space` ORDER BY id").splitlines()[0] == "0\t0000-00-00 00:00:00"
    assert site.host.sql("SELECT HEX(b) FROM `wp_dotted.näme` WHERE a <> ''") == "00FF0A09\n"
    site.serves("1.0")


def test_tables_for_which_no_copy_can_stand_are_named(site: Site) -> None:
    site.host.sql(
        "CREATE TABLE wp_parent (id INT PRIMARY KEY); CREATE TABLE wp_plain (id INT);"
        "CREATE TABLE wp_child (id INT, CONSTRAINT c FOREIGN KEY (id) REFERENCES wp_parent (id));"
        "CREATE TABLE wp_made (a INT, b INT AS (a + 1) STORED); CREATE TABLE wp_watched (id INT);"
        "CREATE TRIGGER t BEFORE INSERT ON wp_watched FOR EACH ROW SET NEW.id = 1"
    )
    tables = ["wp_child", "wp_made", "wp_parent", "wp_plain", "wp_watched"]

    assert copied(site, tables)["stuck"] == ["wp_child", "wp_made", "wp_parent", "wp_watched"]


def test_a_name_that_is_more_than_a_name_stops_everything(site: Site) -> None:
    site.host.sql("CREATE TABLE `wp_a'b` (id INT)")

    answer = copied(site, ["wp_a'b"])

    assert "refusing the table name" in answer["error"]
    assert site.host.sql("SHOW TABLES LIKE 'upkeep%'") == ""
