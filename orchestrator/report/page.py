"""Draw a report as one self-contained, printable page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.report.touches import words as touched

TONES = {
    "done": "good",
    "nothing-to-do": "good",
    "kept": "good",
    "put-back": "warn",
    "partly kept": "warn",
    "refused": "warn",
    "busy": "warn",
    "unhealthy": "warn",
    "not-put-back": "bad",
    "not kept": "bad",
    "not served yet": "plain",
}


# What the browser's look came to, and how that is shown.
LOOKS = {"same": ("as before", "good"), "unstable": ("unstable", "plain"), "look": ("look first", "warn")}


def page(report: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None) -> str:
    """Draw a report. Whatever stands in it was said by hosts and clients: everything is escaped.

    `pictures` are PNG files by their SHA-256; those that a person should look at are drawn into the page.
    """
    zone = ZoneInfo(report["agreement"]["time_zone"])

    def moment(value: str | None) -> str:
        if not value:
            return "–"
        try:
            return f"{datetime.fromisoformat(value).astimezone(zone):%Y-%m-%d %H:%M:%S}"
        except ValueError:
            return "–"

    drawn = {sha256: b64encode(data).decode("ascii") for sha256, data in (pictures or {}).items()}
    environment = Environment(
        loader=PackageLoader("orchestrator.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=moment, seconds=_seconds, size=_size, count=_count, touched=touched)
    return environment.get_template("page.html.j2").render(report=report, tones=TONES, looks=LOOKS, pictures=drawn)


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes >= 120:
        return f"{value / 3600:.1f} h"
    return f"{minutes} min {seconds} s"


def _size(value: float | None) -> str:
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
