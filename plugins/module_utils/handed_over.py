# GPL-3.0-or-later
"""What a staging host tells production's host of a rehearsal: names, SHA-256 and paths, and not one byte of code.

Production's host fetches the packages itself, by their SHA-256, and lays out of them the paths that the copy got. Each must
be what the copy had, and no path lies outside of the releases' own units: a staging host that lies can keep a release from
production, and bring none there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from . import packages, tree, wordpress
from .database import OURS, TABLE
from .language_packs import TRANSLATION
from .packages import MOST_FILES, Change, PackageError
from .release_choice import malformed

# Bytes, as they are written for the way and unpacked: what no site comes near to.
LARGEST_ON_THE_WAY = 32 << 20
LARGEST = 256 << 20
SCHEMA = 1
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
NAMED = ("kind", "slug", "version", "only", "until", "reason")
# A release's name, versions, address and bytes; the package itself stays where it is.
OF_A_CHANGE = ("kind", "slug", "file", "version", "to", "package", "sha256", "bytes")
KINDS = ("file", "folder", "link", "special")


class HandedError(ValueError):
    """What came from the staging host cannot be what a rehearsal leaves."""


@dataclass(frozen=True)
class Got:
    """A path that the copy got: its kind, size, time of change (ns), mode, and of a file the SHA-256."""

    kind: str
    size: int
    mtime: int
    mode: int
    sha256: str


@dataclass(frozen=True)
class Handed:
    """All of it. A path of `touched` without a Got was removed; `base` are the units' paths before."""

    point: str
    held: list[dict[str, Any]]
    delivered: list[Change] = field(default_factory=list)
    touched: dict[str, Got | None] = field(default_factory=dict)
    base: dict[str, list[Any]] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    new_tables: list[str] = field(default_factory=list)
    sums: dict[str, str] = field(default_factory=dict)
    migrate_seconds: float = 0.0


def told(staged: Mapping[str, Any], known: Mapping[str, Any], root: str, base: str) -> str:
    """Say what a rehearsal has left: `staged` is its state, `known` what was brought. Raises HandedError."""
    value: dict[str, Any] = {"schema": SCHEMA, "point": known["point"], "held": staged.get("held", []), "delivered": []}
    changes = [Change(**each) for each in staged.get("delivered", [])]
    if changes:
        units = units_of(changes)
        left = {path: [e.kind, e.size, e.mtime, e.target] for path, e in tree.scan(base).items()
                if tree.in_unit(path, units)}  # fmt: skip
        value.update(
            delivered=[{name: getattr(change, name) for name in OF_A_CHANGE} for change in changes],
            touched={path: _got(root, path) for path in staged["touched"]},
            base=left,
            **{name: staged[name] for name in ("tables", "new_tables", "sums")},
            migrate_seconds=staged["pace"]["migrate_seconds"],
        )
    try:
        text = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise HandedError("a file of a release has a name that is no text") from error
    packed = base64.b64encode(zlib.compress(text)).decode()
    if len(text) > LARGEST or len(packed) > LARGEST_ON_THE_WAY:
        raise HandedError(f"{len(value.get('base', ()))} paths are more than can be told")
    return packed


def read(packed: str) -> Handed:
    """Read what the staging host has told. Raises HandedError for whatever no rehearsal leaves."""
    try:
        if not packed or len(packed) > LARGEST_ON_THE_WAY:
            raise HandedError("it has told nothing" if not packed else "it has told too much")
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode(packed, validate=True), LARGEST)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise HandedError("it has told too much")
        value = json.loads(text)
        if value["schema"] != SCHEMA:
            raise HandedError(
                f"it speaks schema {value['schema']!r}, and this host {SCHEMA}: is upkeep another one there?"
            )
        return _handed(value)
    except HandedError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error, RecursionError) as error:
        raise HandedError(f"it has told what no rehearsal leaves ({type(error).__name__})") from error


def entries(base: Mapping[str, Sequence[Any]]) -> dict[str, tree.Entry]:
    """Return what the copy began with, as tree.scan() would: kind, size, time and target, and nothing of the rest."""
    return {
        path: tree.Entry(str(kind), int(size), int(mtime), 0, 0, 0, 0, str(target))
        for path, (kind, size, mtime, target) in base.items()
    }


def units_of(changes: Sequence[Change]) -> list[str]:
    """Return the paths that these releases may change."""
    return [path for change in changes for path in wordpress.unit(change.kind, change.slug, change.file)]


