"""Take damaged objects out of a repository, so that the next snapshot brings again what the site still has.

restic does not store what its index lists already. So a damaged pack is put aside and the index is made again from the
packs that are there: then restic misses what was in it, and sends it with the next snapshot, under its old name. By that
older restore points become complete again, too, as far as their content is still on the site.

Nothing is thrown away: what is put aside lies in `quarantine/` beside the repository. Where the bucket keeps versions, an
older version of the object that is right is brought back instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.errors import NotPutBack, Refused
from orchestrator.run.bucket import Bucket
from orchestrator.run.mend import named_snapshots
from orchestrator.run.prune import free_of_locks
from orchestrator.run.read_back import Repository, aside, listed, location, opened_repository
from orchestrator.run.restic import Restic, ResticFailed
from orchestrator.run.restic_objects import moment
from orchestrator.run.verify import Verification
from orchestrator.run.walk_trees import Walk

# What a healing can take away. Without its key or its configuration there is no repository to heal.
KINDS = ("data", "index", "snapshots")
MOST_VERSIONS = 50
EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Healing:
    """What a healing did, by the names of objects."""

    put_aside: tuple[str, ...]
    # Older versions that were right, and snapshots whose data is there again.
    brought_back: tuple[str, ...]


def heal(bucket: Bucket, restic: Restic, seen: Verification, *, client: str, site: str, password: str) -> Healing:
    """Put aside what is damaged and let restic make its index again. Raises Busy when somebody is at work there."""
    prefix = f"{client}/{site}"
    again = f"upkeep verify {client} --site {site} --heal"
    free_of_locks(bucket, restic, prefix)
    gone: list[str] = []
    back: list[str] = []
    unindexed = _damaged_and_unindexed(bucket, prefix, password)
    for kind, name in dict.fromkeys((*seen.wrong, *unindexed)):
        if kind in KINDS and (
            bucket.must_get(location(prefix, kind, name)) is None or _take_away(bucket, prefix, kind, name)
        ):
            gone.append(f"{kind}/{name}")
            if _older_version(bucket, location(prefix, kind, name), name):
                back.append(gone.pop())
    try:
        restic.rebuild_index()
    except ResticFailed as error:
        raise NotPutBack(
            f"{len(gone)} objects were put aside, but the index was not made again: {error}", again
        ) from None
    repository = _read(bucket, prefix, password)
    if still := [name for kind, name in repository.wrong if kind in KINDS]:
        raise NotPutBack(f"the index was made again and {still[0][:8]} is still wrong in it.", again)
    for kind, name in _parents(bucket, repository):
        (back if kind == "back" else gone).append(f"snapshots/{name}")
    return Healing(tuple(gone), tuple(back))


def _read(bucket: Bucket, prefix: str, password: str) -> Repository:
    repository = opened_repository(bucket, prefix, password)
    if repository is None:
        raise Refused(f"there is no repository {prefix}/restic any more.", "look into the bucket")
    repository.read_metadata()
    return repository


def _damaged_and_unindexed(bucket: Bucket, prefix: str, password: str) -> list[tuple[str, str]]:
    """Return damaged packs that no index lists: restic would list them, because it reads no more than their ends."""
    repository = _read(bucket, prefix, password)
    unindexed = repository.unindexed
    for _ in repository.read_packs(unindexed):
        pass
    return [("data", pack) for pack in unindexed if ("data", pack) in repository.wrong]


def _take_away(bucket: Bucket, prefix: str, kind: str, name: str) -> bool:
    """Put an object aside; returns whether it had to go. One that is what its name says stays: its index was wrong."""
    key = location(prefix, kind, name)
    body = bucket.must_get(key) or b""
    if hashlib.sha256(body).hexdigest() == name:
        return False
    _move(bucket, key, aside(prefix, kind, name), body)
    return True


def _move(bucket: Bucket, start: str, end: str, body: bytes) -> None:
    said = bucket.put(end, body)
    if said.ok:
        said = bucket.ask("delete_object", Key=start)
    if not said.ok or bucket.must_get(end) != body or bucket.must_get(start) is not None:
        raise NotPutBack(
            f"{start} could not be put aside: {said.words}.",
            "look what the key may do at the store: upkeep_store_access_key, or else site_snapshot_access_key",
        )


def _older_version(bucket: Bucket, key: str, name: str) -> bool:
    """Bring back an older version of an object that is what its name says; returns whether there was one."""
    said = bucket.ask("list_object_versions", Prefix=key, MaxKeys=MOST_VERSIONS)
    for version in said.value.get("Versions") or () if said.ok else ():
        if version.get("Key") != key or version.get("VersionId") in (None, "null"):
            continue
        body = bucket.get(key, str(version["VersionId"]))
        if body is not None and hashlib.sha256(body).hexdigest() == name:
            return bucket.put(key, body).ok and bucket.must_get(key) == body
    return False


def _parents(bucket: Bucket, repository: Repository) -> Iterable[tuple[str, str]]:
    """Put aside the newest snapshots while folders of theirs are lost, and bring back what does no harm any more.

    restic leans on the newest snapshot of a site. When it cannot read a folder of that one, it stores everything and
    calls the new snapshot incomplete all the same: no restore point would ever come of it.
    """
    # What somebody else had put there lies in quarantine as well, and stays.
    named = named_snapshots(bucket, repository.prefix)
    repository.aside = {name: value for name, value in repository.aside.items() if name in named}
    walk = Walk(repository)
    taken = {**repository.snapshots, **repository.aside}
    whole = [name for name, value in taken.items() if not walk.below(str(value["tree"])).lost_folders]
    newest = max((_taken(taken[name]) for name in whole), default=EVER)
    prefix = repository.prefix
    for name in sorted(taken):
        inside, outside = location(prefix, "snapshots", name), aside(prefix, "snapshots", name)
        harmful = name not in whole and _taken(taken[name]) > newest
        if harmful and name in repository.snapshots:
            _move(bucket, inside, outside, bucket.must_get(inside) or b"")
            yield "aside", name
        elif not harmful and name in repository.aside and name not in listed(bucket, prefix, "snapshots"):
            _move(bucket, outside, inside, bucket.must_get(outside) or b"")
            yield "back", name


def _taken(snapshot: Mapping[str, Any]) -> datetime:
    try:
        return moment(snapshot).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return EVER
