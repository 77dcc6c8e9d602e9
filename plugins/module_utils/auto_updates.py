# GPL-3.0-or-later
"""WordPress's own automatic updates must not bring what is held: they are off for that, and on again when the hold ends.

Nothing is installed for it. WordPress keeps a list of what it updates by itself in its options, and what is held is taken
out of that list. What was taken out is remembered on the host, because only that is ever put in again.
"""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Sequence

from . import wordpress
from .lease import write_whole
from .site import Site
from .wordpress import WordPressError

FILE = "auto_updates.json"


def settle(site: Site, run: str, holds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Turn WordPress's own updates off for what these holds keep out of production, and on for what they no longer do.

    Returns `auto_updates` for the evidence: what was turned off and on, what stays on whatever we do, or an error; nothing
    when there was nothing to look at. Never raises: a release is not put back because of this.
    """
    try:
        ours = _ours(site)
        if not holds and not ours:
            return {}
        request = {"holds": [_named(hold) for hold in holds], "ours": ours, "without_plugins": True}
        answer = wordpress.production(site, site.run_folder(run)).php("auto-updates", request)
        write_whole(os.path.join(site.workshop, FILE), json.dumps(answer["ours"]))
    except (WordPressError, OSError, ValueError) as error:
        return {"auto_updates": {"error": str(error)[:300]}}
    told = {name: answer[name] for name in ("turned_off", "turned_on", "still_on")}
    return {"auto_updates": told} if any(told.values()) else {}


def _named(hold: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(hold.get(key) or "") for key in ("kind", "slug", "version", "only")}


def _ours(site: Site) -> list[dict[str, str]]:
    try:
        with open(os.path.join(site.workshop, FILE), encoding="utf-8") as file:
            found: list[dict[str, str]] = json.load(file)
    except FileNotFoundError:
        return []
    return found
