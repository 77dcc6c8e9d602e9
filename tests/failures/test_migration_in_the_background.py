"""A plugin leaves its migration to cron: it is awaited with a deadline, and without it the run is degraded, never just done."""

from __future__ import annotations

import pytest

from tests.lab.bad_releases import BAD
from tests.pipeline import Site

pytestmark = pytest.mark.root

HOOK = "lab_banner_migrate"


def test_migration_in_the_background(site: Site) -> None:
    # The lab's sites have their cron switched off, so that nothing happens by itself; this one has it as WordPress comes.
    config = (site.root / "wp-config.php").read_text(encoding="utf-8")
    site.put_file("wp-config.php", config.replace("define( 'DISABLE_WP_CRON', true );", ""))
    site.offer(lab_banner=BAD["migration-in-the-background"])

    promoted = site.run("preflight", "stage", "rehearse", "promote", "release")["promote"]

    assert promoted.outcome == "done", promoted
    (seen,) = promoted.evidence["background"]["seen"]
    assert HOOK in seen
    assert "degraded" not in promoted.evidence
    assert site.host.sql("SELECT option_value FROM wp_options WHERE option_name = 'lab_banner_migrated'").strip() == "1"
    site.tidy()


def test_migration_in_the_background_that_is_not_done_in_time(site: Site) -> None:
    contract = site.shop.inventory / "contract.yml"
    contract.write_text(contract.read_text().replace("wait_minutes: 2", "wait_minutes: 0"))
    site.offer(lab_banner=BAD["migration-in-the-background"])

    said = site.upkeep("run", "example", "--now")

    assert said.code == 6, said.text
    (told,) = said.answer["runs"]
    assert (told["outcome"], told["headline"], site.version()) == ("done", "Degraded", "2.40")
    assert HOOK in told["degraded"][0]
    site.tidy()
