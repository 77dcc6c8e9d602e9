"""Write and read the manifests of restore points: a restore point exists when its manifest exists.

The gateway does it (gateway.py), which has a client of the store already: none is made in Ansible's own processes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.contract.model import Store as ContractStore
from orchestrator.errors import Refused
from orchestrator.run import s3
from orchestrator.run.bucket import Bucket, Keys
from orchestrator.run.host_points import points
from orchestrator.run.read_back import KeysDamaged, opened_repository
from orchestrator.run.snapshot_check import lacking

ABSENT = ("NoSuchKey", "NoSuchBucket", "404")


class Manifests:
    """The manifests of one site, in the bucket of its client."""

    def __init__(self, store: points.Store, access_key: str, secret_key: str) -> None:
        self.store = store
        self._client = s3.shared(store.endpoint, store.region, access_key=access_key, secret_key=secret_key)

    def make_bucket(self) -> None:
        """Make the bucket where there is none. Raises PointError where the contract promises a lock."""
        try:
            self._client.head_bucket(Bucket=self.store.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                raise
            if self.store.lock_days:
                raise points.PointError(self.store.unmade) from error
            self._client.create_bucket(Bucket=self.store.bucket)

    def ids(self) -> list[str]:
        """Return the ids of all restore points of this site, oldest first."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.store.bucket, Prefix=self.store.points
        )
        return self.store.listed(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def read(self, point: str) -> Any:
        """Return a manifest as it lies there, or None when there is none. Raises PointError for what is no JSON."""
        try:
            body = self._client.get_object(Bucket=self.store.bucket, Key=self.store.key(point))["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return None
            raise
        try:
            return json.loads(body)
        except ValueError as error:
            raise points.PointError(f"the manifest of {point} is not JSON") from error

    def write(self, point: str, manifest: dict[str, Any]) -> None:
        """Write a manifest and read it back."""
        body = json.dumps(manifest, indent=1, sort_keys=True).encode()
        # Stores that lock take no object without it.
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        self._client.put_object(
            Bucket=self.store.bucket,
            Key=self.store.key(point),
            Body=body,
            ContentMD5=md5,
            ContentType="application/json",
        )
        if self.read(point) != manifest:
            raise points.PointError("the store gives back another manifest than it was given")


def read_manifest(given: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest that was asked for. Raises PointError when it may not be used for this site."""
    with _told(given["client"]):
        manifests, point = _opened(given), given["point"]
        if point == points.NEWEST:
            ids = manifests.ids()
            if not ids:
                raise points.PointError(
                    f"there is none for {manifests.store.prefix}: take one with playbooks/snapshot.yml"
                )
            point = ids[-1]
        manifest = manifests.read(point)
        if manifest is None:
            raise points.PointError(f"{point} has no manifest: choose one of `upkeep points {given['client']}`")
        _refuse(manifest, given, point)
        return dict(manifest)


def write_manifest(given: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Write a manifest. Returns it with the name of the one before, and whether it was written now. Raises PointError.

    With `password` only when the store has all that its snapshot needs: where there is a gateway, that has looked.
    """
    with _told(given["client"]):
        manifests, point, manifest = _opened(given), given["point"], dict(given["manifest"])
        _refuse(manifest, given, point)
        if given["create_bucket"]:
            manifests.make_bucket()
        if given["password"]:
            _refuse_incomplete(manifests.store, given, str(manifest["restic"]["snapshot"]))
        there = manifests.read(point)
        if there is not None:
            if not isinstance(there, dict) or there.get("run") != manifest.get("run"):
                raise points.PointError(f"{point} is taken already, by another run: a manifest is never written over")
            return there, False
        before = [other for other in manifests.ids() if other < point]
        if before:
            manifest["previous"] = before[-1]
            smaller = points.shrunk(manifest, manifests.read(before[-1]))
            if smaller and not given["allow_shrunk"]:
                raise points.PointError(
                    f"it is less than half of {before[-1]} ({'; '.join(smaller)}). "
                    "If that is right: -e site_snapshot_allow_shrunk=true"
                )
        manifests.write(point, manifest)
        return manifest, True


@contextmanager
def _told(client: str) -> Iterator[None]:
    """Turn what the store says into PointError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        said = f"the store says: {str(error)[:300]} Type: upkeep store check {client}"
        raise points.PointError(said) from error


def _opened(given: dict[str, Any]) -> Manifests:
    return Manifests(points.Store.from_parameters(given["store"]), given["access_key"], given["secret_key"])


def _refuse_incomplete(store: points.Store, given: dict[str, Any], snapshot: str) -> None:
    keys = Keys(given["access_key"], given["secret_key"])
    try:
        reached = Bucket(ContractStore(store.endpoint, store.bucket, store.region), keys, shared=True)
        repository = opened_repository(reached, store.prefix, given["password"])
        body = reached.must_get(f"{store.prefix}/restic/snapshots/{snapshot}") or b""
        if repository is None or hashlib.sha256(body).hexdigest() != snapshot:
            raise points.PointError(f"its snapshot {snapshot[:8]} is not in the store")
        lost = lacking(reached, store.prefix, repository.key, str(repository.key.value(body).get("tree")))
    except (Refused, KeysDamaged) as error:
        raise points.PointError(str(error)) from error
    if lost:
        raise points.PointError(f"{lost}. Type: upkeep verify {given['client']} --heal")


def _refuse(manifest: Any, given: dict[str, Any], point: str) -> None:
    found = points.problems(manifest, client=given["client"], site=given["name"], point=point)
    if found:
        raise points.PointError(f"{point} cannot be used: {'; '.join(found)}")
