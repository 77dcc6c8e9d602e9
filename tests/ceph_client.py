"""A client whose bucket is in Ceph, a store that enforces what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.contract.model import Store
from orchestrator.run.bucket import Bucket, Keys, opened, prepare
from tests.depot import PASSWORD, Depot, make_manifest, night, restic, restic_environment
from tests.repository import place

DAYS = 30
SET = {"set", "was so"}


@dataclass(frozen=True)
class Client:
    """A client whose bucket is in Ceph: user `one` owns it, user `two` is the client's hosts."""

    depot: Depot
    store: Store
    owner: Bucket
    host: Bucket

    def check(self) -> Any:
        """Try the store, and return what `upkeep` answers."""
        said = self.depot.upkeep("store", "check", "example", "--json")
        return {**said.answer, "code": said.code}

    def guarded(self) -> Client:
        """Let everything be set that can be, by what `upkeep store init` calls: its trial takes seconds each time."""
        promised = json.loads(self.depot.contract.read_text())["store"].get("lock_days", 0)
        keys = self.owner.keys
        assert keys is not None
        with opened(replace(self.store, lock_days=promised), keys) as owner:
            assert {each.state for each in prepare(owner, "example", "example/shop/.upkeep-probe/init")} <= SET
        place(self.store, keys, "example/shop", PASSWORD)
        said = self.depot.upkeep("store", "policy", "example", "--apply", "--json")
        assert said.code == 0, said.err
        return self

    def promises_no_lock(self) -> Client:
        """Take the lock out of the contract, so that what is old enough may be pruned."""
        path = self.depot.contract
        data = json.loads(path.read_text())
        del data["store"]["lock_days"]
        path.write_text(json.dumps(data))
        return self

    def versions(self) -> list[dict[str, Any]]:
        """Return every version of every object, marks of deletions included."""
        listed = self.owner.ask("list_object_versions").value
        return [*(listed.get("Versions") or ()), *(listed.get("DeleteMarkers") or ())]

    def snapshot(self, days: int, text: str, keys: Keys | None = None) -> Path:
        """Take a restore point with the hosts' key, as a host does, and write its manifest."""
        folder = self.depot.folder / "site"
        folder.mkdir(exist_ok=True)
        (folder / "page.html").write_text(text)
        self.restic("backup", "--tag", f"point={night(days)}", str(folder), keys=keys)
        taken = self.restic("snapshots", "--json", "--tag", f"point={night(days)}")[0]["id"]
        body = json.dumps(make_manifest(night(days), taken)).encode()
        assert self.owner.put(f"example/shop/points/{night(days)}.json", body).ok
        return folder

    def restic(self, *words: str, keys: Keys | None = None) -> Any:
        """Call restic with the hosts' key."""
        keys = keys or self.host.keys
        assert keys is not None
        given = restic_environment(
            self.store.endpoint, access=keys.access, secret=keys.secret, bucket=self.store.bucket
        )
        return restic(given, self.depot.folder / "cache", *words)
