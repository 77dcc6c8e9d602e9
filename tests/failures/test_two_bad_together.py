"""Two releases that each work alone and break the site together: found, and the largest healthy set is delivered."""

from __future__ import annotations

import math

import pytest

from tests.pipeline import WHOLE, Site

pytestmark = pytest.mark.root


def test_two_bad_together(site: Site) -> None:
    site.offer(lab_alpha="1.3", lab_beta="1.3", lab_gamma="1.1", lab_delta="1.1")

    steps = site.run(*WHOLE)

    rehearsed = steps["rehearse"]
    assert rehearsed.outcome == "done", rehearsed.evidence
    assert len(rehearsed.held) == 1, rehearsed.held
    (held,) = rehearsed.held
    kept = {"lab-alpha": "lab-beta", "lab-beta": "lab-alpha"}[held]
    assert rehearsed.evidence["rounds"] <= math.ceil(math.log2(4)) + 2
    assert steps["promote"].delivered == sorted([kept, "lab-gamma", "lab-delta"])
    versions = {slug: site.version(slug) for slug in ("lab-alpha", "lab-beta", "lab-gamma", "lab-delta")}
    assert versions == {held: "1.0", kept: "1.3", "lab-gamma": "1.1", "lab-delta": "1.1"}
    site.serves("1.0")
    site.tidy()
