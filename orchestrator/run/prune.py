"""Find what a site has in its store, and remove the restore points that were decided on.

The manifest goes first: from then on it is no restore point any more. Then its snapshot is forgotten, by its full id,
and its space is freed. A note in the store, `removed/<point>.json`, lies there meanwhile: after an interruption it tells
a removal of ours from a manifest that somebody else took away, whose snapshot nobody may touch.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.errors import Busy, Refused
from orchestrator.plan.retention import ID, Decision, KnownPoint
from orchestrator.run.bucket import Bucket
from orchestrator.run.read_back import aside as aside_key
from orchestrator.run.read_back import put_aside
from orchestrator.run.restic import SNAPSHOT, Restic, ResticFailed, Snapshot
from orchestrator.run.store import LARGEST_MANIFEST, MANIFEST

SCHEMAS = (1, 2)
# restic refreshes a lock every five minutes and calls one stale that is half an hour old. So do we, by the store's
# clock: what a lock says of its own time is what a host's clock, or a thief, made of it.
STALE_SECONDS = 1800.0


@dataclass(frozen=True)
class Stock:
    """What a site has in its store: its points, the snapshots of each, and snapshots that belong to none."""

    points: tuple[KnownPoint, ...]
    snapshots: Mapping[str, tuple[str, ...]]
    foreign: tuple[Snapshot, ...]
    # Points whose snapshot a healing has put aside, until its data is there again.
    aside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Removal:
    """What was removed, as the store and the repository say afterwards."""

    points: tuple[str, ...]
    snapshots: tuple[str, ...]
    stale_locks: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class _Manifest:
    """What lies in the store in a point's name; without a value it could not be read."""

    value: Mapping[str, Any] | None
    locked_until: datetime | None


def stock(
    bucket: Bucket,
    restic: Restic,
    *,
    client: str,
    site: str,
    seen: Collection[str] = (),
    damaged: Mapping[str, Sequence[str]] | None = None,
) -> Stock:
    """Look at what a site has: manifests in the store, snapshots in the repository.

    `seen` are the points that the ledger has seen complete, `damaged` those of which a verification says what is wrong.
    """
    prefix = f"{client}/{site}"
    manifests = {}
    for key in bucket.keys_below(f"{prefix}/points/"):
        match = MANIFEST.fullmatch(key)
        if match and match["prefix"] == prefix:
            manifests[match["point"]] = _manifest(bucket, key)
    try:
        # A site without any restore point may well have no repository yet.
        listed = restic.snapshots() if manifests or _has_repository(bucket, prefix) else ()
    except ResticFailed as error:
        raise Refused(
            f"the repository of {prefix} cannot be read: {error}; nothing was removed.",
            f"upkeep store check {client}; if somebody put garbage there: upkeep verify {client} --heal",
        ) from None
    there = {snapshot.id for snapshot in listed}
    aside = set(put_aside(bucket, prefix, "snapshots"))
    points = [
        _point(name, manifest, there | aside, client, site, tuple((damaged or {}).get(name, ())))
        for name, manifest in manifests.items()
    ]
    begun = {snapshot.point for snapshot in listed if ID.fullmatch(snapshot.point)} - manifests.keys()
    # What another manifest names as the one before it was complete, too.
    complete = {*seen, *(str(each.value.get("previous")) for each in manifests.values() if each.value)}
    removing = {key.rpartition("/")[2].removesuffix(".json") for key in bucket.keys_below(f"{prefix}/removed/")}
    points += [
        KnownPoint(
            name, client, site, has_manifest=False, was_complete=name in complete, removal_begun=name in removing
        )
        for name in begun
    ]
    named = {point.id: tuple(each.id for each in listed if each.point == point.id) for point in points}
    foreign = tuple(each for each in listed if each.point not in named)
    lie_aside = {name: _snapshot(each) for name, each in manifests.items() if _snapshot(each) in aside - there}
    return Stock(tuple(points), named, foreign, lie_aside)


def remove(bucket: Bucket, restic: Restic, have: Stock, decision: Decision, *, client: str, site: str) -> Removal:
    """Remove what was decided on. Raises Busy when somebody is at work in the repository: then nothing was touched."""
    going = sorted(judged.id for judged in decision.removed)
    if waiting := sorted(have.aside.keys() - set(going)):
        # restic would free the space of what is still good in them.
        raise Refused(
            f"the snapshot of {waiting[0]} was put aside by a healing and waits for its data; nothing was removed.",
            f"upkeep verify {client} --site {site} --heal; if it is lost for good: "
            f"upkeep prune {client} --site {site} --forget {waiting[0]} --yes",
        )
    stale = free_of_locks(bucket, restic, f"{client}/{site}")
    stays = {name for judged in decision.kept for name in have.snapshots[judged.id]}
    ids = [name for point in going for name in have.snapshots[point] if name not in stays]
    notes = {judged.id: json.dumps({"point": judged.id, "reasons": judged.reasons}) for judged in decision.removed}
    for point in going:
        _remove_manifest(bucket, f"{client}/{site}", point, notes[point].encode())
        if point in have.aside:
            bucket.ask("delete_object", Key=aside_key(f"{client}/{site}", "snapshots", have.aside[point]))
    words = f"{len(going)} restore points are none any more, and"
    again = f"upkeep prune {client} --site {site} --yes"
    try:
        restic.forget(ids)
    except ResticFailed as error:
        raise Refused(f"{words} their bytes are still in the store: {error}", again) from None
    left = _listed(restic, words, again)
    if still := [name for name in ids if name in left]:
        raise Refused(f"{words} {len(still)} of their snapshots are still in the repository: restic lists them.", again)
    _all_there(left, stays)
    for point in going:
        bucket.ask("delete_object", Key=_note_key(f"{client}/{site}", point))
    try:
        restic.prune()
    except ResticFailed as error:
        raise Refused(f"{words} so are their snapshots, but the space was not freed: {error}", again) from None
    _all_there(_listed(restic, words, again), stays)
    return Removal(tuple(going), tuple(ids), stale, _note(bucket))


