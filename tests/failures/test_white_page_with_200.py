"""Status 200 with an empty or a truncated body: not a healthy page."""

from __future__ import annotations

import pytest

from tests.trials import Trials

pytestmark = pytest.mark.root


def test_white_page_with_200(trials: Trials) -> None:
    reason = trials.held("2.5")

    assert "front page: the page is empty" in reason
    assert "status" not in reason


def test_white_page_with_200_that_breaks_off(trials: Trials) -> None:
    reason = trials.held("2.2")

    assert "front page: the page breaks off: its end </html> is missing" in reason
    assert "status" not in reason
