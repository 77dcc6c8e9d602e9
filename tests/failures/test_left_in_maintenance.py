"""The maintenance marker stays after success or failure [wpmgr 127, gutenberg 12128]: gone on every way out, kill -9 included."""

from __future__ import annotations

import time

import pytest

from tests.pipeline import WHOLE, Site, struck
from tests.staged import STAGED

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


def test_left_in_maintenance_by_kill_9(site: Site) -> None:
    site.offer(lab_banner="1.1", lab_alpha="1.1")
    before = site.state()
    assert site.run(*STAGED)["rehearse"].outcome == "done"

    # All that works on the host dies: the next who asks puts it right.
    with struck(site, "frozen"):
        promoted = site.run("promote")["promote"]
    assert promoted.outcome == "silent", promoted
    left = site.get()
    assert (left.status, left.headers.get("Retry-After")) == (503, "10")
    recovered = site.run("recover")["recover"]
    assert recovered.outcome == "done", recovered
    assert recovered.evidence["state"] == "put-back"
    assert before.differences(site.state()) == []
    site.serves("1.0")
    site.tidy()

    # The module alone dies: the host puts it right itself.
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    with struck(site, "exchanged", alone=True):
        promoted = site.run("promote")["promote"]
    assert promoted.outcome == "silent", promoted
    until = time.monotonic() + 30
    while (site.root / ".maintenance").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert before.differences(site.state()) == []
    site.serves("1.0")

    # A controller that never asks about that run is told by the next one's preflight.
    lost, site.run_id = site.run_id, ""
    (site.workshop / "lease.json").unlink()
    (told,) = site.run("preflight")["preflight"].evidence["host_went_back"]
    assert (told["run"], told["why"], told["tree_back"]) == (lost, "the promotion ended without a word", True)
    assert site.run("release")["release"].outcome == "done"
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
