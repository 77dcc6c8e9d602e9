# GPL-3.0-or-later
"""The steps `preflight` and `probe`: look at a site before anything is touched, or at any other time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace
from typing import Any

from . import baseline, restoration, run_state, way_back
from .lease import read, seen
from .site import Site
from .task import Asked, Stop


def preflight(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Begin a run: take the baseline, refuse what could not be updated or put back, and keep what was seen."""
    interrupted = [*way_back.unfinished(site), *restoration.unfinished(site)]
    if interrupted:
        raise Stop(
            "refused",
            f"Run {interrupted[0]} was interrupted while it changed production. Nothing was touched."
            f" Type: upkeep run --resume {site.client}",
        )
    taken = _look(asked, site, run)
    reports = way_back.host_reports(site)
    if reports:
        taken["host_went_back"] = reports
    lease = read(site)
    if lease:
        taken["lease"] = seen(lease)
    _must_be_healthy(asked, taken)
    if not asked.check_mode:
        taken["refusals"] = baseline.refusals(site, run, taken)
        if taken["refusals"] and asked.options["must_be_healthy"]:
            told = "; ".join(taken["refusals"])
            raise Stop("refused", f"This site cannot be updated safely: {told}. Nothing was touched.", taken)
        run_state.store(site, run, "baseline", taken)
    return _seen(taken)


def probe(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Carry out the probes and judge them. Nothing is kept."""
    try:
        taken = _look_from_elsewhere(asked, site, run, as_visitor=asked.check_mode)
    finally:
        # The lease has made one. That of a run which has begun here has something in it, and stays.
        with contextlib.suppress(OSError):
            os.rmdir(site.run_folder(run))
    _must_be_healthy(asked, taken)
    return _seen(taken)


def _look(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    if not asked.check_mode:
        return baseline.take(site, run, asked.options["probes"])
    return _look_from_elsewhere(asked, site, run, as_visitor=True)


def _look_from_elsewhere(asked: Asked, site: Site, run: str, *, as_visitor: bool) -> dict[str, Any]:
    # Our PHP and the option file need a folder for as long as that takes.
    with tempfile.TemporaryDirectory(prefix="upkeep-") as folder:
        elsewhere = replace(site, elsewhere=folder)
        os.mkdir(elsewhere.run_folder(run), 0o700)
        return baseline.take(elsewhere, run, asked.options["probes"], as_visitor=as_visitor)


def _must_be_healthy(asked: Asked, taken: dict[str, Any]) -> None:
    reasons = taken["verdict"]["reasons"]
    if reasons and asked.options["must_be_healthy"]:
        raise Stop("unhealthy", f"The site is not healthy already: {reasons[0]}. Nothing was touched.", taken)


def _seen(taken: dict[str, Any]) -> dict[str, Any]:
    return {"evidence": taken, "changed": False, "msg": "; ".join(taken["verdict"]["reasons"]) or "healthy"}
