"""Take out of a repository what is garbage for certain, before restic is asked to read it.

Through the gateway none comes in. A host with a key of the store can put anything there: a snapshot of a few bytes ends
restic 0.14 in a panic, and an index that cannot be opened stops every restore.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from orchestrator.run.gateway_store import Item, Shelf
from orchestrator.run.restic_objects import Key, Malformed, key_of

JUDGED = ("snapshots", "index", "locks")
# Larger than anything of these kinds that restic makes. What is larger is left for a person.
LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Sweep:
    """What was found. All names are `<kind>/<name>`."""

    quarantined: tuple[str, ...] = ()
    # Not what its name says: something of ours that broke. It stays, because a prune after its removal would take
    # away what it stood for.
    damaged: tuple[str, ...] = ()


def sweep(shelf: Shelf, password: str) -> Sweep:
    """Move garbage to `<client>/<site>/quarantine/`. Nothing is moved unless the password opens the repository."""
    keys = list(shelf.items("keys"))
    key, foreign = _key(shelf, keys, password)
    if key is None:
        return Sweep()
    quarantined, damaged = [], []
    judged = [("keys", item) for item in foreign]
    judged += [(kind, item) for kind in JUDGED for item in shelf.items(kind)]
    for kind, item in judged:
        body = shelf.read(kind, item.name) if item.size <= LARGEST else None
        if body is None:
            continue
        if hashlib.sha256(body).hexdigest() != item.name:
            damaged.append(f"{kind}/{item.name}")
        elif not _opens(key, kind, body):
            shelf.quarantine(kind, item.name, body)
            quarantined.append(f"{kind}/{item.name}")
    return Sweep(tuple(quarantined), tuple(damaged))


def key_that_opens(shelf: Shelf, password: str) -> Key | None:
    """Return the repository's key, None when there is no repository or the password does not open it."""
    return _key(shelf, list(shelf.items("keys")), password)[0]


def _key(shelf: Shelf, keys: list[Item], password: str) -> tuple[Key | None, list[Item]]:
    """Return the repository's key, and the key files that are no key files at all."""
    found, broken = None, []
    for item in keys:
        body = shelf.read("keys", item.name) or b""
        try:
            found = found or key_of(body, password)
        except Malformed:
            broken.append(item)
    return found, broken


def _opens(key: Key, kind: str, body: bytes) -> bool:
    try:
        # A broken key file is garbage; one that another password opens may well be somebody's.
        return kind != "keys" and bool(key.value(body))
    except Malformed:
        return False
