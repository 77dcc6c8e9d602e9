"""What every session of the gateway has for itself: a secret, a socket, and the port of one host that leads to it.

Nothing of it serves two sessions, so a host that was given one address can reach nothing of another.
"""

from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from orchestrator.run.gateway_forward import Forward, ForwardError
from orchestrator.run.gateway_server import SocketServer

LONGEST_SECONDS = 86400.0


class GatewayError(Exception):
    """The gateway cannot do what Ansible asks of it; the message says why."""


class Door(ABC):
    """One session's way in. `folder` is the gateway's own: nobody else may look into it."""

    def __init__(self, folder: Path, idle: float, longest: float = LONGEST_SECONDS) -> None:
        # Short: the path of a socket may have 107 characters.
        self.id = secrets.token_hex(4)
        self.secret = secrets.token_urlsafe(32)
        self.socket = folder / self.id
        self._idle, self._longest, self._opened = idle, longest, time.monotonic()
        self._server: SocketServer | None = None
        self._forward: Forward | None = None
        self._one, self._closed = threading.Lock(), False

    def answer_with(self, handler: type[BaseHTTPRequestHandler]) -> None:
        """Begin to answer."""
        self._server = SocketServer(self.socket, handler)

    def asked(self, what: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Do what Ansible asks of this session. Raises GatewayError."""
        if what == "way":
            return {"url": self.lead(given)}
        raise GatewayError("there is no such thing to ask")

    def report(self) -> dict[str, Any]:
        """Say what the session did so far."""
        return {}

    def lead(self, way: Mapping[str, Any]) -> str:
        """Lead a free port of the host here, and return the address that it is told. Raises GatewayError.

        `way` is {ssh, host}, or {} where no way is wanted.
        """
        with self._one:
            if self._closed:
                raise GatewayError("the session is over")
            if not way:
                return self.url(0)
            self._forward = Forward(way["ssh"], way["host"], self.socket)
            try:
                return self.url(self._forward.open())
            except ForwardError as error:
                raise GatewayError(str(error)) from None

    def seconds_left(self) -> float:
        """Say when it is over by itself: nothing has happened for too long, or the day is over."""
        now = time.monotonic()
        return min(self._idle - (now - self.last_used()), self._longest - (now - self._opened))

    def close(self) -> None:
        """Let go of everything. Who comes second waits until that is done."""
        with self._one:
            if self._closed:
                return
            self._closed = True
            try:
                self.end()
            finally:
                if self._server is not None:
                    self._server.close()
                if self._forward is not None:
                    self._forward.close()
                self.socket.unlink(missing_ok=True)

    @abstractmethod
    def url(self, port: int) -> str:
        """Return what the host is told, secret included: it goes by environment, never by argument."""

    @abstractmethod
    def last_used(self) -> float:
        """Say when somebody who has the secret asked for something, by the monotonic clock."""

    @abstractmethod
    def end(self) -> None:
        """Let nothing in or out any more."""
