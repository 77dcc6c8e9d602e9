"""Read a repository back from its store and say which of its objects are not what they were.

Nothing is believed: an object is what its name says when its SHA-256 is its name, and a pack is whole when every blob
that an index promises in it can be opened and has its own name, too. restic is not needed for any of it, so a restic that
says "no errors" cannot hide one. The format: https://restic.readthedocs.io/en/stable/100_references.html
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import Refused
from orchestrator.run.bucket import Bucket
from orchestrator.run.restic_objects import ID, OVERHEAD, Key, Malformed, check_config, key_of

AT_ONCE = 4
# What is wrong with an object, as a person reads it.
MISSING = "it is not in the store"
OTHER = "its content does not match its name"
# Of a pack's header: one entry for each blob, which is longer for a compressed one, and the header's own length.
ENTRY, COMPRESSED_ENTRY, LENGTH = 37, 41, 4


class KeysDamaged(Exception):
    """No key file opens with the password, and these are not what their names say."""

    def __init__(self, names: list[str]) -> None:
        super().__init__("nothing opens its repository any more: its key is damaged")
        self.names = names


@dataclass(frozen=True)
class Blob:
    """A piece of data, or a folder's list, and where it lies in its pack."""

    id: str
    is_tree: bool
    offset: int
    length: int
    compressed: bool


@dataclass(frozen=True)
class Entry:
    """One entry of a folder: a file has content, a folder has a tree."""

    name: str
    kind: str
    size: int
    content: tuple[str, ...]
    tree: str


