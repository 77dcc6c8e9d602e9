"""When a window is open, and when it opens next."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from orchestrator.contract.model import Window
from orchestrator.plan.window import DAYS, window_at

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = Window(DAYS, time(2), time(5))
ACROSS_MIDNIGHT = Window(("sat",), time(23), time(3))
WHOLE_DAY = Window(("sun",), time(0), time(0))
SHORT = Window(DAYS, time(2, 15), time(2, 45))


@pytest.mark.parametrize(
    ("window", "now", "is_open", "opens", "closes"),
    [
        # Berlin is one hour ahead of UTC in winter
        (NIGHTLY, "2026-11-22T00:59:59", False, "2026-11-22T02:00", "2026-11-22T05:00"),
        (NIGHTLY, "2026-11-22T01:00:00", True, "2026-11-22T02:00", "2026-11-22T05:00"),
        (NIGHTLY, "2026-11-22T03:59:59", True, "2026-11-22T02:00", "2026-11-22T05:00"),
        (NIGHTLY, "2026-11-22T04:00:00", False, "2026-11-23T02:00", "2026-11-23T05:00"),
        # 2026-11-21 is a Saturday: its window goes on after midnight, and opens next in a week
        (ACROSS_MIDNIGHT, "2026-11-22T01:30:00", True, "2026-11-21T23:00", "2026-11-22T03:00"),
        (ACROSS_MIDNIGHT, "2026-11-22T02:00:00", False, "2026-11-28T23:00", "2026-11-29T03:00"),
        (WHOLE_DAY, "2026-11-22T22:59:00", True, "2026-11-22T00:00", "2026-11-23T00:00"),
        (WHOLE_DAY, "2026-11-22T23:00:00", False, "2026-11-29T00:00", "2026-11-30T00:00"),
        # the night in which 02:00–03:00 does not exist: the window begins with the hour that comes instead
        (NIGHTLY, "2026-03-29T01:00:00", True, "2026-03-29T02:00", "2026-03-29T05:00"),
        (NIGHTLY, "2026-03-29T02:59:00", True, "2026-03-29T02:00", "2026-03-29T05:00"),
        (NIGHTLY, "2026-03-29T03:00:00", False, "2026-03-30T02:00", "2026-03-30T05:00"),
        # the night in which 02:00–03:00 comes twice: the window is an hour longer, not two windows
        (NIGHTLY, "2026-10-25T00:00:00", True, "2026-10-25T02:00", "2026-10-25T05:00"),
        (NIGHTLY, "2026-10-25T03:30:00", True, "2026-10-25T02:00", "2026-10-25T05:00"),
        (SHORT, "2026-10-25T00:20:00", True, "2026-10-25T02:15", "2026-10-25T02:45"),
        (SHORT, "2026-10-25T01:20:00", False, "2026-10-26T02:15", "2026-10-26T02:45"),
    ],
)
def test_a_window_at_a_moment(window: Window, now: str, is_open: bool, opens: str, closes: str) -> None:
    state = window_at(window, datetime.fromisoformat(now).replace(tzinfo=UTC), BERLIN)
    assert (state.is_open, f"{state.opens:%Y-%m-%dT%H:%M}", f"{state.closes:%Y-%m-%dT%H:%M}") == (
        is_open,
        opens,
        closes,
    )
