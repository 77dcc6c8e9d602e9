"""The gateway for packages: for the time of one run, a host gets the packages that it has chosen through the controller.

    python -m orchestrator.run.package_gateway <terms-and-way.jsonl

It gives and takes nothing: packages of the client's own store, by their SHA-256, and releases of WordPress.org, by the path
that they have there. And it answers which releases there are, from what WordPress.org has said to this controller. Begun and ended like the gateway to the store (gateway.py), with a secret that is worth nothing afterwards.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.run.artefacts import package_key
from orchestrator.run.bucket import Bucket, Keys
from orchestrator.run.gateway import GatewayError, begin_watch, read_way, watched
from orchestrator.run.gateway_forward import HOST_ADDRESS, Forward, ForwardError
from orchestrator.run.gateway_http import BINARY, CHUNK, STRANGER_SECONDS, USER, QuietHandler, SocketServer
from orchestrator.run.host_code import packages
from orchestrator.run.package_cache import Kept, PackageCache
from orchestrator.run.package_store import STORE, PackageStore
from orchestrator.run.publisher import NotReached
from orchestrator.run.release_catalogue import NotUnderstood, ReleaseCatalogue, read_question

ARTEFACT = re.compile(r"/artefact/([0-9a-f]{64})")
WORDPRESS_ORG = "/wordpress.org/"
CATALOGUE = re.compile(r"/catalogue/(core|plugins|themes|translations)")
LENGTH = re.compile(r"[0-9]{1,7}")
LARGEST_QUESTION = 1024 * 1024
# A run asks four.
MOST_QUESTIONS = 12
# A rehearsal asks for its packages at the beginning; what comes after it needs none.
IDLE_SECONDS = 1800.0
LOOK_SECONDS = 5.0
# More than any site has on offer at once.
MOST_REQUESTS = 500


class PackageGateway:
    """A running gateway. `artefacts` are the SHA-256 that this client's index names: no other object is ever read."""

    def __init__(
        self,
        bucket: Bucket,
        client: str,
        artefacts: frozenset[str],
        cache: PackageCache | None,
        catalogue: ReleaseCatalogue | None = None,
        store: PackageStore | None = None,
    ) -> None:
        self.bucket, self.client, self.artefacts = bucket, client, artefacts
        self.cache, self.catalogue, self.store = cache, catalogue, store
        # A short path: that of a socket may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="upkeep-packages-"))
        self.secret = secrets.token_urlsafe(32)
        self.last, self.requests, self.questions = time.monotonic(), 0, 0
        self.forward: Forward | None = None
        self._credentials = "Basic " + base64.b64encode(f"{USER}:{self.secret}".encode()).decode()
        self._over = threading.Event()
        self._server = SocketServer(self.socket, type("HandlerOfOne", (PackageHandler,), {"gateway": self}))

    @property
    def socket(self) -> Path:
        """Where the host is answered."""
        return self.folder / "packages"

    def url(self, port: int) -> str:
        """Return what the host is told, secret included."""
        return f"http://{USER}:{self.secret}@{HOST_ADDRESS}:{port}/"

    def admits(self, credentials: str) -> bool:
        """Tell whether somebody was given the secret, and has not asked for more than a run could need."""
        if not hmac.compare_digest(credentials.encode(), self._credentials.encode()):
            return False
        self.requests += 1
        return self.requests <= MOST_REQUESTS

    def stop(self) -> None:
        """Ask it to end."""
        self._over.set()

    def wait(self) -> None:
        """Return when it is to end."""
        while not self._over.wait(LOOK_SECONDS) and time.monotonic() - self.last < IDLE_SECONDS:
            pass

    def end(self) -> None:
        """Let go of everything."""
        self._server.close()
        if self.forward is not None:
            self.forward.close()
        if self.store is not None:
            self.store.close()
        self.bucket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class PackageHandler(QuietHandler):
    """One connection of a host, or of somebody on it."""

    gateway: PackageGateway
    timeout = STRANGER_SECONDS

    def do_GET(self) -> None:
        """Send a package."""
        self._guarded(self._get)

    def do_POST(self) -> None:
        """Say which releases there are."""
        self._guarded(self._post)

    def _guarded(self, serve: Callable[[], None]) -> None:
        # One question for each connection: others on the host can open some as well.
        self.close_connection = True
        gateway = self.gateway
        if not gateway.admits(self.headers.get("Authorization", "")):
            self.answer(401, b"this is not for you")
            return
        gateway.last = time.monotonic()
        try:
            serve()
        except (NotReached, Refused) as error:
            self.answer(502, str(error).encode()[:500])
        except (packages.PackageError, NotUnderstood) as error:
            self.answer(409, str(error).encode()[:500])

    def _get(self) -> None:
        gateway = self.gateway
        # A host may read slowly; a stranger may not stay.
        self.connection.settimeout(IDLE_SECONDS)
        if found := ARTEFACT.fullmatch(self.path):
            self._artefact(found[1])
        elif self.path.startswith(WORDPRESS_ORG) and gateway.cache is not None:
            self._release(gateway.cache, self.path.removeprefix(WORDPRESS_ORG))
        else:
            self.answer(404, b"there is no such package here")

    def _post(self) -> None:
        gateway, found = self.gateway, CATALOGUE.fullmatch(self.path)
        length = self.headers.get("Content-Length", "")
        if found is None or gateway.catalogue is None:
            self.answer(404, b"that is not known here")
            return
        gateway.questions += 1
        if gateway.questions > MOST_QUESTIONS:
            raise NotUnderstood("so much is not asked in one run")
        whole = LENGTH.fullmatch(length) is not None and not self.headers.get("Transfer-Encoding")
        if not whole or int(length) > LARGEST_QUESTION:
            raise NotUnderstood("say first how long it is")
        try:
            body = self.rfile.read(int(length))
        except OSError:
            raise NotUnderstood("the question does not come") from None
        self.connection.settimeout(IDLE_SECONDS)
        try:
            told = gateway.catalogue.answer(read_question(found[1], body))
        except OSError as error:
            # No room here, say.
            raise NotReached(str(error)) from None
        self.answer(200, json.dumps(told).encode(), "application/json")

    def _artefact(self, sha256: str) -> None:
        if sha256 not in self.gateway.artefacts:
            self.answer(404, b"the client's store does not name this package")
            return
        said = self.gateway.bucket.ask("get_object", Key=package_key(self.gateway.client, sha256))
        if not said.ok:
            self.answer(404, f"the client's store names this package and does not give it: {said.words}".encode())
            return
        with said.value["Body"] as body:
            self._send(body, int(said.value["ContentLength"]), {"sha256": sha256})

    def _release(self, cache: PackageCache, path: str) -> None:
        store = self.gateway.store
        try:
            kept = _from(cache, store, path)
            body = cache.file(kept).open("rb")
        except OSError as error:
            # No room here, say.
            raise NotReached(str(error)) from None
        if store is not None:
            # That goes on beside: the host is not kept waiting.
            store.keep(kept)
        origin = "store" if kept.source == STORE else "controller"
        with body:
            self._send(body, kept.bytes, {"sha256": kept.sha256, "checked": kept.checked, "origin": origin})

    def _send(self, body: IO[bytes], size: int, told: Mapping[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", BINARY)
        self.send_header("Content-Length", str(size))
        self.send_header("X-Upkeep-Package", json.dumps(told))
        self.send_header("Connection", "close")
        self.end_headers()
        # Whatever breaks off from here on breaks the connection, and the host sees that too little came.
        while piece := body.read(CHUNK):
            self.wfile.write(piece)
        self.gateway.last = time.monotonic()


def _from(cache: PackageCache, store: PackageStore | None, path: str) -> Kept:
    """Return a release: what lies here, in the client's store, or at WordPress.org. Raises NotReached and PackageError."""
    kept = cache.known(path)
    if kept is None and store is not None:
        kept = store.recent(path)
    try:
        return kept or cache.get(path)
    except NotReached:
        # Withdrawn, or the way there is broken.
        old = store.any(path) if store is not None else None
        if old is None:
            raise
        return old


def made(given: Mapping[str, Any]) -> PackageGateway:
    """Build a gateway from what was handed in. Raises GatewayError."""
    try:
        store, source = dict(given["store"]), dict(given["wordpress_org"])
        cache = catalogue = kept = None
        if source:
            cache = PackageCache(Path(given["cache"]), source["downloads"], source["api"])
            cache.sweep()
            catalogue = ReleaseCatalogue(Path(given["cache"]), source["api"], float(given["catalogue_minutes"]))
        place = Store(store["endpoint"], store["bucket"], store["region"])
        client, keys = str(given["client"]), Keys(given["access_key"], given["secret_key"])
        bucket = Bucket(place, keys)
        if cache is not None and keys.access and keys.secret:
            kept = PackageStore(bucket, client, Path(given["cache"]))
        return PackageGateway(bucket, client, frozenset(given["artefacts"]), cache, catalogue, kept)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise GatewayError(f"the gateway for packages cannot begin: {error}") from None


def main() -> int:
    """Begin, say how it is reached, and stay until the end."""
    given = json.loads(sys.stdin.readline())
    gateway = None
    try:
        process = watched(given)
        gateway = made(given)
        way = read_way()
        gateway.forward = Forward(way["ssh"], way["host"], gateway.socket)
        port = gateway.forward.open()
    except (GatewayError, ForwardError) as error:
        if gateway is not None:
            gateway.end()
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    begin_watch(gateway, process)
    print(json.dumps({"url": gateway.url(port)}), flush=True)
    # Whoever started this waits for the end of its output.
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    try:
        gateway.wait()
    finally:
        gateway.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
