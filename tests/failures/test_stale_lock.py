"""A killed run leaves its lock [mailinabox 2059]: the next one heals itself, and never breaks a lock that is alive."""

from __future__ import annotations

import os
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from orchestrator.run.restic_objects import key_of
from tests.depot import Depot, needs_restic, night, restic_environment
from tests.host.shop import Shop
from tests.repository import named, seal

pytest_plugins = ["tests.depot_fixtures"]


def store(shop: Shop) -> Any:
    """Return the store itself: it would not see at once what is done to its files."""
    return boto3.client(
        "s3", endpoint_url=shop.lab.s3.endpoint, region_name=shop.lab.s3.region,
        aws_access_key_id=shop.lab.s3.access_key, aws_secret_access_key=shop.lab.s3.secret_key,
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )  # fmt: skip


def put_lock(shop: Shop, hours: float) -> str:
    """Put an exclusive lock there as a prune leaves it that was killed so long ago on another machine. Return its name."""
    (file,) = (shop.store / "restic" / "keys").iterdir()
    key = key_of(file.read_bytes(), shop.secrets["site_snapshot_password"])
    assert key is not None
    made = datetime.now(UTC) - timedelta(hours=hours)
    lock = {"time": made.isoformat(), "exclusive": True, "hostname": "controller", "username": "root", "pid": 4711}
    body = seal(key, lock)
    # The lab's store takes the time of an object from its metadata; it is the clock by which the gateway goes.
    store(shop).put_object(
        Bucket=shop.bucket, Key=f"example/shop/restic/locks/{named(body)}", Body=body,
        Metadata={"mtime": str(made.timestamp())},
    )  # fmt: skip
    return named(body)


def locks(shop: Shop) -> list[str]:
    return [path.name for path in (shop.store / "restic" / "locks").glob("*")]


@pytest.mark.root
@pytest.mark.parametrize("transport", ["direct", "gateway"])
def test_stale_lock(shop: Shop, transport: str) -> None:
    way: dict[str, Any] = {"site_snapshot_transport": transport}
    first = shop.snapshot(**way)
    assert locks(shop) == []

    alive = put_lock(shop, 0)
    for verb in ("snapshot", "restore"):
        played = shop.play(verb, check=False, **way, **({"upkeep_point": "newest"} if verb == "restore" else {}))
        assert "outcome: refused" in played.text
        told = re.sub(r"\s+", " ", played.text)
        assert "somebody is at work in the repository" in told
        assert "locked exclusively by PID 4711 on controller" in told
        assert "Try again later" in told
    assert locks(shop) == [alive]
    assert shop.points() == [first["point"]]
    store(shop).delete_object(Bucket=shop.bucket, Key=f"example/shop/restic/locks/{alive}")

    put_lock(shop, 1)
    second = shop.snapshot(**way)
    assert second["previous"] == first["point"]
    assert locks(shop) == []

    put_lock(shop, 1)
    assert "outcome: done" in shop.play("restore", upkeep_point=first["point"], **way).text
    assert locks(shop) == []


def killed(depot: Depot) -> Path:
    """Kill -9 a restic on another machine in the middle of a backup and return the lock that it leaves."""
    environment = {**restic_environment(depot.endpoint), "RESTIC_CACHE_DIR": str(depot.folder / "cache")}
    with subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", "hostname shop; exec restic backup --stdin"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 20
        while not (found := [path for path in (depot.site / "restic" / "locks").glob("*") if path.stat().st_size]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    (lock,) = found
    return lock


@pytest.mark.root
@needs_restic
def test_stale_lock_stops_a_prune_for_half_an_hour_and_no_longer(
    depot: Depot,
) -> None:
    lock = killed(depot)
    prune = ("prune", "example", "--site", "shop", "--yes", "--json")

    waits = depot.upkeep(*prune)

    assert waits.code == 11
    assert "shop, process" in waits.err
    assert lock.exists()
    assert night(3) in depot.manifests()

    os.utime(lock, (time.time() - 1801, time.time() - 1801))
    (site,) = depot.upkeep(*prune).answer["sites"]

    assert site["done"]["stale_locks"] == [lock.name]
    assert not lock.exists()
    assert night(3) not in depot.manifests()
    assert depot.restic("check", "--read-data")
