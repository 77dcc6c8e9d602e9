"""thief-on-the-host: somebody with everything that the host holds, the secret and restic's password included."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.module.conftest import Repository
from tests.module.gateway_kit import PASSWORD, Host, Store, credentials, direct, same, session, tree
from tests.module.gateway_thief import locked, opened_key
from tests.repository import blank, named, seal

LATER = "20261123T020000Z-2a0c9a2b"
LATEST = "20261124T020000Z-3b0c9a2b"
KINDS = ("data", "index", "keys", "locks", "snapshots")
NOW = "2026-11-23T02:00:00.123456789Z"


def works_as_ever(repository: Repository, folder: Path) -> None:
    """Snapshot, restore, check and prune, as if no thief had been there."""
    with session(repository.store, folder, point=LATEST) as host:
        snapshot = host.backup(repository.site, point=LATEST)
        host.gateway.session.confirm(snapshot)
    target = folder / "after the thief"
    with session(repository.store, folder, mode="read", show=(snapshot,)) as host:
        host.restic("restore", snapshot, "--target", str(target))
    assert same(repository.site, target / str(repository.site).lstrip("/"))
    direct(repository.store, folder, "restore", repository.snapshot, "--target", str(folder / "the old one"))
    direct(repository.store, folder, "prune")
    direct(repository.store, folder, "check", "--read-data")


# ---- what is there stays there --------------------------------------------------------------------------------------


def test_nothing_can_be_removed(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host:
        for kind in KINDS:
            for name in repository.store.names(kind) or {"0" * 64}:
                assert host.ask("DELETE", f"/{kind}/{name}").status == 403
        assert host.ask("DELETE", "/config").status == 403
        for path in ("/", "/data/", "/snapshots/"):
            assert host.ask("DELETE", path).status == 400
    assert repository.store.everything() == before


def test_nothing_can_be_written_over(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        for kind in ("data", "index", "keys", "snapshots"):
            for name in repository.store.names(kind):
                path = next((repository.store.objects / kind).rglob(name))
                # The very same bytes, and others under the same name.
                assert host.send(kind, path.read_bytes(), name).status in (400, 403)
                assert host.send(kind, os.urandom(300), name).status in (400, 403)
        assert host.ask("POST", "/config", os.urandom(155)).status == 403
        assert host.ask("POST", "/?create=true", b"").status == 403
    assert repository.store.everything() == before


def test_a_second_init_is_refused(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host:
        done = host.restic("init", rc=1)
        assert "already" in done.stderr
        assert host.send("keys", foreign("keys", PASSWORD)).status == 403
    assert repository.store.everything() == before


def test_forget_and_prune_change_nothing(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host:
        for command in (("forget", repository.snapshot), ("prune",), ("unlock", "--remove-all")):
            # restic tries again and again what it is refused; it is not waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                host.restic(*command, rc=None, seconds=4)
    assert repository.store.everything() == before
    works_as_ever(repository, tmp_path)


# ---- where a host has no business -----------------------------------------------------------------------------------

PATHS = (
    "/../points/20261122T020000Z-1f0c9a2b.json",
    "/data/../../points/20261122T020000Z-1f0c9a2b.json",
    "/%2e%2e/points/20261122T020000Z-1f0c9a2b.json",
    "/data/..%2f..%2fpoints",
    "/data/%30" + "0" * 63,
    "//config",
    "/./config",
    "/config/",
    "/config?x=1",
    "/config#x",
    "/Config",
    "/example/shop/restic/config",
    "/example/other/restic/config",
    "http://127.0.0.1/config",
    "config",
    "/",
    "*",
    "/data",
    "/points/",
    "/data/" + "0" * 63,
    "/data/" + "0" * 65,
    "/data/" + "A" * 64,
    "/data/00/" + "0" * 64,
    "/snapshots/" + "0" * 64 + "/",
    "/locks/" + "0" * 63 + "\u0660".encode().decode("latin-1"),
    "/index/" + "0" * 32 + "\x00" + "0" * 31,
)


@pytest.mark.parametrize("path", PATHS)
def test_there_is_no_way_out_of_the_repository(repository: Repository, tmp_path: Path, path: str) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host:
        for method in ("GET", "HEAD", "POST", "DELETE"):
            answer = raw(host, method, path, b"x" * 100 if method == "POST" else None)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), (method, answer)
            assert b"manifest" not in answer
    assert repository.store.everything() == before


def test_without_the_secret_nothing_is_told(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host:
        for given in (
            "",
            "Basic",
            "Basic !!",
            "Bearer x",
            credentials("guessed"),
            credentials(host.gateway.secret, "root"),
        ):
            for method, path in (
                ("GET", "/config"),
                ("GET", "/snapshots/"),
                ("POST", "/config"),
                ("DELETE", "/config"),
            ):
                answer = host.ask(method, path, headers={"Authorization": given})
                assert (answer.status, answer.body) == (401, b"this is not for you")
        assert host.end()["refused"] == 0


def test_one_session_has_no_use_for_the_secret_of_another(repository: Repository, tmp_path: Path) -> None:
    with (
        session(repository.store, tmp_path, point=LATER) as one,
        session(repository.store, tmp_path, point=LATEST) as other,
    ):
        assert one.ask("GET", "/config").status == 200
        assert one.ask("GET", "/config", secret=other.gateway.secret).status == 401


def test_the_secret_is_not_in_what_restic_says(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host:
        said = []
        for command in (
            ("init",),
            ("snapshots", "-vv"),
            ("cat", "config"),
            ("restore", "0" * 64, "--target", "/nowhere"),
        ):
            done = host.restic(*command, rc=None)
            said.append(done.stdout + done.stderr)
        assert len("".join(said)) > 100
        assert host.gateway.secret not in "".join(said)


# ---- garbage whose name is right ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 32, 33, 300])
@pytest.mark.parametrize("kind", ["index", "keys", "locks", "snapshots"])
def test_garbage_is_refused_though_its_hash_is_right(
    repository: Repository, tmp_path: Path, kind: str, size: int
) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        assert host.send(kind, os.urandom(size)).status in (400, 403)
        assert all(len(host.listed(other)) <= 1 for other in ("index", "keys", "locks", "snapshots"))
    assert repository.store.everything() == before


def test_a_wrong_hash_is_refused_before_anything_is_stored(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host:
        for kind in KINDS:
            with locked(host):
                assert host.send(kind, os.urandom(300), "ab" * 32).status in (400, 403)
    assert repository.store.everything() == before


def test_garbage_packs_harm_nobody(repository: Repository, tmp_path: Path) -> None:
    sent = []
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        for size in (33, 300, 70_000):
            body = os.urandom(size)
            assert host.send("data", body).status == 200
            sent.append(named(body))
    assert set(sent) <= repository.store.names("data")
    works_as_ever(repository, tmp_path)
    # The prune in there took them away.
    assert not set(sent) & repository.store.names("data")


def false_locks() -> dict[str, Any]:
    good = {"time": NOW, "exclusive": False, "hostname": "shop", "username": "shop", "pid": 7, "uid": 1000, "gid": 1000}
    return {
        "exclusive": good | {"exclusive": True},
        "exclusive for ever": good | {"exclusive": True, "time": "2099-01-01T00:00:00Z"},
        "exclusive spelled in another way": good | {"Exclusive": True},
        "not a flag": good | {"exclusive": 1},
        "no time": {name: value for name, value in good.items() if name != "time"},
        "no moment": good | {"time": "2026-02-30T00:00:00Z"},
        "a number that restic cannot read": good | {"pid": 1 << 40},
        "a list": [good],
        "not JSON": b"{",
        "two locks": json.dumps(good).encode() * 2,
        "a field twice": json.dumps(good).replace("}", ', "pid": 7}').encode(),
        "the flag twice": json.dumps(good).replace("}", ', "exclusive": true}').encode(),
    }


@pytest.mark.parametrize("what", false_locks())
def test_a_false_lock_is_refused(repository: Repository, tmp_path: Path, what: str) -> None:
    key = opened_key(repository.store)
    with session(repository.store, tmp_path, point=LATER) as host:
        for packed in (True, False):
            assert host.send("locks", seal(key, false_locks()[what], packed=packed)).status == 400
        assert repository.store.names("locks") == set()


def test_locks_are_few_and_go_with_the_session(repository: Repository, tmp_path: Path) -> None:
    key = opened_key(repository.store)
    future = {"time": "2099-01-01T00:00:00Z", "exclusive": False, "hostname": "shop", "username": "shop", "pid": 7}
    with session(repository.store, tmp_path, point=LATER) as host:
        answers = [host.send("locks", seal(key, future)).status for _ in range(12)]
        assert answers == [200] * 8 + [403] * 4
    assert repository.store.names("locks") == set()
    works_as_ever(repository, tmp_path)


def false_indexes(pack: str, size: int) -> dict[str, Any]:
    def index(packs: Any, **more: Any) -> dict[str, Any]:
        return {"packs": packs, **more}

    def entry(**more: Any) -> dict[str, Any]:
        return {"id": pack, "blobs": [{"id": "ab" * 32, "type": "data", "offset": 0, "length": size - 40, **more}]}

    good = json.dumps(index([entry()]))
    return {
        "of packs that nobody sent": index([entry() | {"id": "cd" * 32}]),
        "of blobs behind the end": index([entry(offset=41)]),
        "of blobs before the beginning": index([entry(offset=-1)]),
        "of blobs that are nothing": index([entry(length=32)]),
        "of blobs as text": index([entry(length="100")]),
        "of blobs as a flag": index([entry(length=True)]),
        "of another type": index([entry(type="other")]),
        "without packs": index([]),
        "instead of all others": index([entry()], supersedes=["ef" * 32]),
        "with a supersedes that restic cannot read": index([entry()], supersedes=0),
        "with a second list": good.replace("}", ', "Packs": null}').encode(),
        "with a number that is none": good.replace('"packs"', '"x": NaN, "packs"').encode(),
        "with a zero that restic cannot read": good.replace('"offset": 0', '"offset": -0').encode(),
        "in another encoding": good.encode("utf-16"),
        "with a mark of byte order": b"\xef\xbb\xbf" + good.encode(),
        "as a list": [index([entry()])],
        "empty": b"",
        "deep": b'{"packs":' + b"[" * 100_000,
        "that unpacks to all of the memory": good.encode() + b" " * (64 << 20),
        "instead of all others, spelled in another way": index([entry()], Supersedes=["ef" * 32]),
    }


@pytest.mark.parametrize("what", false_indexes("", 0))
def test_a_false_index_is_refused(repository: Repository, tmp_path: Path, what: str) -> None:
    before = repository.store.names("index")
    key, pack = opened_key(repository.store), os.urandom(1000)
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        assert host.send("data", pack).status == 200
        body = seal(key, false_indexes(named(pack), len(pack))[what])
        assert host.send("index", body).status == 400
        # What is not compressed at all, or is said to be and is not.
        assert host.send("index", key.seal(b"\x02 not zstd")).status == 400
        assert host.send("index", key.seal(zstandard.compress(b"{}"))).status == 400
    assert repository.store.names("index") == before


@pytest.mark.parametrize(
    "value",
    [
        {"time": NOW, "tree": "ab" * 32, "paths": ["/"], "hostname": "shop"},
        {"time": NOW, "tree": "ab" * 32, "paths": ["/"], "tags": ["point=20261101T000000Z-00000000"]},
        {"time": NOW, "tree": "ab", "paths": ["/"], "tags": [f"point={LATER}"]},
        {"time": "yesterday", "tree": "ab" * 32, "paths": ["/"], "tags": [f"point={LATER}"]},
        {"time": NOW, "tree": "ab" * 32, "paths": "/", "tags": [f"point={LATER}"]},
        {"time": NOW, "tree": "ab" * 32, "paths": ["/"], "tags": f"point={LATER}"},
        {"time": NOW, "tree": "ab" * 32, "paths": ["/"], "tags": [f"point={LATER}"], "uid": "0"},
        {"time": NOW, "tree": "ab" * 32, "paths": ["/"], "tags": [f"point={LATER}"], "Tree": "cd" * 32},
    ],
    ids=["no tag", "another point", "no tree", "no time", "no paths", "tag as text", "owner as text", "two trees"],
)
def test_a_false_snapshot_is_refused(repository: Repository, tmp_path: Path, value: dict[str, Any]) -> None:
    key = opened_key(repository.store)
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        assert host.send("snapshots", seal(key, value)).status == 400
        assert host.end()["added"]["snapshots"] == {}


def test_snapshots_that_are_made_up_are_forgotten(repository: Repository, tmp_path: Path) -> None:
    """One of nothing and one of the year 2099, both with the right tag; the real one is confirmed."""
    key = opened_key(repository.store)
    made_up = {"time": NOW, "tree": "ab" * 32, "paths": ["/"], "hostname": "example.shop", "tags": [f"point={LATER}"]}
    with session(repository.store, tmp_path, point=LATER) as host:
        with locked(host):
            # While they are there the thief's own host cannot use them; afterwards nobody sees them.
            first = host.backup(repository.site, point=LATER)
            assert host.send("snapshots", seal(key, made_up)).status == 200
        host.backup(repository.site, point=LATER, more=("--time", "2099-01-01 00:00:00", "--force"))
        assert len(host.listed("snapshots")) == 4
        host.gateway.session.confirm(first)
    assert repository.store.names("snapshots") == {repository.snapshot, first}
    works_as_ever(repository, tmp_path)


def test_a_forged_time_is_told_and_decides_nothing(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host:
        snapshot = host.backup(repository.site, point=LATER, more=("--time", "2099-01-01 00:00:00", "--force"))
        told = host.gateway.session.confirm(snapshot)
        repository.store.manifest(LATER, snapshot)
    assert told["clock_off"] > 365 * 86400
    assert told["time"].startswith("2099-01-01")
    works_as_ever(repository, tmp_path)


def test_after_the_confirmation_nothing_comes_in_any_more(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host:
        snapshot = host.backup(repository.site, point=LATER)
        host.gateway.session.confirm(snapshot)
        with locked(host):
            assert host.send("data", os.urandom(300)).status == 403
            assert host.send("index", os.urandom(300)).status == 403
            assert host.ask("DELETE", f"/snapshots/{snapshot}").status == 403


# ---- garbage from before there was a gateway ------------------------------------------------------------------------


def test_garbage_that_lies_in_the_store_already_is_not_shown(repository: Repository, tmp_path: Path) -> None:
    for kind, size in (
        ("snapshots", 0),
        ("snapshots", 300),
        ("locks", 10),
        ("locks", 300),
        ("keys", 10),
        ("index", 10),
    ):
        body = os.urandom(size)
        repository.store.put(kind, named(body), body)
    with session(repository.store, tmp_path, point=LATER) as host:
        snapshot = host.backup(repository.site, point=LATER)
        host.gateway.session.confirm(snapshot)
    with session(repository.store, tmp_path, mode="read", show=(repository.snapshot,)) as host:
        host.restic("restore", repository.snapshot, "--target", str(tmp_path / "out"))


# ---- the first session ----------------------------------------------------------------------------------------------


def foreign(kind: str, password: str) -> bytes:
    """Return a part of a repository that is not ours: its key or its configuration."""
    return next(body for path, body in blank(password).items() if path.startswith(kind))


def test_a_thief_cannot_make_the_repository_his_own(store: Store, tmp_path: Path) -> None:
    with session(store, tmp_path) as host:
        assert host.send("keys", foreign("keys", "the thief's")).status == 400
        assert host.ask("POST", "/config", foreign("config", "the thief's")).status == 403
        key = json.loads(foreign("keys", PASSWORD))
        # A key that would cost all of the controller's memory to try.
        assert host.send("keys", json.dumps(key | {"N": 1 << 30}).encode()).status == 400
        for kind in ("data", "index", "locks", "snapshots"):
            assert host.send(kind, os.urandom(300)).status == 403
        assert store.everything() == {}
        host.restic("init")
        assert host.send("keys", foreign("keys", PASSWORD)).status == 403
    assert len(store.names("keys")) == 1


def test_the_tools_of_the_thief_are_sharp(repository: Repository, tmp_path: Path) -> None:
    """What is refused above is refused for its content: the same tools make what restic and the gateway take."""
    key: Callable[[Any], bytes]
    master, pack = opened_key(repository.store), os.urandom(1000)
    key = lambda value: seal(master, value)  # noqa: E731
    with session(repository.store, tmp_path, point=LATER) as host:
        lock = {"time": NOW, "exclusive": False, "hostname": "shop", "username": "shop", "pid": 7}
        assert host.send("locks", key(lock)).status == 200
        assert host.send("data", pack).status == 200
        blob = {"id": "ab" * 32, "type": "data", "offset": 0, "length": 900}
        assert host.send("index", key({"packs": [{"id": named(pack), "blobs": [blob]}]})).status == 200
        snapshot = {"time": NOW, "tree": "ab" * 32, "paths": ["/"], "tags": [f"point={LATER}"]}
        assert host.send("snapshots", key(snapshot)).status == 200
        assert tree(tmp_path / "x").is_dir()


def raw(host: Host, method: str, path: str, body: bytes | None) -> bytes:
    """Send a path as it stands: Python's own client would refuse some of them."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: x",
        f"Authorization: {credentials(host.gateway.secret)}",
        "Connection: close",
    ]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection(("127.0.0.1", host.way.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
        return answer
