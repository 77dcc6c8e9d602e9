"""Ansible's side of the gateway (gateway.py): find the one of this call, start it where there is none, and ask it.

The standard library alone: each of Ansible's workers loads this, and none of them loads what speaks to a store.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from orchestrator.run.places import content_root

SECONDS = 120
# A store that keeps silent has been asked to the end by then.
STORE_SECONDS = 400
NOTE = "upkeep-gateway"


class Unanswered(Exception):
    """The gateway did not do what it was asked; the message is what it said. `next_step` is what to type, if it said that."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step


def found(folder: Path, job: int) -> str:
    """Return the socket of the gateway that serves a call of Ansible; it is started where there is none.

    `folder` is what all workers of that call share, and nobody else; `job` is the process whose end is the gateway's end.
    Raises Unanswered.
    """
    note = folder / NOTE
    if control := _noted(note):
        return control
    # Of several workers that need it first, one starts it.
    with (folder / f"{NOTE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if control := _noted(note):
            return control
        control = _started(job)
        coming = folder / f"{NOTE}.coming"
        coming.write_text(control)
        coming.replace(note)
    return control


class Opening:
    """A session that is being opened: the gateway is told first what it is for, and later the way to the host.

    The gateway ends the session when the block is left before the way was told, and when this process is killed meanwhile.
    """

    def __init__(self, find: Callable[[], str], kind: str, given: dict[str, Any], seconds: float = SECONDS) -> None:
        """Find the gateway and tell it what the session is for, and wait for neither: the host can be asked meanwhile."""
        self._aside = ThreadPoolExecutor(1)
        self._told_it = self._aside.submit(_tell, find, kind, given, seconds)
        self._told: dict[str, Any] | None = None

    def __enter__(self) -> Opening:
        return self

    def __exit__(self, *failed: object) -> None:
        self._aside.shutdown()
        if self._told_it.exception() is None:
            self._told_it.result()[1].close()

    def begun(self) -> dict[str, Any]:
        """Return what the gateway says of it. Raises Unanswered when it is not opened, and OSError where no gateway is."""
        if self._told is None:
            self._told = self._told_it.result()[1].heard()
        return self._told

    def led(self, way: dict[str, Any]) -> dict[str, Any]:
        """Say how the host is reached; return what was said of the session, its address for the host, and its control.

        Raises Unanswered.
        """
        told = self.begun()
        control, line = self._told_it.result()
        line.send_json(f"/{told['session']}/way", way)
        return {**told, **line.heard(), "control": f"{control}/{told['session']}"}


def asked(control: str, what: str, value: dict[str, Any]) -> dict[str, Any]:
    """Ask for something in a session. Raises Unanswered, and OSError where there is no gateway any more."""
    place, _, session = control.rpartition("/")
    return ask(place, f"{session}/{what}", value, SECONDS)


def ask(control: str, what: str, value: dict[str, Any], seconds: float = STORE_SECONDS) -> dict[str, Any]:
    """Ask a gateway. Raises Unanswered with its own words when it refuses."""
    line = Line(control, seconds)
    try:
        line.send_json(f"/{what}", value)
        return line.heard()
    finally:
        line.close()


class Line(http.client.HTTPConnection):
    """HTTP to the gateway's socket."""

    def __init__(self, control: str, seconds: float) -> None:
        super().__init__("gateway", timeout=seconds)
        self._control = control

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._control)

    def send_json(self, path: str, value: dict[str, Any]) -> None:
        """Ask, and do not wait for the answer."""
        self.request("POST", path, json.dumps(value, default=str))

    def heard(self) -> dict[str, Any]:
        """Return the answer. Raises Unanswered when it is a refusal, or none."""
        try:
            answer = self.getresponse()
            told: dict[str, Any] = json.loads(answer.read())
        except (http.client.HTTPException, ValueError, TimeoutError, ConnectionError) as error:
            raise Unanswered(f"the gateway does not answer: {error}") from None
        if answer.status != 200:
            refusals = told.get("report", {}).get("refusals", [])
            raise Unanswered("; ".join([str(told.get("error")), *refusals[-3:]]), str(told.get("next_step", "")))
        return told


def _tell(find: Callable[[], str], kind: str, given: dict[str, Any], seconds: float) -> tuple[str, Line]:
    control = find()
    line = Line(control, seconds)
    line.send_json(f"/{kind}", given)
    return control, line


def _noted(note: Path) -> str:
    """Return the socket that was noted, "" when nobody answers there."""
    with contextlib.suppress(OSError):
        control = note.read_text()
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(control)
        return control
    return ""


def _started(job: int) -> str:
    """Start a gateway and return its socket. Raises Unanswered."""
    process = subprocess.Popen(
        # The same Python: it is the one in which upkeep is installed.
        [sys.executable, "-m", "orchestrator.run.gateway"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=content_root(),
    )
    assert process.stdin is not None  # noqa: S101  # it is a pipe
    assert process.stdout is not None  # noqa: S101  # as well
    with process.stdout as output, selectors.DefaultSelector() as selector:
        # What is gone already has said why: that is read where its answer is.
        with contextlib.suppress(BrokenPipeError), process.stdin as line:
            line.write(json.dumps({"watch": job}).encode() + b"\n")
        selector.register(output, selectors.EVENT_READ)
        if not selector.select(SECONDS):
            process.kill()
            process.wait()
            raise Unanswered(f"it has not begun after {SECONDS} s")
        # One line, and not the end of its output: it outlives this task.
        said = output.readline()
    try:
        told: dict[str, str] = json.loads(said)
    except ValueError:
        raise Unanswered("upkeep's own package cannot be started by Ansible's Python") from None
    if "error" in told:
        raise Unanswered(told["error"])
    return told["control"]
