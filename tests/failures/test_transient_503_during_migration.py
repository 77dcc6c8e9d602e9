"""The site answers 503 for some seconds while it migrates [wpmgr 127]: no needless way back; one that stays does go back."""

from __future__ import annotations

import pytest

from tests.pipeline import WHOLE, Site

pytestmark = pytest.mark.root


def test_transient_503_during_migration(site: Site) -> None:
    site.offer(lab_banner="2.19")
    promoted = site.run(*WHOLE)["promote"]
    assert promoted.outcome == "done", promoted
    assert promoted.delivered == ["lab-banner"]
    # It was busy in production too, and was waited for behind the freeze.
    assert promoted.evidence["frozen_seconds"] > 3
    site.serves("2.19")
    site.tidy()

    site.offer(lab_banner="2.20")
    promoted = site.put_back_in_production(state=site.state())
    assert "front page: status 503, expected 200" in promoted.evidence["broken"]
    site.serves("2.19")
