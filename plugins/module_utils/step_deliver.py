# GPL-3.0-or-later
"""The steps `hand_over` and `deliver`: what a staging host has tested is told, and fetched to production's host."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any

from . import baseline, freeze_budget, handed_over, package_source, packages, run_state, staging_host
from .database import Database
from .freeze_budget import Pace
from .handed_over import Handed, HandedError
from .packages import Change, PackageError
from .site import Site
from .tables_aside import own_tables
from .task import Asked, Stop


def hand_over(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """On the staging host: say what of the copy production may get. Nothing is changed."""
    if asked.check_mode:
        return {"changed": False}
    copy, _, known = staging_host.opened(site, run)
    staged = run_state.load(site, run, "staged")
    try:
        handed = handed_over.told(staged, known, copy.root, copy.base)
    except HandedError as error:
        raise Stop("refused", f"What was tested cannot be told: {error}. Production was not touched.") from error
    # What the rehearsal came to has been said: this is no outcome of its own.
    return {"handed": handed, "changed": False, "outcome": ""}


def deliver(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """On production's host: fetch the packages that were tested, and lay out of them what the copy got."""
    if asked.check_mode:
        return {"changed": True}
    try:
        handed = handed_over.read(asked.options["handed"])
        if not handed.delivered:
            run_state.store(site, run, "staged", {"delivered": [], "held": handed.held})
            return {"outcome": "nothing-to-do", "evidence": {"delivered": []}}
        changes, fetched = _fetched(site, run, handed, asked.options["package_gateway"])
        root = os.path.join(site.run_folder(run), "staging", "htdocs")
        handed_over.lay_out(handed, changes, root)
    except (HandedError, PackageError) as error:
        raise Stop(
            "refused",
            f"What the staging host has tested did not come to production: {str(error).rstrip('.')}. Production was not"
            f" touched. Type: upkeep rehearse {site.client} --site {site.name}",
        ) from error
    configuration, database = baseline.opened_site(site, run)
    staged = {
        "elsewhere": site.staging_host,
        "delivered": [change.stored() for change in changes],
        "touched": sorted(handed.touched),
        # A table that the restore point has and production no more is nothing to copy aside.
        "tables": sorted(set(handed.tables) & set(database.sizes())),
        "new_tables": handed.new_tables,
        "sums": handed.sums,
        "pace": asdict(_pace(database, configuration.prefix, handed.migrate_seconds)),
        "held": handed.held,
        "base": handed.base,
    }
    run_state.store(site, run, "staged", staged)
    return {
        "evidence": {
            "from": site.staging_host,
            "point": handed.point,
            "packages": fetched,
            "files": sum(got is not None and got.kind == "file" for got in handed.touched.values()),
            "removed": sum(got is None for got in handed.touched.values()),
        }
    }


def _fetched(site: Site, run: str, handed: Handed, gateway: str) -> tuple[list[Change], list[dict[str, Any]]]:
    """Bring the packages here. Raises PackageError for one that is another than was tested."""
    folder = os.path.join(site.run_folder(run), "packages")
    changes, evidence = [], []
    for wanted in handed.delivered:
        found = package_source.fetch(wanted, folder, gateway)
        if found.change.sha256 != wanted.sha256:
            raise PackageError(
                f"the package of {wanted.named()} is not the one that was tested: its SHA-256 is another"
            )
        packages.inspect(found.change)
        changes.append(found.change)
        evidence.append(found.evidence())
    return changes, evidence


def _pace(database: Database, prefix: str, migrate_seconds: float) -> Pace:
    """Measure how fast this server copies and compares: no copy was ever made on it."""
    sizes = database.sizes()
    own = own_tables(sizes, prefix)
    stuck = set(database.cannot_put_aside(own))
    copied, seconds = freeze_budget.measured(database, [each for each in own if each not in stuck], sizes, writers=True)
    started = time.monotonic()
    database.looked_at(own)
    looked = round(time.monotonic() - started, 4)
    return Pace(copied, seconds, sum(sizes[each] for each in own), looked, migrate_seconds)
