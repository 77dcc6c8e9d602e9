"""The update alters a table so that old code cannot read it [elementor 1911]: code and database go back together."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_schema_moves_forward_in_staging(untouched_site: Site) -> None:
    assert "front page: status 500" in untouched_site.held_in_staging("2.11")


def test_schema_moves_forward_in_production(site: Site) -> None:
    site.offer(lab_banner="2.17")
    before = site.state()
    site.serves("1.0")

    promoted = site.put_back_in_production(state=before)

    assert "wp_lab_orders" in promoted.evidence["tables_back"]
    assert "status 500" in str(promoted.evidence["broken"])
    columns = site.host.sql("SHOW COLUMNS FROM wp_lab_orders").split()
    assert "amount" in columns
    assert "cents" not in columns
    assert site.host.sql("SELECT customer, amount FROM wp_lab_orders").split("\t") == ["Ada Baker", "12.50\n"]
    assert site.host.sql("SELECT option_value FROM wp_options WHERE option_name = 'lab_banner_schema'").strip() == "1"
    site.serves("1.0")
