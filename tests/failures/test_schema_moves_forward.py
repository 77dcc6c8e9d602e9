"""The update alters a table so that old code cannot read it [elementor 1911]: code and database go back together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab
from tests.pipeline import Site
from tests.staged import staged
from tests.trials import AsTemplate, Trials

pytestmark = pytest.mark.root


def test_schema_moves_forward_in_staging(trials: Trials) -> None:
    assert "front page: status 500" in trials.held("2.11")


def test_schema_moves_forward_in_production(site: Site) -> None:
    site.offer(lab_banner="2.17")
    before = site.state()
    site.serves("1.0")

    promoted = site.put_back_in_production(state=before)

    assert site.rehearsed is not None
    touches = site.rehearsed.evidence["touches"]
    (release,) = touches["releases"]
    assert (touches["class"], release["class"]) == ("schema", "schema")
    assert touches["tables"]["schema"] == ["wp_lab_orders"]
    assert release["files"] == {"added": 0, "changed": 1, "removed": 0}
    aside = len(site.rehearsed.evidence["tables_changed"])
    assert touches["way_back"] == f"the trees are exchanged back and {aside} tables renamed back, together"
    assert 0 < promoted.evidence["expected"]["seconds"] < promoted.evidence["expected"]["budget"] == 60
    assert promoted.evidence["frozen_seconds"] > 0
    assert "wp_lab_orders" in promoted.evidence["tables_back"]
    assert "status 500" in str(promoted.evidence["broken"])
    columns = site.host.sql("SHOW COLUMNS FROM wp_lab_orders").split()
    assert "amount" in columns
    assert "cents" not in columns
    assert site.host.sql("SELECT customer, amount FROM wp_lab_orders").split("\t") == ["Ada Baker", "12.50\n"]
    assert site.host.sql("SELECT option_value FROM wp_options WHERE option_name = 'lab_banner_schema'").strip() == "1"
    site.serves("1.0")


def test_schema_moves_forward_in_production_alone(site: Site) -> None:
    """Staging saw no change of these tables, so nothing was copied aside: they come back all the same."""
    site.offer(lab_banner="2.60")
    before = site.state()

    promoted = site.put_back_in_production(state=before)

    assert promoted.evidence["verdict"]["healthy"] is True
    assert promoted.evidence["tables_only_here"] == ["wp_comments", "wp_lab_only_here"]
    assert "wp_comments" not in promoted.evidence["tables_aside"]
    assert promoted.evidence["tables_from_staging"] == ["wp_comments"]
    assert promoted.evidence["tables_unexpected"] == []
    assert "tables changed in production that did not change in its copy: wp_comments" in promoted.message
    site.serves("1.0")


def test_schema_moves_forward_in_production_alone_and_the_promotion_dies(
    lab: Lab, sockets: Path, tmp_path: Path, as_template: AsTemplate
) -> None:
    with staged(lab, sockets, tmp_path, as_template, lab_banner="2.60") as ready:
        ready.host.ask("promote", stop="after Promotion.look", alone=True)
        ready.until_nothing_works()

        journal = ready.journal()
        assert journal["state"] == "back", (ready.folder / "own_way_back.log").read_text()
        assert journal["host"]["tables_from_staging"] == ["wp_comments"]  # type: ignore[index]
        ready.again()
