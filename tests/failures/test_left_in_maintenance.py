"""The maintenance marker stays after success or failure [wpmgr 127, gutenberg 12128]: gone on every way out, kill -9 included."""

from __future__ import annotations

import pytest

from tests.pipeline import WHOLE, Site, struck

pytestmark = pytest.mark.root


def test_left_in_maintenance_after_success_and_after_failure(site: Site) -> None:
    site.offer(lab_banner="1.1")
    steps = site.run(*WHOLE)
    assert [step.outcome for step in steps.values()] == ["done"] * 5
    site.tidy()
    site.serves("1.1")

    site.offer(lab_banner="2.12")
    site.put_back_in_production(state=site.state())
    site.serves("1.1")


@pytest.mark.parametrize("moment", ["frozen", "exchanged"])
def test_left_in_maintenance_by_kill_9(site: Site, moment: str) -> None:
    site.offer(lab_banner="1.1", lab_alpha="1.1")
    before = site.state()
    site.run("preflight", "stage", "rehearse")

    with struck(site, moment):
        promoted = site.run("promote")["promote"]

    assert promoted.outcome == "silent"
    left = site.get()
    assert (left.status, left.headers.get("Retry-After")) == (503, "10")
    recovered = site.run("recover")["recover"]
    assert recovered.outcome == "done", recovered
    assert recovered.evidence["state"] == "put-back"
    assert before.differences(site.state()) == []
    site.serves("1.0")
    site.tidy()


def test_left_in_maintenance_by_somebody_else_before(untouched_site: Site) -> None:
    site = untouched_site
    marker = site.root / ".maintenance"
    site.host.run(
        ["tee", f"{site.host.root}/.maintenance"], user="shop", input="<?php $upgrading = time();", check=True
    )
    site.offer(lab_banner="1.1")

    steps = site.run("preflight")

    assert steps["preflight"].outcome == "unhealthy"
    assert "Briefly unavailable" in str(steps["preflight"].evidence["verdict"]["reasons"])
    assert site.run("release")["release"].outcome == "done"
    # It is not ours: a person put it there, or another tool is at work.
    assert "Upkeep" not in marker.read_text(encoding="utf-8")
    marker.unlink()
    site.serves("1.0")
    site.tidy()
