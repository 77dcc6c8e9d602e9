"""restic's REST protocol, versions 1 and 2, over a unix socket: what comes in is checked here before it is believed.

https://restic.readthedocs.io/en/stable/100_references.html#rest-backend
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import IO

from orchestrator.run.gateway_server import BINARY, CHUNK, IDLE_SECONDS, STRANGER_SECONDS, USER, QuietHandler
from orchestrator.run.gateway_session import Received, Refusal, Session, SessionError
from orchestrator.run.gateway_store import Reading, StoreError

# Exactly these: nothing is decoded, joined or made shorter, so there is no other spelling of a path.
OBJECT = re.compile(r"/(?:(config)|(data|index|keys|locks|snapshots)/([0-9a-f]{64}))")
LISTING = re.compile(r"/(data|index|keys|locks|snapshots)/")
CREATE = "/?create=true"
RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{1,15})?")
LENGTH = re.compile(r"[0-9]{1,15}")
V1 = "application/vnd.x.restic.rest.v1"
V2 = "application/vnd.x.restic.rest.v2"

IN_MEMORY = 32 * 1024 * 1024
BODIES = 12
STALLED_SECONDS = 30.0
# A store that is away has been tried to the end by then.
BEGIN_SECONDS = 90.0
# A body that comes slower than this is there to hold a place, not to be stored.
GRACE_SECONDS = 60.0
SLOWEST = 8 * 1024


class Gate:
    """What all connections of one session share: the session, the secret, and when something last happened."""

    def __init__(self, session: Session, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.session = session
        self.clock = clock
        self.last = clock()
        self.requests = 0
        self.begun = threading.Event()
        self.failure = "the gateway could not begin"
        self.bodies = threading.BoundedSemaphore(BODIES)
        self._credentials = "Basic " + base64.b64encode(f"{USER}:{secret}".encode()).decode()

    def knows(self, credentials: str) -> bool:
        """Tell whether somebody was given the secret of this session."""
        return hmac.compare_digest(credentials.encode(), self._credentials.encode())

    def begin(self) -> None:
        """Look at the repository; whoever asks for anything waits for that."""
        try:
            self.session.begin()
            self.failure = ""
        except (SessionError, StoreError) as error:
            self.failure = str(error)
            if "upkeep store" not in self.failure:
                self.failure += f". Type: upkeep store check {self.session.shelf.prefix.partition('/')[0]}"
        finally:
            self.begun.set()

    def wait(self) -> None:
        """Return when the repository has been looked at. Raises Refusal with the reason why nothing comes of this session."""
        if not self.begun.wait(BEGIN_SECONDS) or self.failure:
            raise Refusal(409, self.failure)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the class whose instances serve this session's connections."""
        return type("SessionHandler", (RepositoryHandler,), {"gate": self})


