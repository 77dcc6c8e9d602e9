"""See whether the store has what a new snapshot needs, before a restore point is made of it.

By names and sizes alone, so no data is read: every index, and the list of the packs. Only where a pack is missing are the lists of
folders read as well, because an old pack may be lost that the new snapshot does not need.
"""

from __future__ import annotations

from orchestrator.run.bucket import Bucket
from orchestrator.run.read_back import Repository
from orchestrator.run.restic_objects import Key
from orchestrator.run.walk_trees import Walk

SHOWN = 3


def lacking(bucket: Bucket, prefix: str, key: Key, tree: str) -> str:
    """Say what of the snapshot with this tree cannot be read back from the store; "" when all of it is there."""
    repository = Repository(bucket, prefix, key)
    repository.read_lists()
    listed = any(blob.id == tree for blobs in repository.packs.values() for blob in blobs)
    if listed and not repository.wrong:
        return ""
    repository.read_trees()
    found = Walk(repository).below(tree)
    if not found.lost:
        return ""
    paths = ", ".join(f"/{path}" for path, _ in found.paths[:SHOWN])
    packs = sorted(pack for pack in found.packs if ("data", pack) in repository.wrong)
    object_ = f"data/{packs[0][:2]}/{packs[0]} {repository.wrong['data', packs[0]]}" if packs else "no index lists it"
    return f"{found.lost} of its files and folders are not in the store, such as {paths} ({object_})"
