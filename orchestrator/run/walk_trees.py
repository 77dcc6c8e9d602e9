"""Walk the trees of snapshots: how much they hold, and which of their paths cannot be read any more, because of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.run.read_back import Entry, Repository

# Of what is lost below one folder, so many paths are kept.
SHOWN = 20


@dataclass(frozen=True)
class Walked:
    """What lies below a folder. `lost` counts files and folders, `paths` are some of them, each with the pack that it
    was in, "" for none.
    """

    files: int = 0
    bytes: int = 0
    lost: int = 0
    lost_folders: int = 0
    paths: tuple[tuple[str, str], ...] = ()
    packs: frozenset[str] = frozenset()


class Walk:
    """Walks each folder once, however many snapshots hold it: most of what they hold is the same."""

    def __init__(self, repository: Repository) -> None:
        self._trees = repository.trees
        bad = {name for kind, name in repository.wrong if kind == "data"}
        # A blob may lie in two packs; it is lost when no good one holds it.
        self._good: set[str] = set()
        self._blamed: dict[str, str] = {}
        for pack, blobs in repository.packs.items():
            if pack in bad:
                self._blamed |= {blob.id: pack for blob in blobs}
            else:
                self._good |= {blob.id for blob in blobs}
        self._known: dict[str, Walked] = {}

    def below(self, tree: str) -> Walked:
        """Return what lies below a folder."""
        # An own stack: how deep folders lie in each other is nothing to rely on.
        waiting = [tree]
        while waiting:
            top = waiting[-1]
            if top in self._known:
                waiting.pop()
                continue
            entries = self._entries(top)
            if entries is None:
                blame = self._blame(top)
                self._known[top] = Walked(lost=1, lost_folders=1, paths=(("", blame),), packs=frozenset({blame}))
                continue
            ahead = [entry.tree for entry in entries if entry.tree and entry.tree not in self._known]
            if ahead:
                waiting += ahead
            else:
                self._known[top] = self._sum(entries)
        return self._known[tree]

    def find(self, tree: str, path: str) -> Entry | None:
        """Return the entry at an absolute path, None when there is none."""
        found: Entry | None = None
        for name in path.strip("/").split("/"):
            entries = self._entries(tree) if tree else None
            found = next((entry for entry in entries or () if entry.name == name), None)
            if found is None:
                return None
            tree = found.tree
        return found

    def _entries(self, tree: str) -> Sequence[Entry] | None:
        return self._trees.get(tree) if tree in self._good else None

    def _blame(self, blob: str) -> str:
        return self._blamed.get(blob, "")

    def _sum(self, entries: Sequence[Entry]) -> Walked:
        files = size = lost = folders = 0
        paths: list[tuple[str, str]] = []
        packs: set[str] = set()
        for entry in entries:
            if entry.tree:
                inside = self._known[entry.tree]
                files, size = files + inside.files, size + inside.bytes
                lost, folders = lost + inside.lost, folders + inside.lost_folders
                packs |= inside.packs
                paths += [(f"{entry.name}/{path}", pack) for path, pack in inside.paths]
            elif entry.kind == "file":
                files, size = files + 1, size + entry.size
                gone = {self._blame(blob) for blob in entry.content if blob not in self._good}
                if gone:
                    lost += 1
                    packs |= gone
                    paths += [(entry.name, pack) for pack in sorted(gone)]
        return Walked(files, size, lost, folders, tuple(paths[:SHOWN]), frozenset(packs))
