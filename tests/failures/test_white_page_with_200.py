"""Status 200 with an empty or a truncated body: not a healthy page."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_white_page_with_200(untouched_site: Site) -> None:
    reason = untouched_site.held_in_staging("2.5")

    assert "front page: the page is empty" in reason
    assert "status" not in reason


def test_white_page_with_200_that_breaks_off(untouched_site: Site) -> None:
    reason = untouched_site.held_in_staging("2.2")

    assert "front page: the page breaks off: its end </html> is missing" in reason
    assert "status" not in reason
