"""What this machine needs for a browser's look at a copy: Playwright, Pillow and a Chromium. Only contracts with pictures do."""

from __future__ import annotations

import importlib.util
import shutil
import sys

# As Debian, Ubuntu and others call it.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser() -> str | None:
    """Return the path of this machine's browser."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def lacking() -> tuple[str, str]:
    """Say what is missing here for a look, and what to type to have it; two empty texts when all is there."""
    if importlib.util.find_spec("playwright") is None or importlib.util.find_spec("PIL") is None:
        return "Playwright and Pillow are not installed", f"{sys.executable} -m pip install 'upkeep[eyes]'"
    if browser() is None:
        return "there is no Chromium", "apt-get install --no-install-recommends chromium"
    return "", ""
