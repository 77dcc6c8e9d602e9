"""restic on the controller, for what a host may not do: forget snapshots and free their space.

Its words and exit codes are never the truth: after every change the repository is asked what is in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.run.bucket import Keys

SNAPSHOT = re.compile(r"[0-9a-f]{64}")
# Seconds. restic itself tries for ever again when its store is away.
ASK = 300.0
WORK = 6 * 3600.0
GRACE = 10.0
# One command line holds so many ids with ease.
AT_ONCE = 200
INHERITED = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "RESTIC_CACERT", "HTTP_PROXY", "HTTPS_PROXY",
             "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")  # fmt: skip


class ResticFailed(Exception):
    """restic did not do what it was asked; the message is its own."""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as the repository lists it. `point` is empty when it carries no name of a restore point."""

    id: str
    point: str
    time: str


@dataclass(frozen=True)
class Restic:
    """One site's repository. The environment holds its secrets, so it is not shown."""

    program: str
    environment: Mapping[str, str] = field(repr=False)

    def init(self) -> None:
        """Make the repository."""
        self._call(["init"], ASK)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return all snapshots. Locks nothing, so it can be asked at any time."""
        listed = _json(self._call(["snapshots", "--json", "--no-lock"], ASK))
        if not isinstance(listed, list):
            raise ResticFailed("restic did not list its snapshots")
        return tuple(_snapshot(entry) for entry in listed)

    def lock(self, name: str) -> Mapping[str, Any]:
        """Return what a lock says of its maker; nothing when it cannot be read."""
        try:
            value = _json(self._call(["cat", "lock", name, "--no-lock"], ASK))
        except ResticFailed:
            return {}
        return value if isinstance(value, dict) else {}

    def forget(self, snapshots: Sequence[str]) -> None:
        """Remove snapshots by their full ids, and by nothing else."""
        if strange := [name for name in snapshots if SNAPSHOT.fullmatch(name) is None]:
            raise ResticFailed(f"{strange[0][:80]!r} is not the full id of a snapshot")
        for start in range(0, len(snapshots), AT_ONCE):
            self._call(["forget", "--", *snapshots[start : start + AT_ONCE]], WORK)

    def check(self) -> tuple[str, ...]:
        """Return what restic itself has to say against the repository. Locks nothing, and reads no data.

        Silence proves nothing: whoever asks has to look at the packs, too.
        """
        try:
            self._call(["check", "--no-lock"], WORK)
        except ResticFailed as error:
            return tuple(str(error).splitlines())
        return ()

    def rebuild_index(self) -> None:
        """Make the index say what the packs that are there hold, and nothing of those that are not."""
        told = re.search(r"restic (\d+)\.(\d+)", self._call(["version"], ASK))
        # Its name changed with restic 0.16.
        renamed = told is not None and (int(told[1]), int(told[2])) >= (0, 16)
        self._call(["repair", "index"] if renamed else ["rebuild-index"], WORK)

    def prune(self) -> None:
        """Free the space of what no snapshot needs."""
        self._call(["prune"], WORK)

    def _call(self, arguments: Sequence[str], deadline: float) -> str:
        try:
            # A group of its own: Ctrl-C is ours to pass on, so that restic takes its lock away before it ends.
            process = subprocess.Popen(
                [self.program, *arguments],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise Refused(
                f"restic cannot be started on the controller ({self.program}: {error.strerror}); nothing was touched.",
                "apt-get install restic, or --restic PATH",
            ) from None
        try:
            out, err = process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            raise ResticFailed(f"restic {arguments[0]} did not end within {deadline:.0f} s") from None
        finally:
            _stop(process)
        if process.returncode != 0:
            raise ResticFailed(f"restic {arguments[0]}: {_last(err)}")
        return out


def repository(program: str, store: Store, keys: Keys, *, client: str, site: str, password: str, cache: Path) -> Restic:
    """Return a site's repository. With a cache: without one, everything is asked of the store again each time."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Restic(
        program,
        {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "LC_ALL": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": keys.access,
            "AWS_SECRET_ACCESS_KEY": keys.secret,
            "AWS_DEFAULT_REGION": store.region,
            "RESTIC_PASSWORD": password,
            "RESTIC_REPOSITORY": f"s3:{store.endpoint}/{store.bucket}/{client}/{site}/restic",
            "RESTIC_CACHE_DIR": str(cache),
            "RESTIC_PROGRESS_FPS": "0.1",
        },
    )


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _snapshot(entry: Any) -> Snapshot:
    name = str(entry.get("id", "")) if isinstance(entry, dict) else ""
    if SNAPSHOT.fullmatch(name) is None:
        raise ResticFailed("restic lists a snapshot without a full id")
    named = [tag.removeprefix("point=") for tag in entry.get("tags") or () if str(tag).startswith("point=")]
    # One that carries two names is nobody's.
    return Snapshot(name, named[0] if len(named) == 1 else "", str(entry.get("time", "")))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal:")]
    return (fatal or lines or ["it said nothing"])[-1][:300]
