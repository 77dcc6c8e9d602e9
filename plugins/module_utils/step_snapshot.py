# GPL-3.0-or-later
"""The step `snapshot`: dump and files into one restic snapshot, proved against what is there.

The restore point exists only when M(restore_point_manifest) has written the manifest that this returns.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from typing import Any

from . import cms, command, restic, restic_cache, site_database, tree
from . import snapshot as site_snapshot
from .dump import DumpError
from .points import POINT_ID, PointError, Store
from .restic import ResticError
from .site import Site
from .snapshot import SnapshotError
from .task import Asked, Stop


def snapshot(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Take the restore point, or in check mode say what it would hold."""
    given = asked.options
    point = given["point"]
    try:
        if not POINT_ID.match(point):
            raise PointError(f"{point!r} is not the id of a restore point")
        store = Store.from_parameters(given["store"])
        if asked.check_mode:
            return _would(site, point, store)
        cache, bucket = site_snapshot.cache_folder(site), given["create_bucket"]
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache, make_bucket=bucket)
        manifest = site_snapshot.take(site, run, point, store, repository, timeout=given["timeout"], now=time.time)
        with contextlib.suppress(OSError):
            restic_cache.bound(cache)
    except (SnapshotError, DumpError, ResticError, PointError) as error:
        raise Stop("refused", f"No restore point: {error}. The site was not touched.", {"point": point}) from error
    if manifest["links_outside"]:
        links = ", ".join(manifest["links_outside"])
        asked.warn(f"what these links of {site.root} lead to is not in the restore point: {links}")
    return {
        "msg": f"{manifest['files']['count']} files and {len(manifest['dump']['tables'])} tables are in the store",
        "evidence": {"point": point, "manifest": manifest, "seconds": manifest["seconds"]},
    }


def _would(site: Site, point: str, store: Store) -> dict[str, Any]:
    # Our PHP and the option file need a folder for as long as that takes.
    with tempfile.TemporaryDirectory(prefix="upkeep-") as folder:
        configuration = cms.configuration(site, folder)
        database = site_database.opened(site, configuration, folder)
        site_snapshot.headroom(site, database)
        command.run([site.programs["restic"], "version"], timeout=60)
        tables = database.tables()
    files = sum(1 for entry in tree.scan(site.root).values() if entry.kind == "file")
    location = f"{store.endpoint}/{store.bucket}/{store.prefix}"
    return {
        "changed": True,
        "msg": f"would store {files} files of {os.path.basename(site.root)} and {len(tables)} tables in {location}",
        "evidence": {"point": point, "manifest": {}, "seconds": 0},
    }
