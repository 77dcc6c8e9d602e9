"""A visitor who asks for a page ten times a second and notes everything that is not a healthy page."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

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

    address: str
    looks: list[Look] = field(default_factory=list)

    def bad(self, since: float = 0.0) -> list[Look]:
        """Return the requests that did not bring a healthy page."""
        return sorted((look for look in self.looks if not look.healthy and look.at >= since), key=lambda look: look.at)

    def bad_seconds(self, since: float = 0.0) -> float:
        """Return for how long the visitor saw no healthy page: each request stands for a tenth of a second."""
        return round(len(self.bad(since)) * EVERY, 3)

    def count(self, status: int) -> int:
        """Return how many requests were answered with this status."""
        return sum(look.status == status for look in self.looks)

    def seen(self) -> str:
        """Say what came instead of healthy pages."""
        kinds = Counter(
            str(look.status) if look.status != 200 else "200, but not whole" for look in self.looks if not look.healthy
        )
        kinds["no answer"] = kinds.pop("0", 0)
        return ", ".join(f"{number} × {kind}" for kind, number in sorted(kinds.items()) if number) or "nothing bad"

    def quiet_for(self) -> float:
        """Return for how many seconds no bad answer has come."""
        return time.monotonic() - max((look.at for look in self.looks if not look.healthy), default=0.0)


@contextmanager
def visiting(address: str) -> Iterator[Visit]:
    """Poll while the block lasts. A slow answer does not hold up the next request."""
    visit, done = Visit(address), threading.Event()
    lock = threading.Lock()

    def look() -> None:
        seen = _look(address)
        with lock:
            visit.looks.append(seen)

    def poll(pool: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not done.wait(max(0.0, due - time.monotonic())):
            pool.submit(look)
            due += EVERY

    with ThreadPoolExecutor(max_workers=64) as pool:
        clock = threading.Thread(target=poll, args=(pool,))
        clock.start()
        try:
            yield visit
        finally:
            done.set()
            clock.join()


def settle(visit: Visit, seconds: float, most: float = 60.0) -> None:
    """Keep visiting until no bad answer has come for some seconds."""
    end = time.monotonic() + most
    start = time.monotonic()
    while time.monotonic() < end and min(visit.quiet_for(), time.monotonic() - start) < seconds:
        time.sleep(EVERY)


def statuses(looks: Sequence[Look]) -> str:
    """Return the statuses one after the other, runs of the same one counted."""
    found: list[list[int]] = []
    for look in sorted(looks, key=lambda look: look.at):
        if found and found[-1][0] == look.status:
            found[-1][1] += 1
        else:
            found.append([look.status, 1])
    return " ".join(f"{status}×{number}" for status, number in found)


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
