# GPL-3.0-or-later
"""Bring a restore point, or a part of it, to the host and compare it with what was stored. Nothing is put in place here."""

from __future__ import annotations

import os
import re
from typing import Any, Mapping

from . import dump, dump_load, tree
from .engine import MARIADB
from .parts import Part
from .restic import Listing, Node, Repository
from .site import Site

_PATTERN = re.compile(r"([\\*?\[\]])")


class RestoreError(Exception):
    """The restore point cannot be put in the place of production; nothing was touched."""


def restored_folder(site: Site, run: str) -> str:
    """Return where restic puts a restore point: on the site's own filesystem, so that trees can be exchanged."""
    return os.path.join(site.run_folder(run), "restore")


def refusals(site: Site, manifest: dict[str, Any], part: Part) -> list[str]:
    """Return why this restore point cannot be put here, each as one sentence. Nothing is touched."""
    found = part.missing(manifest["dump"]["tables"])
    if found:
        return found
    if manifest["root"] != site.root:
        found.append(f"it was taken of {manifest['root']}, and the site lies in {site.root}")
    mariadb = manifest["dump"].get("engine", MARIADB) == MARIADB
    if part.database and mariadb and manifest["dump"].get("database") == site.staging_database:
        found.append(f"the staging database is production's own database {site.staging_database}")
    parent = os.path.dirname(site.root)
    if part.tree and os.stat(parent).st_dev != os.stat(site.root).st_dev:
        found.append(f"{site.root} is a filesystem of its own, so its tree cannot be exchanged")
    needed = manifest["files"]["bytes"] if part.files else 0
    if part.database:
        if mariadb:
            found += dump_load.refusals(manifest["dump"], part.tables)
        needed += dump_load.needed(manifest["dump"], part.tables)
    return found + no_room(site, needed)


def fetch(
    site: Site, run: str, manifest: dict[str, Any], part: Part, repository: Repository, *, timeout: float
) -> Listing:
    """Bring what is wanted here and compare it with what was stored. Raises RestoreError, ResticError."""
    found = refusals(site, manifest, part)
    if found:
        raise RestoreError("; ".join(found))
    reason = tree.can_exchange(site.run_folder(run)) if part.tree else ""
    if reason:
        raise RestoreError(f"trees cannot be exchanged beside {site.root}: {reason}")
    folder = restored_folder(site, run)
    tree.remove(folder)
    os.mkdir(folder, 0o700)
    snapshot = manifest["restic"]["snapshot"]
    listing = repository.listing(snapshot)
    there = listing.below(site.root)
    stored = {path: node for path, node in there.items() if part.files or part.covers(path)}
    found = part.missing(manifest["dump"]["tables"], there)
    if not found and part.paths:
        found = no_room(site, sum(node.size for node in stored.values() if node.kind == "file"))
    if found:
        raise RestoreError("; ".join(found))
    repository.restore(snapshot, folder, include=[] if part.whole else wanted(site, manifest, part), timeout=timeout)
    wrong = differences(stored, folder + site.root, manifest["files"] if part.files else None) if part.tree else []
    if wrong:
        raise RestoreError("what came back is not what was stored: " + "; ".join(wrong))
    return listing


def wanted(site: Site, manifest: dict[str, Any], part: Part) -> list[str]:
    """Return the patterns by which restic knows what to bring: exact names, whatever they are made of."""
    paths = [site.root] if part.files else [os.path.join(site.root, path) for path in part.paths]
    if part.database:
        paths += dump_load.paths(manifest["dump"], part.tables)
    return patterns(paths)


def patterns(paths: list[str]) -> list[str]:
    """Return these paths as patterns by which restic knows them and nothing else."""
    return [_PATTERN.sub(r"\\\1", path) for path in paths]


def differences(
    stored: Mapping[str, Node], folder: str, counted: dict[str, int] | None, *, owners: bool = True
) -> list[str]:
    """Compare a restored tree with the snapshot's own list, and with what the manifest counted for a whole tree.

    Without `owners` nobody minds whose files they are: on another host an account has another number.
    Returns what is not as it was.
    """
    here = tree.scan(folder)
    found = []
    if counted is not None:
        files = [entry for entry in here.values() if entry.kind == "file"]
        now = {"count": len(files), "bytes": sum(entry.size for entry in files)}
        if now != counted:
            found.append(f"{now['count']} files and {now['bytes']} bytes, not as the manifest says")
    for path, node in sorted(stored.items()):
        entry = here.get(path)
        if entry is None:
            if "\ufffd" not in path:  # restic cannot write a name in JSON that is no UTF-8
                found.append(f"{path} is missing")
        elif (node.kind, node.size if node.kind == "file" else 0) != (
            entry.kind,
            entry.size if node.kind == "file" else 0,
        ):
            found.append(f"{path} is another one")
        elif node.kind != "link" and node.mode != entry.mode:
            found.append(f"{path} has mode {entry.mode:o}, not {node.mode:o}")
        elif owners and (node.owner, node.group) != (entry.owner, entry.group):
            found.append(f"{path} cannot be given back to its owner or group {node.owner}:{node.group} by this account")
    return [*found[:5], f"and {len(found) - 5} more"] if len(found) > 5 else found


def no_room(site: Site, needed: int) -> list[str]:
    """Say that there is not so much room beside the document root; nothing when there is. `needed` are bytes."""
    parent = os.path.dirname(site.root)
    needed, free = needed + dump.SPARE_BYTES, dump.free(parent)
    if free >= needed:
        return []
    return [f"it needs {needed >> 20} MB beside {site.root} and {free >> 20} MB are free: make room there"]
