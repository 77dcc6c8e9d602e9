# GPL-3.0-or-later
"""The steps `release` and `recover`: end a run on a host, or bring an interrupted one to its end."""

from __future__ import annotations

import os
from typing import Any

from . import promotion, restoration, run_state, step_rebuild, way_back
from .clean_up import clean_up
from .lease import LEASE_SECONDS, read
from .site import Site
from .task import Asked, Stop


def release(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Remove what the run left on the host and give the lease back."""
    return _would(site, run) if asked.check_mode else _end(site, run, {})


def recover(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Ask the host how far the run came, and finish it or put production back."""
    if asked.check_mode:
        return _would(site, run)
    if run_state.load(site, run, "promotion"):
        evidence = way_back.recover(promotion.opened_promotion(site, run, asked.options["probes"]))
    elif run_state.load(site, run, restoration.STATE):
        evidence = restoration.recover(restoration.opened_restoration(site, run, {}, asked.options["probes"]))
    elif run_state.load(site, run, step_rebuild.STATE):
        evidence = step_rebuild.recover(site, run, asked.options["probes"])
    else:
        evidence = {"state": "untouched"}
    return _end(site, run, evidence)


def _would(site: Site, run: str) -> dict[str, Any]:
    mine = read(site).get("run") == run
    return {"evidence": {"lease": mine}, "changed": mine or os.path.isdir(site.run_folder(run))}


def _end(site: Site, run: str, evidence: dict[str, Any]) -> dict[str, Any]:
    begun = [*way_back.unfinished(site), *restoration.unfinished(site)]
    if begun:
        raise Stop(
            "refused",
            f"The promotion of run {begun[0]} has neither ended nor been put back. Type: upkeep run --resume {site.client}",
        )
    had = _had(site, run)
    evidence["removed"] = clean_up(site, run)
    changed = had or bool(evidence["removed"]) or evidence.get("state", "untouched") != "untouched"
    return {"evidence": evidence, "changed": changed}


def _had(site: Site, run: str) -> bool:
    """Whether the run had the lease before this very task took it."""
    lease = read(site)
    since, expires = (float(str(lease.get(key, 0))) for key in ("since", "expires"))
    return lease.get("run") == run and expires - LEASE_SECONDS - since > 0.001
