"""A site whose restore points are taken by restic itself, and a store in which things can be broken."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.contract.model import Store
from orchestrator.run.bucket import Keys, opened
from tests.depot import (
    BUCKET,
    KEY,
    NOW,
    PASSWORD,
    SECRET,
    Depot,
    Said,
    make_manifest,
    night,
    restic,
    restic_environment,
)
from tests.repository import place

VERIFY = ("verify", "example", "--json")


@dataclass
class Yard:
    """A client with a small site in `place`, beside its store."""

    depot: Depot
    place: Path
    taken: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Return the site's tree."""
        return self.place / "htdocs"

    @property
    def dump(self) -> Path:
        """Return where the dump of its database lies."""
        return self.place / "dump" / "shop.sql"

    def fill(self, replaced: int) -> None:
        """Make the site what it was when its first or its second restore point was taken."""
        self.write("index.php", 2_000)
        self.write("uploads/2026/first.jpg")
        self.write("uploads/2026/replaced.jpg", seed=replaced)

    def write(self, path: str, size: int = 300_000, seed: int = 1) -> None:
        """Write a file that compresses no better than a photo."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(random.Random(f"{path}{seed}").randbytes(size))

    def take(self, days_ago: int, **more: Any) -> str:
        """Take a restore point as a host does: restic with its own cache, which has to end with 0; then its manifest."""
        self.dump.parent.mkdir(parents=True, exist_ok=True)
        self.dump.write_text(f"-- the dump of {days_ago} nights ago\n")
        point = night(days_ago)
        environment, cache = restic_environment(self.depot.endpoint), self.depot.folder / "host-cache"
        if not (self.depot.site / "restic" / "config").exists():
            place(self._store(), Keys(KEY, SECRET), "example/shop", PASSWORD)
        words = ("--host", "example.shop", "--tag", f"point={point}", str(self.root), str(self.dump.parent))
        restic(environment, cache, "backup", *words)
        listed = restic(environment, cache, "snapshots", "--json", "--tag", f"point={point}")
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]
        manifest = make_manifest(
            point,
            listed[-1]["id"],
            root=str(self.root),
            files={"count": len(files), "bytes": sum(path.stat().st_size for path in files)},
            dump={"file": str(self.dump), "bytes": self.dump.stat().st_size, "tables": {"wp_posts": {"rows": 3}}},
            previous=self.taken[-1] if self.taken else "",
        )
        self.put(self.depot.site / "points" / f"{point}.json", json.dumps({**manifest, **more}).encode())
        self.taken.append(point)
        return point

    # Through the store, because this one remembers for minutes what its folders held.

    def put(self, path: Path, body: bytes) -> None:
        """Write an object."""
        with opened(self._store(), Keys(KEY, SECRET)) as bucket:
            assert bucket.put(str(path.relative_to(self.depot.objects)), body).ok

    def delete(self, path: Path) -> None:
        """Remove an object."""
        with opened(self._store(), Keys(KEY, SECRET)) as bucket:
            assert bucket.ask("delete_object", Key=str(path.relative_to(self.depot.objects))).ok

    def flip(self, path: Path, at: int = 100) -> None:
        """Turn a byte of an object over, as a bad disk does."""
        body = bytearray(path.read_bytes())
        body[at] ^= 0xFF
        self.put(path, bytes(body))

    def _store(self) -> Store:
        return Store(self.depot.endpoint, BUCKET, "us-east-1")

    def environment(self) -> dict[str, str]:
        """Return what another process needs to type `upkeep` for this client."""
        return {
            **os.environ,
            "TERM": "xterm",
            "COLUMNS": "200",
            "UPKEEP_INVENTORIES": str(self.depot.folder / "inventories"),
            "UPKEEP_LEDGER": str(self.depot.folder / "state" / "ledger.sqlite"),
        }

    def verify(self, *words: str, **more: Any) -> Said:
        """Type `upkeep verify`."""
        return self.depot.upkeep(*VERIFY, *words, **{"now": NOW, **more})

    def seen(self, *words: str, **more: Any) -> Any:
        """Type `upkeep verify` and return what it says of the site."""
        (site,) = self.verify(*words, **more).answer["sites"]
        return site

    def packs(self, kind: str) -> list[Path]:
        """Return the packs that hold data, or trees, the biggest first."""
        indexes = (self.depot.restic("cat", "index", name) for name in self.depot.restic("list", "index").split())
        wanted = {
            pack["id"]
            for index in indexes
            for pack in json.loads(index)["packs"]
            if any(blob["type"] == kind for blob in pack["blobs"])
        }
        found = [path for path in (self.depot.site / "restic" / "data").rglob("*") if path.name in wanted]
        return sorted(found, key=lambda path: path.stat().st_size, reverse=True)


def problems(site: Any) -> dict[str, list[str]]:
    """Return what is wrong with each restore point."""
    return {point["point"]: point["problems"] for point in site["points"]}
