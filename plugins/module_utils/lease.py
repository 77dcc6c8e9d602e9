# GPL-3.0-or-later
"""The lease on a site: one run at a time, enforced on the host.

Two locks, for two different lengths of time. `flock` on `.upkeep/lock` is held by a module while it works, so a killed
module gives it back at once. `lease.json` says which run the site belongs to between modules, until it expires.

A lease that expired binds nobody, so its run may wake up again when another one has had the site: a controller that was
cut off. Each run that takes the site therefore gets a token, one more than the last, and keeps it; `token.json` knows the
last one for ever, and which run got which. A run with an older token than the last is refused, whatever it wants to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import time
from typing import Any, Iterator

from .own_way_back import write_whole as write_whole
from .site import Site

LEASE_SECONDS = 2 * 3600
# A run that is not among the last ones has nothing left on the host that it could bring to production.
REMEMBERED = 100
# linux/fs.h
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x00020000


class LeaseBusy(Exception):
    """Another run has the site, or has had it since. `holder` says who, as far as that is known."""

    def __init__(self, message: str, holder: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.holder = holder or {}


def read(site: Site) -> dict[str, object]:
    """Return the lease {run, token, expires, since} (UTC epoch seconds), or {} when the site is free or the file unreadable."""
    return _read(os.path.join(site.workshop, "lease.json"))


def tokens(site: Site) -> dict[str, Any]:
    """Return {last, holder: {run, since}, runs: {run: token}}: which runs have taken this site."""
    return {"last": 0, "holder": {}, "runs": {}, **_read(os.path.join(site.workshop, "token.json"))}


def seen(lease: dict[str, Any]) -> dict[str, object]:
    """Return a lease for evidence: its times in UTC."""
    times: dict[str, object] = {name: utc(float(lease[name])) for name in ("since", "expires") if name in lease}
    return {**lease, **times}


@contextlib.contextmanager
def hold(site: Site, run: str, *, keep: bool, wait: float = 0.0, truth: bool = False) -> Iterator[dict[str, object]]:
    """Have the site for `run` while the block lasts, and with `keep` until the lease expires or is released.

    Raises LeaseBusy when another run has it or has taken it since this run did, or when another module of the same run
    still works after `wait` seconds. With `truth` a run that was overtaken may take a free site again: it only asks for
    what became of it, and puts back what it left half way, which nobody else would do.
    """
    os.makedirs(site.workshop, mode=0o700, exist_ok=True)
    os.chmod(site.workshop, 0o700)
    _spread_out(site.workshop)
    with open(os.path.join(site.workshop, "lock"), "a", encoding="utf-8") as lock:
        _lock(lock.fileno(), wait)
        current = read(site)
        now = time.time()
        if current and current.get("run") != run and float(str(current.get("expires", 0))) > now:
            told = seen(current)
            raise LeaseBusy(
                f"run {current.get('run')} has this site until {told['expires']}, since {told.get('since')};"
                " nothing was touched. Wait for it, or look at it with `upkeep status`.",
                told,
            )
        token = _token(site, run, now, truth=truth)
        since = current.get("since", now) if current.get("run") == run else now
        lease = {"run": run, "token": token, "since": since, "expires": now + LEASE_SECONDS}
        write_whole(os.path.join(site.workshop, "lease.json"), json.dumps(lease))
        os.makedirs(site.run_folder(run), mode=0o700, exist_ok=True)
        try:
            yield lease
        finally:
            if not keep:
                release(site, run)


def _token(site: Site, run: str, now: float, *, truth: bool) -> int:
    """Return the token of a run: the one that it has, or the next."""
    known = tokens(site)
    last, runs, holder = int(known["last"]), dict(known["runs"]), known["holder"]
    mine = int(runs.get(run, 0))
    if mine == last and mine:
        return mine
    if mine and not truth:
        raise LeaseBusy(
            f"run {holder.get('run')} took this site at {utc(float(holder.get('since', 0)))}, after the lease of this run had"
            f" ended (token {last}, this run's is {mine}); nothing was touched. Begin anew: type upkeep run {site.client}",
            {**seen(holder), "token": last},
        )
    runs.pop(run, None)
    runs[run] = last + 1
    kept = dict(list(runs.items())[-REMEMBERED:])
    # Before the lease: a token that nobody uses does no harm.
    text = json.dumps({"last": last + 1, "holder": {"run": run, "since": now}, "runs": kept})
    write_whole(os.path.join(site.workshop, "token.json"), text)
    return last + 1


def release(site: Site, run: str) -> bool:
    """Give the lease back when it is this run's. Returns whether it was."""
    if read(site).get("run") != run:
        return False
    os.unlink(os.path.join(site.workshop, "lease.json"))
    return True


def utc(seconds: float) -> str:
    """Write epoch seconds as an ISO time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _spread_out(folder: str) -> None:
    """Let ext4 put each folder in this one into a part of the disk of its own.

    A run removes thousands of files. Without a journal ext4 does not use their inodes again for a minute, or for five, and
    passes them over one by one for each new file beside them: a copy made in that time takes many times as long.
    """
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            (flags,) = struct.unpack("l", fcntl.ioctl(number, FS_IOC_GETFLAGS, bytes(struct.calcsize("l"))))
            if not flags & FS_TOPDIR_FL:
                fcntl.ioctl(number, FS_IOC_SETFLAGS, struct.pack("l", flags | FS_TOPDIR_FL))
        finally:
            os.close(number)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


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
