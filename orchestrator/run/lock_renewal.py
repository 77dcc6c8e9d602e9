"""Keep what the newest restore point leans on locked for as long as the point itself.

A store locks an object from when it was written. A new restore point leans on data that older ones have brought: their
locks end before its own does, and from then on a thief with the right key could empty it. So they are renewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orchestrator.errors import Refused
from orchestrator.plan.guard import Finding
from orchestrator.run.bucket import Bucket
from orchestrator.run.store import MANIFEST

# Stores round, and count from the beginning or from the end of an upload.
CLOSE = timedelta(hours=1)
ID_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Due:
    """What a site's newest point needs locked, until when, and the objects whose locks end before."""

    site: str
    point: str
    until: datetime
    # The name of each object with the end of its lock; None where it has none.
    ending: tuple[tuple[str, datetime | None], ...]

    @property
    def first(self) -> str:
        """Say in words when the first of these locks ends."""
        ends = [end for _, end in self.ending]
        return "not locked" if None in ends else f"until {min(end for end in ends if end):%Y-%m-%d}"


def due(bucket: Bucket, client: str, site: str) -> Due | None:
    """Return what is to be renewed for a site. None where the contract promises no lock, or the bucket has none.

    All of the repository is looked at and not only what the newest snapshot names: what a prune has left there is
    needed by some point, and a lock that lasts too long costs space and nothing else.
    """
    if not bucket.store.lock_days or not bucket.settings().locked_days:
        return None
    prefix = f"{client}/{site}"
    found = [MANIFEST.fullmatch(key) for key in bucket.keys_below(f"{prefix}/points/")]
    points = [match["point"] for match in found if match and match["prefix"] == prefix]
    if not points:
        return None
    newest = max(points)
    taken = datetime.strptime(newest.partition("-")[0], ID_TIME).replace(tzinfo=UTC)
    # A lock cannot be taken back: an id from the future must not lock anything for years.
    until = min(taken, bucket.clock()) + timedelta(days=bucket.store.lock_days)
    ending = []
    for entry in bucket.entries_below(f"{prefix}/restic/"):
        key = str(entry["Key"])
        # restic takes its own locks away again; a lock of the store would be in its way.
        if key.startswith(f"{prefix}/restic/locks/"):
            continue
        head = bucket.ask("head_object", Key=key)
        end: datetime | None = head.value.get("ObjectLockRetainUntilDate")
        if head.ok and (end is None or end < until - CLOSE):
            ending.append((key, end))
    return Due(site, newest, until, tuple(ending))


def renew(bucket: Bucket, due: Due) -> int:
    """Renew these locks; return how many. Raises Refused when the store does not do it, or says so and does not."""
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": due.until}
    for key, _ in due.ending:
        said = bucket.ask("put_object_retention", Key=key, Retention=retention)
        end = bucket.ask("head_object", Key=key).value.get("ObjectLockRetainUntilDate")
        if not said.ok or end is None or end < due.until - CLOSE:
            raise Refused(
                f"the lock of {key} could not be renewed: {said.words}; {due.point} leans on it.",
                "look what the key may do at the store: upkeep_store_access_key needs s3:PutObjectRetention",
            )
    return len(due.ending)


def finding(bucket: Bucket, client: str, sites: Sequence[str]) -> list[Finding]:
    """Say whether the locks of what the newest points lean on last; nothing where there is nothing to say."""
    looked = [each for each in (due(bucket, client, site) for site in sites) if each is not None]
    if not looked:
        return []
    ending = [each for each in looked if each.ending]
    words = [
        f"{len(each.ending)} objects of {each.site}, such as {each.ending[0][0]}, are {each.first}, and"
        f" {each.point} needs them until {each.until:%Y-%m-%d}"
        for each in ending
    ]
    return [
        Finding(
            "lock-renewal",
            "What the newest restore point leans on is locked as long as the point itself.",
            not ending,
            True,
            "; ".join(words) or "looked at every object of the repository",
            "upkeep prune CLIENT --yes, which renews them" if ending else "",
        )
    ]
