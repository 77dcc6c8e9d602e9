"""A real store, a real restic, and a way from the one to the other through a gateway, as `ssh -R` makes it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.run.bucket import Keys
from orchestrator.run.gateway_repository import RepositoryDoor, lacking_in
from orchestrator.run.gateway_server import USER
from orchestrator.run.gateway_session import Session, Terms
from orchestrator.run.gateway_store import Shelf
from tests.depot import PASSWORD

BUCKET = "upkeep-example"
PREFIX = "example/shop"
POINT = "20261122T020000Z-1f0c9a2b"
RESTIC = shutil.which("restic")
RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


@dataclass
class Store:
    """`rclone serve s3`; its objects are files below `folder`."""

    folder: Path
    endpoint: str
    access_key: str
    secret_key: str

    @property
    def objects(self) -> Path:
        """Where the repository's objects lie."""
        return self.folder / BUCKET / PREFIX / "restic"

    def options(self) -> dict[str, str]:
        """Return what a gateway is told about the store."""
        return {"endpoint": self.endpoint, "bucket": BUCKET, "region": "us-east-1", "prefix": PREFIX}

    def shelf(self) -> Shelf:
        """Return the gateway's side of it."""
        return Shelf(**self.options(), access_key=self.access_key, secret_key=self.secret_key)

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind."""
        return {path.name for path in (self.objects / kind).rglob("*") if path.is_file()}

    def everything(self) -> dict[str, str]:
        """Return all objects of the bucket with a hash of each, to see that nothing changed."""
        files = [path for path in (self.folder / BUCKET).rglob("*") if path.is_file()]
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)
        }

    def put(self, kind: str, name: str, body: bytes, *, age: float = 0) -> None:
        """Put an object there, past every gateway."""
        middle = f"data/{name[:2]}" if kind == "data" else kind
        path = self.objects / middle / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (time.time() - age, time.time() - age))

    def manifest(self, point: str, snapshot: str) -> None:
        """Write what makes a snapshot a restore point."""
        path = self.folder / BUCKET / PREFIX / "points" / f"{point}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"restic": {"snapshot": snapshot}}))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Store]:
    """Start a store on a free port of the loopback address."""
    (folder / BUCKET).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = Store(folder, f"http://127.0.0.1:{port}", f"key{secrets.token_hex(8)}", secrets.token_hex(20))
    command = [str(RCLONE), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", os.devnull, str(folder)]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RCLONE_AUTH_KEY": f'"{store.access_key},{store.secret_key}"',
        # The tests put objects there as files; rclone would not see them for five minutes. With 0 it spins.
        "RCLONE_DIR_CACHE_TIME": "1ms",
    }
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert time.monotonic() < deadline, "rclone does not answer"
            time.sleep(0.02)
        yield store
    finally:
        process.kill()
        process.wait()


class Way:
    """A TCP port that leads to a unix socket: what `ssh -R` makes on a host."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._target))
            except OSError:
                near.close()
                far.close()
                continue
            ends = threading.Barrier(2, action=lambda pair=(near, far): [end.close() for end in pair])
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink, ends), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, ends: threading.Barrier) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 18):
            sink.sendall(piece)
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)
    ends.wait()


