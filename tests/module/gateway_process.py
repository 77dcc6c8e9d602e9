"""The gateway as a process of its own, as Ansible starts it, and a program that behaves like ssh."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.run import gateway_client
from tests.module.gateway_kit import PASSWORD, POINT, Store, Way

SSH = r"""#!{python}
import sys, time
open({log!r}, "a").write(" ".join(sys.argv[1:]) + "\n")
if "-O" in sys.argv:
    if {master}:
        print(40123)
    sys.exit(0 if {master} else 255)
print("Warning: something else", file=sys.stderr)
if {allowed}:
    print("Allocated port 40456 for remote forward to x", file=sys.stderr, flush=True)
    time.sleep(60)
print("Error: remote port forwarding failed for listen port 0", file=sys.stderr)
sys.exit(255)
"""


class Running:
    """A gateway that was found, or started, for a call of Ansible."""

    def __init__(self, control: str) -> None:
        self.control = control
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(control)
            self.pid = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        # A handle: what has ended stays known by it.
        self._handle = os.pidfd_open(self.pid)

    @property
    def folder(self) -> Path:
        return Path(self.control).parent

    def ends(self, seconds: float = 20) -> bool:
        """Wait for its end."""
        return bool(select.select([self._handle], [], [], seconds)[0])

    def kill(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, how)
        assert self.ends()

    def open(self, given: dict[str, Any], way: dict[str, Any] | None = None) -> dict[str, Any]:
        """Open a session for a repository."""
        with gateway_client.Opening(lambda: self.control, "repository", given) as opening:
            return opening.led(way or {})

    def report(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return what a session did."""
        connection = http.client.HTTPConnection("gateway", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.control)
        try:
            connection.request("GET", f"/{told['session']}")
            report: dict[str, Any] = json.loads(connection.getresponse().read())
            return report
        finally:
            connection.close()


@contextlib.contextmanager
def running(folder: Path | None = None, job: int = 0) -> Iterator[Running]:
    """Start a gateway in a folder that stands for Ansible's own, for this process or another."""
    with tempfile.TemporaryDirectory() as own:
        gateway = Running(gateway_client.found(folder or Path(own), job or os.getpid()))
        try:
            yield gateway
        finally:
            gateway.kill()
            assert not gateway.folder.exists()


def terms(store: Store, **more: Any) -> dict[str, Any]:
    """Return what a session for a repository is opened with."""
    given = {
        "mode": "write", "point": POINT, "store": store.options(), "password": PASSWORD,
        "access_key": store.access_key, "secret_key": store.secret_key, **more,
    }  # fmt: skip
    return given if given["mode"] == "write" else given | {"point": ""}


@contextlib.contextmanager
def way_to(told: dict[str, Any]) -> Iterator[str]:
    """Lead a port to a session; yields what the host would be told."""
    way = Way(Path(told["socket"]))
    try:
        yield told["url"].replace(":0/", f":{way.port}/")
    finally:
        way.close()


def ssh(folder: Path, *, master: bool, allowed: bool = True) -> tuple[Path, Path]:
    """Return a program that behaves like ssh, and what it was called with."""
    program, log = folder / "ssh", folder / "calls"
    program.write_text(SSH.format(python=sys.executable, log=str(log), master=master, allowed=allowed))
    program.chmod(0o755)
    log.touch()
    return program, log
