"""A rehearsal tells what production would get and what broke the copy, and leaves production as it was."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_a_rehearsal_leaves_production_as_it_was_and_tells_what_it_would_get(untouched_site: Site) -> None:
    site = untouched_site  # That every byte and row of it is as before is looked at by the fixture.
    site.offer(lab_alpha="1.1", lab_banner="2.2")

    said = site.upkeep("rehearse", "example")

    assert said.code == 0, said.text
    (told,) = said.answer["runs"]
    assert [(each["slug"], each["to"]) for each in told["passed"]] == [("lab-alpha", "1.1")]
    assert [(each["slug"], each["to"]) for each in told["held"]] == [("lab-banner", "2.2")]
    assert (told["delivered"], told["point"], told["frozen_seconds"]) == ([], None, None)
    assert told["touches"]["class"] == "code-only", told["touches"]
    assert [(each["slug"], each["class"]) for each in told["touches"]["releases"]] == [("lab-alpha", "code-only")]
    evidence = site.recorded(told["run"]).step("rehearse").evidence  # type: ignore[union-attr]
    assert [len(each["sha256"]) for each in evidence["delivered"]] == [64]
    (hold,) = site.upkeep("status", "example").answer["holds"]
    assert (hold["slug"], hold["version"]) == ("lab-banner", "2.2")
    assert (site.version("lab-alpha"), site.version()) == ("1.0", "1.0")
    site.serves("1.0")
    site.tidy()
