"""Every page looks right and PHP's error log gains fatal errors: its growth is part of the verdict."""

from __future__ import annotations

import pytest

from tests.trials import Trials

pytestmark = pytest.mark.root


def test_log_only_fatal(trials: Trials) -> None:
    reason = trials.held("2.10")

    assert "PHP Fatal error" in reason
    assert "lab_banner_missing_function" in reason
    assert "page:" not in reason
    assert "status" not in reason
