"""What the ledger remembers, as frozen values. Whoever reads the ledger works with these and speaks no SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]

# A run's state. `open` is a run whose truth is only known on the host: it waits for `upkeep run --resume`.
RUNNING, OPEN, ENDED = "running", "open", "ended"


@dataclass(frozen=True)
class StepEntry:
    """One step that began. Without `ended` nobody saw its end."""

    position: int
    name: str
    began: datetime
    ended: datetime | None = None
    ending: str = "begun"
    outcome: str = ""
    message: str = ""
    seconds: float = 0.0
    evidence: Json = field(default_factory=dict)


@dataclass(frozen=True)
class RunEntry:
    """One run: what it was for, which ids it had, what came of it."""

    id: str
    client: str
    site: str
    host: str
    duty: str
    digest: str
    point: str
    promised: Json
    variables: Json
    began: datetime
    process: str = ""
    state: str = RUNNING
    outcome: str = ""
    message: str = ""
    ended: datetime | None = None
    steps: tuple[StepEntry, ...] = ()

    @property
    def occupies(self) -> str:
        """Name what no other run may have meanwhile: the site, or what it is to be on another host.

        A production that is gone may have a run that never ends, and that must not keep a recovery from beginning.
        """
        to = str(self.variables.get("upkeep_to", ""))
        return f"{self.client}/{self.site}" + (f"@{to}" if to else "")

    def step(self, name: str) -> StepEntry | None:
        """Return the last step of that name."""
        return next((step for step in reversed(self.steps) if step.name == name), None)


@dataclass(frozen=True)
class HoldEntry:
    """A release that a site does not get, because it broke the site's copy."""

    id: int
    client: str
    site: str
    kind: str
    slug: str
    version: str
    sha256: str
    reason: str
    run: str
    since: datetime
    released: datetime | None = None


@dataclass(frozen=True)
class ReleaseEntry:
    """A release, and when it was first and last seen on offer to one of a client's sites."""

    kind: str
    slug: str
    version: str
    first: datetime
    last: datetime


# What an incident is about: the site itself, its restore points in the store, or whether it can be recovered from them.
# Each is closed by what has seen that well again.
SITE, POINTS, DRILL = "site", "restore points", "drill"


@dataclass(frozen=True)
class IncidentEntry:
    """Something was wrong with a site before we touched it, or is wrong since. A verification is no run: `run` is empty."""

    id: int
    client: str
    site: str
    run: str
    opened: datetime
    reasons: tuple[str, ...]
    closed: datetime | None = None
    about: str = SITE


@dataclass(frozen=True)
class VerificationEntry:
    """One look at a site's restore points: what was read back, which points are complete, what is damaged.

    `points` says for each restore point what is wrong with it; nothing, when it is complete.
    """

    id: int
    client: str
    site: str
    began: datetime
    ended: datetime
    parts: tuple[int, ...]
    of: int
    packs: int
    bytes: int
    points: Mapping[str, tuple[str, ...]]
    damage: tuple[Json, ...] = ()


@dataclass(frozen=True)
class DrillEntry:
    """One drill as its run recorded it, or a recovery on another host, which proves no less.

    `seconds` are those of the recovery, `age` is how old the data were. `host` is another one than production's, or "".
    """

    run: str
    client: str
    site: str
    point: str
    began: datetime
    outcome: str
    message: str
    seconds: float | None
    age: float | None
    host: str = ""


@dataclass(frozen=True)
class PointEntry:
    """A restore point that a run of ours has seen complete."""

    id: str
    client: str
    site: str
    run: str
    taken: datetime
    manifest: Json
