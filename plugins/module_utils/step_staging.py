# GPL-3.0-or-later
"""The steps `stage` and `unstage`: a copy of production that cannot talk to the world."""

from __future__ import annotations

import time
from typing import Any

from . import baseline, staging, tree
from .rehearsal import probe_staging
from .site import Site
from .task import Asked, Stop
from .verdict import judge


def stage(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Make the copy, serve it on the host's loopback address, and show that it passes the baseline itself."""
    if asked.check_mode:
        return {"changed": True}
    started = time.monotonic()
    configuration, database = baseline.opened_site(site, run)
    copy = staging.opened_staging(site, run, configuration)
    evidence = staging.create(copy, configuration, database)
    before = baseline.of_run(site, run)
    verdict = judge(probe_staging(copy, asked.options["probes"]), before["verdict"]["probes"] if before else None)
    evidence.update({"verdict": verdict, "seconds": round(time.monotonic() - started, 3)})
    if not verdict["healthy"]:
        raise Stop(
            "unhealthy",
            f"The staging copy is not healthy before any update: {verdict['reasons'][0]}. Production was not touched.",
            evidence,
        )
    return {"evidence": evidence}


def unstage(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Remove the copy's files and tables."""
    if not asked.check_mode:
        configuration, _ = baseline.opened_site(site, run)
        copy = staging.opened_staging(site, run, configuration)
        staging.stop_server(copy.folder)
        copy.database.leave()
        tree.remove(copy.folder)
    return {"changed": True}
