"""A table without a primary key [jetpack backup faq]: it comes back row for row, rows that are there twice included."""

from __future__ import annotations

import pytest

from tests.host.shop import Shop

pytestmark = pytest.mark.root

# What restores go by where there is a key: none at all, one that may be NULL, and one that only seems to be one.
TABLES = """
SET NAMES utf8mb4;
CREATE TABLE wp_visits (at DATETIME, who VARCHAR(40)) DEFAULT CHARSET utf8mb4;
INSERT INTO wp_visits VALUES ('2026-11-22 02:00:00', 'ann'), ('2026-11-22 02:00:00', 'ann'), (NULL, NULL), (NULL, NULL),
    ('0001-01-01', '💥'), ('2026-11-22 02:00:00', 'Ann');
CREATE TABLE wp_seen (id INT UNIQUE, who VARCHAR(40));
INSERT INTO wp_seen VALUES (NULL, 'a'), (NULL, 'a'), (2, 'b'), (1, 'c'), (0, 'd');
CREATE TABLE wp_lines (line TEXT, KEY (line(9))) ENGINE=MyISAM;
INSERT INTO wp_lines VALUES ('twice'), ('twice'), ('');
"""
ROWS = (
    "SELECT at, who, HEX(who) FROM wp_visits ORDER BY 1, 2, 3",
    "SELECT id, who FROM wp_seen ORDER BY 1, 2",
    "SELECT line FROM wp_lines ORDER BY 1",
)


def rows(shop: Shop) -> list[str]:
    """Return every row of the tables, and checksums that do not depend on their order."""
    return [shop.host.sql(each) for each in (*ROWS, "CHECKSUM TABLE wp_visits, wp_seen, wp_lines")]


def test_no_primary_key(shop: Shop) -> None:
    shop.host.sql(TABLES)
    before = rows(shop)
    assert before[0].count("ann\t616E6E") == 2
    manifest = shop.snapshot()
    assert [manifest["dump"]["tables"][f"wp_{name}"]["rows"] for name in ("visits", "seen", "lines")] == [6, 5, 3]
    # No transaction holds for this one, and whoever restores should know.
    assert manifest["dump"]["not_transactional"] == ["wp_lines"]
    shop.host.sql("DELETE FROM wp_visits LIMIT 1; UPDATE wp_seen SET who = 'x'; DROP TABLE wp_lines")

    shop.play("restore", upkeep_point=manifest["point"], site_snapshot_only="database")

    assert rows(shop) == before