@dataclass
class Repository:
    """One site's repository: what its indexes promise, what the store has, and what is known to be wrong."""

    bucket: Bucket
    prefix: str
    key: Key
    # What an index says: pack → its blobs. What the store lists: pack → its size.
    packs: dict[str, tuple[Blob, ...]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    # (kind, name) → what is wrong with it.
    wrong: dict[tuple[str, str], str] = field(default_factory=dict)
    snapshots: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    # Snapshots that a healing has put aside.
    aside: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    trees: dict[str, tuple[Entry, ...]] = field(default_factory=dict)

    def location(self, kind: str, name: str) -> str:
        """Return the key of an object in the bucket."""
        return location(self.prefix, kind, name)

    def size(self, pack: str) -> int:
        """Return how many bytes reading a pack back brings."""
        return self.sizes.get(pack, 0)

    @property
    def unindexed(self) -> tuple[str, ...]:
        """Return the packs that no index knows: of a snapshot under way, or left by one that was cut off."""
        return tuple(sorted(self.sizes.keys() - self.packs.keys()))

    def read_metadata(self) -> None:
        """Read snapshots, indexes and folders' lists; compare the packs that are there with those that should be.

        In this order, which is the reverse of how they are written: what a snapshot under way adds disturbs nothing.
        """
        config = self.bucket.must_get(f"{self.prefix}/restic/config")
        try:
            check_config(self.key.value(config) if config else {})
        except Malformed as error:
            self.wrong["config", ""] = str(error) if config else MISSING
        for name, body in self._bodies("snapshots"):
            value = self._value("snapshots", name, body)
            if value is not None and ID.fullmatch(str(value.get("tree"))):
                self.snapshots[name] = value
            elif value is not None:
                self.wrong["snapshots", name] = "it names no tree"
        for name in put_aside(self.bucket, self.prefix, "snapshots"):
            body = self.bucket.must_get(aside(self.prefix, "snapshots", name)) or b""
            if hashlib.sha256(body).hexdigest() == name:
                # Garbage lies there too.
                with contextlib.suppress(Malformed):
                    self.aside[name] = self.key.value(body)
        self.read_lists()
        self.read_trees()

    def read_lists(self) -> None:
        """Read the indexes, and compare the packs that are there with those that should be: by their sizes alone."""
        for name, body in self._bodies("index"):
            value = self._value("index", name, body)
            if value is not None:
                self._take_index(name, value)
        self.sizes = self._listed("data")
        for pack, blobs in self.packs.items():
            if pack not in self.sizes:
                self.wrong["data", pack] = MISSING
            elif self.sizes[pack] != _expected(blobs):
                self.wrong["data", pack] = f"it has {self.sizes[pack]} bytes, not {_expected(blobs)}"

    def read_trees(self) -> None:
        """Read the lists of all folders."""
        metadata = [pack for pack, blobs in self.packs.items() if any(blob.is_tree for blob in blobs)]
        for _ in self.read_packs(metadata):
            pass

    def read_packs(self, packs: Iterable[str]) -> Iterator[str]:
        """Read packs back and judge them; yields the name of each that was read. What is wrong stands in `wrong`."""
        there = [pack for pack in packs if pack in self.sizes]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            # In small batches: a hundred packs at once would be a gigabyte of memory.
            for start in range(0, len(there), AT_ONCE):
                batch = there[start : start + AT_ONCE]
                for pack, (problem, trees) in zip(batch, pool.map(self._judged, batch), strict=True):
                    if problem:
                        self.wrong["data", pack] = problem
                    else:
                        self.trees.update(trees)
                    yield pack

    def _judged(self, pack: str) -> tuple[str, dict[str, tuple[Entry, ...]]]:
        body = self.bucket.must_get(self.location("data", pack))
        if body is None:
            return MISSING, {}
        if hashlib.sha256(body).hexdigest() != pack:
            return OTHER, {}
        trees = {}
        for blob in self.packs.get(pack, ()):
            try:
                plain = self.key.blob(body[blob.offset : blob.offset + blob.length], compressed=blob.compressed)
                if hashlib.sha256(plain).hexdigest() != blob.id:
                    raise Malformed("its content does not match its name")
                if blob.is_tree:
                    trees[blob.id] = tuple(_entries(plain))
            except Malformed as error:
                return f"blob {blob.id[:8]} in it: {error}", {}
        return "", trees

    def _take_index(self, name: str, value: Mapping[str, Any]) -> None:
        try:
            for pack in value["packs"]:
                blobs = tuple(_blob(each) for each in pack["blobs"])
                known = self.packs.get(_id(pack["id"]), ())
                self.packs[pack["id"]] = tuple({(blob.id, blob.offset): blob for blob in (*known, *blobs)}.values())
        except (KeyError, TypeError, ValueError):
            self.wrong["index", name] = "it is no index"

    def _bodies(self, kind: str) -> Iterator[tuple[str, bytes]]:
        names = sorted(self._listed(kind))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            bodies = pool.map(lambda name: self.bucket.must_get(self.location(kind, name)), names)
            for name, body in zip(names, bodies, strict=True):
                # One that has gone since it was listed was replaced by somebody at work.
                if body is not None:
                    yield name, body

    def _value(self, kind: str, name: str, body: bytes) -> Mapping[str, Any] | None:
        if hashlib.sha256(body).hexdigest() != name:
            self.wrong[kind, name] = OTHER
            return None
        try:
            return self.key.value(body)
        except Malformed as error:
            self.wrong[kind, name] = str(error)
            return None

    def _listed(self, kind: str) -> dict[str, int]:
        return listed(self.bucket, self.prefix, kind)


def location(prefix: str, kind: str, name: str) -> str:
    """Return where restic puts an object."""
    return f"{prefix}/restic/{kind}/{name[:2]}/{name}" if kind == "data" else f"{prefix}/restic/{kind}/{name}"


def aside(prefix: str, kind: str, name: str) -> str:
    """Return where an object is put that may not stay in the repository, and that a person may want to look at."""
    return f"{prefix}/quarantine/{kind}/{name}"


def put_aside(bucket: Bucket, prefix: str, kind: str) -> tuple[str, ...]:
    """Return the names of what was put aside."""
    names = (key.rpartition("/")[2] for key in bucket.keys_below(aside(prefix, kind, "")))
    return tuple(sorted(name for name in names if ID.fullmatch(name)))


def listed(bucket: Bucket, prefix: str, kind: str) -> dict[str, int]:
    """Return the objects of one kind with their sizes. Those with other names than restic's are left out."""
    found = {}
    for key, size in bucket.sizes_below(f"{prefix}/restic/{kind}/"):
        name = key.rpartition("/")[2]
        if ID.fullmatch(name) and key == location(prefix, kind, name):
            found[name] = size
    return found


def opened_repository(bucket: Bucket, prefix: str, password: str) -> Repository | None:
    """Open a repository with its password; None when there is none. Raises Refused, or KeysDamaged."""
    files = sorted(listed(bucket, prefix, "keys"))
    if not files and bucket.must_get(f"{prefix}/restic/config") is None:
        return None
    damaged = []
    for name in files:
        body = bucket.must_get(location(prefix, "keys", name))
        try:
            key = key_of(body or b"", password)
        except Malformed:
            key = None
        if key is not None:
            return Repository(bucket, prefix, key)
        if hashlib.sha256(body or b"").hexdigest() != name:
            damaged.append(name)
    if damaged:
        raise KeysDamaged(damaged)
    raise Refused(
        f"the password in the vault opens no key of the repository {prefix}/restic.",
        "ansible-vault edit the client's vault.yml: site_snapshot_password",
    )


def _expected(blobs: tuple[Blob, ...]) -> int:
    header = sum(COMPRESSED_ENTRY if blob.compressed else ENTRY for blob in blobs)
    return sum(blob.length for blob in blobs) + header + OVERHEAD + LENGTH


def _blob(value: Mapping[str, Any]) -> Blob:
    return Blob(
        id=_id(value["id"]),
        is_tree=value["type"] == "tree",
        offset=int(value["offset"]),
        length=int(value["length"]),
        compressed=bool(value.get("uncompressed_length")),
    )


def _entries(plain: bytes) -> Iterator[Entry]:
    try:
        for node in json.loads(plain)["nodes"]:
            yield Entry(
                name=str(node["name"]),
                kind=str(node["type"]),
                size=int(node.get("size") or 0),
                content=tuple(_id(each) for each in node.get("content") or ()),
                tree=_id(node["subtree"]) if node["type"] == "dir" else "",
            )
    except (KeyError, TypeError, ValueError, RecursionError):
        raise Malformed("it is no list of a folder") from None


def _id(value: Any) -> str:
    if not isinstance(value, str) or ID.fullmatch(value) is None:
        raise ValueError("not an id")
    return value
