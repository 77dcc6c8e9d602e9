"""A drill on a real host: a restore point makes a site that works, or it is said that it does not; production is left alone."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_a_drill_measures_the_recovery_and_leaves_nothing_behind_and_a_point_can_be_looked_at(
    untouched_site: Site,
) -> None:
    site = untouched_site
    point = site.shop.snapshot()["point"]
    looked = site.shop.play("drill", "--check", upkeep_point="newest")
    assert f"would try {point} in the staging place" in " ".join(looked.text.split())

    said = site.upkeep("drill", "example")

    assert said.code == 0, said.text
    (run,) = said.answer["runs"]
    assert (run["outcome"], run["drill"]["point"], run["drill"]["missed"]) == ("done", point, [])
    assert 0 < run["drill"]["recovery_seconds"] < 120
    assert 0 < run["drill"]["data_age_seconds"] < 600
    assert (run["drill"]["rto_hours"], run["drill"]["rpo_hours"]) == (4, 24)
    (verdict,) = [each for each in run["verdicts"] if each["where"] == "scratch place, recovered"]
    assert verdict["healthy"] is True
    assert verdict["probes"] >= 7
    site.tidy()

    # To be looked at, it stays: a run that ends in the meantime does not take it away.
    said = site.upkeep("restore", "example", "--site", "shop", "--point", "newest", "--to", "staging")
    assert said.code == 0, said.text
    (run,) = said.answer["runs"]
    assert f"{point} is served at 127.0.0.1:8081" in run["message"]
    assert run["next"].endswith("upkeep restore example --site shop --to staging --remove")
    site.shop.play("release")
    ask = ["curl", "-s", "-H", "Host: shop.example.test", "http://127.0.0.1:8081/lab-post-1/"]
    assert "LAB-1" in site.host.run(ask).stdout
    said = site.upkeep("restore", "example", "--site", "shop", "--to", "staging", "--remove")
    assert said.code == 0, said.text
    assert site.host.run(ask).stdout == ""
    site.tidy()


def test_a_restore_point_without_a_file_of_the_core_fails_its_drill_and_says_so(site: Site) -> None:
    # Through the gateway this time: the host has no key of the store.
    (site.shop.inventory / "group_vars" / "all" / "vars.yml").write_text("site_snapshot_transport: gateway\n")
    missing = site.root / "wp-includes" / "class-wp-query.php"
    body, seen = missing.read_bytes(), missing.stat()
    missing.unlink()
    point = site.shop.snapshot()["point"]
    site.put_file("wp-includes/class-wp-query.php", body.decode())
    assert missing.stat().st_uid == seen.st_uid
    before = site.state()

    said = site.upkeep("drill", "example")

    assert said.code == 12, said.text
    (run,) = said.answer["runs"]
    assert run["outcome"] == "unhealthy", run["message"]
    assert f"The site cannot be recovered from {point}: " in run["message"]
    assert "class-wp-query.php" in run["message"]
    assert run["next"] == "upkeep verify example --site shop --full"
    (incident,) = site.upkeep("status", "example").answer["incidents"]
    assert point in incident["reasons"][0]
    assert before.differences(site.state()) == []
    site.serves("1.0")
    site.tidy()
