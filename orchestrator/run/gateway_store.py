"""The gateway's side of the store: one restic repository of one site in a client's bucket, through boto3."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import IO, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.run import s3
from orchestrator.run.gateway_door import GatewayError

POINT = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*")
SNAPSHOT = re.compile(r"[0-9a-f]{64}")
ABSENT = ("404", "NoSuchKey", "NotFound")
FORBIDDEN = ("403", "AccessDenied", "Forbidden")
NO_BUCKET = "NoSuchBucket"
BLOCK = 1 << 20
LARGEST_MANIFEST = 64 * 1024 * 1024

Result = TypeVar("Result")


class StoreError(GatewayError):
    """The store did not do what it was asked, or is away; the message is what it said."""


@dataclass(frozen=True)
class Item:
    """One object of a listing, with its age by the store's own clock."""

    name: str
    size: int
    age: float


@dataclass(frozen=True)
class Reading:
    """An object, or a part of one, on its way out."""

    size: int
    # What the store says of a part, such as "bytes 0-9/100"; empty for a whole object.
    part: str
    body: IO[bytes]


def sliced(body: bytes, part: tuple[int, int | None] | None) -> Reading | None:
    """Read an object that is here already, or a part of it; None when it is shorter than that."""
    if part is None:
        return Reading(len(body), "", BytesIO(body))
    first, last = part[0], min(len(body) - 1 if part[1] is None else part[1], len(body) - 1)
    if first > last:
        return None
    return Reading(last - first + 1, f"bytes {first}-{last}/{len(body)}", BytesIO(body[first : last + 1]))


