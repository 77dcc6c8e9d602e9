"""Every public page works and a logged-in person's admin page dies [publishpress-series 1107]."""

from __future__ import annotations

import pytest

from tests.trials import Trials

pytestmark = pytest.mark.root


def test_fatal_only_in_admin(trials: Trials) -> None:
    reason = trials.held("2.4")

    assert "dashboard: status 500, expected 200" in reason
    assert "front page" not in reason
    assert "a post" not in reason
