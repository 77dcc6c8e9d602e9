"""A person with plain Ansible: every playbook works by itself, looks without touching, and says what would change."""

from __future__ import annotations

import os
import re

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root

EVERY = ("preflight", "probe", "stage", "rehearse", "promote", "back", "unstage", "release", "recover", "update")
CHANGED = re.compile(r"(?m)^([-+])\s*(\w+ [\w-]+): .?([\d.]+)")
STAGED = ("preflight", "stage", "rehearse")


def trace(site: Site) -> list[str]:
    """Return what of ours lies on the host: beside the site, in its databases, in the folders for temporary files."""
    found = site.host.run(
        ["sh", "-c", "ls -A /srv/shop; ls -d /tmp/upkeep* /var/tmp/upkeep* /home/shop/.upkeep* 2>/dev/null"]
    )
    tables = [name for name in site.host.sql("SHOW TABLES").split() if name.startswith("upkeep")]
    return [*found.stdout.split(), *tables, *site.host.sql("SHOW TABLES", database="shop_staging").split()]


def test_check_touches_nothing(untouched_site: Site) -> None:
    site = untouched_site
    site.offer(lab_banner="1.1")
    before = trace(site)
    assert before == ["htdocs"]
    # WordPress itself notes in wp_usermeta that the dashboard was shown; what it keeps there of a session is gone again.
    sums = site.host.sql("CHECKSUM TABLE wp_users, wp_comments, wp_lab_orders")

    played = site.shop.play(*EVERY, "--check", "--diff")

    assert "failed=0" in played.text
    assert trace(site) == before
    assert site.host.sql("CHECKSUM TABLE wp_users, wp_comments, wp_lab_orders") == sums
    assert site.host.sql("SELECT COUNT(*) FROM wp_usermeta WHERE meta_key = 'session_tokens'").split() == ["0"]
    assert site.shop.points() == []
    site.serves("1.0")


def test_check_and_diff_show_the_versions_that_would_change(site: Site) -> None:
    run = site.begin()
    site.offer(lab_banner="1.1", lab_alpha="1.1")
    site.shop.play(*STAGED, upkeep_run=run)
    before, staged = site.state(), sorted(path.name for path in (site.workshop / run).iterdir())

    played = site.shop.play("promote", "--check", "--diff", upkeep_run=run)

    assert "changed=1" in played.text
    shown = {(sign, name, version) for sign, name, version in CHANGED.findall(played.text)}
    assert shown == {
        ("-", "plugin lab-alpha", "1.0"), ("+", "plugin lab-alpha", "1.1"),
        ("-", "plugin lab-banner", "1.0"), ("+", "plugin lab-banner", "1.1"),
    }  # fmt: skip
    assert before.differences(site.state()) == []
    assert sorted(path.name for path in (site.workshop / run).iterdir()) == staged
    assert site.version() == "1.0"

    played = site.shop.play("promote", "--diff", upkeep_run=run)
    assert re.search(r"(?m)^\+\s+version: .?1\.1", played.text), played.text
    assert site.version() == "1.1"
    assert "changed=0" in site.shop.play("promote", upkeep_run=run).text
    site.shop.play("release", upkeep_run=run)
    site.serves("1.1")
    site.tidy()


def test_one_playbook_does_it_all(site: Site) -> None:
    site.offer(lab_banner="1.1")

    played = site.shop.play("update")

    assert "failed=0" in played.text
    assert len(site.shop.points()) == 1
    site.serves("1.1")
    site.tidy()
    again = site.shop.play("update")
    assert "failed=0" in again.text
    site.serves("1.1")
    site.tidy()


def test_each_playbook_gives_the_lease_back(site: Site) -> None:
    for name in ("preflight", "probe", "stage", "unstage", "release", "recover"):
        site.shop.play(name, upkeep_run=site.run_id or site.begin())
        assert not (site.workshop / "lease.json").exists(), name
    site.tidy()


def test_a_step_without_the_one_before_says_what_to_type(untouched_site: Site) -> None:
    site = untouched_site
    run = site.begin()
    played = site.shop.play("rehearse", check=False, upkeep_run=run)
    assert played.code != 0
    assert "This run has no baseline: run preflight.yml and stage.yml first. Nothing was touched." in played.text

    played = site.shop.play("promote", upkeep_run=run)
    assert "changed=0" in played.text
    played = site.shop.play("back", upkeep_run=run)
    assert "changed=0" in played.text
    site.shop.play("release", upkeep_run=run)
    site.tidy()


def test_a_broken_site_is_told_and_not_touched(untouched_site: Site) -> None:
    site = untouched_site
    index = site.root / "index.php"
    text, seen = index.read_bytes(), index.stat()
    index.write_bytes(b"<?php missing();")
    try:
        for flags in ((), ("--check",)):
            played = site.shop.play("probe", *flags, check=False)
            assert played.code != 0
            assert "The site is not healthy already: front page" in played.text
        assert "failed=0" in site.shop.play("probe", site_probe_must_be_healthy=False).text
    finally:
        index.write_bytes(text)
        os.utime(index, ns=(seen.st_atime_ns, seen.st_mtime_ns))
