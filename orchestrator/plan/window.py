"""Tell whether a window is open, and when it opens next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from orchestrator.contract.model import Window

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class WindowState:
    """A window at one moment. `opens` is this opening's begin when it is open, else the next one's."""

    is_open: bool
    opens: datetime
    closes: datetime


def window_at(window: Window, now: datetime, zone: tzinfo) -> WindowState:
    """Say whether the window is open at `now`; both answers are in the zone of the agreement.

    Wall clocks are compared as instants, so the hour that daylight saving skips or repeats opens a window once.
    """
    today = now.astimezone(zone).date()
    # From yesterday, because a window may cross midnight; a week on, because it may have one day only.
    for offset in range(-1, 9):
        day = today + timedelta(days=offset)
        if DAYS[day.weekday()] not in window.days:
            continue
        last = day if window.ends > window.begins else day + timedelta(days=1)
        opens = datetime.combine(day, window.begins, zone)
        closes = datetime.combine(last, window.ends, zone)
        if opens.astimezone(UTC) <= now < closes.astimezone(UTC):
            return WindowState(True, opens, closes)
        if now < opens.astimezone(UTC) < closes.astimezone(UTC):
            return WindowState(False, opens, closes)
    # Only a contract without any day comes here, and the schema refuses that one.
    raise ValueError("the window has no day")
