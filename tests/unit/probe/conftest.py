"""A small real web server whose answers a test writes down, path by path."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from plugins.module_utils.web import Target

HOST = "shop.example.test"
_UNIQUE = re.compile(r"[?&]upkeep-probe=[0-9a-f]{12}$")


@dataclass(frozen=True)
class Reply:
    """An answer as it goes over the wire. `raw` replaces all of it; `write` takes the handler over."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""
    write: Callable[[BaseHTTPRequestHandler], None] | None = None


@dataclass
class SmallSite:
    """The server's side of a test: what it answers, and what it was asked."""

    port: int
    replies: dict[str, Reply | list[Reply]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    raw_paths: list[str] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)

    def target(self, **changes: str) -> Target:
        return Target("127.0.0.1", self.port, **{"host": HOST, "scheme": "http", **changes})

    def asked(self, path: str) -> int:
        return sum(1 for _, asked, _ in self.requests if asked == path)

    def page(self, path: str, text: str, status: int = 200) -> None:
        """Answer with a whole HTML page around this text."""
        body = f"<!DOCTYPE html><html><head><title>t</title></head><body>{text}</body></html>".encode()
        self.replies[path] = Reply(body, status, {"Content-Type": "text/html; charset=UTF-8"})

    def next_reply(self, path: str) -> Reply:
        """A list of replies is given out one by one; its last one stays."""
        reply = self.replies.get(path, Reply(b"not found", 404))
        if isinstance(reply, list):
            return reply.pop(0) if len(reply) > 1 else reply[0]
        return reply


def _handler(site: SmallSite) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            site.posted.append(self.rfile.read(length) if length else b"")
            # What makes a question one that no cache has seen differs each time.
            path = _UNIQUE.sub("", self.path)
            site.raw_paths.append(self.path)
            site.requests.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
            reply = site.next_reply(path)
            self.close_connection = True
            if reply.write:
                # The client may hang up, as it should.
                with contextlib.suppress(OSError):
                    reply.write(self)
                return
            if reply.raw:
                self.wfile.write(reply.raw)
                return
            self.send_response_only(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(OSError):
                    self.wfile.write(reply.body)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler


@pytest.fixture
def site() -> Iterator[SmallSite]:
    small = SmallSite(0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(small))
    server.daemon_threads = True
    small.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield small
    server.shutdown()
    server.server_close()
    thread.join()
