"""The gateway: for the time of one call of Ansible, its hosts reach their repositories and packages through the controller.

    python -m orchestrator.run.gateway <job.json

One process serves all sessions of all hosts of that call, so that what speaks to a store is loaded once; what a session has
for itself is in gateway_door.py. Whoever needs it first starts it (gateway_client.py): a line of JSON on standard input names
the process that it is for, one on standard output says where Ansible asks it. From then on it runs by itself, until that
process is gone. Sessions end when they are told to, when nothing happens for too long, and with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import Refused
from orchestrator.garbage import not_at_the_end
from orchestrator.run.gateway_door import Door, GatewayError
from orchestrator.run.gateway_server import QuietHandler, SocketServer

LOOK_SECONDS = 5.0
# Who needs it after that starts another one. It also ends one whose job was over before it could be watched.
UNUSED_SECONDS = 3600.0
PREFIX = "upkeep-gateway-"
# unix(7): the path of a socket has at most 107 bytes. Below the folder are `control` and a session's eight letters.
LONGEST = 107 - len(f"/{PREFIX}12345678/12345678")


class Sessions:
    """All sessions of one call of Ansible. `folder` is the controller's own: nobody else may look into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._one = threading.Lock()
        self._doors: dict[str, Door] = {}
        self._closing: dict[str, threading.Thread] = {}
        self._over = False
        self._used = time.monotonic()

    @property
    def unused(self) -> bool:
        """Whether there has been no session for long."""
        with self._one:
            if self._doors or self._closing:
                self._used = time.monotonic()
            return time.monotonic() - self._used > UNUSED_SECONDS

    def add(self, door: Door) -> None:
        """Take in a session that was opened. Raises GatewayError when it comes too late."""
        with self._one:
            if not self._over:
                self._doors[door.id] = door
                return
        door.close()
        raise GatewayError("the job is over already")

    def door(self, name: str) -> Door:
        """Return a session. Raises GatewayError when there is none of this name any more."""
        with self._one:
            if name in self._doors:
                return self._doors[name]
        raise GatewayError("the session is over")

    def close(self, door: Door) -> None:
        """Begin to close a session. Others do not wait for that: its store may be away, or its host."""
        with self._one:
            self._doors.pop(door.id, None)
            if door.id not in self._closing:
                thread = threading.Thread(target=self._close, args=(door,))
                self._closing[door.id] = thread
                thread.start()

    def close_overdue(self) -> float:
        """Begin to close the sessions whose time is over. Returns after how many seconds to look again."""
        with self._one:
            doors = list(self._doors.values())
        left = {door: door.seconds_left() for door in doors}
        for door in doors:
            if left[door] <= 0:
                self.close(door)
        return min([LOOK_SECONDS, *(seconds for seconds in left.values() if seconds > 0)])

    def end(self) -> None:
        """Close all sessions, and return when that is done."""
        with self._one:
            self._over = True
            doors = list(self._doors.values())
        for door in doors:
            self.close(door)
        with self._one:
            closing = list(self._closing.values())
        for thread in closing:
            thread.join()

    def _close(self, door: Door) -> None:
        try:
            door.close()
        finally:
            with self._one:
                del self._closing[door.id]


