"""A publisher on loopback, in WordPress.org's place: what it answers is the test's."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestrator.run.host_code import packages


class Desk(http.server.BaseHTTPRequestHandler):
    """Answers one request, and writes no log."""

    def say(self, status: int, body: bytes, **headers: str) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing."""


@contextmanager
def served(desk: type[Desk], monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Serve it while the block lasts, and yield its port: no other address of this machine is allowed meanwhile."""
    refuse = packages.refuse_address
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), desk) as server:
        port = server.server_address[1]
        monkeypatch.setattr(packages, "refuse_address", lambda url: None if f":{port}/" in url else refuse(url))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield port
        finally:
            server.shutdown()
            thread.join()
