# GPL-3.0-or-later
"""Restore points: their names, where their parts lie in the store, and what a manifest must say.

A restore point exists when its manifest exists. Values in, values out: no clock, disk or network here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping
from urllib.parse import urlsplit

from .dump_files import DumpFile, overall

# 2: one file for each table. 1: the whole dump in one file; such restore points still come back.
SCHEMA = 2
KNOWN_SCHEMAS = (1, 2)
NEWEST = "newest"
POINT_ID = re.compile(r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\Z")
SHA256 = re.compile(r"^[0-9a-f]{64}\Z")
BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
PREFIX = re.compile(r"^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*\Z")
DUMP_FILE = re.compile(r"^(?:tables/)?[A-Za-z0-9_$%-][A-Za-z0-9_$%.-]*\.sql\Z")
FILE_KEYS = ("file", "bytes", "sha256")
SHRUNK_TO = 0.5

# The argument spec of the `store` option, without the secrets.
STORE_OPTIONS = {
    "endpoint": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "region": {"type": "str", "default": "us-east-1"},
    "prefix": {"type": "str", "required": True},
    "lock_days": {"type": "int", "default": 0},
}


class PointError(Exception):
    """A manifest or a store is not what it should be; the message says what is wrong."""


@dataclass(frozen=True)
class Store:
    """Where a site's restore points lie: one bucket, one prefix for each site.

    `lock_days` is what the contract promises: for so long after it was written nobody removes an object.
    """

    endpoint: str
    bucket: str
    region: str
    prefix: str
    lock_days: int = 0

    @classmethod
    def from_parameters(cls, given: Mapping[str, Any]) -> Store:
        """Build the value from a module's `store` option. Raises PointError for what no store can be called."""
        endpoint = str(given["endpoint"]).rstrip("/")
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.path or parts.query:
            raise PointError("the store's endpoint must be http(s)://name or http(s)://name:port")
        bucket, prefix = str(given["bucket"]), str(given["prefix"])
        if not BUCKET.match(bucket):
            raise PointError(f"{bucket!r} cannot be the name of a bucket")
        if not PREFIX.match(prefix):
            raise PointError(f"the store's prefix must be <client>/<site>, not {prefix!r}")
        region, lock_days = str(given.get("region") or "us-east-1"), int(given.get("lock_days") or 0)
        return cls(endpoint, bucket, region, prefix, lock_days)

    @property
    def repository(self) -> str:
        """restic's name for the repository of this site."""
        return f"s3:{self.endpoint}/{self.bucket}/{self.prefix}/restic"

    @property
    def client(self) -> str:
        """The client whose store it is."""
        return self.prefix.partition("/")[0]

    @property
    def unmade(self) -> str:
        """What to say of a bucket that is missing and may not be made on the way."""
        # Most stores lock only in a bucket that was made for it: one that is made just so breaks the promise for good.
        why = f", and the contract promises a lock of {self.lock_days} days" if self.lock_days else ""
        return f"there is no bucket {self.bucket}{why}: type upkeep store init {self.client}"

    @property
    def points(self) -> str:
        """The beginning of the keys of all manifests of this site."""
        return self.prefix + "/points/"

    def key(self, point: str) -> str:
        """Return the key of one manifest. Raises PointError for what is not a restore point's id."""
        if not POINT_ID.match(point):
            raise PointError(f"{point!r} is not the id of a restore point")
        return f"{self.points}{point}.json"

    def listed(self, keys: Iterable[str]) -> list[str]:
        """Return the ids among these keys, oldest first; whatever else lies there is not ours."""
        names = [key[len(self.points) : -5] for key in keys if key.startswith(self.points) and key.endswith(".json")]
        return sorted(name for name in names if POINT_ID.match(name))