class Shelf:
    """Where a repository's objects lie. The keys of the store are known here and nowhere else."""

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        region: str,
        prefix: str,
        access_key: str,
        secret_key: str,
        lock_days: int = 0,
    ) -> None:
        if PREFIX.fullmatch(prefix) is None:
            raise StoreError(f"the store's prefix must be <client>/<site>, not {prefix!r}")
        self.bucket = bucket
        self.prefix = prefix
        self._locks = lock_days > 0
        self._keys = (access_key, secret_key)
        self._place = (endpoint, region)

    @property
    def _client(self) -> Any:
        # Slow to make, so not before it is used: whoever opens a session is told how it is reached before that.
        return s3.shared(*self._place, access_key=self._keys[0], secret_key=self._keys[1])

    def key(self, kind: str, name: str) -> str:
        """Return where restic itself would put an object: the repository stays one that restic reads without us."""
        middle = f"data/{name[:2]}" if kind == "data" else kind
        return f"{self.prefix}/restic/{middle}/{name}" if name else f"{self.prefix}/restic/{kind}"

    def size(self, kind: str, name: str = "") -> int | None:
        """Return how big an object is, or None when there is none."""
        key = self.key(kind, name)
        answer = self._asked(key, lambda: self._client.head_object(Bucket=self.bucket, Key=key))
        return None if answer is None else int(answer["ContentLength"])

    def read(self, kind: str, name: str = "") -> bytes | None:
        """Return a small object whole, or None when there is none."""
        reading = self.open(kind, name)
        if reading is None:
            return None
        return self._done(reading.body.read)

    def open(self, kind: str, name: str = "", part: str = "") -> Reading | None:
        """Begin to read an object; `part` is a range as HTTP writes it."""
        more = {"Range": part} if part else {}
        key = self.key(kind, name)
        answer = self._asked(key, lambda: self._client.get_object(Bucket=self.bucket, Key=key, **more))
        if answer is None:
            return None
        return Reading(int(answer["ContentLength"]), str(answer.get("ContentRange", "")), answer["Body"])

    def write(self, kind: str, name: str, body: bytes | IO[bytes], sha256: str) -> None:
        """Store an object. The hash goes with it: the store checks what arrives, and some that lock want to be told."""
        self._put(self.key(kind, name), body, sha256)

    def quarantine(self, kind: str, name: str, body: bytes) -> None:
        """Move an object out of the repository, where a person can still look at it."""
        self._put(f"{self.prefix}/quarantine/{kind}/{name}", body, hashlib.sha256(body).hexdigest())
        self.remove(kind, name)

    def remove(self, kind: str, name: str) -> None:
        """Remove an object; it does not matter when it is gone already."""
        self._done(lambda: self._client.delete_object(Bucket=self.bucket, Key=self.key(kind, name)))

    def items(self, kind: str) -> Iterator[Item]:
        """List the objects of one kind, however many there are. Objects with other names than restic's are left out."""
        start = f"{self.prefix}/restic/{kind}/"
        for page in self._pages(start):
            now = _clock(page)
            for entry in page.get("Contents", ()):
                name = str(entry["Key"]).rpartition("/")[2]
                if SNAPSHOT.fullmatch(name) and entry["Key"] == self.key(kind, name):
                    yield Item(name, int(entry["Size"]), (now - entry["LastModified"]).total_seconds())

    def newest_snapshot(self) -> str | None:
        """Return the restic snapshot that the newest manifest names; a restore point exists when its manifest does."""
        start = f"{self.prefix}/points/"
        points = []
        for page in self._pages(start):
            for entry in page.get("Contents", ()):
                point = str(entry["Key"])[len(start) :].removesuffix(".json")
                if POINT.fullmatch(point) and entry["Size"] <= LARGEST_MANIFEST:
                    points.append(str(entry["Key"]))
        if not points:
            return None
        newest = max(points)
        answer = self._asked(newest, lambda: self._client.get_object(Bucket=self.bucket, Key=newest))
        body = b"" if answer is None else self._done(answer["Body"].read)
        return _named(body)

    def make_bucket(self) -> None:
        """Make the bucket where there is none. Raises StoreError where it has to lock: not every bucket can."""

        def make() -> None:
            try:
                self._client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if _code(error) not in (*ABSENT, NO_BUCKET):
                    raise
                if self._locks:
                    raise StoreError(
                        f"there is no bucket {self.bucket}, and the contract promises a lock:"
                        f" type upkeep store init {self.prefix.partition('/')[0]}"
                    ) from error
                self._client.create_bucket(Bucket=self.bucket)

        self._done(make)

    def _put(self, key: str, body: bytes | IO[bytes], sha256: str) -> None:
        more = {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}
        if self._locks:
            # Stores that lock take nothing without the MD5, and not all of them take another checksum for it.
            more["ContentMD5"] = base64.b64encode(_md5(body)).decode()
        self._done(lambda: self._client.put_object(Bucket=self.bucket, Key=key, Body=body, **more))

    def _pages(self, start: str) -> Iterator[Mapping[str, Any]]:
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start))
        while (page := self._done(lambda: next(pages, None))) is not None:
            yield page

    def _asked(self, key: str, call: Callable[[], Result]) -> Result | None:
        """Ask the store; None when what was asked for is not there. A bucket that is not there is a mistake."""

        def absent() -> Result | None:
            try:
                return call()
            except ClientError as error:
                # A key that may list below its prefix only is told "forbidden" of what is not there.
                if _code(error) in ABSENT or (_code(error) in FORBIDDEN and not self._listed(key)):
                    return None
                raise

        return self._done(absent)

    def _listed(self, key: str) -> bool:
        listed = self._client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        return any(entry["Key"] == key for entry in listed.get("Contents", ()))

    def _done(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        # Reading a body ends in urllib3's own errors, which boto3 does not wrap; all of them are OSError or HTTPError.
        except (BotoCoreError, ClientError, OSError) as error:
            raise StoreError(" ".join(str(error).split())[:300]) from error


def _md5(body: bytes | IO[bytes]) -> bytes:
    if isinstance(body, bytes):
        return hashlib.md5(body, usedforsecurity=False).digest()
    digest = hashlib.md5(usedforsecurity=False)
    start = body.tell()
    while piece := body.read(BLOCK):
        digest.update(piece)
    body.seek(start)
    return digest.digest()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _clock(page: Mapping[str, Any]) -> datetime:
    """Return the time by the store's clock. Ages are judged by one clock only, and no host can set this one."""
    told = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(told) if told else datetime.now(UTC)


def _named(manifest: bytes) -> str | None:
    try:
        name = json.loads(manifest)["restic"]["snapshot"]
    except (ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) and SNAPSHOT.fullmatch(name) else None