def lay_out(handed: Handed, changes: Sequence[Change], root: str) -> None:
    """Put every path that the copy got into `root`, a new folder, out of the packages that are here.

    Raises PackageError for what no package brought, or brought otherwise.
    """
    tree.remove(root)
    os.makedirs(root, mode=0o700)
    left, folders = dict(handed.touched), []
    for change in changes:
        with zipfile.ZipFile(change.zip) as archive:
            members = {_place(change, each.filename): each for each in archive.infolist()}
            for path in sorted(left):
                got, member = left[path], members.get(path)
                if got is not None and got.kind == "file" and member is not None and not member.is_dir():
                    _write(archive.read(member), os.path.join(root, path), path, got)
                    del left[path]
    for path, got in left.items():
        if got is None:
            continue
        if got.kind != "folder":
            raise PackageError(f"{path} is in the copy on the staging host, and no package brought it")
        folders.append(path)
    for path in sorted(folders, reverse=True):
        os.makedirs(os.path.join(root, path), mode=0o700, exist_ok=True)
        os.chmod(os.path.join(root, path), handed.touched[path].mode | stat.S_IRWXU)  # type: ignore[union-attr]


def _place(change: Change, member: str) -> str:
    """Return where a file of the package may land, what an update of the core may leave out included."""
    return member.partition("/")[2] if change.kind == "core" else packages.installed_path(change, member)


def _write(content: bytes, place: str, path: str, got: Got) -> None:
    if len(content) != got.size or hashlib.sha256(content).hexdigest() != got.sha256:
        raise PackageError(f"{path} is not what its package brought in the copy on the staging host")
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    with open(place, "wb") as file:
        file.write(content)
    os.chmod(place, got.mode)
    os.utime(place, ns=(got.mtime, got.mtime))


def _got(root: str, path: str) -> list[Any] | None:
    seen = tree.entry(root, path)
    if seen is None:
        return None
    digest = hashlib.sha256()
    if seen.kind == "file":
        with open(os.path.join(root, path), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    return [seen.kind, seen.size, seen.mtime, seen.mode, digest.hexdigest() if seen.kind == "file" else ""]


def _handed(value: Mapping[str, Any]) -> Handed:
    held = [_hold(each) for each in value["held"]]
    changes = [_change(each) for each in value["delivered"]]
    if not changes:
        return Handed(str(value["point"]), held)
    units = units_of(changes)
    for paths in (value["touched"], value["base"]):
        if len(paths) > MOST_FILES:
            raise HandedError("it has told too much")
        for path in paths:
            _refuse_path(path, units)
    return Handed(
        point=str(value["point"]),
        held=held,
        delivered=changes,
        touched={path: _read_got(each) for path, each in value["touched"].items()},
        base={path: _read_base(each) for path, each in value["base"].items()},
        tables=[_table(name) for name in value["tables"]],
        new_tables=[_table(name) for name in value["new_tables"]],
        sums={_table(name): str(text)[:10_000] for name, text in value["sums"].items()},
        migrate_seconds=max(0.0, float(value["migrate_seconds"])),
    )


def _refuse_path(path: str, units: Sequence[str]) -> None:
    outside = os.path.isabs(path) or os.path.normpath(path) != path or path.split("/")[0] in ("..", ".") or "\0" in path
    if outside or path in tree.FROZEN or not tree.in_unit(path, list(units)):
        raise HandedError(f"{path[:200]!r} lies outside of what its releases may change")


def _change(value: Mapping[str, Any]) -> Change:
    given = {name: value[name] for name in OF_A_CHANGE}
    size = given.pop("bytes")
    if not all(isinstance(each, str) for each in given.values()) or not SHA256.match(given["sha256"]):
        raise HandedError("a release has no name or no SHA-256")
    change = Change(**given, bytes=int(size))
    if malformed(change):
        raise HandedError(f"{change.slug[:100]!r}: {malformed(change)}")
    return change


def _hold(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a hold with no more than the words that one has."""
    kept = {name: str(value[name])[:500] for name in NAMED if value.get(name)}
    if kept.get("kind") not in ("core", "plugin", "theme", TRANSLATION) or not packages.SLUG.match(
        kept.get("slug", "")
    ):
        raise HandedError("what is held has no name")
    return kept


def _read_got(value: Any) -> Got | None:
    if value is None:
        return None
    kind, size, mtime, mode, digest = value
    if kind not in KINDS or (kind == "file" and not SHA256.match(digest)):
        raise HandedError("a path has no kind or no SHA-256")
    # No more than permissions: nothing of a release runs as another account.
    return Got(kind, int(size), int(mtime), int(mode) & 0o777, str(digest))


def _read_base(value: Any) -> list[Any]:
    kind, size, mtime, target = value
    if kind not in KINDS:
        raise HandedError("a path has no kind")
    return [kind, int(size), int(mtime), str(target)]


def _table(name: Any) -> str:
    if not isinstance(name, str) or not TABLE.match(name) or name.startswith(OURS):
        raise HandedError("a table has no name")
    return name
