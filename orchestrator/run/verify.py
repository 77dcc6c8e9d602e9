"""Verify a site's restore points: each manifest against the store, and a part of the data read back.

Everything that is small is looked at each time: manifests, snapshots, indexes, the lists of folders, and for every pack
whether it is there and has its size. Of the data a part is read, and again every pack that was damaged the last time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.rotation import Turn
from orchestrator.run.bucket import Bucket
from orchestrator.run.read_back import OTHER, KeysDamaged, Repository, opened_repository
from orchestrator.run.restic import Restic
from orchestrator.run.store import LARGEST_MANIFEST, MANIFEST
from orchestrator.run.walk_trees import Walk, Walked

# How many paths of what is lost are told; the number is told of all of them.
SHOWN = 20
ASIDE = "its snapshot was put aside: the next healing looks whether it can go back"
# Damage that only restic sees has no object.
RESTIC = "restic"
NOT_THERE = "its snapshot is not in the repository"


@dataclass(frozen=True)
class Damage:
    """One object of the repository that is not what it was, and what is lost by it."""

    object: str
    problem: str
    points: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class PointSeen:
    """One restore point, and why it is not complete; without a reason it is. `lost` counts files and folders."""

    id: str
    problems: tuple[str, ...]
    lost: int = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What was seen of one site's restore points. Of `packs` with `bytes`, some were read back."""

    turn: Turn
    points: tuple[PointSeen, ...]
    damage: tuple[Damage, ...]
    packs: int
    bytes: int
    packs_read: int
    bytes_read: int
    # Objects that are wrong, as (kind, name): what a healing has to take away.
    wrong: tuple[tuple[str, str], ...] = ()
    # Snapshots that an earlier healing has put aside.
    aside: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage and not any(point.problems for point in self.points)


# Told how many bytes were read back, and of how many.
Watch = Callable[[int, int], None]


def verify(
    bucket: Bucket,
    restic: Restic,
    *,
    client: str,
    site: str,
    password: str,
    turn: Turn,
    suspects: Collection[str] = (),
    watch: Watch = lambda _read, _of: None,
) -> Verification:
    """Look at a site's restore points and read a part of their data back. Changes nothing and locks nothing.

    What looks damaged is looked at a second time: meanwhile a prune may have replaced it, or the line was at fault.
    """
    seen, repository = _look(bucket, client, site, password, turn, suspects, watch)
    if seen.damage:
        again = [name for kind, name in repository.wrong if kind == "data"] if repository else []
        second, repository = _look(bucket, client, site, password, Turn((), 1), again, lambda _read, _of: None)
        seen = dataclasses.replace(second, turn=turn, packs_read=seen.packs_read, bytes_read=seen.bytes_read)
    if repository is not None and not seen.damage and (words := restic.check()):
        # It is restic that will have to restore: what it does not like counts, whatever was seen here.
        problem = f"restic does not find it sound: {words[-1]}"
        every = tuple(PointSeen(each.id, (*each.problems, problem)) for each in seen.points)
        damage = (Damage(RESTIC, problem, tuple(each.id for each in every), ()),)
        seen = dataclasses.replace(seen, points=every, damage=damage)
    return seen


def _look(
    bucket: Bucket, client: str, site: str, password: str, turn: Turn, suspects: Collection[str], watch: Watch
) -> tuple[Verification, Repository | None]:
    prefix = f"{client}/{site}"
    manifests = _manifests(bucket, prefix)
    try:
        repository = opened_repository(bucket, prefix, password)
    except KeysDamaged as error:
        # Without its key nobody reads the repository any more.
        points = tuple(PointSeen(name, (str(error),)) for name in manifests)
        damage = tuple(Damage(f"keys/{name}", OTHER, tuple(manifests), ()) for name in error.names)
        return Verification(turn, points, damage, 0, 0, 0, 0), None
    if repository is None:
        return Verification(turn, tuple(PointSeen(name, (NOT_THERE,)) for name in manifests), (), 0, 0, 0, 0), None
    repository.read_metadata()
    # What no manifest names was put into quarantine because it was garbage, not to be brought back.
    named = {_snapshot(manifest) for manifest in manifests.values()}
    repository.aside = {name: value for name, value in repository.aside.items() if name in named}
    unsure = {*suspects, *(name for kind, name in repository.wrong if kind == "data")}
    wanted = [pack for pack in sorted(repository.sizes) if turn.takes(pack) or pack in unsure]
    whole, read = sum(repository.size(pack) for pack in wanted), 0
    watch(0, whole)
    for pack in repository.read_packs(wanted):
        read += repository.size(pack)
        watch(read, whole)
    walk = Walk(repository)
    points_seen: list[PointSeen] = []
    walked: dict[str, Walked | None] = {}
    for name, manifest in sorted(manifests.items(), reverse=True):
        seen, found = _point(name, manifest, repository, walk, client=client, site=site)
        points_seen.append(seen)
        walked[name] = found
    return (
        Verification(
            turn=turn,
            points=tuple(points_seen),
            damage=tuple(_damage(repository, manifests, walked)),
            packs=len(repository.sizes),
            bytes=sum(repository.sizes.values()),
            packs_read=len(wanted),
            bytes_read=whole,
            wrong=tuple(sorted(repository.wrong)),
            aside=tuple(sorted(repository.aside)),
        ),
        repository,
    )


