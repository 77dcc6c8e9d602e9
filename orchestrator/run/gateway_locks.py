"""The locks of a repository as one session of the gateway sees them: its own, and those of others that are alive."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator.run.gateway_store import Item, Shelf

# restic refreshes a lock every five minutes, and calls one stale that is half an hour old. So do we, but by the
# store's clock: what a lock says of its own time is what its maker wants others to believe.
STALE_AFTER = 1800.0
# As many as may be alive at once, and as many as there may ever be: one for every five minutes of three days.
ALIVE = 8
EVER = 1000


class Locks:
    """The locks of one session. They lie in the store like all others, so that a prune by hand sees them as well."""

    def __init__(self, shelf: Shelf, *, largest: int, is_lock: Callable[[bytes], bool]) -> None:
        self._shelf, self._largest, self._is_lock = shelf, largest, is_lock
        self._mutex = threading.Lock()
        self._own: dict[str, bytes] = {}
        self._released: set[str] = set()
        self._others: dict[str, bytes | None] = {}
        self._made = 0
        self._over = False
        self.stale: list[str] = []

    @property
    def held(self) -> bool:
        """Whether restic holds a lock just now."""
        return len(self._own) > len(self._released)

    @property
    def room(self) -> bool:
        """Whether the session may make another one."""
        return len(self._own) - len(self._released) < ALIVE and self._made < EVER

    def seen(self) -> dict[str, bytes]:
        """Return what the host sees. Locks that are stale are removed on the way: no host could do that for us."""
        with self._mutex:
            for item in list(self._shelf.items("locks")):
                if item.name in self._own:
                    continue
                if item.age > STALE_AFTER:
                    self._shelf.remove("locks", item.name)
                    self._others.pop(item.name, None)
                    self.stale.append(item.name)
                elif item.name not in self._others:
                    self._others[item.name] = self._read(item)
            others = {name: body for name, body in self._others.items() if body is not None}
            return {**others, **{name: body for name, body in self._own.items() if name not in self._released}}

    def body(self, name: str) -> bytes | None:
        """Return a lock that seen() has shown."""
        with self._mutex:
            return None if name in self._released else self._own.get(name) or self._others.get(name)

    def add(self, name: str, body: bytes) -> None:
        """Put a lock into the store."""
        with self._mutex:
            if self._over:
                return
            # Until the store has answered it counts as one to be removed: it may be there though the answer got lost.
            self._own[name] = body
            self._released.add(name)
            self._made += 1
            self._shelf.write("locks", name, body, name)
            self._released.discard(name)
            for released in list(self._released):
                self._drop(released)

    def release(self, name: str) -> bool:
        """Let go of an own lock; False for every other.

        The last one stays in the store up to the end of the session: a prune between the end of restic and the
        confirmation of its snapshot would take away what the snapshot is made of.
        """
        with self._mutex:
            if name not in self._own or name in self._released:
                return False
            self._released.add(name)
            if self.held:
                self._drop(name)
            return True

    def still_there(self) -> bool:
        """Ask the store whether the session's lock has been there all the time, for nobody to break it unseen."""
        with self._mutex:
            return any(self._shelf.size("locks", name) is not None for name in self._own)

    def end(self) -> None:
        """Remove all locks of this session."""
        with self._mutex:
            self._over = True
            for name in list(self._own):
                self._drop(name)

    def _read(self, item: Item) -> bytes | None:
        """Return somebody else's lock, or None for what restic did not make: 0.14 does not survive some of that."""
        body = self._shelf.read("locks", item.name) if item.size <= self._largest else None
        return body if body is not None and self._is_lock(body) else None

    def _drop(self, name: str) -> None:
        self._shelf.remove("locks", name)
        self._own.pop(name, None)
        self._released.discard(name)
