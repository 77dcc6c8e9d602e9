# GPL-3.0-or-later
"""The lease on a site: one run at a time, enforced on the host.

Two locks, for two different lengths of time. `flock` on `.upkeep/lock` is held by a module while it works, so a killed
module gives it back at once. `lease.json` says which run the site belongs to between modules, until it expires.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Iterator

from .own_way_back import write_whole as write_whole
from .site import Site

LEASE_SECONDS = 2 * 3600


class LeaseBusy(Exception):
    """Another run has the site."""


def read(site: Site) -> dict[str, object]:
    """Return the lease {run, expires, since} (UTC epoch seconds), or {} when the site is free or the file unreadable."""
    try:
        with open(os.path.join(site.workshop, "lease.json"), encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def hold(site: Site, run: str, *, keep: bool, wait: float = 0.0) -> Iterator[dict[str, object]]:
    """Have the site for `run` while the block lasts, and with `keep` until the lease expires or is released.

    Raises LeaseBusy when another run has it, or when another module of the same run still works after `wait` seconds.
    """
    os.makedirs(site.workshop, mode=0o700, exist_ok=True)
    os.chmod(site.workshop, 0o700)
    with open(os.path.join(site.workshop, "lock"), "a", encoding="utf-8") as lock:
        _lock(lock.fileno(), wait)
        current = read(site)
        now = time.time()
        if current and current.get("run") != run and float(str(current.get("expires", 0))) > now:
            until = utc(float(str(current["expires"])))
            raise LeaseBusy(
                f"run {current.get('run')} has this site until {until}; nothing was touched."
                " Wait for it, or look at it with `upkeep status`."
            )
        since = current.get("since", now) if current.get("run") == run else now
        lease = {"run": run, "since": since, "expires": now + LEASE_SECONDS}
        write_whole(os.path.join(site.workshop, "lease.json"), json.dumps(lease))
        os.makedirs(site.run_folder(run), mode=0o700, exist_ok=True)
        try:
            yield lease
        finally:
            if not keep:
                release(site, run)


def release(site: Site, run: str) -> bool:
    """Give the lease back when it is this run's. Returns whether it was."""
    if read(site).get("run") != run:
        return False
    os.unlink(os.path.join(site.workshop, "lease.json"))
    return True


def utc(seconds: float) -> str:
    """Write epoch seconds as an ISO time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _lock(descriptor: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() >= deadline:
                raise LeaseBusy("another task of Upkeep is at work on this site; nothing was touched.") from None
            time.sleep(0.1)
