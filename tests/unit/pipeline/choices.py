"""Which of several releases a contract takes, and why not the others."""

from __future__ import annotations

from datetime import date
from typing import Any

from plugins.module_utils.release_choice import Terms, choose

TODAY = date(2026, 11, 23)


def chosen(
    offers: list[dict[str, Any]], policy: dict[str, Any], holds: list[dict[str, str]]
) -> tuple[list[str], list[str]]:
    """Return the slugs of the releases that are taken, and the reasons why others are not."""
    changes, skipped = choose(offers, Terms(policy, holds, TODAY))
    return [change.slug for change in changes], [each["reason"] for each in skipped]
