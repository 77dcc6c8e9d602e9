"""A server of a lab that runs on the machine itself: the store, the mirror."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.layout import Instance, LabError
from tests.lab.processes import CLEAN_ENVIRONMENT, kill, read_pidfile, start, wait_for, write_pidfile


class Service:
    """One server process with a pid file and a log in its folder."""

    name = ""
    port = 0

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.folder: Path = instance.folder / self.name

    @property
    def running(self) -> bool:
        """Say whether the server's process is alive."""
        return bool(read_pidfile(self.folder / "pid"))

    def stop(self) -> None:
        """End the server at once: connections are refused from now on."""
        process = read_pidfile(self.folder / "pid")
        if process:
            kill(process, signal.SIGCONT)
            kill(process)
            wait_for(f"the end of {self.name}", lambda: not self.running, 10, 0.02)

    def pause(self) -> None:
        """Let the server hang: it takes connections and never answers."""
        kill(self._alive(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        kill(self._alive(), signal.SIGCONT)

    def _launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        process = start(self.instance, "services", command, self.folder / "log", {**CLEAN_ENVIRONMENT, **environment})
        write_pidfile(self.folder / "pid", process)
        wait_for(f"{self.name} answers", self._answers, 15, 0.02)

    def _answers(self) -> bool:
        if not self.running:
            log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            raise LabError(f"{self.name} died: {log.strip()[-800:]}")
        try:
            with socket.create_connection((self.instance.controller_address, self.port), timeout=1):
                return True
        except OSError:
            return False

    def _alive(self) -> int:
        process = read_pidfile(self.folder / "pid")
        if not process:
            raise LabError(f"The {self.name} of lab {self.instance.name} does not run. Type: {self.instance.up}")
        return process
