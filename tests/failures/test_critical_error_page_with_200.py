"""The "critical error" page is served with status 200 [WordPress trac 64256]: the verdict reads the body."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_critical_error_page_with_200(untouched_site: Site) -> None:
    reason = untouched_site.held_in_staging("2.9")

    assert "the page says 'There has been a critical error'" in reason
    assert "status" not in reason
