"""The site was unhealthy before anything was touched: it stays untouched, and no release is blamed."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_already_broken_before(site: Site) -> None:
    site.put_release("lab-banner", "2.1")
    site.offer(core="6.5.5", lab_alpha="1.1")
    site.shop.lab.mirror.forget_requests()
    assert site.get().status == 500
    before = site.state()

    ran = site.upkeep("run", "example", "--now")

    assert ran.code == 12, ran.text
    assert [step["name"] for step in ran.answer["runs"][0]["steps"]] == ["preflight", "release"]
    assert before.differences(site.state()) == []
    site.tidy()
    asked = {request["host"] for request in site.shop.lab.mirror.requests()}
    assert "downloads.wordpress.org" not in asked
    assert site.shop.points() == []
    known = site.upkeep("status", "example").answer
    assert "lab_banner_missing_function" in str(known["incidents"])
    assert known["holds"] == []
