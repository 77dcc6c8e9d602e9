"""The gateway: for the time of one job, a host's restic reaches its repository through the controller.

    python -m orchestrator.run.gateway <terms-and-way.jsonl

The host holds no key of the store. What it may do is in gateway_session.py, how it speaks in gateway_http.py. This
module starts and ends it: one line of JSON on standard output says how it is reached, and from then on it runs by
itself, until the controller ends it, the process that it was started for is gone, or nothing happens for too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from orchestrator.contract import model as contract
from orchestrator.errors import Refused
from orchestrator.run.bucket import Keys, opened
from orchestrator.run.gateway_forward import HOST_ADDRESS, Forward, ForwardError
from orchestrator.run.gateway_http import USER, Gate, QuietHandler, SocketServer
from orchestrator.run.gateway_session import Session, SessionError, Terms
from orchestrator.run.gateway_store import Shelf, StoreError
from orchestrator.run.host_code import points
from orchestrator.run.manifests import write_manifest
from orchestrator.run.restic_objects import Key
from orchestrator.run.snapshot_check import lacking

# A dump may take an hour and a half before restic says its first word.
IDLE_SECONDS = 7200.0
LONGEST_SECONDS = 86400.0
LOOK_SECONDS = 5.0


class Stoppable(Protocol):
    """What can be asked to end."""

    def stop(self) -> None:
        """Ask it to end."""


class GatewayError(Exception):
    """The gateway cannot begin; the message says why."""


@dataclass
class Gateway:
    """A running gateway. `folder` is the controller's own: nobody else may look into it."""

    session: Session
    folder: Path
    secret: str
    idle: float = IDLE_SECONDS
    longest: float = LONGEST_SECONDS
    forward: Forward | None = None

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._gate = Gate(self.session, self.secret)
        self._control = type("ControlHandlerOfOne", (ControlHandler,), {"gateway": self})
        self._servers: list[SocketServer] = []

    @property
    def socket(self) -> Path:
        """Where restic is answered."""
        return self.folder / "restic"

    @property
    def control(self) -> Path:
        """Where the controller is answered, and nobody else: this one leads to no host."""
        return self.folder / "control"

    def start(self) -> None:
        """Begin to answer. The repository is looked at meanwhile, and whoever asks for anything of it waits for that."""
        self._servers = [SocketServer(self.socket, self._gate.handler()), SocketServer(self.control, self._control)]
        threading.Thread(target=self._gate.begin, daemon=True).start()

    def begun(self) -> None:
        """Return when the repository has been looked at. Raises Refusal with the reason why nothing comes of this session."""
        self._gate.wait()

    def url(self, port: int) -> str:
        """Return what restic is told, secret included: it goes by environment, never by argument."""
        return f"rest:http://{USER}:{self.secret}@{HOST_ADDRESS}:{port}/"

    def report(self) -> dict[str, Any]:
        """Say what the session did so far."""
        return {**self.session.report(), "requests": self._gate.requests}

    def write_manifest(self, given: dict[str, Any]) -> dict[str, Any]:
        """Write the manifest of the restore point whose snapshot was confirmed. Raises SessionError, PointError."""
        snapshot = (given["manifest"].get("restic") or {}).get("snapshot")
        if not snapshot or snapshot != self.session.confirmed:
            raise SessionError("the manifest names another snapshot than the one that was confirmed")
        # The bucket is there, and the snapshot was looked at when it was confirmed.
        wanted = {**given, "create_bucket": False, "password": ""}
        manifest, changed = write_manifest(
            wanted, self.session.shelf.client_of(given["access_key"], given["secret_key"])
        )
        return {"manifest": manifest, "changed": changed}

    def stop(self) -> None:
        """Ask it to end."""
        self._over.set()

    def wait(self) -> None:
        """Return when it is to end: it was asked to, nothing happened for too long, or the day is over."""
        began = time.monotonic()
        while not self._over.wait(min(LOOK_SECONDS, self.idle, self.longest)):
            now = time.monotonic()
            if now - self._gate.last > self.idle or now - began > self.longest:
                return

    def end(self) -> None:
        """Let go of everything. The session's locks go first: they are all that others could still see of it."""
        with contextlib.suppress(StoreError):
            self.session.end()
        for server in self._servers:
            server.close()
        if self.forward is not None:
            self.forward.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class ControlHandler(QuietHandler):
    """What the controller asks a gateway."""

    gateway: Gateway

    def do_GET(self) -> None:
        """Report."""
        self._say(200, self.gateway.report())

    def do_POST(self) -> None:
        """Confirm a snapshot, write its manifest, or end."""
        length = int(self.headers.get("Content-Length", 0))
        given = json.loads(self.rfile.read(length) or b"{}")
        try:
            if self.path == "/confirm":
                answer = self.gateway.session.confirm(str(given.get("snapshot")))
                self._say(200, {**answer, "report": self.gateway.report()})
            elif self.path == "/manifest":
                self._say(200, self.gateway.write_manifest(given))
            elif self.path == "/end":
                # Before the answer: who was told that it is over finds no lock any more.
                self.gateway.session.end()
                self._say(200, self.gateway.report())
                self.gateway.stop()
            else:
                self._say(404, {"error": "there is no such thing to ask"})
        except (SessionError, StoreError, points.PointError) as error:
            self._say(409, {"error": str(error), "report": self.gateway.report()})

    def _say(self, status: int, value: Mapping[str, Any]) -> None:
        self.answer(status, json.dumps(value).encode(), "application/json")


