"""A premium update is offered without a download: said so, the others still go, and the client hears what it has to do."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_update_without_package(site: Site) -> None:
    site.offer(lab_alpha="1.1+no-package", lab_beta="1.1")

    ran = site.upkeep("run", "example", "--now")

    assert ran.code == 0, ran.text
    (run,) = ran.answer["runs"]
    assert [change["slug"] for change in run["delivered"]] == ["lab-beta"]
    assert run["held"] == []
    assert [(each["slug"], each["to"]) for each in run["skipped"]] == [("lab-alpha", "1.1")]
    assert run["skipped"][0]["reason"].startswith("not updated: no licence")
    assert (site.version("lab-alpha"), site.version("lab-beta")) == ("1.0", "1.1")
    site.tidy()
    report = site.upkeep("report", "example", "--last", "1").answer
    (duty,) = report["client_duties"]
    assert (duty["site"], duty["duty"].partition(": not updated: no licence")[0]) == ("shop", "plugin lab-alpha 1.1")
