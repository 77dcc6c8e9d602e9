# GPL-3.0-or-later
"""The step `drill`: a restore point is fetched into a scratch place, served there and tried, and all of it is removed.

It goes the way that a restore goes as far as the moment of the switch, so that what a drill has shown, a restore does.
The scratch place is that of staging: a folder of the run, the staging database, a port of the loopback address.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import Any, Iterator

from . import dump, fetch, promotion, recovery, restic, restoration, staging, tree, wordpress_php
from .database import DatabaseError
from .fetch import RestoreError
from .lease import write_whole
from .parts import Part
from .points import PointError, Store, problems
from .rehearsal import probe_staging
from .restic import Repository, ResticError
from .restoration import Restoration
from .site import Site
from .snapshot import cache_folder
from .staging import Staging
from .task import KNOWN_ERRORS, Asked, Stop
from .verdict import judge
from .wordpress import WordPressError


def drill(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Bring a restore point back in the scratch place and look whether it makes a site that works."""
    given = asked.options
    manifest = given["manifest"]
    evidence: dict[str, Any] = {"point": str(manifest.get("point", "")), "taken": manifest.get("taken")}
    try:
        store = Store.from_parameters(given["store"])
        _refuse(site, manifest)
        if asked.check_mode:
            return {"changed": True, "msg": f"would try {evidence['point']} in the staging place", "evidence": evidence}
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache_folder(site), make_bucket=False)
        evidence.update(_recovered(site, run, given, repository))
    except (RestoreError, DatabaseError) as error:
        raise Stop("unhealthy", _failed(evidence["point"], str(error)), evidence) from error
    except (ResticError, PointError, *KNOWN_ERRORS) as error:
        message = f"There was no drill: {str(error).rstrip('.')}. Production was not touched."
        raise Stop("refused", message, evidence) from error
    if not evidence["verdict"]["healthy"]:
        raise Stop("unhealthy", _failed(evidence["point"], evidence["verdict"]["reasons"][0]), evidence)
    return {
        "msg": f"{evidence['point']} makes a healthy site in {evidence['recovery_seconds']:.0f} s:"
        f" {evidence['files']['count']} files, {evidence['tables']} tables, {evidence['rows']} rows",
        "evidence": evidence,
    }


def _refuse(site: Site, manifest: dict[str, Any]) -> None:
    found = problems(manifest, client=site.client, site=site.name)
    begun = [*promotion.unfinished(site), *restoration.unfinished(site)]
    if begun:
        found.append(f"run {begun[0]} has neither ended nor been put back: type upkeep run --resume {site.client}")
    if not found:
        found = fetch.refusals(site, manifest, Part())
    if found:
        raise PointError("; ".join(found))


def _failed(point: str, reason: str) -> str:
    return f"The site cannot be recovered from {point}: {reason.rstrip('.')}. Production was not touched."


def _recovered(site: Site, run: str, given: dict[str, Any], repository: Repository) -> dict[str, Any]:
    """Recover in the scratch place and return what was seen, with the seconds that it took. Nothing of it is left."""
    manifest = given["manifest"]
    evidence: dict[str, Any] = {"data_age_seconds": recovery.age(manifest)}
    started = time.monotonic()
    with _destroyed_afterwards(site, run):
        listing = fetch.fetch(site, run, manifest, Part(), repository, timeout=given["timeout"])
        evidence["fetch_seconds"] = round(time.monotonic() - started, 1)
        opened = restoration.opened_restoration(site, run, manifest, given["probes"], Part())
        copy = staging.opened_staging(site, run, opened.configuration)
        try:
            evidence.update(restoration.prepare(opened, listing, timeout=given["timeout"]))
            # Before anybody looks at a page: WordPress writes when it is looked at.
            _compare_rows(opened, manifest)
            _make_servable(opened, copy)
            _prove(copy)
            evidence["load_seconds"] = round(time.monotonic() - started - evidence["fetch_seconds"], 1)
            evidence["verdict"] = judge(probe_staging(copy, given["probes"]))
            evidence["recovery_seconds"] = round(time.monotonic() - started, 1)
        finally:
            # Whatever went wrong is told, not that it cannot be tidied for the same reason; the release does it again.
            with contextlib.suppress(DatabaseError):
                opened.incoming.leave()
    return evidence


def _prove(copy: Staging) -> None:
    """Let the recovered WordPress say what it would write to. One that cannot say anything is not recovered."""
    try:
        copy.prove()
    except WordPressError as error:
        raise RestoreError(f"its WordPress does not start: {error}") from error


def _compare_rows(opened: Restoration, manifest: dict[str, Any]) -> None:
    """Raise RestoreError when a table has another number of rows than when the restore point was taken."""
    other = recovery.other_rows(manifest["dump"]["tables"], dump.count_rows(opened.incoming, opened.incoming.tables()))
    if other:
        raise RestoreError("; ".join(other[:5]))


def _make_servable(opened: Restoration, copy: Staging) -> None:
    """Put the restored tree where a staging copy lies, with what keeps a copy from talking to the world."""
    tree.remove(copy.root)
    os.rename(opened.tree, copy.root)
    for name in staging.DROP_INS:
        tree.remove(os.path.join(copy.root, "wp-content", name))
    path = opened.configuration.path
    if not path.startswith(opened.site.root + "/"):
        shutil.copy2(opened.folder + path, os.path.join(copy.folder, "wp-config.php"))
    write_whole(os.path.join(copy.folder, "prepend.php"), wordpress_php.STAGING)
    write_whole(staging.router(copy.folder), wordpress_php.ROUTER)


@contextlib.contextmanager
def _destroyed_afterwards(site: Site, run: str) -> Iterator[None]:
    """Remove the scratch place whatever happens: all of the site and its database lie there, in the clear."""
    folder = os.path.join(site.run_folder(run), "staging")
    try:
        yield
    finally:
        staging.stop_server(folder)
        tree.remove(folder)
        tree.remove(fetch.restored_folder(site, run))
