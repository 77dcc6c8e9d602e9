"""The gateway with a real restic and a real store: what a snapshot, a restore and a client who leaves need of it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from orchestrator.run.gateway_session import Refusal, SessionError
from orchestrator.run.gateway_store import StoreError
from orchestrator.run.passwords import make
from orchestrator.run.restic_objects import key_of
from tests.module.conftest import Repository
from tests.module.gateway_kit import (
    PASSWORD,
    POINT,
    PREFIX,
    Store,
    credentials,
    direct,
    same,
    session,
    taken,
    tree,
)
from tests.module.gateway_thief import locked, opened_key
from tests.repository import blank, named, seal

LATER = "20261123T020000Z-2a0c9a2b"
LATEST = "20261124T020000Z-3b0c9a2b"


def restored(store: Store, folder: Path, snapshot: str, site: Path) -> Path:
    target = folder / "restored"
    with session(store, folder, mode="read", show=(snapshot,)) as host:
        host.restic("restore", snapshot, "--target", str(target))
    return target / str(site).lstrip("/")


def test_a_first_snapshot_makes_the_repository_and_comes_back_byte_for_byte(store: Store, tmp_path: Path) -> None:
    site = tree(tmp_path / "site")
    snapshot = taken(store, tmp_path, site)
    assert store.names("snapshots") == {snapshot}
    assert store.names("locks") == set()
    assert same(site, restored(store, tmp_path, snapshot, site))


def test_a_client_who_leaves_reads_the_same_repository_without_us(repository: Repository, tmp_path: Path) -> None:
    direct(repository.store, tmp_path, "restore", repository.snapshot, "--target", str(tmp_path / "out"))
    direct(repository.store, tmp_path, "check", "--read-data")
    found = next((tmp_path / "out").rglob("file 0"))
    assert found.read_bytes() == (repository.site / "file 0").read_bytes()


def test_a_snapshot_that_leans_on_what_the_store_has_lost_becomes_no_restore_point(
    repository: Repository, tmp_path: Path
) -> None:
    store = repository.store
    packs = sorted((store.objects / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    lost = packs[-1]
    body = lost.read_bytes()
    lost.unlink()
    with session(store, tmp_path, point=LATER) as host:
        snapshot = host.backup(repository.site, point=LATER)
        with pytest.raises(
            SessionError, match=r"are not in the store, such as /.*/file .*Type: upkeep verify example --heal"
        ):
            host.gateway.session.confirm(snapshot)
    assert store.names("snapshots") == {repository.snapshot}
    # One that no snapshot of today needs keeps nobody from his restore point.
    other = tree(tmp_path / "other", seed=7)
    assert taken(store, tmp_path, other, point=LATEST) in store.names("snapshots")
    lost.write_bytes(body)
    taken(store, tmp_path, repository.site, point=LATER)


def test_an_unchanged_site_leans_on_the_restore_point_before(repository: Repository, tmp_path: Path) -> None:
    first = taken(repository.store, tmp_path, repository.site, point=LATER)
    with session(repository.store, tmp_path, point=LATEST) as host:
        done = host.restic(
            "backup", "--json", "--host", "example.shop", "--tag", f"point={LATEST}", str(repository.site)
        )
        summary = json.loads(done.stdout.splitlines()[-1])
        report = host.end()
    assert summary["files_unmodified"] == 12
    assert summary["files_new"] == summary["files_changed"] == 0
    assert report["bytes"] < 2000
    assert first in repository.store.names("snapshots")


def test_a_snapshot_that_nobody_confirmed_never_was(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host:
        snapshot = host.backup(repository.site, point=LATER)
        assert host.restic("ls", snapshot).returncode == 0
        assert snapshot not in repository.store.names("snapshots")
    assert repository.store.names("snapshots") == {repository.snapshot}
    assert repository.store.names("locks") == set()
    with session(repository.store, tmp_path, mode="read", show=(snapshot,)) as host:
        assert host.listed("snapshots") == []
    direct(repository.store, tmp_path, "prune")
    direct(repository.store, tmp_path, "check")


def test_the_host_sees_the_newest_restore_point_and_none_of_the_others(repository: Repository, tmp_path: Path) -> None:
    newest = taken(repository.store, tmp_path, repository.site, point=LATER)
    # Somebody's snapshot, without a manifest: no restore point.
    direct(repository.store, tmp_path, "backup", str(repository.site))
    assert len(repository.store.names("snapshots")) == 3
    with session(repository.store, tmp_path, point=LATEST) as host:
        assert [snapshot["name"] for snapshot in host.listed("snapshots")] == [newest]
        assert host.ask("GET", f"/snapshots/{repository.snapshot}").status == 404
        assert host.ask("HEAD", f"/snapshots/{repository.snapshot}").status == 404


def test_only_a_snapshot_of_this_session_can_be_confirmed(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host, pytest.raises(SessionError, match="was not given"):
        host.gateway.session.confirm(repository.snapshot)


def test_what_an_interrupted_run_sent_is_not_sent_again(repository: Repository, tmp_path: Path) -> None:
    more = tree(tmp_path / "more", seed=2)
    with session(repository.store, tmp_path, point=LATER) as host:
        host.backup(more, point=LATER)
        assert host.end()["bytes"] > 700_000
    with session(repository.store, tmp_path, point=LATEST) as host:
        host.backup(more, point=LATEST)
        assert host.end()["bytes"] < 5000


def test_the_report_names_everything_that_was_added(repository: Repository, tmp_path: Path) -> None:
    before = {kind: repository.store.names(kind) for kind in ("data", "index")}
    with session(repository.store, tmp_path, point=LATER) as host:
        snapshot = host.backup(tree(tmp_path / "more", seed=3), point=LATER)
        host.gateway.session.confirm(snapshot)
        report = host.end()
    for kind, names in before.items():
        assert set(report["added"][kind]) == repository.store.names(kind) - names
    assert report["added"]["snapshots"].keys() == {snapshot}
    assert report["confirmed"] == snapshot
    assert report["bytes"] == sum(report["added"]["data"].values())
    assert report["refused"] == 0


def test_a_session_for_reading_locks_and_adds_nothing(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, mode="read", show=(repository.snapshot,)) as host:
        host.restic("restore", repository.snapshot, "--target", str(tmp_path / "out"))
        with locked(host):
            for kind in ("data", "index", "snapshots", "keys"):
                assert host.send(kind, b"x" * 100).status == 403
            assert host.ask("POST", "/config", b"x" * 100).status == 403
    assert repository.store.everything() == before


def test_without_a_repository_there_is_nothing_to_read(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no repository"), session(store, tmp_path, mode="read"):
        pass


def test_another_password_in_the_vault_is_found_before_anything_is_sent(repository: Repository, tmp_path: Path) -> None:
    with (
        pytest.raises(Refusal, match="opens no key"),
        session(repository.store, tmp_path, password="another"),
    ):
        pass


def test_a_lock_of_another_that_is_alive_is_respected(repository: Repository, tmp_path: Path) -> None:
    exclusive = exclusive_lock(repository)
    name = hashlib.sha256(exclusive).hexdigest()
    repository.store.put("locks", name, exclusive, age=1700)
    with session(repository.store, tmp_path, point=LATER) as host:
        done = host.restic("backup", "--tag", f"point={LATER}", str(repository.site), rc=1)
        assert "already locked" in done.stderr
        assert host.ask("DELETE", f"/locks/{name}").status == 403
        assert host.end()["stale_locks"] == []
    assert repository.store.names("locks") == {name}


def test_a_lock_that_a_dead_run_left_behind_is_removed(repository: Repository, tmp_path: Path) -> None:
    exclusive = exclusive_lock(repository)
    name = hashlib.sha256(exclusive).hexdigest()
    repository.store.put("locks", name, exclusive, age=1900)
    with session(repository.store, tmp_path, point=LATER) as host:
        host.backup(repository.site, point=LATER)
        assert host.end()["stale_locks"] == [name]
    assert repository.store.names("locks") == set()


def test_a_prune_waits_until_the_snapshot_is_confirmed(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host:
        snapshot = host.backup(tree(tmp_path / "more", seed=4), point=LATER)
        # restic is at its end and thinks that its lock is gone; its packs belong to no snapshot of the repository yet.
        assert host.listed("locks") == []
        assert "locked" in direct(repository.store, tmp_path, "prune", rc=1).stderr
        host.gateway.session.confirm(snapshot)
    direct(repository.store, tmp_path, "prune")
    direct(repository.store, tmp_path, "check", "--read-data")


def test_a_session_whose_lock_was_broken_confirms_nothing(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host:
        snapshot = host.backup(repository.site, point=LATER)
        direct(repository.store, tmp_path, "unlock", "--remove-all")
        with pytest.raises(SessionError, match="removed the lock"):
            host.gateway.session.confirm(snapshot)
    assert repository.store.names("snapshots") == {repository.snapshot}


def test_the_password_of_the_repository_never_leaves_the_controller(store: Store, tmp_path: Path) -> None:
    passwords = []
    for first in (True, False):
        with session(store, tmp_path) as host:
            if first:
                host.restic("init")
            (listed,) = host.listed("keys")
            shown = host.ask("GET", f"/keys/{listed['name']}").body
            # What the host has is opened by this session's password alone, and lies in no store.
            assert listed["name"] == hashlib.sha256(shown).hexdigest()
            assert key_of(shown, PASSWORD) is None
            assert key_of(shown, host.password) == opened_key(store)
            assert listed["name"] not in store.names("keys")
            passwords.append(host.password)
            host.restic("list", "locks")
    (kept,) = (store.objects / "keys").iterdir()
    assert [key_of(kept.read_bytes(), password) for password in passwords] == [None, None]
    # Who leaves needs nothing but restic and the password of the vault.
    direct(store, tmp_path, "check")


@pytest.mark.parametrize(
    ("password", "cost"), [(make(bytes(range(32))), (16, 1)), (PASSWORD, (32768, 3))], ids=["by chance", "by a person"]
)
def test_a_password_by_chance_is_not_stretched_and_opens_the_repository_all_the_same(
    store: Store, tmp_path: Path, password: str, cost: tuple[int, int]
) -> None:
    site = tree(tmp_path / "site")
    with session(store, tmp_path, password=password) as host:
        host.restic("init")
        snapshot = host.backup(site)
        host.gateway.session.confirm(snapshot)
    (kept,) = (store.objects / "keys").iterdir()
    key = json.loads(kept.read_bytes())
    assert (key["kdf"], key["N"], key["r"], key["p"]) == ("scrypt", cost[0], 8, cost[1])
    # Who leaves needs nothing but restic and the password of the vault.
    assert snapshot[:8] in direct(store, tmp_path, "snapshots", password=password).stdout
    direct(store, tmp_path, "restore", snapshot, "--target", str(tmp_path / "out"), password=password)
    assert same(site, tmp_path / "out" / str(site).lstrip("/"))
    direct(store, tmp_path, "snapshots", password=password[:-1], rc=1)
    # The next session opens it too.
    with session(store, tmp_path, point=LATER, password=password) as host:
        assert host.gateway.session.keys.key is not None


def test_an_init_that_was_cut_off_is_done_again(store: Store, tmp_path: Path) -> None:
    (left, body), _ = blank(PASSWORD).items()
    left = left.removeprefix("keys/")
    store.put("keys", left, body)
    site = tree(tmp_path / "site")
    snapshot = taken_with_init(store, tmp_path, site)
    assert left not in store.names("keys")
    assert same(site, restored(store, tmp_path, snapshot, site))


def test_a_damaged_snapshot_is_named_and_not_leant_on(repository: Repository, tmp_path: Path) -> None:
    repository.store.put("snapshots", repository.snapshot, b"damaged" * 30)
    with session(repository.store, tmp_path, point=LATER) as host:
        assert host.listed("snapshots") == []
        host.backup(repository.site, point=LATER)
        assert host.end()["damaged"] == [f"snapshots/{repository.snapshot}"]


def test_a_damaged_index_is_named(repository: Repository, tmp_path: Path) -> None:
    name = next(iter(repository.store.names("index")))
    repository.store.put("index", name, b"damaged" * 30)
    with session(repository.store, tmp_path, mode="read", show=(repository.snapshot,)) as host:
        assert host.ask("GET", f"/index/{name}").status == 502
        assert host.end()["damaged"] == [f"index/{name}"]


def test_a_store_that_is_away_is_said_at_once(repository: Repository, tmp_path: Path) -> None:
    away = Store(repository.store.folder, "http://127.0.0.1:9", "key", "secret")
    with pytest.raises(Refusal, match=r"connect.*Type: upkeep store check example"), session(away, tmp_path):
        pass


def test_a_bucket_that_is_not_there_is_made_only_on_demand(store: Store) -> None:
    shelf = store.shelf()
    shelf.bucket = "upkeep-another"
    with pytest.raises(StoreError, match="bucket"):
        list(shelf.items("index"))
    shelf.make_bucket()
    assert list(shelf.items("index")) == []
    (store.folder / "upkeep-another").rmdir()


def test_a_listing_has_all_of_more_than_a_thousand_objects(repository: Repository, tmp_path: Path) -> None:
    for number in range(1100):
        body = f"{number}".encode() * 40
        repository.store.put("data", hashlib.sha256(body).hexdigest(), body)
    # What restic would not have put there is not shown.
    repository.store.put("data", "README", b"not of restic")
    with session(repository.store, tmp_path, mode="read", show=(repository.snapshot,)) as host:
        listed = {pack["name"]: pack["size"] for pack in host.listed("data")}
    assert len(listed) == 1100 + 2
    assert listed.keys() == repository.store.names("data") - {"README"}


def test_both_versions_of_the_protocol_are_spoken(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, mode="read", show=(repository.snapshot,)) as host:
        old = host.ask("GET", "/snapshots/")
        assert old.headers["Content-Type"] == "application/vnd.x.restic.rest.v1"
        assert json.loads(old.body) == [repository.snapshot]
        new = host.ask("GET", "/snapshots/", headers={"Accept": "application/vnd.x.restic.rest.v2"})
        assert new.headers["Content-Type"] == "application/vnd.x.restic.rest.v2"
        assert json.loads(new.body)[0]["name"] == repository.snapshot


def test_a_pack_that_is_too_large_for_memory_goes_by_way_of_a_file(repository: Repository, tmp_path: Path) -> None:
    body = os.urandom(1 << 20) * 33
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        assert host.send("data", body, "ab" * 32).status == 400
        assert host.send("data", body).status == 200
        assert host.ask("GET", f"/data/{named(body)}").body == body


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [("bytes=0-", 0, None), ("bytes=0-9", 0, 10), ("bytes=5-5", 5, 6), ("bytes=100-", 100, None)],
)
def test_a_part_of_an_object_is_what_was_asked_for(
    repository: Repository, tmp_path: Path, given: str, first: int, last: int | None
) -> None:
    pack = max((repository.store.objects / "data").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    snapshot = repository.store.objects / "snapshots" / repository.snapshot
    with session(repository.store, tmp_path, mode="read", show=(repository.snapshot,)) as host:
        for path, body in (
            (f"/data/{pack.name}", pack.read_bytes()),
            (f"/snapshots/{snapshot.name}", snapshot.read_bytes()),
        ):
            answer = host.ask("GET", path, headers={"Range": given})
            assert (answer.status, answer.body) == (206, body[first:last])
            stop = len(body) if last is None else last
            assert answer.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{len(body)}"
            assert host.ask("GET", path).body == body
            assert host.ask("HEAD", path).headers["Content-Length"] == str(len(body))


def test_after_the_end_nothing_is_left(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        assert len(repository.store.names("locks")) == 1
        host.gateway.session.end()
        assert repository.store.names("locks") == set()
        answer = host.ask("GET", "/config", headers={"Authorization": credentials(host.gateway.secret)})
        assert answer.status == 503
        host.gateway.close()
        assert not host.gateway.socket.exists()


def exclusive_lock(repository: Repository) -> bytes:
    """Return a lock as a prune makes it, sealed with the repository's key."""
    return seal(
        opened_key(repository.store),
        {"time": "2026-11-22T02:00:00Z", "exclusive": True, "hostname": "controller", "username": "x", "pid": 1},
    )


def taken_with_init(store: Store, folder: Path, site: Path) -> str:
    with session(store, folder) as host:
        host.restic("init")
        snapshot = host.backup(site, point=POINT)
        host.gateway.session.confirm(snapshot)
    assert (store.folder / "upkeep-example" / PREFIX / "restic" / "config").exists()
    return snapshot