def made(given: Mapping[str, Any]) -> Gateway:
    """Build a gateway from what was handed in; the store is not asked anything. Raises GatewayError or StoreError."""
    try:
        store, secret_of_store = dict(given["store"]), (given["access_key"], given["secret_key"])
        terms = Terms(
            mode=given["mode"],
            point=given.get("point", ""),
            show=tuple(given.get("show", ())),
            budget=int(given.get("budget", Terms.budget)),
            make_bucket=bool(given.get("create_bucket")),
        )
        shelf = Shelf(**store, access_key=secret_of_store[0], secret_key=secret_of_store[1])
        password = str(given["password"])
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayError(f"the gateway was not told what it needs: {error}") from None
    if terms.mode not in ("read", "write") or (terms.mode == "write" and not terms.point):
        raise GatewayError("a session is for reading, or for writing one restore point")
    return Gateway(
        Session(shelf, terms, password, lambda: datetime.now(UTC), lacking_in(store, secret_of_store)),
        # A short path: that of a socket may have 107 characters.
        Path(tempfile.mkdtemp(prefix="upkeep-gateway-")),
        secrets.token_urlsafe(32),
        idle=float(given.get("idle", IDLE_SECONDS)),
        longest=float(given.get("longest", LONGEST_SECONDS)),
    )


def lacking_in(store: Mapping[str, Any], keys: tuple[str, str]) -> Callable[[Key, str], str]:
    """Return who says what of a snapshot the store lacks."""

    def asked(key: Key, tree: str) -> str:
        place = contract.Store(store["endpoint"], store["bucket"], store["region"])
        try:
            with opened(place, Keys(*keys)) as bucket:
                return lacking(bucket, str(store["prefix"]), key, tree)
        except Refused as error:
            raise SessionError(error.message) from None

    return asked


def main() -> int:
    """Begin, say how it is reached, and stay until the end."""
    given = json.loads(sys.stdin.readline())
    gateway = None
    try:
        process = watched(given)
        gateway = made(given)
        gateway.start()
        port = 0
        if way := read_way():
            gateway.forward = Forward(way["ssh"], way["host"], gateway.socket)
            port = gateway.forward.open()
    except (GatewayError, StoreError, ForwardError) as error:
        if gateway is not None:
            gateway.end()
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    told = {"url": gateway.url(port), "secret": gateway.secret, "port": port, "pid": os.getpid()}
    told.update(socket=str(gateway.socket), control=str(gateway.control), password=gateway.session.keys.password)
    begin_watch(gateway, process)
    print(json.dumps(told), flush=True)
    # Whoever started this waits for the end of its output.
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    try:
        gateway.wait()
    finally:
        gateway.end()
    return 0


def read_way() -> dict[str, Any]:
    """Return how the host is reached, {ssh, host}, or {} where no way is wanted. Raises GatewayError when nobody says it.

    It is the second line of the input: it comes when the host has answered, and nothing that is done before waits for that.
    """
    line = sys.stdin.readline()
    if not line:
        raise GatewayError("the job is over already")
    return dict(json.loads(line))


def watched(given: Mapping[str, Any]) -> int | None:
    """Return a handle for the process whose end is our end, too. A handle, because numbers are given out again."""
    try:
        return os.pidfd_open(given["watch"]) if given.get("watch") else None
    except ProcessLookupError:
        raise GatewayError("the job is over already") from None


def begin_watch(gateway: Stoppable, process: int | None) -> None:
    """Let the gateway end when it is told to by a signal, and when the process that it serves is gone."""
    signal.signal(signal.SIGTERM, lambda *_: gateway.stop())
    if process is not None:
        threading.Thread(target=stop_with, args=(process, gateway), daemon=True).start()


def stop_with(process: int, gateway: Stoppable) -> None:
    """Ask a gateway to end when a process is gone."""
    select.select([process], [], [])
    gateway.stop()


if __name__ == "__main__":
    sys.exit(main())