def _manifests(bucket: Bucket, prefix: str) -> dict[str, Mapping[str, Any] | None]:
    found: dict[str, Mapping[str, Any] | None] = {}
    for key, size in bucket.sizes_below(f"{prefix}/points/"):
        match = MANIFEST.fullmatch(key)
        if match is None or match["prefix"] != prefix:
            continue
        body = bucket.must_get(key) if size <= LARGEST_MANIFEST else b""
        try:
            value = json.loads(body or b"")
        except (ValueError, RecursionError):
            value = None
        found[match["point"]] = value if isinstance(value, dict) else None
    return found


def _point(
    name: str, manifest: Mapping[str, Any] | None, repository: Repository, walk: Walk, *, client: str, site: str
) -> tuple[PointSeen, Walked | None]:
    """Hold a manifest against its snapshot: that it is there, that its tree is complete, and that it says the same."""
    if config := repository.wrong.get(("config", "")):
        return PointSeen(name, (f"the configuration of its repository is damaged: {config}",)), None
    if manifest is None:
        return PointSeen(name, ("its manifest cannot be read",)), None
    if (manifest.get("point"), manifest.get("client"), manifest.get("site")) != (name, client, site):
        return PointSeen(name, ("its manifest is for another point, client or site",)), None
    snapshot = str(_mapping(manifest.get("restic")).get("snapshot"))
    lies_aside = snapshot in repository.aside
    if snapshot not in repository.snapshots and not lies_aside:
        damaged = repository.wrong.get(("snapshots", snapshot))
        return PointSeen(name, (f"its snapshot is damaged: {damaged}" if damaged else NOT_THERE,)), None
    root = str((repository.aside if lies_aside else repository.snapshots)[snapshot]["tree"])
    found = walk.below(root)
    problems = [ASIDE] if lies_aside else []
    if found.lost:
        one = "1 file or folder" if found.lost == 1 else f"{found.lost} files or folders"
        problems.append(f"{one} cannot be read, such as /{found.paths[0][0]}")
    else:
        problems += _differences(manifest, root, walk)
    return PointSeen(name, tuple(problems), found.lost, tuple(f"/{path}" for path, _ in found.paths)), found


def _differences(manifest: Mapping[str, Any], root: str, walk: Walk) -> list[str]:
    problems = []
    files, dump = _mapping(manifest.get("files")), _mapping(manifest.get("dump"))
    if place := str(manifest.get("root") or ""):
        there = walk.find(root, place)
        if there is None or not there.tree:
            problems.append(f"its snapshot does not hold {place}")
        else:
            counted = walk.below(there.tree)
            if (counted.files, counted.bytes) != (files.get("count"), files.get("bytes")):
                problems.append(
                    f"its snapshot holds {counted.files} files of {counted.bytes} bytes, and its manifest says "
                    f"{files.get('count')} of {files.get('bytes')}"
                )
    for name, size in _dump_files(dump).items():
        there = walk.find(root, name)
        if there is None:
            problems.append(f"its snapshot does not hold {name} of the dump of the database")
        elif there.kind == "file" and there.size != size:
            problems.append(f"{name} of the dump in its snapshot has {there.size} bytes, not {size}")
    return problems


def _dump_files(dump: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files of a dump with their bytes: one in manifests of schema 1, one for each table in those of schema 2."""
    if file := str(dump.get("file") or ""):
        return {file: dump.get("bytes")}
    entries = [_mapping(entry) for part in ("tables", "others") for entry in _mapping(dump.get(part)).values()]
    return {f"{dump.get('folder')}/{entry.get('file')}": entry.get("bytes") for entry in entries}


def _damage(
    repository: Repository, manifests: Mapping[str, Mapping[str, Any] | None], walked: Mapping[str, Walked | None]
) -> list[Damage]:
    """Name every object that is wrong, and what of which points is lost by it."""
    found = []
    for (kind, name), problem in sorted(repository.wrong.items()):
        if kind == "config":
            found.append(Damage(kind, problem, tuple(sorted(manifests)), ()))
        elif kind == "snapshots":
            named = [each for each, manifest in manifests.items() if _snapshot(manifest) == name]
            found.append(Damage(f"snapshots/{name}", problem, tuple(sorted(named)), ()))
        elif kind == "index":
            # What it listed, and no other index does, is told by the points that lean on it.
            hit = tuple(sorted(each for each, seen in walked.items() if seen is not None and "" in seen.packs))
            found.append(Damage(f"index/{name}", problem, hit, _paths(walked, hit, "")))
        else:
            hit = tuple(sorted(each for each, seen in walked.items() if seen is not None and name in seen.packs))
            found.append(Damage(f"data/{name[:2]}/{name}", problem, hit, _paths(walked, hit, name)))
    adrift = tuple(sorted(each for each, seen in walked.items() if seen is not None and "" in seen.packs))
    if adrift and not any(kind == "index" for kind, _ in repository.wrong):
        found.append(Damage("data", "no index lists what these points need", adrift, _paths(walked, adrift, "")))
    return found


def _paths(walked: Mapping[str, Walked | None], points: tuple[str, ...], pack: str) -> tuple[str, ...]:
    paths: dict[str, None] = {}
    for point in points:
        seen = walked[point]
        if seen is not None:
            paths |= dict.fromkeys(f"/{path}" for path, by in seen.paths if by == pack)
    return tuple(paths)[:SHOWN]


def _snapshot(manifest: Mapping[str, Any] | None) -> str:
    return str(_mapping((manifest or {}).get("restic")).get("snapshot"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
