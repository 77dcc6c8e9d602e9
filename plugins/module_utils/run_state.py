# GPL-3.0-or-later
"""What one step of a run leaves on the host for the next: small JSON files in the run's own folder, whole or not there."""

from __future__ import annotations

import json
import os
from typing import Any

from .lease import write_whole
from .site import Site

NAMES = ("baseline", "staging", "staged", "look", "promotion", "restoration", "rebuild", "brought")


def load(site: Site, run: str, name: str) -> dict[str, Any]:
    """Return what was stored under `name`, or {} when nothing was."""
    try:
        with open(_path(site, run, name), encoding="utf-8") as file:
            value: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return value


def store(site: Site, run: str, name: str, value: dict[str, Any]) -> None:
    """Store a value under `name`."""
    write_whole(_path(site, run, name), json.dumps(value))


def _path(site: Site, run: str, name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"no such state: {name!r}")
    return os.path.join(site.run_folder(run), name + ".json")
