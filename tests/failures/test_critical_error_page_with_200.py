"""The "critical error" page is served with status 200 [WordPress trac 64256]: the verdict reads the body."""

from __future__ import annotations

import pytest

from tests.trials import Trials

pytestmark = pytest.mark.root


def test_critical_error_page_with_200(trials: Trials) -> None:
    reason = trials.held("2.9")

    assert "the page says 'There has been a critical error'" in reason
    assert "status" not in reason
