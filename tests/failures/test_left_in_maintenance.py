"""The maintenance marker stays after success or failure [wpmgr 127, gutenberg 12128]: gone on every way out, kill -9 included."""

from __future__ import annotations

import time

import pytest

from tests.pipeline import Site, struck
from tests.staged import Staged, whole

pytestmark = pytest.mark.root


def is_as_before(ready: Staged) -> None:
    """Assert that production is what it was, and that nobody is told to wait."""
    assert not (ready.site.root / ".maintenance").exists()
    assert ready.before.differences(whole(ready.site.state())) == []
    ready.site.serves("1.0")


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


def test_left_in_maintenance_after_success_and_after_failure(ready: Staged) -> None:
    # With the new release in place the disk is full.
    ended = ready.host.ask("promote", stop="full Promotion.note@4")
    assert ended["outcome"] == "put-back", ended
    is_as_before(ready)
    ready.again()

    promoted = ready.site.run("promote")["promote"]
    assert promoted.outcome == "done", promoted
    assert not (ready.site.root / ".maintenance").exists()
    ready.site.serves("1.1")
    ready.again()


def test_left_in_maintenance_by_kill_9(ready: Staged) -> None:
    site = ready.site
    # All that works on the host dies: the next who asks puts it right.
    with struck(site, "frozen"):
        promoted = site.run("promote")["promote"]
    assert promoted.outcome == "silent", promoted
    left = site.get()
    assert (left.status, left.headers.get("Retry-After")) == (503, "10")
    recovered = ready.host.ask("recover")
    assert (recovered["outcome"], recovered["state"]) == ("done", "put-back")
    is_as_before(ready)
    ready.again()

    # The module alone dies: the host puts it right itself.
    with struck(site, "exchanged", alone=True):
        promoted = site.run("promote")["promote"]
    assert promoted.outcome == "silent", promoted
    until = time.monotonic() + 30
    while (site.root / ".maintenance").exists() and time.monotonic() < until:
        time.sleep(0.1)
    is_as_before(ready)

    # A controller that never asks about that run is told by the next one's preflight.
    lost, site.run_id = site.run_id, ""
    (site.workshop / "lease.json").unlink()
    (told,) = site.run("preflight")["preflight"].evidence["host_went_back"]
    assert (told["run"], told["why"], told["tree_back"]) == (lost, "the promotion ended without a word", True)
    assert site.run("release")["release"].outcome == "done"
    site.tidy()
