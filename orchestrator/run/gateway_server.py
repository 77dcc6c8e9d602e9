"""HTTP over unix sockets that nobody else may open: what the gateway answers with, whoever asks.

Nothing but the standard library: the gateway answers Ansible before it has loaded what speaks to a store.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

BINARY = "application/octet-stream"
USER = "upkeep"
CHUNK = 256 * 1024
# restic sends five objects at once. The rest is for what others on the host may open: the port is theirs as well.
CONNECTIONS = 128
STRANGER_SECONDS = 15.0
# Go keeps a connection for 90 seconds; ours must be the later one to let go.
IDLE_SECONDS = 120.0


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A server on a unix socket that nobody else may open."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: Path, handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._over = False
        self._one = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(str(path), handler)
        path.chmod(0o600)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections, and break off those that are open."""
        self._over = True
        # Wakes the thread up. serve_forever() would look several times a second for as long as a dump takes.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
            knock.connect(str(self.server_address))
        self._thread.join()
        self.server_close()
        with self._one:
            for connection in self._open:
                # Its thread closes it: that one sees that nothing comes any more.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while not self._over:
            self.handle_request()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give each connection a thread, and no thread to the one that is too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._one:
            self._open.add(request)
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        with self._one:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks off is no news, and a traceback could tell what nobody should read."""


class QuietHandler(BaseHTTPRequestHandler):
    """Answers with a length, logs nothing and says nothing of itself."""

    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = IDLE_SECONDS
    rbufsize = CHUNK

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: what is worth knowing is in the session's report."""

    def version_string(self) -> str:
        """Do not tell which Python this is."""
        return "upkeep"

    def address_string(self) -> str:
        """A unix socket has no address."""
        return ""

    def answer(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
