# GPL-3.0-or-later
"""A restore point in the staging place, where it can talk to nobody: to be tried and destroyed, or to be looked at.

Other than a drill at home this needs nothing of production: all of the dump is loaded, with the account that the restored
wp-config.php names, or that is declared for this host.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import Any, Mapping

from . import recovery, staging, staging_files, staging_php, tree
from .database import Database, opened
from .fetch import RestoreError
from .lease import write_whole
from .recovery import Recovered
from .restic import Repository
from .site import Site
from .staging import Staging, StagingError
from .wordpress import WordPressError

SHOWN = "shown"


def made(
    site: Site, run: str, given: Mapping[str, Any], repository: Repository, declared: Mapping[str, str], folder: str
) -> tuple[Staging, dict[str, Any]]:
    """Make the copy in `folder`, ready to be served. Returns it, and what was seen.

    Raises RestoreError, ResticError, StagingError, DatabaseError, OSError; the caller removes what came by then.
    """
    manifest, timeout, started = given["manifest"], given["timeout"], time.monotonic()
    wanted = recovery.credentials(site, run, manifest, repository, declared)
    if wanted.name.lower() == site.staging_database.lower():
        raise StagingError(f"the staging database is production's own database {wanted.name}: refused")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    database = opened(wanted, folder, site.programs, site.staging_database)
    fresh = recovery.make_empty(database, wanted)
    # Whoever tidies up knows by this what to take away, whatever becomes of this process.
    write_whole(os.path.join(folder, "database.json"), json.dumps({"name": database.name, "made": fresh}))
    recovered = recovery.fetched(site, run, manifest, repository, wanted, timeout=timeout)
    evidence: dict[str, Any] = {"fetch_seconds": round(time.monotonic() - started, 1)}
    rows = recovery.loaded(database, manifest, recovered, timeout=timeout)
    quiet = staging.silence_of(site, folder, recovered.configuration, wanted)
    copy = Staging(site, folder, os.path.join(folder, "htdocs"), os.path.join(folder, "base"), database, silence=quiet)
    servable(copy, recovered.tree, _outside(recovered))
    tree.remove(recovered.folder)
    prove(copy)
    evidence.update(
        load_seconds=round(time.monotonic() - started - evidence["fetch_seconds"], 1),
        files=dict(manifest["files"]),
        tables=len(rows),
        rows=sum(rows.values()),
    )
    return copy, evidence


def servable(copy: Staging, restored: str, configuration: str) -> None:
    """Put a restored tree where a staging copy lies, with what keeps a copy from talking to the world.

    `configuration` is a wp-config.php that lay beside the tree, or "".
    """
    tree.remove(copy.root)
    os.rename(restored, copy.root)
    for name in staging_files.DROP_INS:
        tree.remove(os.path.join(copy.root, "wp-content", name))
    if configuration:
        shutil.copy2(configuration, os.path.join(copy.folder, "wp-config.php"))
    write_whole(os.path.join(copy.folder, "prepend.php"), staging_php.STAGING)
    write_whole(staging.router(copy.folder), staging_php.ROUTER)


def prove(copy: Staging) -> None:
    """Let the recovered WordPress say what it would write to. One that cannot say anything is not recovered."""
    try:
        copy.prove()
    except WordPressError as error:
        raise RestoreError(f"its WordPress does not start: {error}") from error


def removed(site: Site, folder: str) -> bool:
    """Stop the copy in `folder` and remove its files and tables. Returns whether there was one."""
    staging.stop_server(folder)
    try:
        with open(os.path.join(folder, "database.json"), encoding="utf-8") as file:
            told = json.load(file)
    except FileNotFoundError:
        told = {}
    if told:
        options = os.path.join(folder, "database.cnf")
        database = Database(str(told["name"]), options, site.programs["mariadb"], site.programs["mariadb_dump"])
        recovery.cleared(database)
        if told["made"]:
            recovery.unmade(database)
    there = os.path.isdir(folder)
    tree.remove(folder)
    return there


def shown_folder(site: Site) -> str:
    """Return where a restore point lies that is shown: no run's folder, so that no run tidies it away."""
    return os.path.join(site.workshop, SHOWN)


def is_shown(site: Site) -> bool:
    """Whether a restore point is shown in the staging place."""
    return os.path.isdir(shown_folder(site))


def _outside(recovered: Recovered) -> str:
    path = recovered.configuration.path
    return "" if path.startswith(recovered.tree + "/") else path
