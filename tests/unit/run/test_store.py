"""Restore points listed from a real S3 server: rclone's, put in through the contract's own endpoint."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.run.store import StoredPoint, point_answer, stored_points

ID = "20261122T020000Z-1f0c9a2b"
OLDER = "20261121T020000Z-1f0c9a2b"
KEYS = {"access_key": "key", "secret_key": "secret"}
BESIDE = Path(sys.executable).parent / "rclone"
RCLONE = str(BESIDE) if BESIDE.exists() else shutil.which("rclone")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "store" / "bucket"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    if RCLONE is None:
        pytest.skip("rclone is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [RCLONE, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "key,secret", str(folder.parent)]
    environment = {**os.environ, "RCLONE_CONFIG": str(folder.parent.parent / "none.conf")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield Store(f"http://127.0.0.1:{port}", "bucket", "us-east-1")
        server.terminate()


def write(folder: Path, key: str, value: object) -> None:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def test_a_restore_point_is_listed_when_its_manifest_is_there(store: Store, folder: Path) -> None:
    write(folder, f"example/shop/points/{OLDER}.json", {"taken": "2026-11-21T02:00:00+00:00"})
    write(folder, f"example/shop/points/{ID}.json", {"files": {"count": 3, "bytes": 10}, "versions": {"core": "6.5.5"}})
    write(folder, "example/shop/points/notes.txt", "not a manifest")
    write(folder, "example/shop/points/deeper/20261122T020000Z-1f0c9a2b.json", {})
    write(folder, f"example/shop2/points/{ID}.json", {})
    write(folder, "example/shop/restic/snapshots/abc", "bytes")
    found = stored_points(store, client="example", site="shop", **KEYS)
    assert [point.id for point in found] == [ID, OLDER]
    assert point_answer(found[0])["core"] == "6.5.5"
    assert point_answer(found[0])["files"] == 3
    assert point_answer(found[1])["taken"] == "2026-11-21T02:00:00+00:00"


def test_a_manifest_that_is_no_json_is_a_point_of_which_nothing_is_known() -> None:
    answer = point_answer(StoredPoint(ID, "example", "shop", {}))
    assert (answer["point"], answer["files"], answer["snapshot"]) == (ID, None, None)


def test_a_store_that_refuses_the_key_is_said_without_the_key(store: Store) -> None:
    with pytest.raises(Refused) as refused:
        stored_points(store, access_key="key", secret_key="seeded-wrong", client="example", site="shop")
    assert "did not show its restore points" in refused.value.message
    assert "seeded-wrong" not in refused.value.message
