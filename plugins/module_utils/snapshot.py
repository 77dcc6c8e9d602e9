# GPL-3.0-or-later
"""Take a restore point of production: dump, files, proof of both. The manifest is written later, by the controller."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Callable, Iterator, Sequence

from . import cms, dump, restic, site_database, tree
from .dump import DumpError
from .engine import Engine
from .points import SCHEMA, Store
from .restic import Incomplete, Listing, Repository, ResticError
from .site import Site
from .wordpress import Configuration

ATTEMPTS = 3
SHOWN_LINKS = 20


class SnapshotError(Exception):
    """There is no restore point; the message says why."""


def dump_folder(site: Site) -> str:
    """Return where the dump lies while a snapshot is taken.

    It is the same for every run: restic finds the snapshot before by its paths, and without that one it reads
    every file of the site again.
    """
    return os.path.join(site.workshop, "dump")


def cache_folder(site: Site) -> str:
    """Return where restic keeps what it knows of the store."""
    return os.path.join(site.workshop, "cache", "restic")


def headroom(site: Site, database: Engine) -> None:
    """Raise SnapshotError when the dump would not find room beside the site."""
    needed, free = dump.needed(database), dump.free(os.path.dirname(site.root))
    if free < needed:
        raise SnapshotError(
            f"the dump may need {needed >> 20} MB beside {site.root} and {free >> 20} MB are free: make room there"
        )


def take(
    site: Site, run: str, point: str, store: Store, repository: Repository, *, timeout: float, now: Callable[[], float]
) -> dict[str, Any]:
    """Take a restore point and return its manifest. Raises SnapshotError, DumpError, ResticError, …

    Whatever happens, the dump is gone afterwards: it holds all that the database holds, in the clear.
    """
    started = now()
    folder = site.run_folder(run)
    configuration = cms.configuration(site, folder)
    database = site_database.opened(site, configuration, folder)
    headroom(site, database)
    version = repository.version()
    versions = cms.versions(site, database, configuration.prefix)
    versions["php"] = configuration.php
    with _removed_afterwards(dump_folder(site)):
        dumped = database.take(dump_folder(site), timeout=timeout)
        before = tree.scan(site.root)
        # A file that the database writes to meanwhile is no copy of it: the dump is.
        beside = [path for path in database.files() if _inside(path, site.root)]
        listing = _stored(site, run, point, configuration, repository, timeout, beside)
    for path in beside:
        before.pop(os.path.relpath(path, site.root), None)
    _complete(site, before, listing, dumped)
    files = [node for node in listing.below(site.root).values() if node.kind == "file"]
    return {
        "schema": SCHEMA,
        "point": point,
        "run": run,
        "client": site.client,
        "site": site.name,
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "root": site.root,
        "restic": {"repository": store.prefix + "/restic", "snapshot": listing.snapshot, "version": version},
        "files": {"count": len(files), "bytes": sum(node.size for node in files)},
        "links_outside": links_outside(site.root, before)[:SHOWN_LINKS],
        "dump": dict(dumped.evidence(), database=database.name, engine=database.kind),
        "versions": versions,
        "previous": "",
        "seconds": round(now() - started, 1),
    }


def paths(site: Site, configuration: Configuration) -> list[str]:
    """Return what belongs to the site: its tree, the dump, and what its configuration keeps outside of the tree."""
    outside = [path for path in (configuration.path, configuration.content) if not _inside(path, site.root)]
    return [site.root, dump_folder(site), *sorted(outside)]


def links_outside(root: str, entries: dict[str, tree.Entry]) -> list[str]:
    """Return the links that lead out of the tree: restic stores the link, not what it leads to."""
    found = []
    for path, entry in sorted(entries.items()):
        if entry.kind == "link":
            end = os.path.normpath(os.path.join(root, os.path.dirname(path), entry.target))
            if not _inside(end, root):
                found.append(path)
    return found


def lost(before: dict[str, tree.Entry], stored: dict[str, restic.Node]) -> list[str]:
    """Return the paths that were there before and are not in the snapshot as what they were."""
    return sorted(
        path
        for path, entry in before.items()
        if entry.kind != "special" and _writable(path) and (path not in stored or stored[path].kind != entry.kind)
    )


def _stored(
    site: Site,
    run: str,
    point: str,
    configuration: Configuration,
    repository: Repository,
    timeout: float,
    beside: Sequence[str],
) -> Listing:
    """Store a snapshot and return what the store says is in it."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            short, _ = repository.backup(
                paths(site, configuration),
                host=f"{site.client}.{site.name}",
                tags=["point=" + point, "run=" + run],
                exclude=[*(os.path.join(site.root, name) for name in tree.FROZEN), *beside],
                timeout=timeout,
            )
            return repository.listing(short)
        except Incomplete as error:
            _forgotten(repository, error)
            # A site at work removes its own temporary files; the next attempt does not look for them.
            if attempt == ATTEMPTS or any(os.path.lexists(path) for path in error.unread) or not error.unread:
                raise SnapshotError(
                    f"{error}: the site's owner must be able to read every file of {site.root}"
                ) from error
    raise AssertionError("unreachable")


def _forgotten(repository: Repository, error: Incomplete) -> None:
    """Take an incomplete snapshot out of the store; without a manifest it is no restore point in any case."""
    with contextlib.suppress(ResticError):
        if error.snapshot:
            repository.forget(repository.listing(error.snapshot).snapshot)


def _complete(site: Site, before: dict[str, tree.Entry], listing: Listing, dumped: dump.Dump) -> None:
    """Raise SnapshotError unless the store has the dump and every file that was there before and still is."""
    stored = {path: listing.nodes[path].size for path in dumped.sizes() if path in listing.nodes}
    if stored != dumped.sizes():
        raise DumpError("the store does not hold the whole dump")
    gone = [
        path
        for path in lost(before, listing.below(site.root))
        if path not in tree.FROZEN and os.path.lexists(os.path.join(site.root, path))
    ]
    if gone:
        raise SnapshotError(f"{len(gone)} files are not in the snapshot, such as {gone[0]}")


@contextlib.contextmanager
def _removed_afterwards(folder: str) -> Iterator[None]:
    try:
        yield
    finally:
        tree.remove(folder)


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")


def _writable(path: str) -> bool:
    """Whether restic can write this name in JSON: bytes that are no UTF-8 are replaced there."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
