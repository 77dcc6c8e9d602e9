"""Releases of WordPress.org in the client's own store: `<client>/artefacts/wordpress.org/plugin/forms.2.1/<sha256>.zip`.

They are put there after they were fetched and checked, so that another controller need not fetch them, and that one which the
publisher has withdrawn can still be had. Only hosts of this client are given what lies there, and no host can write there
(docs/store.md): what one client's store says counts for no other client.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from orchestrator.errors import Refused
from orchestrator.run.artefacts import send
from orchestrator.run.bucket import Bucket
from orchestrator.run.package_cache import KEEP_SECONDS, Kept

# After so long a release goes; one that is still being fetched is put in anew.
STORED_DAYS = 180
# So long the end of a run's gateway waits for what is still on its way to the store.
LAST_SECONDS = 300.0
PACKAGE = re.compile(r"(?P<path>.+)/(?P<sha256>[0-9a-f]{64})\.zip")
# What Kept calls the source of such a package.
STORE = "store"


@dataclass(frozen=True)
class Stored:
    """A release in a client's store, by its path at WordPress.org, and since when it lies there by the store's clock."""

    path: str
    sha256: str
    bytes: int
    since: datetime

    def json(self) -> dict[str, Any]:
        """Return all fields."""
        return {**asdict(self), "since": self.since.isoformat(timespec="seconds")}


def stored(bucket: Bucket, client: str, path: str = "") -> list[Stored]:
    """Return the releases of WordPress.org in a client's store, oldest first; with a path, only that one. Raises Refused."""
    prefix = _prefix(client)
    below = prefix + (path.removesuffix(".zip") + "/" if path else "")
    found = [
        Stored(f"{named['path']}.zip", named["sha256"], int(entry["Size"]), entry["LastModified"])
        for entry in bucket.entries_below(below)
        if (named := PACKAGE.fullmatch(str(entry["Key"]).removeprefix(prefix)))
    ]
    return sorted(found, key=lambda each: (each.since, each.path, each.sha256))


class PackageStore:
    """The releases that lie in the client's store. `folder` is that of the controller in which packages lie by their SHA-256."""

    def __init__(self, bucket: Bucket, client: str, folder: Path) -> None:
        self._bucket, self._client, self._folder = bucket, client, folder
        # A store that fails is asked once in a run: nobody waits for it twice.
        self._failed = False
        self._wanted: SimpleQueue[Kept | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._one = threading.Lock()

    def recent(self, path: str) -> Kept | None:
        """Return the release of that path if it was put into the store in the days for which a release counts as known."""
        return self._found(path, KEEP_SECONDS)

    def any(self, path: str) -> Kept | None:
        """Return the release of that path however long it has been lying there."""
        return self._found(path, None)

    def keep(self, kept: Kept) -> None:
        """Have a package that was fetched put into the store. Returns at once."""
        if kept.source == STORE:
            return
        with self._one:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
        self._wanted.put(kept)

    def close(self) -> None:
        """Return when everything is in the store, or after some minutes."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join(LAST_SECONDS)

    def _found(self, path: str, seconds: float | None) -> Kept | None:
        """Return the package that was put in last, its bytes here and held against its SHA-256."""
        if self._failed:
            return None
        try:
            found = stored(self._bucket, self._client, path)
            if not found:
                return None
            last = found[-1]
            if seconds is not None and self._bucket.clock() - last.since > timedelta(seconds=seconds):
                return None
            since = last.since.date().isoformat()
            kept = Kept(STORE, path, last.sha256, last.bytes, f"its SHA-256, in the client's store since {since}")
            return kept if self._fetched(kept) else None
        except (Refused, OSError):
            self._failed = True
            return None

    def _fetched(self, kept: Kept) -> bool:
        place = self._folder / f"{kept.sha256}.zip"
        if place.is_file():
            with place.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == kept.sha256:
                    return True
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            coming = Path(folder) / "package.zip"
            if self._bucket.fetch(_key(self._client, kept.path, kept.sha256), coming) != kept.sha256:
                return False
            coming.replace(place)
        return True

    def _work(self) -> None:
        """Put in what is wanted, one after the other. What cannot be stored is fetched again another time: no run waits for it."""
        stored = False
        while (kept := self._wanted.get()) is not None:
            try:
                stored = self._put(kept) or stored
            except (Refused, OSError):
                continue
        if stored:
            self._sweep()

    def _put(self, kept: Kept) -> bool:
        key = _key(self._client, kept.path, kept.sha256)
        if self._bucket.ask("head_object", Key=key).ok:
            return False
        send(self._bucket, key, self._folder / f"{kept.sha256}.zip", kept.sha256, kept.bytes)
        return True

    def _sweep(self) -> None:
        """Remove what is too old, by the store's own clock. What it locks stays as an old version until the lock ends."""
        try:
            oldest = self._bucket.clock() - timedelta(days=STORED_DAYS)
            for each in stored(self._bucket, self._client):
                if each.since < oldest:
                    self._bucket.ask("delete_object", Key=_key(self._client, each.path, each.sha256))
        except Refused:
            return


def _prefix(client: str) -> str:
    return f"{client}/artefacts/wordpress.org/"


def _key(client: str, path: str, sha256: str) -> str:
    return f"{_prefix(client)}{path.removesuffix('.zip')}/{sha256}.zip"