class RepositoryHandler(QuietHandler):
    """One connection of restic, or of somebody who would like to be taken for it."""

    gate: Gate

    def setup(self) -> None:
        """Begin; who has not said who he is after some seconds has to go."""
        super().setup()
        self._stranger = threading.Timer(STRANGER_SECONDS, self._turn_away)
        self._stranger.daemon = True
        self._stranger.start()

    def finish(self) -> None:
        """End."""
        self._stranger.cancel()
        super().finish()

    def do_GET(self) -> None:
        """Send an object or a listing."""
        self._guarded(self._get)

    def do_HEAD(self) -> None:
        """Say how big an object is."""
        self._guarded(self._head)

    def do_POST(self) -> None:
        """Take in an object."""
        self._guarded(self._post)

    def do_DELETE(self) -> None:
        """Remove a lock."""
        self._guarded(self._delete)

    def _guarded(self, serve: Callable[[], None]) -> None:
        gate = self.gate
        gate.requests += 1
        # Python makes one slash of two at the beginning; what was asked for is judged as it was asked for.
        self.path = self.requestline.split()[1]
        # Only a POST may bring a body. What else comes with one is not read, and the connection ends.
        if self.headers.get("Transfer-Encoding") or (self.command != "POST" and self.headers.get("Content-Length")):
            self.close_connection = True
        try:
            if not gate.knows(self.headers.get("Authorization", "")):
                self.close_connection = True
                raise Refusal(401, "this is not for you")
            self._stranger.cancel()
            gate.last = gate.clock()
            gate.wait()
            serve()
            gate.last = gate.clock()
        except Refusal as refusal:
            self.answer(refusal.status, refusal.reason.encode())
        except StoreError as error:
            # restic tries again by itself after a while.
            self.answer(502, f"the store: {error}".encode())

    def _turn_away(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _get(self) -> None:
        if listing := LISTING.fullmatch(self.path):
            self._list(listing[1])
            return
        kind, name = self._object()
        given = self.headers.get("Range")
        part = None
        if given is not None:
            match = RANGE.fullmatch(given)
            if match is None:
                raise Refusal(400, "one range of bytes, please")
            part = (int(match[1]), None if match[2] is None else int(match[2]))
        reading = self.gate.session.open(kind, name, part)
        try:
            self._send(reading)
        finally:
            reading.body.close()

    def _list(self, kind: str) -> None:
        items = self.gate.session.listing(kind)
        if V2 in self.headers.get("Accept", ""):
            body = json.dumps([{"name": item.name, "size": item.size} for item in items])
            self.answer(200, body.encode(), V2)
        else:
            self.answer(200, json.dumps([item.name for item in items]).encode(), V1)

    def _send(self, reading: Reading) -> None:
        self.send_response(206 if reading.part else 200)
        self.send_header("Content-Type", BINARY)
        self.send_header("Content-Length", str(reading.size))
        if reading.part:
            self.send_header("Content-Range", reading.part)
        self.end_headers()
        # After the first byte there is no way to say that the store broke off, but to break off as well.
        last, self.close_connection = self.close_connection, True
        left = reading.size
        while left and (piece := reading.body.read(min(CHUNK, left))):
            self.wfile.write(piece)
            left -= len(piece)
            self.gate.last = self.gate.clock()
        self.close_connection = last or left > 0

    def _head(self) -> None:
        size = self.gate.session.size(*self._object())
        if size is None:
            raise Refusal(404, "there is no such object")
        self.send_response(200)
        self.send_header("Content-Type", BINARY)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _post(self) -> None:
        # Whatever is refused before its body was read ends the connection: the body is still on its way.
        last, self.close_connection = self.close_connection, True
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or LENGTH.fullmatch(length) is None:
            raise Refusal(411, "say first how long it is")
        if self.path == CREATE:
            if int(length):
                raise Refusal(400, "nothing is expected here")
            self.gate.session.create()
        else:
            kind, name = self._object()
            self.gate.session.admit(kind, name, int(length))
            if not self.gate.bodies.acquire(timeout=STALLED_SECONDS):
                raise Refusal(503, "too much arrives at once")
            try:
                self._accept(kind, name, int(length), last)
            finally:
                self.gate.bodies.release()
        self.close_connection = last
        self.answer(200)

    def _accept(self, kind: str, name: str, length: int, last: bool) -> None:
        digest = hashlib.sha256()
        with BytesIO() if length <= IN_MEMORY else tempfile.TemporaryFile() as sink:
            self._receive(length, digest.update, sink)
            # The body is here: from now on the connection may live, whatever becomes of the object.
            self.close_connection = last
            content: bytes | IO[bytes] = sink.getvalue() if isinstance(sink, BytesIO) else sink
            self.gate.session.accept(kind, name, Received(digest.hexdigest(), length, content))

    def _receive(self, length: int, digest: Callable[[bytes], None], sink: IO[bytes]) -> None:
        clock = self.gate.clock
        deadline = clock() + GRACE_SECONDS + length / SLOWEST
        left = length
        self.connection.settimeout(STALLED_SECONDS)
        try:
            while left:
                piece = self.rfile.read1(min(CHUNK, left)) if clock() < deadline else b""
                if not piece:
                    raise Refusal(408, "the body does not come")
                digest(piece)
                sink.write(piece)
                left -= len(piece)
                self.gate.last = clock()
        except TimeoutError:
            raise Refusal(408, "the body does not come") from None
        finally:
            self.connection.settimeout(IDLE_SECONDS)
        sink.seek(0)

    def _delete(self) -> None:
        self.gate.session.delete(*self._object())
        self.answer(200)

    def _object(self) -> tuple[str, str]:
        match = OBJECT.fullmatch(self.path)
        if match is None:
            raise Refusal(400, "this is no path of a repository")
        return (match[1], "") if match[1] else (match[2], match[3])
