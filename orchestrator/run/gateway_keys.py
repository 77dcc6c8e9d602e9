"""The key of a repository, and how a session's host comes to it: by a password that is worth nothing afterwards.

The repository's own password stays on the controller. The host is shown one key file, which was made for this session and
lies in no store. That also saves it restic's scrypt, half a second and 32 MiB a call: a password by chance needs no such thing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime

from orchestrator.run.gateway_store import Shelf
from orchestrator.run.passwords import is_by_chance
from orchestrator.run.restic_objects import Key, Malformed, key_file, key_of

LARGEST = 16384
TRIED = 16
# The least that restic takes, for a password that is 256 bits by chance: a session's, and the repository's where `upkeep init`
# made it.
COST_OF_CHANCE = 16
# 32 MiB in each of three lanes, of the settings that OWASP's cheat sheet on storing passwords holds to be equally good. restic's own
# calibration finds as much memory, and as many lanes as half a second allows.
COST, LANES = 32768, 3


class SessionKeys:
    """The master key, once it is known, and the key file that this session's host sees."""

    def __init__(self, shelf: Shelf, password: str, now: Callable[[], datetime]) -> None:
        """Begin without a key. `password` is the repository's."""
        self._shelf, self._password, self._now = shelf, password, now
        self.password = secrets.token_urlsafe(32)
        self.key: Key | None = None
        self.shown: dict[str, bytes] = {}

    def open(self) -> Key | None:
        """Return the key that the repository's password opens; None when it opens none."""
        tried = 0
        for item in self._shelf.items("keys"):
            body = self._shelf.read("keys", item.name) if item.size <= LARGEST and tried < TRIED else None
            tried += 1
            try:
                self.key = None if body is None else key_of(body, self._password)
            except Malformed:
                continue
            if self.key is not None:
                shown = key_file(self.key, self.password, cost=COST_OF_CHANCE, lanes=1, created=self._now())
                self.shown = {hashlib.sha256(shown).hexdigest(): shown}
                return self.key
        return None

    def judge(self, body: bytes) -> None:
        """Take the key of a repository that the host is making. Raises Malformed unless the session's password opens it."""
        key = key_of(body, self.password)
        if key is None:
            raise Malformed("the password of this session does not open it")
        self.key = key

    def keep(self, name: str, body: bytes) -> None:
        """Write the key that was judged into the repository, for the repository's password. The host sees its own file."""
        assert self.key is not None  # noqa: S101  # it was judged
        # Keys without a repository are what an init left behind that was cut off. They would be tried first.
        for item in list(self._shelf.items("keys")):
            self._shelf.remove("keys", item.name)
        cost, lanes = (COST_OF_CHANCE, 1) if is_by_chance(self._password) else (COST, LANES)
        kept = key_file(self.key, self._password, cost=cost, lanes=lanes, created=self._now())
        sha256 = hashlib.sha256(kept).hexdigest()
        self._shelf.write("keys", sha256, kept, sha256)
        self.shown = {name: body}
