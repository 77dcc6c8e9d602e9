"""A store that takes nothing without Content-MD5, as those do that lock; and a bucket that must be able to lock."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.run.gateway_store import Shelf, StoreError
from orchestrator.run.manifests import Manifests
from plugins.module_utils.points import PointError
from plugins.module_utils.points import Store as Place
from tests.front import Front, front
from tests.module.conftest import Repository
from tests.module.gateway_kit import Store, session
from tests.module.test_gateway import LATER

DAYS = 30


def wants_md5(method: str, path: str, headers: Any) -> int:
    """Refuse objects without Content-MD5. (Making a bucket is a PUT as well, of a path without more.)"""
    return 400 if method == "PUT" and path.count("/") > 1 and not headers.get("Content-MD5") else 0


def behind(store: Store, choosy: Front) -> Store:
    return Store(store.folder, choosy.endpoint, store.access_key, store.secret_key)


def bucket(store: Store, lock_days: int) -> Manifests:
    place = Place.from_parameters({**store.options(), "lock_days": lock_days})
    return Manifests(place, store.access_key, store.secret_key)


def shelf(store: Store, lock_days: int) -> Shelf:
    return Shelf(**store.options(), access_key=store.access_key, secret_key=store.secret_key, lock_days=lock_days)


def test_a_whole_session_of_the_gateway_brings_content_md5_where_the_contract_promises_a_lock(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front(repository.store.endpoint) as choosy:
        choosy.rule = wants_md5
        store = behind(repository.store, choosy)
        monkeypatch.setattr(store, "shelf", lambda: shelf(store, DAYS))
        (repository.site / "new").write_bytes(b"new" * 100_000)
        with session(store, tmp_path, point=LATER) as host:
            snapshot = host.backup(repository.site, point=LATER)
            host.gateway.session.confirm(snapshot)
        put = {path.split("/")[5] for method, path, headers in choosy.seen if method == "PUT"}
        assert put == {"data", "index", "locks", "snapshots"}


def test_a_large_pack_that_goes_by_way_of_a_file_arrives_whole_with_its_md5(store: Store, tmp_path: Path) -> None:
    body = b"a large pack" * 300_000
    (tmp_path / "pack").write_bytes(body)
    name = hashlib.sha256(body).hexdigest()
    with front(store.endpoint) as choosy, (tmp_path / "pack").open("rb") as file:
        choosy.rule = wants_md5
        shelf(behind(store, choosy), DAYS).write("data", name, file, name)
    assert shelf(store, 0).read("data", name) == body


def test_without_a_lock_no_time_is_spent_on_it(store: Store) -> None:
    with front(store.endpoint) as choosy:
        choosy.rule = wants_md5
        with pytest.raises(StoreError):
            shelf(behind(store, choosy), 0).write("index", "0" * 64, b"x", "0" * 64)


def test_a_manifest_always_brings_it(store: Store) -> None:
    with front(store.endpoint) as choosy:
        choosy.rule = wants_md5
        there = bucket(behind(store, choosy), 0)
        there.write(LATER, {"point": LATER})
        assert there.read(LATER) == {"point": LATER}


def test_a_missing_bucket_is_not_made_without_the_lock_that_the_contract_promises(store: Store) -> None:
    advice = "and the contract promises a lock.*type upkeep store init example"
    made = store.folder / "upkeep-another"
    there, ours = shelf(store, DAYS), bucket(store, DAYS)
    there.bucket = "upkeep-another"
    ours.store = Place(store.endpoint, "upkeep-another", "us-east-1", "example/shop", DAYS)
    with pytest.raises(StoreError, match=advice):
        there.make_bucket()
    with pytest.raises(PointError, match=advice):
        ours.make_bucket()
    assert not made.exists()
    ours.store = Place(store.endpoint, "upkeep-another", "us-east-1", "example/shop")
    ours.make_bucket()
    made.rmdir()