def _manifest(bucket: Bucket, key: str) -> _Manifest:
    said = bucket.ask("get_object", Key=key)
    locked: datetime | None = said.value.get("ObjectLockRetainUntilDate")
    if not said.ok or int(said.value.get("ContentLength", 0)) > LARGEST_MANIFEST:
        return _Manifest(None, locked)
    try:
        value = json.loads(bucket.body(said))
    except ValueError:
        value = None
    return _Manifest(value if isinstance(value, dict) else None, locked)


def _snapshot(found: _Manifest) -> str:
    restic = (found.value or {}).get("restic")
    return str(restic.get("snapshot")) if isinstance(restic, dict) else ""


def _point(name: str, found: _Manifest, there: set[str], client: str, site: str, damage: tuple[str, ...]) -> KnownPoint:
    manifest, locked = found.value, found.locked_until
    if manifest is None:
        return KnownPoint(name, client, site, problems=("its manifest cannot be read",), locked_until=locked)
    snapshot = _snapshot(found)
    problems = list(damage)
    if manifest.get("schema") not in SCHEMAS:
        problems.append(f"its manifest has schema {str(manifest.get('schema'))[:20]}, which this upkeep does not know")
    if manifest.get("point") != name:
        problems.append("its manifest is for another point")
    if (SNAPSHOT.fullmatch(snapshot) is None or snapshot not in there) and not damage:
        problems.append("its snapshot is not in the repository")
    return KnownPoint(
        name,
        str(manifest.get("client", "")),
        str(manifest.get("site", "")),
        problems=tuple(problems),
        locked_until=locked,
    )


def _has_repository(bucket: Bucket, prefix: str) -> bool:
    return bucket.ask("head_object", Key=f"{prefix}/restic/config").ok


def free_of_locks(bucket: Bucket, restic: Restic, prefix: str) -> tuple[str, ...]:
    """Take away locks that are stale. Raises Busy for one that is alive: that one is never broken."""
    said = bucket.ask("list_objects_v2", Prefix=f"{prefix}/restic/locks/")
    now, stale = bucket.clock(), []
    for entry in said.value.get("Contents") or ():
        name = str(entry["Key"]).rpartition("/")[2]
        age = (now - entry["LastModified"]).total_seconds()
        lock = restic.lock(name) if age <= STALE_SECONDS and SNAPSHOT.fullmatch(name) else {}
        if age <= STALE_SECONDS and not _maker_is_dead(lock):
            who = f"{lock.get('hostname', 'somebody')}, process {lock.get('pid', '?')}"
            minutes = int((STALE_SECONDS - age) // 60) + 1
            raise Busy(
                f"{who}, is at work in the repository of {prefix}, or died less than half an hour ago: its lock was "
                f"renewed {age:.0f} s ago. Nothing was removed.",
                f"try again later; a lock that nobody renews counts no more in {minutes} minutes",
            )
        bucket.ask("delete_object", Key=entry["Key"])
        stale.append(name)
    return tuple(stale)


def _maker_is_dead(lock: Mapping[str, Any]) -> bool:
    """Whether a lock is of this very machine, and its process has gone: a prune of ours that was killed."""
    process = lock.get("pid")
    if lock.get("hostname") != platform.node() or not isinstance(process, int) or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _remove_manifest(bucket: Bucket, prefix: str, point: str, note: bytes) -> None:
    key = f"{prefix}/points/{point}.json"
    said = bucket.put(_note_key(prefix, point), note)
    if said.ok:
        said = bucket.ask("delete_object", Key=key)
    if not said.ok or bucket.ask("head_object", Key=key).ok:
        bucket.ask("delete_object", Key=_note_key(prefix, point))
        raise Refused(
            f"the manifest of {point} could not be removed: {said.words}; it is still a restore point.",
            "look what the key may do at the store: upkeep_store_access_key, or else site_snapshot_access_key",
        )


def _note_key(prefix: str, point: str) -> str:
    return f"{prefix}/removed/{point}.json"


def _listed(restic: Restic, words: str, again: str) -> set[str]:
    try:
        return {snapshot.id for snapshot in restic.snapshots()}
    except ResticFailed as error:
        raise Refused(f"{words} the repository does not say what is left in it: {error}", again) from None


def _all_there(listed: set[str], stays: set[str]) -> None:
    if gone := sorted(stays - listed):
        raise Refused(
            f"the snapshot {gone[0]} was to stay and is not in the repository any more: look at once.",
            "restic snapshots; if the bucket has versions, the object can be brought back",
        )


def _note(bucket: Bucket) -> str:
    """Say what versions and locks make of it: what was removed is hidden at first."""
    there = bucket.settings()
    if not there.versioned:
        return ""
    days = [rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays") for rule in there.rules]
    if not any(days):
        return "The store keeps every old version for ever: upkeep store init gives them an end."
    most = max(int(each) for each in days if each)
    locked = " What is locked stays until its time has come." if there.locked_days else ""
    return f"The store keeps what was removed as old versions for {most} days, then their space is free.{locked}"