class ControlHandler(QuietHandler):
    """One connection of Ansible. What is asked is said by its path: `/<what>`, or `/<session>/<what>`."""

    sessions: Sessions
    # While a session is opened the host is asked as well, however long that takes.
    timeout = None

    def setup(self) -> None:
        """Begin."""
        super().setup()
        # Sessions that were opened by this connection and are not led to a host yet.
        self._unled: set[Door] = set()
        self._asks: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "repository": self._repository,
            "packages": self._packages,
            "read": self._read,
            "write": self._write,
        }

    def finish(self) -> None:
        """End. A session that nobody leads to a host any more is over: Ansible's process has failed, or was killed."""
        for door in self._unled:
            self.sessions.close(door)
        super().finish()

    def do_GET(self) -> None:
        """Report what a session did."""
        self._answer(lambda: self.sessions.door(self.path[1:]).report())

    def do_POST(self) -> None:
        """Open a session, do something in one, or read or write a manifest without one."""
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        name, _, what = self.path[1:].partition("/")
        if what:
            self._in_session(name, what, given)
        elif name in self._asks:
            self._answer(lambda: self._asks[name](given))
        else:
            self._say(404, {"error": "there is no such thing to ask"})

    def _in_session(self, name: str, what: str, given: dict[str, Any]) -> None:
        try:
            door = self.sessions.door(name)
        except GatewayError as error:
            self._say(409, {"error": str(error)})
            return
        done = self._answer(lambda: door.asked(what, given), door)
        if what == "way":
            self._unled.discard(door)
        if (what == "way" and not done) or (what == "end" and done):
            self.sessions.close(door)

    def _answer(self, ask: Callable[[], dict[str, Any]], door: Door | None = None) -> bool:
        """Do what is asked and say what came of it; returns whether it was done."""
        try:
            told = ask()
        except Refused as error:
            self._say(409, {"error": error.message, "next_step": error.next_step})
        except GatewayError as error:
            self._say(409, {"error": str(error), "report": door.report() if door else {}})
        except ImportError as error:
            self._say(409, {"error": f"upkeep's own package cannot be started by Ansible's Python ({error})"})
        else:
            self._say(200, told)
            return True
        return False

    def _say(self, status: int, value: Mapping[str, Any]) -> None:
        self.answer(status, json.dumps(value).encode(), "application/json")

    def _opened(self, door: Door) -> dict[str, Any]:
        self.sessions.add(door)
        self._unled.add(door)
        return {"session": door.id, "socket": str(door.socket)}

    # What speaks to a store takes a third of a second to load, and Ansible is not to wait for that before it asks its host.

    def _repository(self, given: dict[str, Any]) -> dict[str, Any]:
        from orchestrator.run.gateway_repository import opened_repository  # noqa: PLC0415

        door = opened_repository(given, self.sessions.folder)
        return {**self._opened(door), "password": door.session.keys.password}

    def _packages(self, given: dict[str, Any]) -> dict[str, Any]:
        from orchestrator.run.package_gateway import opened_packages, source_of  # noqa: PLC0415

        source = source_of(given)
        told: dict[str, Any] = {"artefacts": source.told(), "session": "", "failure": ""}
        if source.artefacts or given["wordpress_org"]:
            try:
                told.update(self._opened(opened_packages(given, source, self.sessions.folder)))
            except GatewayError as error:
                # What the store has is known all the same.
                told["failure"] = str(error)
        return told

    def _read(self, given: dict[str, Any]) -> dict[str, Any]:
        from orchestrator.run.gateway_repository import read  # noqa: PLC0415

        return read(given)

    def _write(self, given: dict[str, Any]) -> dict[str, Any]:
        from orchestrator.run.gateway_repository import written  # noqa: PLC0415

        return written(given)


def main() -> int:
    """Begin, say where it is asked, and stay until the process that it serves is gone."""
    not_at_the_end()
    try:
        # A handle, because numbers are given out again.
        job = os.pidfd_open(json.loads(sys.stdin.readline())["watch"])
    except ProcessLookupError:
        print(json.dumps({"error": "the job is over already"}), flush=True)
        return 1
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=_set_after, args=(job, over), daemon=True).start()
    # Each session may have as many connections as it likes (gateway_server.py) without taking one from another.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sessions = Sessions(_folder())
    try:
        handler = type("ControlHandlerOfOne", (ControlHandler,), {"sessions": sessions})
        # Leads to no host, ever.
        control = SocketServer(sessions.folder / "control", handler)
        print(json.dumps({"control": str(sessions.folder / "control")}), flush=True)
        # Whoever started this waits for the end of its output.
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        while not over.wait(sessions.close_overdue()) and not sessions.unused:
            pass
        sessions.end()
        control.close()
    finally:
        shutil.rmtree(sessions.folder, ignore_errors=True)
    return 0


def _folder() -> Path:
    """Make the folder of the sockets where temporary files belong, or in /tmp if a socket there had too long a path."""
    deep = len(os.fsencode(tempfile.gettempdir())) > LONGEST
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp" if deep else None))  # noqa: S108  # mkdtemp's are private


def _set_after(process: int, over: threading.Event) -> None:
    """Set an event when a process is gone."""
    select.select([process], [], [])
    over.set()


if __name__ == "__main__":
    sys.exit(main())
