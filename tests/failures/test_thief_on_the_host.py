"""Someone with everything that the host holds tries to delete or overwrite restore points [restic 2202].

Denied; what he can do all the same is undone; snapshots, restores and pruning work, and the old points are whole. What the
gateway refuses in each single case is shown in tests/module/test_gateway_thief.py; here the store is Ceph, and the thief has
his time during runs and between them, in both transports.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.run import prune
from orchestrator.run.gateway_store import Shelf
from orchestrator.run.restic_objects import key_of
from tests.ceph_client import Client
from tests.depot import PASSWORD, make_manifest, night
from tests.module.gateway_kit import PREFIX, Host, Store, session
from tests.module.gateway_thief import locked, opened_key
from tests.repository import named, seal

pytest_plugins = ["tests.ceph_fixtures"]
pytestmark = pytest.mark.root

# With the contract's retention, the night of 4 days ago is the one that a prune removes.
NIGHTS = (40, 4, 3, 2, 1)
FUTURE = "2099-01-01T00:00:00Z"
MADE_UP = {"time": FUTURE, "tree": "0" * 64, "paths": ["/"], "hostname": "x", "username": "x", "uid": 0, "gid": 0}


@dataclass
class InCeph(Store):
    """The store of the gateway's kit in Ceph. Below `folder` lies no more than what the thief's tools read."""

    client: Client | None = None

    @classmethod
    def of(cls, client: Client, folder: Path) -> InCeph:
        """Return the client's bucket, reached with the key that the role hands to the gateway."""
        keys = client.host.keys
        assert keys is not None
        store = cls(folder, client.store.endpoint, keys.access, keys.secret, client)
        (store.objects / "keys").mkdir(parents=True)
        for key in client.owner.keys_below(f"{PREFIX}/restic/keys/"):
            (store.objects / "keys" / key.rpartition("/")[2]).write_bytes(client.owner.get(key) or b"")
        return store

    def options(self) -> dict[str, str]:
        """Return what a gateway is told about the store."""
        assert self.client is not None
        return {**super().options(), "bucket": self.client.store.bucket}

    def shelf(self) -> Shelf:
        """Return the gateway's side of it."""
        return Shelf(**self.options(), access_key=self.access_key, secret_key=self.secret_key)


def objects(client: Client) -> dict[str, str]:
    """Return what the bucket holds: the newest version of each object, with the checksum that the store has of it."""
    return {str(entry["Key"]): str(entry["ETag"]) for entry in client.owner.entries_below("")}


@pytest.fixture
def robbed(client: Client) -> Client:
    """Return a client with five restore points."""
    client.promises_no_lock().guarded()
    for days in NIGHTS:
        client.snapshot(days, f"{days} nights ago")
    return client


def works(client: Client, old: tuple[int, ...] = NIGHTS) -> None:
    """Assert that every old point is whole, and that a snapshot and a prune work."""
    page = str(client.depot.folder / "site" / "page.html").lstrip("/")
    for days in old:
        back = client.depot.folder / f"back-{days}"
        manifest = json.loads(client.owner.get(f"{PREFIX}/points/{night(days)}.json") or b"")
        client.restic("restore", manifest["restic"]["snapshot"], "--target", str(back))
        assert (back / page).read_text() == f"{days} nights ago"
    client.snapshot(0, "0 nights ago")
    said = client.depot.upkeep("prune", "example", "--yes", "--json")
    assert said.code == 0, said.err
    (site,) = said.answer["sites"]
    assert site["done"], json.dumps(site, indent=1)
    assert night(4) in site["done"]["points"]
    told = client.restic("check", "--read-data", keys=client.owner.keys)
    assert "no errors were found" in told


def refused(host: Host, client: Client, before: dict[str, str]) -> None:
    """Try all that a session refuses, on every object of the bucket."""
    key = opened_key(host.store)
    for name in before:
        path = name.removeprefix(f"{PREFIX}/restic/")
        path = f"/data/{path.rpartition('/')[2]}" if path.startswith("data/") else f"/{path}"
        assert host.ask("DELETE", path).status in (400, 403, 404), path
        assert host.ask("POST", path, b"rubbish" * 9).status in (400, 403, 404), path
    for kind in ("data", "index", "snapshots", "locks"):
        assert host.send(kind, os.urandom(99), name="ab" * 32).status == 400, kind
    exclusive = {"time": FUTURE, "exclusive": True, "hostname": "x", "username": "x", "pid": 1}
    assert host.send("locks", seal(key, exclusive)).status == 400
    assert host.send("index", seal(key, {"packs": [{"id": "0" * 64, "blobs": []}]})).status == 400
    assert host.send("index", os.urandom(99)).status == 400
    assert host.send("snapshots", seal(key, {**MADE_UP, "tags": ["point=another"]})).status == 400


