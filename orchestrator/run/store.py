"""Ask the store which restore points there are. A restore point exists when its manifest does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.ledger.values import DrillEntry, VerificationEntry
from orchestrator.run import s3

# Written by the role `site_snapshot`; read here.
MANIFEST = re.compile(r"(?P<prefix>.+)/points/(?P<point>[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8})\.json")
LARGEST_MANIFEST = 64 * 1024 * 1024
KEYS = ("site_snapshot_access_key", "site_snapshot_secret_key")


@dataclass(frozen=True)
class StoredPoint:
    """A restore point as the store has it."""

    id: str
    client: str
    site: str
    manifest: dict[str, Any]


def stored_points(store: Store, *, access_key: str, secret_key: str, client: str, site: str) -> tuple[StoredPoint, ...]:
    """Return the restore points of a site, the newest first."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # slow to import, and only wanted here

    asked = s3.client(store.endpoint, store.region, access_key=access_key, secret_key=secret_key, attempts=3)
    prefix = f"{client}/{site}"
    found = []
    try:
        for page in asked.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=f"{prefix}/points/"):
            for entry in page.get("Contents", ()):
                match = MANIFEST.fullmatch(entry["Key"])
                if match is None or match["prefix"] != prefix or entry["Size"] > LARGEST_MANIFEST:
                    continue
                body = asked.get_object(Bucket=store.bucket, Key=entry["Key"])["Body"].read()
                found.append(StoredPoint(match["point"], client, site, _manifest(body)))
    except (BotoCoreError, ClientError) as error:
        raise Refused(
            f"the store {store.endpoint} did not show its restore points: {error}",
            f"curl -sI {store.endpoint}",
        ) from None
    finally:
        asked.close()
    return tuple(sorted(found, key=lambda point: point.id, reverse=True))


def point_answer(
    point: StoredPoint,
    *,
    now: datetime,
    before: StoredPoint | None = None,
    verifications: Sequence[VerificationEntry] = (),
    drills: Sequence[DrillEntry] = (),
) -> dict[str, Any]:
    """Tell one restore point: what is in it, how old it is, what changed since the one before, what was proved of it.

    `verifications` and `drills` are those of its site, the newest first.
    """
    manifest = point.manifest
    seen = next((each for each in verifications if point.id in each.points), None)
    problems = list(seen.points[point.id]) if seen else []
    drill = next((each for each in drills if each.point == point.id), None)
    files, dump = _mapping(manifest.get("files")), _mapping(manifest.get("dump"))
    versions = _mapping(manifest.get("versions"))
    return {
        "point": point.id,
        "client": point.client,
        "site": point.site,
        "taken": manifest.get("taken"),
        "age_seconds": _age(point, now),
        "files": files.get("count"),
        "bytes": files.get("bytes"),
        "dump_bytes": dump.get("bytes"),
        "tables": len(_mapping(dump.get("tables"))) or None,
        "core": versions.get("core"),
        "snapshot": _mapping(manifest.get("restic")).get("snapshot"),
        "changes": point_changes(manifest, before.manifest) if before is not None else None,
        "previous": before.id if before is not None else None,
        "verified": seen.ended.isoformat() if seen else None,
        "complete": not problems if seen else None,
        "problems": problems,
        "drilled": drill.began.isoformat() if drill else None,
        "drill": drill.outcome if drill else None,
        "drilled_on": (drill.host or None) if drill else None,
    }


def point_answers(
    points: Sequence[StoredPoint],
    *,
    now: datetime,
    verifications: Sequence[VerificationEntry] = (),
    drills: Sequence[DrillEntry] = (),
) -> list[dict[str, Any]]:
    """Tell the restore points of one site, the newest first, each beside the one before it."""
    older = [*points[1:], None] if points else []
    return [
        point_answer(point, now=now, before=before, verifications=verifications, drills=drills)
        for point, before in zip(points, older, strict=True)
    ]


def point_changes(manifest: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Say what changed between two restore points, as far as their manifests count it."""
    now, then = (_mapping(_mapping(each.get("dump")).get("tables")) for each in (manifest, before))
    return {
        **{name: _more(manifest, before, part, name) for part, name in (("files", "count"), ("files", "bytes"))},
        "dump_bytes": _more(manifest, before, "dump", "bytes"),
        "tables_added": sorted(now.keys() - then.keys()),
        "tables_gone": sorted(then.keys() - now.keys()),
        "tables_with_other_rows": sorted(
            name for name in now.keys() & then.keys() if _mapping(now[name]) != _mapping(then[name])
        ),
    }


def _manifest(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _more(manifest: Mapping[str, Any], before: Mapping[str, Any], part: str, name: str) -> int | None:
    now, then = (_mapping(each.get(part)).get(name) for each in (manifest, before))
    return now - then if isinstance(now, int) and isinstance(then, int) else None


def _age(point: StoredPoint, now: datetime) -> int | None:
    try:
        taken = datetime.fromisoformat(str(point.manifest.get("taken")))
    except ValueError:
        return None
    return round((now - taken).total_seconds()) if taken.tzinfo else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
