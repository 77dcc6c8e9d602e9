"""A visitor who asks for a page ten times a second, and notes what came."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from tests.lab.layout import SITE_NAME

EVERY = 0.1
PATH = "/lab-post-1/"
MARKER = "LAB-1."
PATIENCE = 15.0


@dataclass(frozen=True)
class Look:
    """One request: when it began (seconds on the monotonic clock), how long it took, what came."""

    at: float
    seconds: float
    status: int
    healthy: bool


@dataclass
class Visit:
    """Everything that the visitor saw so far."""

    looks: list[Look] = field(default_factory=list)

    def bad_seconds(self, since: float = 0.0) -> float:
        """Return for how long the visitor saw no healthy page: each request stands for the time until the next one began.

        That is a tenth of a second, except on a machine that is too busy to begin each request in time.
        """
        looks = self._in_order()
        spans = [(look, following.at - look.at) for look, following in pairwise(looks)]
        return round(sum(seconds for look, seconds in spans if not look.healthy and look.at >= since), 3)

    def last_bad(self) -> float:
        """Return when the last bad answer was asked for, 0 when there was none."""
        return max((look.at for look in self.looks if not look.healthy), default=0.0)

    def slowest(self) -> float:
        """Return how long the slowest healthy page took: on a machine that is too busy that says more than the update."""
        return max((look.seconds for look in self.looks if look.healthy), default=PATIENCE)

    def count(self, status: int) -> int:
        """Return how many requests were answered with this status."""
        return sum(look.status == status for look in self.looks)

    def story(self) -> str:
        """Say what came, one after the other, with equal answers counted."""
        kinds = ["200 but not whole" if look.status == 200 and not look.healthy else str(look.status or "no answer")
                 for look in self._in_order()]  # fmt: skip
        return ", ".join(f"{len(list(group))} × {kind}" for kind, group in groupby(kinds))

    def _in_order(self) -> list[Look]:
        return sorted(self.looks, key=lambda look: look.at)


@contextmanager
def visiting(address: str) -> Iterator[Visit]:
    """Poll while the block lasts. A slow answer does not hold up the next request."""
    visit, done = Visit(), threading.Event()

    def poll(pool: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not done.wait(max(0.0, due - time.monotonic())):
            pool.submit(lambda: visit.looks.append(_look(address)))
            # What could not be asked in time is not asked later: it would see another moment than its own.
            due = max(due + EVERY, time.monotonic())

    with ThreadPoolExecutor(max_workers=int(2 * PATIENCE / EVERY)) as pool:
        clock = threading.Thread(target=poll, args=(pool,))
        clock.start()
        try:
            yield visit
        finally:
            done.set()
            clock.join()


def settle(visit: Visit, seconds: float, most: float = 60.0) -> None:
    """Keep visiting until no bad answer has come for some seconds."""
    begin = time.monotonic()
    while time.monotonic() - max(begin, visit.last_bad()) < seconds and time.monotonic() - begin < most:
        time.sleep(EVERY)


def _look(address: str) -> Look:
    at = time.monotonic()
    status, body = 0, ""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", PATH, headers={"Host": SITE_NAME, "User-Agent": "visitor"})
        answer = connection.getresponse()
        status, body = answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    healthy = status == 200 and MARKER in body and "</html>" in body
    return Look(at, time.monotonic() - at, status, healthy)
