"""A session for packages: for the time of one run, a host gets the packages that it has chosen through the controller.

It gives and takes nothing: packages of the client's own store, by their SHA-256, and releases of WordPress.org, by the path
that they have there. And it answers which releases there are, from what WordPress.org has said to this controller.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.run.artefacts import Artefact, package_key, read_index
from orchestrator.run.bucket import Bucket, Keys
from orchestrator.run.gateway_door import Door, GatewayError
from orchestrator.run.gateway_forward import HOST_ADDRESS
from orchestrator.run.gateway_server import BINARY, CHUNK, STRANGER_SECONDS, USER, QuietHandler
from orchestrator.run.host_code import packages
from orchestrator.run.package_cache import Kept, PackageCache
from orchestrator.run.package_store import STORE, PackageStore
from orchestrator.run.publisher import NotReached
from orchestrator.run.release_catalogue import NotUnderstood, ReleaseCatalogue, read_question

TOLD = ("kind", "slug", "file", "version", "sha256")
ARTEFACT = re.compile(r"/artefact/([0-9a-f]{64})")
WORDPRESS_ORG = "/wordpress.org/"
CATALOGUE = re.compile(r"/catalogue/(core|plugins|themes|translations)")
LENGTH = re.compile(r"[0-9]{1,7}")
LARGEST_QUESTION = 1024 * 1024
# A run asks four.
MOST_QUESTIONS = 12
# A rehearsal asks for its packages at the beginning; what comes after it needs none.
IDLE_SECONDS = 1800.0
# More than any site has on offer at once.
MOST_REQUESTS = 500


@dataclass(frozen=True)
class Source:
    """A client's own packages. Without a key of its store there are none."""

    client: str
    bucket: Bucket | None = None
    artefacts: tuple[Artefact, ...] = ()

    def told(self) -> list[dict[str, str]]:
        """Return what a host has to know of each to choose it."""
        return [{name: getattr(each, name) for name in TOLD} for each in self.artefacts]


class PackageDoor(Door):
    """A session, and the way to it. `artefacts` are what this client's index names: no other object is ever read."""

    def __init__(
        self,
        folder: Path,
        source: Source,
        cache: PackageCache | None = None,
        catalogue: ReleaseCatalogue | None = None,
        store: PackageStore | None = None,
    ) -> None:
        super().__init__(folder, IDLE_SECONDS)
        self.source, self.cache, self.catalogue, self.store = source, cache, catalogue, store
        self.artefacts = frozenset(each.sha256 for each in source.artefacts)
        self.last, self.requests, self.questions = time.monotonic(), 0, 0
        self._credentials = "Basic " + base64.b64encode(f"{USER}:{self.secret}".encode()).decode()
        self._over = False
        self.answer_with(type("HandlerOfOne", (PackageHandler,), {"door": self}))

    def url(self, port: int) -> str:
        """Return what the host is told."""
        return f"http://{USER}:{self.secret}@{HOST_ADDRESS}:{port}/"

    def admits(self, credentials: str) -> bool:
        """Tell whether somebody was given the secret, and has not asked for more than a run could need."""
        if self._over or not hmac.compare_digest(credentials.encode(), self._credentials.encode()):
            return False
        self.requests += 1
        return self.requests <= MOST_REQUESTS

    def last_used(self) -> float:
        """Say when the host last came."""
        return self.last

    def end(self) -> None:
        """Give nothing any more; what is on its way to the store arrives."""
        self._over = True
        if self.store is not None:
            self.store.close()


class PackageHandler(QuietHandler):
    """One connection of a host, or of somebody on it."""

    door: PackageDoor
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
        door = self.door
        if not door.admits(self.headers.get("Authorization", "")):
            self.answer(401, b"this is not for you")
            return
        door.last = time.monotonic()
        try:
            serve()
        except (NotReached, Refused) as error:
            self.answer(502, str(error).encode()[:500])
        except (packages.PackageError, NotUnderstood) as error:
            self.answer(409, str(error).encode()[:500])

    def _get(self) -> None:
        door = self.door
        # A host may read slowly; a stranger may not stay.
        self.connection.settimeout(IDLE_SECONDS)
        if found := ARTEFACT.fullmatch(self.path):
            self._artefact(found[1])
        elif self.path.startswith(WORDPRESS_ORG) and door.cache is not None:
            self._release(door.cache, self.path.removeprefix(WORDPRESS_ORG))
        else:
            self.answer(404, b"there is no such package here")

    def _post(self) -> None:
        door, found = self.door, CATALOGUE.fullmatch(self.path)
        length = self.headers.get("Content-Length", "")
        if found is None or door.catalogue is None:
            self.answer(404, b"that is not known here")
            return
        door.questions += 1
        if door.questions > MOST_QUESTIONS:
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
            told = door.catalogue.answer(read_question(found[1], body))
        except OSError as error:
            # No room here, say.
            raise NotReached(str(error)) from None
        self.answer(200, json.dumps(told).encode(), "application/json")

    def _artefact(self, sha256: str) -> None:
        door, source = self.door, self.door.source
        if sha256 not in door.artefacts or source.bucket is None:
            self.answer(404, b"the client's store does not name this package")
            return
        said = source.bucket.ask("get_object", Key=package_key(source.client, sha256))
        if not said.ok:
            self.answer(404, f"the client's store names this package and does not give it: {said.words}".encode())
            return
        with said.value["Body"] as body:
            self._send(body, int(said.value["ContentLength"]), {"sha256": sha256})

    def _release(self, cache: PackageCache, path: str) -> None:
        store = self.door.store
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
        self.door.last = time.monotonic()


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


def source_of(given: Mapping[str, Any]) -> Source:
    """Read what the client's store has; nothing without a key. Raises Refused when the store does not say."""
    client, store = str(given["client"]), given["store"]
    keys = Keys(given["access_key"], given["secret_key"])
    if not keys.access or not keys.secret:
        return Source(client)
    bucket = Bucket(Store(store["endpoint"], store["bucket"], store["region"]), keys, shared=True)
    return Source(client, bucket, read_index(bucket, client))


def opened_packages(given: Mapping[str, Any], source: Source, folder: Path) -> PackageDoor:
    """Begin a session. Raises GatewayError."""
    try:
        place, kept = dict(given["wordpress_org"]), Path(given["cache"])
        if not place:
            return PackageDoor(folder, source)
        cache = PackageCache(kept, place["downloads"], place["api"])
        cache.sweep()
        catalogue = ReleaseCatalogue(kept, place["api"], float(given["catalogue_minutes"]))
        store = PackageStore(source.bucket, source.client, kept) if source.bucket is not None else None
        return PackageDoor(folder, source, cache, catalogue, store)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise GatewayError(f"the gateway for packages cannot begin: {error}") from None
