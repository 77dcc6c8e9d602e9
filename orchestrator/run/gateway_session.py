"""What one session of the gateway lets a host do with its site's repository, and what it did.

A session belongs to one run of one site. It may add packs and indexes to the repository, and lock it for others to
see; it can change and remove nothing. Its snapshots are kept here until the controller confirms one of them: what a
thief makes up never becomes a part of the repository.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from orchestrator.run import restic_objects as objects
from orchestrator.run.gateway_door import GatewayError
from orchestrator.run.gateway_keys import LARGEST, SessionKeys
from orchestrator.run.gateway_locks import Locks
from orchestrator.run.gateway_store import Item, Reading, Shelf, StoreError, sliced
from orchestrator.run.restic_objects import OVERHEAD, Key, Malformed

KINDS = ("data", "index", "keys", "locks", "snapshots")
MIB = 1 << 20
# The largest pack that restic can be told to make is 128 MiB, and it ends with the blob that does not fit any more.
LIMITS = {"data": 160 * MIB, "index": 32 * MIB, "snapshots": MIB, "locks": 16384, "keys": LARGEST, "config": 4096}
PENDING_SNAPSHOTS = 16
# A backup makes few packs that are small. Without a bound a thief could fill the bucket with objects of a few bytes.
SMALL_PACKS = 4096
NOTED = 50


class Refusal(Exception):
    """The host may not have what it asked for. `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class SessionError(GatewayError):
    """The controller cannot have what it asked for; the message says why."""


@dataclass(frozen=True)
class Terms:
    """What was agreed for a session."""

    # "write" for a snapshot; "read" for a restore, which may lock and nothing else.
    mode: str
    # The restore point that is being taken. Its snapshot must carry this name.
    point: str = ""
    # The snapshots that the host is shown; without them, the one of the newest manifest.
    show: tuple[str, ...] = ()
    # How many bytes of packs the session may add.
    budget: int = 1 << 40
    # Whether a session for writing makes the bucket where there is none.
    make_bucket: bool = False

    @property
    def tag(self) -> str:
        """The tag that the snapshot of this restore point carries."""
        return f"point={self.point}"


@dataclass(frozen=True)
class Received:
    """A body that has arrived whole, with its own hash."""

    sha256: str
    size: int
    content: bytes | IO[bytes]

    @property
    def whole(self) -> bytes:
        """The content of an object that is small by its kind."""
        assert isinstance(self.content, bytes)  # noqa: S101  # only packs can be larger than what memory takes
        return self.content


class Session:
    """One run's view of one repository."""

    def __init__(
        self,
        shelf: Shelf,
        terms: Terms,
        password: str,
        now: Callable[[], datetime],
        lacking: Callable[[Key, str], str] = lambda _key, _tree: "",
    ) -> None:
        """Begin nothing yet. `lacking` says what of the snapshot with a tree the store has not, "" when it has all."""
        self.shelf, self._terms, self._now, self._lacking = shelf, terms, now, lacking
        self.keys = SessionKeys(shelf, password, now)
        self._state = threading.RLock()
        # One object at a time is unpacked: an index of 8 MB is some 100 MB of Python while it is looked at.
        self._judging = threading.Lock()
        self._config: bytes | None = None
        self._shown: dict[str, bytes] = {}
        self._pending: dict[str, bytes] = {}
        self.confirmed = ""
        self._locks = Locks(shelf, largest=LIMITS["locks"], is_lock=self._is_lock)
        self._arriving: set[tuple[str, str]] = set()
        # What has been taken in, and what the store may have although its answer got lost: restic sends both again.
        self._accepted: set[tuple[str, str]] = set()
        self._uncertain: set[tuple[str, str]] = set()
        self._packs: dict[str, int] = {}
        self._indexes: dict[str, int] = {}
        self._bytes = 0
        self._over = False
        self._damaged: set[str] = set()
        self._refused = 0
        self._refusals: deque[str] = deque(maxlen=NOTED)

    def begin(self) -> None:
        """Look at the repository. Raises SessionError when nothing could come of this session, and StoreError."""
        if self._terms.mode == "write" and self._terms.make_bucket:
            self.shelf.make_bucket()
        self._config = self.shelf.read("config")
        if self._config is None:
            if self._terms.mode == "read":
                raise SessionError("there is no repository")
            return
        key = self.keys.open()
        if key is None:
            raise SessionError("the password in the vault opens no key of the repository")
        try:
            objects.check_config(key.value(self._config))
        except Malformed as error:
            raise SessionError(f"the repository's configuration is damaged: {error}") from None
        for name in self._terms.show or filter(None, [self.shelf.newest_snapshot()]):
            body = self.shelf.read("snapshots", name)
            if body is None or hashlib.sha256(body).hexdigest() != name:
                self._damaged.add(f"snapshots/{name}")
            else:
                self._shown[name] = body

    # ---- reading -----------------------------------------------------------------------------------------------------

    def listing(self, kind: str) -> list[Item]:
        """Return what the host sees of one kind."""
        self._awake()
        with self._state:
            if kind == "keys":
                return [Item(name, len(body), 0) for name, body in self.keys.shown.items()]
            if kind == "snapshots":
                return [Item(name, len(body), 0) for name, body in {**self._shown, **self._pending}.items()]
        if kind == "locks":
            return [Item(name, len(body), 0) for name, body in self._locks.seen().items()]
        return [item for item in self.shelf.items(kind) if item.size > OVERHEAD or kind == "data"]

    def size(self, kind: str, name: str) -> int | None:
        """Return the size of an object, or None when the host sees none."""
        self._awake()
        kept = self._kept(kind, name)
        if kept is not None:
            return len(kept)
        return self.shelf.size(kind, name) if kind in ("data", "index") else None

    def open(self, kind: str, name: str, part: tuple[int, int | None] | None) -> Reading:
        """Begin to read an object, or the bytes from `part[0]` up to and with `part[1]` of it."""
        self._awake()
        kept = self._kept(kind, name)
        if kept is None and kind == "index":
            kept = self._whole(kind, name)
        if kept is not None:
            if (slice_of := sliced(kept, part)) is None:
                raise Refusal(416, "there are not so many bytes")
            return slice_of
        wanted = "" if part is None else f"bytes={part[0]}-{'' if part[1] is None else part[1]}"
        reading = self.shelf.open(kind, name, wanted) if kind == "data" else None
        if reading is None:
            raise Refusal(404, "there is no such object")
        return reading

    # ---- writing -----------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Answer `restic init`, which makes folders where there are folders."""
        self._awake()
        if self._config is not None or self._terms.mode != "write":
            raise self._no(403, "init", "there is a repository already")

    def admit(self, kind: str, name: str, size: int) -> None:
        """Say before its body is read whether an object may come in. Raises Refusal."""
        self._awake()
        label = f"{kind}/{name[:8]}"
        if self._terms.mode != "write" and kind != "locks":
            raise self._no(403, label, "this session is for reading")
        if size > LIMITS[kind]:
            raise self._no(413, label, f"{size} bytes are more than restic makes")
        if size <= (0 if kind == "config" else OVERHEAD):
            raise self._no(400, label, "it is too short for anything that restic makes")
        if (kind, name) in self._accepted:
            return
        with self._state:
            self._admit_now(kind, label, size)
        known = self._kept(kind, name) is not None
        in_store = kind in ("data", "index", "config") and (kind, name) not in self._uncertain
        if known or (in_store and self.shelf.size(kind, name) is not None):
            raise self._no(403, label, "it is there already, and nothing is written over")

    def accept(self, kind: str, name: str, body: Received) -> None:
        """Take in an object whose body is here. Raises Refusal, and then nothing was stored."""
        label = f"{kind}/{name[:8]}"
        if kind != "config" and body.sha256 != name:
            raise self._no(400, label, "its content is not what its name says")
        if (kind, name) in self._accepted:
            return
        # One key only: a second one that arrives at the same time would be another repository.
        slot = (kind, "" if kind == "keys" else name)
        with self._state:
            if slot in self._arriving:
                raise self._no(409, label, "it is just arriving by another way")
            self._admit_now(kind, label, body.size)
            self._arriving.add(slot)
        try:
            self._judge(kind, body)
            self._awake()
            self._store(kind, name, body)
        except Malformed as error:
            raise self._no(400, label, str(error)) from None
        except StoreError:
            self._uncertain.add((kind, name))
            raise
        finally:
            with self._state:
                self._arriving.discard(slot)

    def delete(self, kind: str, name: str) -> None:
        """Remove a lock or an unconfirmed snapshot of this very session. Raises Refusal for everything else."""
        self._awake()
        with self._state:
            if kind == "snapshots" and name in self._pending and not self.confirmed:
                del self._pending[name]
                self._accepted.discard((kind, name))
                return
        if kind != "locks" or not self._locks.release(name):
            raise self._no(403, f"{kind}/{name[:8]}", "a host removes nothing but its own locks")

    # ---- what the controller asks for --------------------------------------------------------------------------------

    def confirm(self, snapshot: str) -> dict[str, Any]:
        """Put a snapshot of this session into the repository; all others are forgotten. Returns what it claims."""
        with self._state:
            body = self._pending.get(snapshot)
            if self._over or body is None or self.keys.key is None:
                raise SessionError(f"this session was not given a snapshot {snapshot[:8]!r}")
            if not self._locks.still_there():
                raise SessionError("somebody removed the lock of this session: what it stored may have been pruned")
            value = self.keys.key.value(body)
            if lost := self._lacking(self.keys.key, str(value.get("tree"))):
                raise SessionError(f"{lost}. Type: upkeep verify {self.shelf.prefix.partition('/')[0]} --heal")
            self.shelf.write("snapshots", snapshot, body, snapshot)
            if self.shelf.read("snapshots", snapshot) != body:
                raise SessionError("the store gives back another snapshot than it was given")
            self.confirmed = snapshot
        claimed = objects.moment(value)
        return {
            "snapshot": snapshot,
            "tags": value.get("tags") or [],
            "time": value["time"],
            # How far the host's clock is off, as far as anybody can believe a host. Nothing is decided by it.
            "clock_off": round((claimed - self._now()).total_seconds()),
        }

    def end(self) -> None:
        """Let nothing in or out any more, and remove this session's locks."""
        self._over = True
        self._locks.end()

    def report(self) -> dict[str, Any]:
        """Say what the session added, and what was refused."""
        with self._state:
            sizes = {name: len(body) for name, body in self._pending.items()}
            return {
                "mode": self._terms.mode,
                "point": self._terms.point,
                "confirmed": self.confirmed,
                "added": {"data": dict(self._packs), "index": dict(self._indexes), "snapshots": sizes},
                "bytes": self._bytes,
                "refused": self._refused,
                "refusals": list(self._refusals),
                "damaged": sorted(self._damaged),
                "stale_locks": list(self._locks.stale),
            }

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _admit_now(self, kind: str, label: str, size: int) -> None:
        if kind in ("keys", "config"):
            if (
                self._config is not None
                or (kind == "keys" and self.keys.shown)
                or (kind == "config" and not self.keys.key)
            ):
                raise self._no(403, label, "there is a repository already")
            return
        if self.keys.key is None or self._config is None:
            raise self._no(403, label, "there is no repository yet")
        if kind == "locks":
            if not self._locks.room:
                raise self._no(403, label, "this session holds enough locks")
            return
        if not self._locks.held or self.confirmed:
            raise self._no(403, label, "the repository must be locked before anything is added")
        if kind == "data" and (
            self._bytes + size > self._terms.budget or len(self._packs) > SMALL_PACKS + self._bytes // MIB
        ):
            raise self._no(403, label, "this session has added as much as it may")
        if kind == "index" and len(self._indexes) > len(self._packs):
            raise self._no(403, label, "there are more indexes than packs")
        if kind == "snapshots" and len(self._pending) >= PENDING_SNAPSHOTS:
            raise self._no(403, label, "this session has made enough snapshots")

    def _judge(self, kind: str, body: Received) -> None:
        """Raise Malformed for what restic would not have made, or what would be in the way of others."""
        if kind == "data":
            # Only its hash can be said of a pack without unpacking it; garbage that no index lists harms nobody.
            return
        with self._judging:
            if kind == "keys":
                self.keys.judge(body.whole)
                return
            assert self.keys.key is not None  # noqa: S101  # admit() has seen to it
            value = self.keys.key.value(body.whole)
            if kind == "config":
                objects.check_config(value)
            elif kind == "index":
                objects.check_index(value, self._packs)
            elif kind == "locks":
                objects.check_lock(value)
            else:
                objects.check_snapshot(value, self._terms.tag)

    def _store(self, kind: str, name: str, body: Received) -> None:
        if kind == "keys":
            self.keys.keep(name, body.whole)
        elif kind == "locks":
            self._locks.add(name, body.whole)
        elif kind != "snapshots":
            self.shelf.write(kind, name, body.content, body.sha256)
        with self._state:
            if kind not in ("config", "locks"):
                self._accepted.add((kind, name))
            if kind == "data":
                self._packs[name] = body.size
                self._bytes += body.size
            elif kind == "index":
                self._indexes[name] = body.size
            elif kind == "snapshots":
                self._pending[name] = body.whole
            elif kind == "config":
                self._config = body.whole

    def _kept(self, kind: str, name: str) -> bytes | None:
        """Return an object that is known here, and so need not be asked of the store."""
        with self._state:
            if kind == "config":
                return self._config
            if kind == "keys":
                return self.keys.shown.get(name)
            if kind == "snapshots":
                return self._pending.get(name) or self._shown.get(name)
        return self._locks.body(name) if kind == "locks" else None

    def _whole(self, kind: str, name: str) -> bytes | None:
        body = self.shelf.read(kind, name)
        if body is not None and hashlib.sha256(body).hexdigest() != name:
            self._damaged.add(f"{kind}/{name}")
            raise self._no(502, f"{kind}/{name[:8]}", "the store holds something else under this name: it is damaged")
        return body

    def _is_lock(self, body: bytes) -> bool:
        try:
            if self.keys.key is not None:
                self.keys.key.value(body)
                return True
        except Malformed:
            pass
        return False

    def _awake(self) -> None:
        if self._over:
            raise Refusal(503, "the session is over")

    def _no(self, status: int, label: str, reason: str) -> Refusal:
        with self._state:
            self._refused += 1
            self._refusals.append(f"{label}: {reason}")
        return Refusal(status, reason)
