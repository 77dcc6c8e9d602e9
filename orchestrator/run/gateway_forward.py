"""Lead a port of the host's loopback address to a socket here, through the connection that Ansible has open."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HOST_ADDRESS = "127.0.0.1"
SECONDS = 30.0
# What ssh prints when it was asked for any free port: alone on a line through a master, in a sentence without.
ALLOCATED = re.compile(rb"Allocated port ([0-9]+) for remote forward")
PORT = re.compile(r"[0-9]+")


class ForwardError(Exception):
    """ssh does not lead a port of the host to us; the message is what it said."""


def command_of(connection: Any) -> tuple[list[str], str]:
    """Return ssh's command line as an Ansible connection has it, and the name of the host. Raises ForwardError."""
    if connection.transport != "ssh":
        raise ForwardError(f"the host is reached by {connection.transport!r}, and only ssh can lead a port to us")
    program = str(connection.get_option("ssh_executable"))
    command = [part.decode() for part in connection._build_command(program, "ssh")]
    return command[command.index(program) :], str(connection.host)


class Forward:
    """A port on the host. `ssh` is Ansible's own command line up to the name of the host, which comes apart."""

    def __init__(self, ssh: Sequence[str], host: str, target: Path) -> None:
        self._ssh, self._host, self._target = list(ssh), host, target
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def open(self) -> int:
        """Open a free port on the host and return it.

        The connection that Ansible keeps takes it at no cost. Where there is none, a connection of our own is made.
        """
        asked = self._control("forward", 0)
        if asked.returncode == 0 and PORT.fullmatch(asked.stdout.strip()):
            self.port = int(asked.stdout)
        else:
            self.port = self._connect()
        return self.port

    def close(self) -> None:
        """Take the port back. It does not matter when the connection is gone already."""
        if self._process is not None:
            self._process.terminate()
            self._ended(self._process)
        elif self.port:
            # ssh knows the forward by the port that was asked for, not by the one that it got.
            self._control("cancel", 0)
        self.port = 0

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        with process:
            pass

    def _spec(self, port: int) -> str:
        return f"{HOST_ADDRESS}:{port}:{self._target}"

    def _control(self, verb: str, port: int) -> subprocess.CompletedProcess[str]:
        command = [*self._ssh, "-O", verb, "-R", self._spec(port), self._host]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 255, "", str(error))

    def _connect(self) -> int:
        # ssh takes the first value that it sees of an option, so ours come before Ansible's.
        own = ["ControlMaster=no", "ControlPath=none", "ExitOnForwardFailure=yes", "LogLevel=INFO", "BatchMode=yes"]
        options = [part for option in own for part in ("-o", option)]
        command = [self._ssh[0], *options, *self._ssh[1:], "-N", "-R", self._spec(0), self._host]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert self._process.stderr is not None  # noqa: S101  # it is a pipe
        said = b""
        deadline = time.monotonic() + SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stderr, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0 and selector.select(left):
                piece = os.read(self._process.stderr.fileno(), 4096)
                said += piece
                if found := ALLOCATED.search(said):
                    return int(found[1])
                if not piece:
                    break
        self._process.kill()
        self._ended(self._process)
        self._process = None
        words = said.decode(errors="replace").split("\n")
        raise ForwardError(" ".join(" ".join(words[-3:]).split())[:300] or "it does not answer")
