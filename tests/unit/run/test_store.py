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
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.ledger.values import DrillEntry, VerificationEntry
from orchestrator.run.store import StoredPoint, point_answer, point_answers, stored_points

ID = "20261122T020000Z-1f0c9a2b"
OLDER = "20261121T020000Z-1f0c9a2b"
NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
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
    assert point_answer(found[0], now=NOW)["core"] == "6.5.5"
    assert point_answer(found[0], now=NOW)["files"] == 3
    assert point_answer(found[1], now=NOW)["taken"] == "2026-11-21T02:00:00+00:00"


def test_a_manifest_that_is_no_json_is_a_point_of_which_nothing_is_known() -> None:
    answer = point_answer(StoredPoint(ID, "example", "shop", {}), now=NOW)
    assert (answer["point"], answer["files"], answer["snapshot"]) == (ID, None, None)


def stored(point: str, taken: str, files: int, size: int, **tables: int) -> StoredPoint:
    counted = {name: {"rows": rows} for name, rows in tables.items()}
    files_now = {"count": files, "bytes": size}
    manifest = {"taken": taken, "files": files_now, "dump": {"tables": counted, "bytes": 10 * sum(tables.values())}}
    return StoredPoint(point, "example", "shop", manifest)


def test_a_point_tells_its_age_and_what_changed_since_the_one_before() -> None:
    newest = stored(ID, "2026-11-22T02:00:00Z", 12, 3_000, posts=5, orders=7, new=1)
    oldest = stored(OLDER, "2026-11-21T02:00:00Z", 10, 4_000, posts=5, orders=6, gone=2)
    now, then = point_answers([newest, oldest], now=NOW)
    assert (now["age_seconds"], then["age_seconds"]) == (9 * 3600, 33 * 3600)
    assert now["previous"] == OLDER
    assert now["changes"] == {
        "count": 2,
        "bytes": -1_000,
        "dump_bytes": 0,
        "tables_added": ["new"],
        "tables_gone": ["gone"],
        "tables_with_other_rows": ["orders"],
    }
    assert (then["changes"], then["previous"]) == (None, None)
    assert point_answers([], now=NOW) == []


def test_a_point_tells_what_was_proved_of_it_last() -> None:
    week = timedelta(days=7)
    lost = VerificationEntry(2, "example", "shop", NOW, NOW, (1,), 4, 1, 1, {ID: ("torn",)})
    fine = replace(lost, id=1, ended=NOW - week, points={ID: (), OLDER: ()})
    drill = DrillEntry("run", "example", "shop", OLDER, NOW - week, "unhealthy", "white page", None, None)
    points = [stored(name, "2026-11-22T02:00:00Z", 1, 1) for name in (ID, OLDER)]
    new, old = point_answers(points, now=NOW, verifications=[lost, fine], drills=[drill])
    assert (new["verified"], new["complete"], new["problems"]) == (NOW.isoformat(), False, ["torn"])
    assert (old["verified"], old["complete"], old["problems"]) == ((NOW - week).isoformat(), True, [])
    assert (new["drilled"], old["drilled"], old["drill"]) == (None, (NOW - week).isoformat(), "unhealthy")
    unknown = point_answer(points[0], now=NOW)
    assert (unknown["verified"], unknown["complete"], unknown["drilled"]) == (None, None, None)


def test_a_store_that_refuses_the_key_is_said_without_the_key(store: Store) -> None:
    with pytest.raises(Refused) as refused:
        stored_points(store, access_key="key", secret_key="seeded-wrong", client="example", site="shop")
    assert "did not show its restore points" in refused.value.message
    assert "seeded-wrong" not in refused.value.message