def problems(manifest: Any, *, client: str, site: str, point: str = "") -> list[str]:
    """Return what keeps this manifest from standing for a restore point of that site; [] when nothing does."""
    if not isinstance(manifest, dict):
        return ["the manifest is not an object"]
    schema = manifest.get("schema")
    if schema not in KNOWN_SCHEMAS or isinstance(schema, bool):
        return [f"the manifest has schema {schema!r}, this version knows {' and '.join(map(str, KNOWN_SCHEMAS))}"]
    found = []
    for name, wanted in (("client", client), ("site", site), ("point", point)):
        if wanted and manifest.get(name) != wanted:
            found.append(f"it is for {name} {manifest.get(name)!r}, not {wanted!r}")
    if not POINT_ID.match(str(manifest.get("point"))):
        found.append("it has no valid id")
    if not SHA256.match(str(_inner(manifest, "restic", "snapshot"))):
        found.append("it names no restic snapshot by its full id")
    if not isinstance(_inner(manifest, "files", "count"), int) or not _inner(manifest, "files", "count"):
        found.append("it counts no files")
    if not str(manifest.get("root", "")).startswith("/"):
        found.append("it does not say where the files lay")
    return found + _dump_problems(manifest.get("dump"), schema)


def shrunk(manifest: Mapping[str, Any], previous: Mapping[str, Any] | None) -> list[str]:
    """Return what lost more than half of its size since the restore point before: more often a mistake than a wish."""
    found = []
    for part, unit in (("files", "count"), ("dump", "bytes"), ("dump", "tables")):
        now, then = (_amount(_inner(value or {}, part, unit)) for value in (manifest, previous))
        if now < then * SHRUNK_TO:
            found.append(f"{part} {unit}: {now}, and {then} in the restore point before")
    return found


def dump_files(dump: Mapping[str, Any]) -> list[DumpFile]:
    """Return the files of a dump as a manifest of schema 2 names them. Raises PointError when it does not."""
    found = []
    for part in ("tables", "others"):
        entries = dump.get(part)
        for name, entry in sorted((entries if isinstance(entries, dict) else {}).items()):
            file, size, sha256 = (_inner(entry if isinstance(entry, dict) else {}, key) for key in FILE_KEYS)
            # What a manifest says is put behind a folder's name, so it must not lead out of it.
            if not isinstance(file, str) or not DUMP_FILE.match(file):
                raise PointError(f"it does not say in which file {name} lies")
            if not isinstance(size, int) or size <= 0:
                raise PointError(f"the file of {name} is empty")
            if not SHA256.match(str(sha256)):
                raise PointError(f"the file of {name} has no checksum")
            found.append(DumpFile(file, size, str(sha256)))
    if len({each.file for each in found}) < len(found):
        raise PointError("two of its tables lie in one file")
    return found


def _dump_problems(dump: Any, schema: int) -> list[str]:
    if not isinstance(dump, dict):
        return ["it has no dump of the database"]
    found = []
    codes = dump.get("exit_codes")
    if not isinstance(codes, dict) or not codes or any(code != 0 for code in codes.values()):
        found.append("its dump did not end with exit code 0")
    if dump.get("end_marker") is not True:
        found.append("its dump has no end marker")
    if not dump.get("tables") or not isinstance(dump.get("tables"), dict):
        found.append("its dump has no tables")
    if not isinstance(dump.get("bytes"), int) or dump["bytes"] <= 0:
        found.append("its dump is empty")
    if not SHA256.match(str(dump.get("sha256"))):
        found.append("its dump has no checksum")
    place = str(dump.get("file" if schema == 1 else "folder", ""))
    # It is put behind the folder into which the restore point is brought, and must not lead out of it.
    if not place.startswith("/") or ".." in place.split("/"):
        found.append("it does not say where the dump lay")
    return found if found or schema == 1 else _file_problems(dump)


def _file_problems(dump: Mapping[str, Any]) -> list[str]:
    try:
        files = dump_files(dump)
    except PointError as error:
        return [str(error)]
    if sum(each.bytes for each in files) != dump["bytes"] or overall(files) != dump["sha256"]:
        return ["what it says about the dump's files does not go together"]
    return []


def _inner(value: Mapping[str, Any], *names: str) -> Any:
    inner: Any = value
    for name in names:
        inner = inner.get(name) if isinstance(inner, dict) else None
    return inner


def _amount(value: Any) -> int:
    if isinstance(value, dict):
        return len(value)
    return int(value) if isinstance(value, (int, float)) else 0
