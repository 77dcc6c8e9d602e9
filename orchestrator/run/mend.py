"""Mend what somebody did to a repository who could write into the store, as far as the store has kept what was there.

The names of restic's objects are hashes of their content, so what was written over is known by itself, and where the
bucket has versions the right one is still there. Garbage goes into quarantine (gateway_sweep.py). Nothing is deleted
for good, and a lock that is alive is left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrator.errors import Refused
from orchestrator.run import restic_objects
from orchestrator.run.bucket import Bucket
from orchestrator.run.gateway_store import Shelf, StoreError
from orchestrator.run.gateway_sweep import key_that_opens, sweep
from orchestrator.run.restic_objects import Malformed
from orchestrator.run.store import MANIFEST

NAMED_BY_HASH = ("data", "index", "keys", "snapshots")
# No clock of a host is so far ahead; restic would lean on such a snapshot as on the newest for as long.
AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class Mended:
    """What was done in one site's folder. All names are those below `<client>/<site>/`."""

    brought_back: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    # Not what their names say, and no version that is: data is lost, and a person has to look.
    damaged: tuple[str, ...] = ()


def mend(bucket: Bucket, *, client: str, site: str, password: str) -> Mended:
    """Bring back what was written over, and take out what stops restic. Raises Refused when the store does not do it."""
    prefix, keys, store = f"{client}/{site}", bucket.keys, bucket.store
    if keys is None:
        return Mended()
    shelf = Shelf(
        endpoint=store.endpoint, bucket=store.bucket, region=store.region, prefix=prefix,
        access_key=keys.access, secret_key=keys.secret, lock_days=store.lock_days,
    )  # fmt: skip
    brought_back = _bring_back(bucket, prefix)
    try:
        found = sweep(shelf, password)
        ahead = _from_the_future(bucket, shelf, password, prefix)
    except StoreError as error:
        raise Refused(
            f"the repository of {prefix} could not be mended: {error}", f"upkeep store check {client}"
        ) from None
    damaged = tuple(f"restic/{name}" for name in found.damaged)
    return Mended(brought_back, tuple(f"restic/{name}" for name in (*found.quarantined, *ahead)), damaged)


def _bring_back(bucket: Bucket, prefix: str) -> tuple[str, ...]:
    """Put the right version on top of every object that was written over."""
    done = []
    for key, versions in _written_over(bucket, prefix).items():
        good = _right(bucket, prefix, key, versions)
        if good is None or good["VersionId"] == versions[0]["VersionId"]:
            continue
        source = {"Bucket": bucket.store.bucket, "Key": key, "VersionId": good["VersionId"]}
        said = bucket.ask("copy_object", Key=key, CopySource=source, MetadataDirective="REPLACE")
        if not said.ok:
            raise Refused(
                f"{key} was written over, and the version before it could not be brought back: {said.words}",
                "look what the key may do at the store: upkeep_store_access_key",
            )
        done.append(key.removeprefix(f"{prefix}/"))
    return tuple(sorted(done))


def _written_over(bucket: Bucket, prefix: str) -> dict[str, list[Mapping[str, Any]]]:
    """Return the objects that have more than one version, the newest first. A deleted one is none: prunes delete."""
    versions: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    more: dict[str, str] = {}
    while True:
        said = bucket.ask("list_object_versions", Prefix=f"{prefix}/", **more)
        # A store without versions has nothing to bring back, and some do not know the question.
        if not said.ok:
            return {}
        for entry in said.value.get("Versions") or ():
            versions[str(entry["Key"])].append(entry)
        if not said.value.get("IsTruncated"):
            break
        more = {"KeyMarker": said.value["NextKeyMarker"], "VersionIdMarker": said.value["NextVersionIdMarker"]}
    # Stores list the newest first. Where that is the mark of a deletion, it is not among these.
    return {key: each for key, each in versions.items() if len(each) > 1 and each[0].get("IsLatest")}


def _right(bucket: Bucket, prefix: str, key: str, versions: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the version that is what its name says; of a manifest the first, for none is ever written over."""
    if match := MANIFEST.fullmatch(key):
        return versions[-1] if match["prefix"] == prefix else None
    kind, _, name = key.removeprefix(f"{prefix}/restic/").rpartition("/")
    if kind.partition("/")[0] not in NAMED_BY_HASH or not key.startswith(f"{prefix}/restic/"):
        return None
    for version in versions:
        body = bucket.get(key, str(version["VersionId"]))
        if body is not None and hashlib.sha256(body).hexdigest() == name:
            return version
    return None


def _from_the_future(bucket: Bucket, shelf: Shelf, password: str, prefix: str) -> tuple[str, ...]:
    """Take out snapshots of no restore point that claim to be from tomorrow or later: restic would lean on them."""
    key = key_that_opens(shelf, password)
    if key is None:
        return ()
    named, latest, moved = named_snapshots(bucket, prefix), bucket.clock() + AHEAD, []
    for item in list(shelf.items("snapshots")):
        body = shelf.read("snapshots", item.name)
        if item.name in named or body is None or hashlib.sha256(body).hexdigest() != item.name:
            continue
        try:
            ahead = restic_objects.moment(key.value(body)) > latest
        except (Malformed, ValueError, KeyError, TypeError):
            continue
        if ahead:
            shelf.quarantine("snapshots", item.name, body)
            moved.append(f"snapshots/{item.name}")
    return tuple(moved)


def named_snapshots(bucket: Bucket, prefix: str) -> set[str]:
    """Return the snapshots that manifests name."""
    names = set()
    for key in bucket.keys_below(f"{prefix}/points/"):
        try:
            names.add(str(json.loads(bucket.get(key) or b"{}")["restic"]["snapshot"]))
        except (ValueError, KeyError, TypeError):
            continue
    return names
