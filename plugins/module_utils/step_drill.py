# GPL-3.0-or-later
"""The step `drill`: a restore point is fetched into a scratch place, served there and tried, and all of it is removed.

It goes the way that a restore goes as far as the moment of the switch, so that what a drill has shown, a restore does; on
another host the way of a recovery there.
The scratch place is that of staging: a folder of the run, the staging database, a port of the loopback address.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Iterator

from . import cms, fetch, recovery, restic, restoration, scratch, staging, tree, way_back
from .database import DatabaseError
from .fetch import RestoreError
from .parts import Part
from .points import PointError, Store, problems
from .rehearsal import probe_staging
from .restic import Repository, ResticError
from .restoration import Restoration
from .site import Site
from .snapshot import cache_folder
from .step_rebuild import declared
from .task import KNOWN_ERRORS, Asked, Stop
from .verdict import judge

# Said wherever the drill is told of: what was not looked at is not reported as good.
NOT_TRIED = "its functions were not tried: only WordPress can be served in a scratch place"


def drill(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Bring a restore point back in the scratch place and look whether it makes a site that works."""
    given = asked.options
    manifest = given["manifest"]
    evidence: dict[str, Any] = {"point": str(manifest.get("point", "")), "taken": manifest.get("taken")}
    try:
        store = Store.from_parameters(given["store"])
        _refuse(site, manifest, elsewhere=given["elsewhere"])
        if asked.check_mode:
            return {"changed": True, "msg": f"would try {evidence['point']} in the staging place", "evidence": evidence}
        # The place is needed now: whoever looks at a restore point there has had his time.
        scratch.removed(site, scratch.shown_folder(site))
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache_folder(site), make_bucket=False)
        evidence.update(_recovered(site, run, given, repository))
    except (RestoreError, DatabaseError) as error:
        raise Stop("unhealthy", _failed(evidence["point"], str(error)), evidence) from error
    except (ResticError, PointError, *KNOWN_ERRORS) as error:
        message = f"There was no drill: {str(error).rstrip('.')}. Production was not touched."
        raise Stop("refused", message, evidence) from error
    if not evidence["verdict"]["healthy"]:
        raise Stop("unhealthy", _failed(evidence["point"], evidence["verdict"]["reasons"][0]), evidence)
    not_tried = evidence["verdict"].get("not_tried")
    what = f"loads, row for row ({not_tried})," if not_tried else "makes a healthy site"
    return {
        "msg": f"{evidence['point']} {what} in {evidence['recovery_seconds']:.0f} s:"
        f" {evidence['files']['count']} files, {evidence['tables']} tables, {evidence['rows']} rows",
        "evidence": evidence,
    }


def _refuse(site: Site, manifest: dict[str, Any], *, elsewhere: bool) -> None:
    found = problems(manifest, client=site.client, site=site.name)
    begun = [*way_back.unfinished(site), *restoration.unfinished(site)]
    if begun:
        found.append(f"run {begun[0]} has neither ended nor been put back: type upkeep run --resume {site.client}")
    if not found:
        found = recovery.refusals(site, manifest) if elsewhere else fetch.refusals(site, manifest, Part())
    if found:
        raise PointError("; ".join(found))


def _failed(point: str, reason: str) -> str:
    return f"The site cannot be recovered from {point}: {reason.rstrip('.')}. Production was not touched."


def _recovered(site: Site, run: str, given: dict[str, Any], repository: Repository) -> dict[str, Any]:
    """Recover in the scratch place and return what was seen, with the seconds that it took. Nothing of it is left."""
    manifest = given["manifest"]
    evidence: dict[str, Any] = {"data_age_seconds": recovery.age(manifest)}
    started = time.monotonic()
    if given["elsewhere"]:
        with _destroyed_afterwards(site, run):
            folder = os.path.join(site.run_folder(run), "staging")
            told = {name: value for name, value in declared(given).items() if name != "name"}
            copy, seen = scratch.made(site, run, given, repository, told, folder)
            evidence.update(seen, verdict=judge(probe_staging(copy, given["probes"]), times=False))
            evidence["recovery_seconds"] = round(time.monotonic() - started, 1)
        return evidence
    with _destroyed_afterwards(site, run):
        listing = fetch.fetch(site, run, manifest, Part(), repository, timeout=given["timeout"])
        evidence["fetch_seconds"] = round(time.monotonic() - started, 1)
        opened = restoration.opened_restoration(site, run, manifest, given["probes"], Part())
        copy = staging.opened_staging(site, run, opened.configuration)
        try:
            evidence.update(restoration.prepare(opened, listing, timeout=given["timeout"]))
            # Before anybody looks at a page: WordPress writes when it is looked at.
            _compare_rows(opened, manifest)
            if site.cms != cms.WORDPRESS:
                evidence["load_seconds"] = round(time.monotonic() - started - evidence["fetch_seconds"], 1)
                evidence["recovery_seconds"] = round(time.monotonic() - started, 1)
                evidence["verdict"] = {
                    "healthy": True,
                    "reasons": [],
                    "probes": [],
                    "already": [],
                    "not_tried": NOT_TRIED,
                }
                return evidence
            path = opened.configuration.path
            scratch.servable(copy, opened.tree, "" if path.startswith(site.root + "/") else opened.folder + path)
            scratch.prove(copy)
            evidence["load_seconds"] = round(time.monotonic() - started - evidence["fetch_seconds"], 1)
            evidence["verdict"] = judge(probe_staging(copy, given["probes"]), times=False)
            evidence["recovery_seconds"] = round(time.monotonic() - started, 1)
        finally:
            # Whatever went wrong is told, not that it cannot be tidied for the same reason; the release does it again.
            with contextlib.suppress(DatabaseError):
                opened.engine.leave()
    return evidence


def _compare_rows(opened: Restoration, manifest: dict[str, Any]) -> None:
    """Raise RestoreError when a table has another number of rows than when the restore point was taken."""
    other = recovery.other_rows(manifest["dump"]["tables"], opened.engine.counted())
    if other:
        raise RestoreError("; ".join(other[:5]))


@contextlib.contextmanager
def _destroyed_afterwards(site: Site, run: str) -> Iterator[None]:
    """Remove the scratch place whatever happens: all of the site and its database lie there, in the clear."""
    folder = os.path.join(site.run_folder(run), "staging")
    try:
        yield
    finally:
        # Whatever went wrong is told, not that it cannot be tidied for the same reason; the release does it again.
        with contextlib.suppress(*KNOWN_ERRORS):
            scratch.removed(site, folder)
        tree.remove(fetch.restored_folder(site, run))