def test_thief_on_the_host_through_the_gateway(robbed: Client, tmp_path: Path) -> None:
    store, before = InCeph.of(robbed, tmp_path / "mirror"), objects(robbed)
    point = night(0)
    with session(store, tmp_path, point=point) as host, locked(host):
        refused(host, robbed, before)
        # All that is let in: garbage that no index lists, snapshots that nobody confirms, locks beside which others work.
        assert host.send("data", os.urandom(5000)).status == 200
        for number in range(3):
            false = seal(opened_key(store), {**MADE_UP, "pid": number, "tags": [f"point={point}"]})
            assert host.send("snapshots", false).status == 200
        beside = {"time": FUTURE, "exclusive": False, "hostname": "x", "username": "x", "pid": 2}
        assert host.send("locks", seal(opened_key(store), beside)).status == 200
    # Between the runs the address and the secret are worth nothing, and everything that was there is as it was.
    with pytest.raises(OSError):
        host.ask("GET", "/config")
    after = objects(robbed)
    assert {name: after.get(name) for name in before} == before
    assert {name.split("/")[3] for name in after.keys() - before.keys()} == {"data"}

    with session(store, tmp_path, point=point) as host:
        snapshot = host.backup(robbed.depot.folder / "site", point=point)
        host.gateway.session.confirm(snapshot)
    with session(store, tmp_path, mode="read", show=(snapshot,)) as host:
        host.restic("restore", snapshot, "--target", str(tmp_path / "restored"))
        assert list((tmp_path / "restored").rglob("page.html"))
    works(robbed)


def overwritten(client: Client, before: dict[str, str]) -> list[str]:
    """Write over and delete whatever the key of the host may. Return what was written over."""
    thief, done = client.host, []
    for name in before:
        version = client.owner.ask("head_object", Key=name).value["VersionId"]
        assert not thief.ask("delete_object", Key=name).ok
        assert not thief.ask("delete_object", Key=name, VersionId=version).ok
        if thief.put(name, b"rubbish" * 9).ok:
            done.append(name)
    return done


def test_thief_on_the_host_with_a_key_of_the_store(robbed: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    thief, before = robbed.host, objects(robbed)
    (keys,) = (name for name in before if "/restic/keys/" in name)
    key = key_of(robbed.owner.get(keys) or b"", PASSWORD)
    assert key is not None
    written = overwritten(robbed, before)
    assert {name.split("/")[3] for name in written} == {"data", "index", "snapshots"}
    assert len(written) == len([name for name in before if name.split("/")[2] == "restic"]) - 2  # config and key
    # Names that come first: restic 0.14 stops at what it reads first.
    false_snapshot = seal(key, {**MADE_UP, "tags": [f"point={night(1)}"]})
    false_lock = seal(key, {"time": FUTURE, "exclusive": True, "hostname": "x", "username": "x", "pid": 1})
    for kind, body in (
        ("index", b"x" * 10), ("index", b"x" * 300), ("snapshots", b"x" * 10), ("locks", b"x" * 10),
        ("snapshots", false_snapshot), ("locks", false_lock),
    ):  # fmt: skip
        assert thief.put(f"{PREFIX}/restic/{kind}/{named(body)}", body).ok
    ahead = "20990101T000000Z-ffffffff"
    forged = json.dumps(make_manifest(ahead, named(false_snapshot))).encode()
    assert not thief.put(f"{PREFIX}/points/{ahead}.json", forged).ok
    # It hurts: nothing can be read any more, and what is asked says what to type.
    newest = json.loads(robbed.owner.get(f"{PREFIX}/points/{night(NIGHTS[-1])}.json") or b"")["restic"]["snapshot"]
    with pytest.raises(subprocess.CalledProcessError):
        # A list of snapshots fails or not by which of them restic happens to read first.
        robbed.restic("ls", "--no-lock", newest, keys=robbed.owner.keys)
    assert "upkeep verify example --heal" in robbed.depot.upkeep("prune", "example", "--json").err

    first = robbed.depot.upkeep("verify", "example", "--heal", "--json")
    # His lock says that somebody is at work, so it is left alone for as long as it may be true.
    assert first.code == 11
    assert "It stays; everything else is mended." in first.err
    site = first.answer["sites"][0]["mended"]
    assert sorted(site["brought_back"]) == sorted(name.removeprefix(f"{PREFIX}/") for name in written)
    assert f"restic/snapshots/{named(false_snapshot)}" in site["quarantined"]
    assert len(site["quarantined"]) == 5
    assert first.answer["sites"][0]["damage"] == []
    with monkeypatch.context() as half_an_hour_later:
        half_an_hour_later.setattr(prune, "STALE_SECONDS", 0.0)
        again = robbed.depot.upkeep("verify", "example", "--heal", "--json")
    assert again.code == 0, again.err
    assert again.answer["sites"][0]["mended"]["stale_locks"] == [named(false_lock)]
    after = objects(robbed)
    assert {name: after.get(name) for name in before} == before
    works(robbed)
