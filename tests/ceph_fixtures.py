"""The fixtures of tests/ceph_client.py. A test module that wants them says: pytest_plugins = ["tests.ceph_fixtures"]."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.contract.model import Store
from orchestrator.run import bucket, bucket_trial
from orchestrator.run.bucket import Bucket, Keys
from tests.ceph_client import DAYS, Client
from tests.depot import PASSWORD, Depot, write_client
from tests.lab import Ceph
from tests.lab.layout import Instance


@pytest.fixture(scope="session")
def ceph(instance: str) -> Iterator[Ceph]:
    """Return a Ceph, one for all files. One that is up already is used as it is, and left up."""
    if os.geteuid() != 0:
        pytest.fail("Ceph needs root: type sudo, or leave these tests out with -m 'not root'")
    ceph = Ceph(Instance(instance))
    before = ceph.running
    ceph.up()
    yield ceph
    if not before and not os.environ.get("UPKEEP_LAB_KEEP"):
        ceph.down()


@pytest.fixture
def client(
    ceph: Ceph, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """Return a client whose contract promises a lock, with a bucket that does not exist yet."""
    # Ceph answers in a moment: nobody has to wait for locks of six seconds.
    for module in (bucket, bucket_trial):
        monkeypatch.setattr(module, "SECONDS", 3.0)
    store = Store(ceph.endpoint, f"upkeep-{secrets.token_hex(6)}", ceph.region, DAYS)
    owner, host = Keys(*ceph.key("one")), Keys(*ceph.key("two"))
    vault = {
        "site_snapshot_access_key": host.access,
        "site_snapshot_secret_key": host.secret,
        "site_snapshot_password": PASSWORD,
        "upkeep_store_access_key": owner.access,
        "upkeep_store_secret_key": owner.secret,
    }
    write_client(tmp_path, store.endpoint, vault=vault, bucket=store.bucket, lock_days=DAYS)
    depot = Depot(tmp_path, store.endpoint, capsys, monkeypatch)
    client = Client(depot, store, Bucket(store, owner), Bucket(store, host))
    yield client
    client.owner.close()
    client.host.close()
