"""A program in front of a store, put in through the address that the contract names: it can refuse, hang, or be choosy.

Everything that it does not refuse goes on to the real store, as it came: signatures stay true.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Returns the status of a refusal, or 0 to let a request pass: (method, path, headers) -> status.
Rule = Callable[[str, str, Any], int]
HOP = ("connection", "keep-alive", "transfer-encoding")


def let_pass(method: str, path: str, headers: Any) -> int:
    """Refuse nothing."""
    return 0


class Front:
    """The program. `rule` decides about every request; `seen` has all of them, also those that were refused."""

    def __init__(self, endpoint: str, address: str) -> None:
        self.target = urlsplit(endpoint)
        self.rule: Rule = let_pass
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer((address, 0), type("HandlerOfOne", (_Handler,), {"front": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Return the address for the contract."""
        return f"http://{self._server.server_address[0]!s}:{self._server.server_port}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def front(endpoint: str, address: str = "127.0.0.1") -> Iterator[Front]:
    """Put a program in front of a store for as long as the block lasts."""
    made = Front(endpoint, address)
    try:
        yield made
    finally:
        made.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.front.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        status = self.front.rule(self.command, self.path, self.headers)
        if status:
            self._answer(status, [], b"<Error><Code>ServiceUnavailable</Code></Error>" if status >= 500 else b"")
            return
        onward = http.client.HTTPConnection(str(self.front.target.hostname), self.front.target.port, timeout=60)
        try:
            onward.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                onward.putheader(name, value)
            onward.endheaders(body or None)
            answer = onward.getresponse()
            given = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
            self._answer(answer.status, given, answer.read())
        finally:
            onward.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        elif status >= 400 and not headers:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