@dataclass
class Answer:
    """What the gateway said."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class Host:
    """Somebody on the host who was given a port and a secret: restic, or a thief who has everything restic has."""

    store: Store
    gateway: RepositoryDoor
    way: Way
    folder: Path

    @property
    def url(self) -> str:
        return self.gateway.url(self.way.port)

    @property
    def password(self) -> str:
        """The password of this session."""
        return self.gateway.session.keys.password

    def restic(self, *arguments: str, rc: int | None = 0, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run restic; with `rc` None it may end as it likes."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RESTIC_REPOSITORY": self.url,
            "RESTIC_PASSWORD": self.password,
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
        }
        done = subprocess.run(
            [str(RESTIC), *arguments],
            env=environment, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert rc is None or done.returncode == rc, f"restic {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def backup(self, *paths: Path, point: str = POINT, more: tuple[str, ...] = ()) -> str:
        """Take a snapshot as the role does; return its full id."""
        tag = ("--tag", f"point={point}")
        done = self.restic("backup", "--json", "--host", "example.shop", *tag, *more, *map(str, paths))
        short = json.loads(done.stdout.splitlines()[-1])["snapshot_id"]
        return next(name for name in self.gateway.report()["added"]["snapshots"] if name.startswith(short))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        secret: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request, exactly as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.way.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            given = {"Authorization": credentials(self.gateway.secret if secret is None else secret), **(headers or {})}
            if body is not None:
                given.setdefault("Content-Length", str(len(body)))
            for name, value in given.items():
                connection.putheader(name, value)
            with contextlib.suppress(OSError):
                connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def send(self, kind: str, body: bytes, name: str | None = None) -> Answer:
        """Send an object under its true name, or under another."""
        return self.ask("POST", f"/{kind}/{name or hashlib.sha256(body).hexdigest()}", body)

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Return what the gateway lists."""
        answer = self.ask("GET", f"/{kind}/", headers={"Accept": "application/vnd.x.restic.rest.v2"})
        assert answer.status == 200, answer
        listed: list[dict[str, Any]] = json.loads(answer.body)
        return listed

    def end(self) -> dict[str, Any]:
        """End the session; return its report."""
        report = self.gateway.report()
        self.gateway.close()
        self.way.close()
        return report


def credentials(secret: str, user: str = USER) -> str:

    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


@contextlib.contextmanager
def session(
    store: Store, folder: Path, *, mode: str = "write", point: str = POINT, password: str = PASSWORD, **terms: Any
) -> Iterator[Host]:
    """Open a session of the gateway and the host's way to it."""
    place = folder / secrets.token_hex(4)
    place.mkdir(parents=True)
    agreed = Terms(mode=mode, point=point if mode == "write" else "", **terms)
    lacking = lacking_in(store.options(), Keys(store.access_key, store.secret_key))
    made = Session(store.shelf(), agreed, password, lambda: datetime.now(UTC), lacking)
    gateway = RepositoryDoor(made, place)
    gateway.start()
    way = Way(gateway.socket)
    host_folder = folder / "host"
    host_folder.mkdir(exist_ok=True)
    try:
        gateway.begun()
        yield Host(store, gateway, way, host_folder)
    finally:
        gateway.close()
        way.close()


def tree(folder: Path, *, seed: int = 1, files: int = 12, size: int = 60_000) -> Path:
    """Make files that do not compress, always the same for a seed."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (folder / f"file {number}").write_bytes(chance.randbytes(size))
    return folder


def taken(store: Store, folder: Path, *paths: Path, point: str = POINT) -> str:
    """Take a restore point from beginning to end; return its snapshot."""
    with session(store, folder, point=point) as host:
        if not store.names("keys"):
            host.restic("init")
        snapshot = host.backup(*paths, point=point)
        host.gateway.session.confirm(snapshot)
        store.manifest(point, snapshot)
    return snapshot


def direct(
    store: Store, folder: Path, *arguments: str, rc: int | None = 0, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    """Run restic with the store's own keys, as the controller does for a prune and a client who leaves for a restore."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RESTIC_REPOSITORY": f"s3:{store.endpoint}/{BUCKET}/{PREFIX}/restic",
        "RESTIC_PASSWORD": password,
        "RESTIC_CACHE_DIR": str(folder / "cache of the controller"),
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
    }
    done = subprocess.run(
        [str(RESTIC), *arguments],
        env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert rc is None or done.returncode == rc, f"restic {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def same(left: Path, right: Path) -> bool:
    """Compare two trees byte for byte."""
    return (
        subprocess.run(
            ["diff", "-r", "--no-dereference", str(left), str(right)], stdout=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )
