"""Say which promises about restore points are due: what was last seen, against what the contract says. Nothing is looked up here.

Spans are counted in days of the agreement's clock, not in hours: what is done each night at three stays due each night at three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from orchestrator.contract.model import BackupDuty, Contract
from orchestrator.contract.schema import PERIOD_DAYS
from orchestrator.plan.rotation import Reading, all_read_since

BACKUP_DAYS = 1


@dataclass(frozen=True)
class Proved:
    """What was last seen of one site's restore points. None: never."""

    site: str
    point: datetime | None = None
    readings: Sequence[Reading] = ()
    good_drill: datetime | None = None


@dataclass(frozen=True)
class Due:
    """One thing that is due, since when (None: it was never done), and what to type for it."""

    site: str
    duty: str
    since: datetime | None
    reason: str
    command: str


def due(contract: Contract, proved: Sequence[Proved], now: datetime) -> tuple[Due, ...]:
    """Return what is due, the most urgent first. A contract that promises no backup owes nothing of this."""
    backup = contract.scope.backup
    if backup is None:
        return ()
    zone = ZoneInfo(contract.agreement.time_zone)
    found: list[Due] = []
    for each in proved:
        end = f"{contract.client.id} --site {each.site}"
        found += _backup(backup, each, now, zone, f"upkeep run {end} --duty backup")
        # Without a restore point there is nothing to prove.
        if each.point is not None:
            found += _verify(backup, each, now, zone, f"upkeep verify {end}")
            found += _drill(backup, each, now, zone, f"upkeep drill {end}")
    order = ("backup", "read", "verify", "drill")
    return tuple(sorted(found, key=lambda one: order.index(one.duty)))


def _backup(backup: BackupDuty, proved: Proved, now: datetime, zone: ZoneInfo, command: str) -> list[Due]:
    if proved.point is None:
        return [Due(proved.site, "backup", None, "the ledger knows of no restore point", command)]
    hours = backup.recovery.rpo_hours if backup.recovery else None
    if hours is not None and now - proved.point >= timedelta(hours=hours):
        since = proved.point + timedelta(hours=hours)
        return [
            Due(proved.site, "backup", since, f"the newest is older than the {hours} hours that are promised", command)
        ]
    since = _after(proved.point, BACKUP_DAYS, zone)
    return [Due(proved.site, "backup", since, "there is none of today", command)] if now >= since else []


def _verify(backup: BackupDuty, proved: Proved, now: datetime, zone: ZoneInfo, command: str) -> list[Due]:
    promise = backup.verify
    if not proved.readings:
        return [Due(proved.site, "verify", None, "no restore point was ever verified", command)]
    whole = all_read_since(proved.readings) or min(reading.at for reading in proved.readings)
    limit = whole + timedelta(days=promise.all_within_days)
    if now >= limit:
        reason = f"not all of the data was read back within {promise.all_within_days} days"
        return [Due(proved.site, "read", limit, reason, f"{command} --full")]
    since = _after(max(reading.at for reading in proved.readings), PERIOD_DAYS[promise.every], zone)
    reason = f"promised: {promise.every}"
    return [Due(proved.site, "verify", since, reason, command)] if now >= since else []


def _drill(backup: BackupDuty, proved: Proved, now: datetime, zone: ZoneInfo, command: str) -> list[Due]:
    if backup.recovery is None:
        return []
    if proved.good_drill is None:
        return [Due(proved.site, "drill", None, "no restore point was ever recovered from", command)]
    every = backup.recovery.drill
    since = _after(proved.good_drill, PERIOD_DAYS[every], zone)
    return [Due(proved.site, "drill", since, f"promised: {every}", command)] if now >= since else []


def _after(moment: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Return the beginning of the day that lies so many days after a moment's."""
    day = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) + timedelta(days=days)
    return day.replace(tzinfo=zone)
