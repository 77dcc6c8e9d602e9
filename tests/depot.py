"""A client with a store of its own and restore points made by restic itself: no host, no root."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import cli, vault
from orchestrator.contract.model import Store
from orchestrator.run.ansible import Project
from orchestrator.run.ansible import host_variables as ask_ansible
from orchestrator.run.bucket import Keys
from tests.repository import place
from tests.unit.contract.samples import changed, written

BESIDE = Path(sys.executable).parent / "rclone"
RCLONE = str(BESIDE) if BESIDE.exists() else shutil.which("rclone")
RESTIC = shutil.which("restic")
KEY, SECRET, PASSWORD = "store-key", "seeded-store-secret", "seeded-restic-password"
BUCKET = "upkeep-test"
# A Sunday, by day.
NOW = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)

# How many nights ago restore points were taken, and what is to be kept of them: with the floor, all but 3 and 10.
NIGHTS = [0, 1, 2, 3, 10, 40]
RETENTION = {"daily": 2, "weekly": 0, "monthly": 2, "yearly": 0}
VAULT = {"site_snapshot_access_key": KEY, "site_snapshot_secret_key": SECRET, "site_snapshot_password": PASSWORD}

needs_restic = pytest.mark.skipif(RESTIC is None or RCLONE is None, reason="restic or rclone is not installed")


@contextmanager
def light_store(folder: Path) -> Iterator[str]:
    """Serve a folder as an S3 store, its folders as buckets; yields the store's address."""
    if RCLONE is None:
        pytest.skip("rclone is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [RCLONE, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", os.devnull, str(folder)]
    # The tests look at objects as files, and change them: rclone would not see that for five minutes.
    environment = {**os.environ, "RCLONE_AUTH_KEY": f'"{KEY},{SECRET}"', "RCLONE_DIR_CACHE_TIME": "1ms"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def night(days_ago: int) -> str:
    """Return the id of the restore point of a night."""
    return f"{NIGHT - timedelta(days=days_ago):%Y%m%dT%H%M%SZ}-{days_ago:08x}"


def restic_environment(
    endpoint: str, *, access: str = KEY, secret: str = SECRET, bucket: str = BUCKET
) -> dict[str, str]:
    """Return what a host's restic gets."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "RESTIC_PASSWORD": PASSWORD,
        "RESTIC_REPOSITORY": f"s3:{endpoint}/{bucket}/example/shop/restic",
    }


def restic(environment: dict[str, str], cache: Path, *words: str) -> Any:
    """Call restic as a host does, or as a client who leaves."""
    done = subprocess.run(
        ["restic", *words], env={**environment, "RESTIC_CACHE_DIR": str(cache)}, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    return json.loads(done.stdout) if "--json" in words else done.stdout


def make_manifest(point: str, snapshot: str, **more: Any) -> dict[str, Any]:
    """Return as much of a manifest as makes a restore point."""
    return {
        "schema": 1, "point": point, "client": "example", "site": "shop", "restic": {"snapshot": snapshot},
        "files": {"count": 1, "bytes": 9}, "previous": "", **more,
    }  # fmt: skip


def write_client(folder: Path, endpoint: str, *, vault: dict[str, str], **store: Any) -> Path:
    """Make the client `example`, whose store is at `endpoint`, and whose hosts are given keys: they can be tried then."""
    data = changed(("store",), {"endpoint": endpoint, "bucket": BUCKET, "region": "us-east-1", **store})
    data = changed(("retention",), RETENTION, data)
    client = folder / "inventories" / "example"
    (client / "group_vars" / "all").mkdir(parents=True)
    (client / "contract.yml").write_text(written(data))
    (client / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"shop": {"ansible_connection": "local"}}}}))
    (client / "group_vars" / "all" / "vault.yml").write_text(
        yaml.safe_dump({**vault, "site_snapshot_transport": "direct"})
    )
    return client


@dataclass(frozen=True)
class Said:
    """What `upkeep` answered."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """Return the answer of a command with --json."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Depot:
    """A client, the store, and the command line in front of both."""

    folder: Path
    endpoint: str
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    @property
    def objects(self) -> Path:
        """Return where the bucket's objects lie as files."""
        return self.folder / "store" / BUCKET

    @property
    def site(self) -> Path:
        """Return where the site's objects lie as files."""
        return self.objects / "example" / "shop"

    @property
    def contract(self) -> Path:
        """Return the client's contract."""
        return self.folder / "inventories" / "example" / "contract.yml"

    def upkeep(self, *words: str, now: datetime = NOW, ansible: bool = False) -> Said:
        """Type a command at a given time. Without `ansible` the vault is read here: that saves a second each time."""
        self.monkeypatch.setattr(cli, "now", lambda: now)
        asked = ask_ansible if ansible else self._variables
        self.monkeypatch.setattr(vault, "host_variables", asked)
        self.monkeypatch.setenv("UPKEEP_INVENTORIES", str(self.folder / "inventories"))
        self.monkeypatch.setenv("UPKEEP_LEDGER", str(self.folder / "state" / "ledger.sqlite"))
        self.capsys.readouterr()
        code = cli.main(words)
        said = self.capsys.readouterr()
        kept = yaml.safe_load((self.contract.parent / "group_vars" / "all" / "vault.yml").read_text())
        secrets = [value for name, value in kept.items() if name.endswith(("secret_key", "password"))]
        assert not [secret for secret in secrets if secret in said.out + said.err]
        return Said(code, said.out, said.err)

    def _variables(self, project: Project, host: str, names: tuple[str, ...], scratch: Path) -> dict[str, str]:
        kept = yaml.safe_load((project.inventory / "group_vars" / "all" / "vault.yml").read_text())
        return {name: kept[name] for name in names if name in kept}

    def restic(self, *words: str) -> Any:
        """Ask the repository, as a client who leaves would."""
        return restic(restic_environment(self.endpoint), self.folder / "cache", *words)

    def manifests(self) -> list[str]:
        """Return the restore points that exist, the newest first."""
        return sorted((path.stem for path in (self.site / "points").glob("*.json")), reverse=True)

    def snapshots(self) -> list[str]:
        """Return the names of the points whose snapshots the repository has, the newest first."""
        listed = self.restic("snapshots", "--json", "--no-lock")
        return sorted((tag[6:] for each in listed for tag in each.get("tags") or ["point=-"]), reverse=True)

    def everything(self) -> dict[str, bytes]:
        """Return every object of the bucket."""
        return {
            str(path.relative_to(self.objects)): path.read_bytes() for path in self.objects.rglob("*") if path.is_file()
        }


def make_points(folder: Path, endpoint: str, nights: list[int]) -> None:
    """Take restore points of a small site with restic, the oldest first, and write their manifests."""
    site = folder / "site"
    site.mkdir()
    environment, cache = restic_environment(endpoint), folder / "cache"
    place(Store(endpoint, BUCKET, "us-east-1"), Keys(KEY, SECRET), "example/shop", PASSWORD)
    for days in sorted(nights, reverse=True):
        (site / "page.html").write_text(f"{days} nights ago")
        point = night(days)
        restic(environment, cache, "backup", "--host", "example.shop", "--tag", f"point={point}", str(site))
    ids = {each["tags"][0][6:]: each["id"] for each in restic(environment, cache, "snapshots", "--json")}
    points = folder / "store" / BUCKET / "example" / "shop" / "points"
    points.mkdir()
    before = ""
    for point in sorted(ids):
        (points / f"{point}.json").write_text(json.dumps(make_manifest(point, ids[point], previous=before)))
        before = point
