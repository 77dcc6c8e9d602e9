# GPL-3.0-or-later
"""A staging copy on another host than production's, made of the restore point that was brought there.

The host needs PHP, a database server with the staging database and the site's account, and no web server: nothing of
production is there but what the restore point holds.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import Any

from . import (
    dump_load,
    fetch,
    recovery,
    restic,
    run_state,
    scratch,
    staging,
    staging_database,
    staging_files,
    wordpress,
)
from .database import opened as opened_database
from .fetch import RestoreError
from .points import PointError, Store, problems
from .restic import ResticError
from .site import Site
from .snapshot import cache_folder
from .staging import Staging
from .step_rebuild import declared
from .task import KNOWN_ERRORS, Asked, Stop
from .wordpress import Configuration

STATE = "brought"


def bring(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """The step `bring`: a restore point comes into the staging place, and is kept there to go back to between rounds."""
    given = asked.options
    manifest = given["manifest"]
    evidence: dict[str, Any] = {"point": str(manifest.get("point", "")), "taken": manifest.get("taken")}
    started, folder = time.monotonic(), _folder(site, run)
    try:
        store = Store.from_parameters(given["store"])
        found = problems(manifest, client=site.client, site=site.name) or _refusals(site, manifest)
        if found:
            raise PointError("; ".join(found))
        if asked.check_mode:
            return {"changed": True, "msg": f"would bring {evidence['point']} to this host", "evidence": evidence}
        evidence["data_age_seconds"] = recovery.age(manifest)
        # The place is needed now: whoever looks at a restore point there has had his time.
        scratch.removed(site, scratch.shown_folder(site))
        scratch.removed(site, folder)
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache_folder(site), make_bucket=False)
        try:
            copy, seen = scratch.made(site, run, given, repository, account(given), folder)
            method = staging_files.keep(copy.root, copy.base, folder)
            staging_database.keep(copy.database, folder)
        except BaseException:
            with contextlib.suppress(*KNOWN_ERRORS):
                scratch.removed(site, folder)
            raise
    except (RestoreError, ResticError, PointError, *KNOWN_ERRORS) as error:
        message = f"The restore point did not come to the staging host: {str(error).rstrip('.')}."
        raise Stop("refused", f"{message} Production was not touched.", evidence) from error
    known = {name: seen[name] for name in ("files", "tables")}
    known.update(sizes=copy.database.sizes(), point=evidence["point"])
    run_state.store(site, run, STATE, known)
    evidence.update(seen, kept=method, seconds=round(time.monotonic() - started, 3))
    return {
        "msg": f"{evidence['point']} is in the staging place: {seen['files']['count']} files, {seen['tables']} tables",
        "evidence": evidence,
    }


def account(given: dict[str, Any]) -> dict[str, str]:
    """Return what is declared of the database on this host, but for its name: a copy has the staging database."""
    return {name: value for name, value in declared(given).items() if name != "name"}


def opened(site: Site, run: str) -> tuple[Staging, Configuration, dict[str, Any]]:
    """Return the copy of a run, its configuration, and what is known of what was brought. Raises Stop where there is none."""
    folder, known = _folder(site, run), run_state.load(site, run, STATE)
    root = os.path.join(folder, "htdocs")
    if not known or not os.path.isdir(root):
        raise Stop(
            "refused",
            "No restore point was brought to the staging host by this run. Production was not touched. Type:"
            f" upkeep run {site.client}, or by hand bring.yml first",
        )
    configuration = wordpress.configuration(replace(site, root=root), site.run_folder(run))
    database = opened_database(configuration.credentials, folder, site.programs, site.staging_database)
    silence = staging.silence_of(site, folder, configuration, configuration.credentials)
    return (
        Staging(site, folder, root, os.path.join(folder, "base"), database, silence=silence),
        configuration,
        known,
    )


def made_of(copy: Staging, known: dict[str, Any]) -> dict[str, Any]:
    """Return how the copy was made, in the form of staging.create()."""
    return {
        "clone": {"files": known["files"]["count"], "bytes": known["files"]["bytes"], "method": "restore point"},
        "database": {"tables": known["tables"], "bytes": sum(known["sizes"].values()), "method": "restore point"},
        "silence": copy.silence.evidence(),
        "point": known["point"],
    }


def _folder(site: Site, run: str) -> str:
    return os.path.join(site.run_folder(run), "staging")


def _refusals(site: Site, manifest: dict[str, Any]) -> list[str]:
    """Return why this host cannot have the copy: beside it lies a second one, to go back to between rounds."""
    found = recovery.refusals(site, manifest)
    twice = 2 * int(manifest["files"]["bytes"]) + 2 * dump_load.needed(manifest["dump"]) if not found else 0
    return found or fetch.no_room(site, twice)
