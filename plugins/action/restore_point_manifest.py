# GPL-3.0-or-later
"""Write and read the manifests of restore points. Runs on the controller, in Ansible's own process.

A module for it would have to be built for the controller, and a Python started: that cost more than the manifest does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# In a checkout and in an installed package alike, what the hosts get as module_utils lies in the folder beside this one.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
try:
    from botocore.exceptions import BotoCoreError, ClientError

    from orchestrator.contract.model import Store as ContractStore
    from orchestrator.errors import Refused
    from orchestrator.run import bucket as store_bucket
    from orchestrator.run import s3
    from orchestrator.run.read_back import KeysDamaged, opened_repository
    from orchestrator.run.snapshot_check import lacking

    MISSING = ""
except ImportError as error:
    MISSING = str(error)
from plugins.module_utils.points import NEWEST, STORE_OPTIONS, PointError, Store, problems, shrunk

ABSENT = ("NoSuchKey", "NoSuchBucket", "404")
OPTIONS = {
    "state": {"type": "str", "choices": ["write", "read"], "required": True},
    "store": {"type": "dict", "required": True, "options": STORE_OPTIONS},
    "access_key": {"type": "str", "required": True, "no_log": True},
    "secret_key": {"type": "str", "required": True, "no_log": True},
    "client": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "point": {"type": "str", "default": NEWEST},
    "manifest": {"type": "dict", "default": {}},
    "create_bucket": {"type": "bool", "default": True},
    "allow_shrunk": {"type": "bool", "default": False},
    "password": {"type": "str", "default": "", "no_log": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """What the module restore_point_manifest documents."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Write or read one manifest."""
        result: dict[str, Any] = dict(super().run(tmp, task_vars) or {})
        _, given = self.validate_argument_spec(argument_spec=OPTIONS)
        writing = given["state"] == "write"
        evidence: dict[str, Any] = {"step": "snapshot" if writing else "restore", "point": given["point"]}
        try:
            if MISSING:
                raise PointError(f"Ansible's own Python lacks a part of upkeep ({MISSING})")
            bucket = Bucket(Store.from_parameters(given["store"]), given["access_key"], given["secret_key"])
            if not writing:
                # No outcome: reading alone brings no step to its end.
                manifest = found(bucket, given)
                return {**result, "changed": False, "msg": message_of(given, manifest), "manifest": manifest}
            manifest, changed = written(bucket, given, write=not self._task.check_mode)
        except PointError as error:
            return {**result, **refusal(str(error), evidence)}
        except (BotoCoreError, ClientError) as error:
            said = f"the store says: {str(error)[:300]} Type: upkeep store check {given['client']}"
            return {**result, **refusal(said, evidence)}
        evidence.update(manifest=manifest, seconds=manifest.get("seconds", 0))
        ended = {"changed": changed, "msg": message_of(given, manifest), "outcome": "done", "evidence": evidence}
        return {**result, **ended}


class Bucket:
    """The bucket of a client, through boto3."""

    def __init__(self, store: Store, access_key: str, secret_key: str) -> None:
        self.store = store
        self._client = s3.client(
            store.endpoint, store.region, access_key=access_key, secret_key=secret_key, read_seconds=60, attempts=3
        )

    def make(self) -> None:
        """Make the bucket where there is none. Raises PointError where the contract promises a lock."""
        try:
            self._client.head_bucket(Bucket=self.store.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                raise
            if self.store.lock_days:
                raise PointError(self.store.unmade) from error
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
            raise PointError(f"the manifest of {point} is not JSON") from error

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
            raise PointError("the store gives back another manifest than it was given")


def refusal(reason: str, evidence: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a task that fails without having touched anything."""
    message = f"No restore point: {reason}. The site was not touched."
    return {"failed": True, "msg": message, "outcome": "refused", "evidence": evidence}


def found(bucket: Bucket, given: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest that was asked for. Raises PointError when it may not be used for this site."""
    point = given["point"]
    if point == NEWEST:
        ids = bucket.ids()
        if not ids:
            raise PointError(f"there is none for {bucket.store.prefix}: take one with playbooks/snapshot.yml")
        point = ids[-1]
    manifest = bucket.read(point)
    if manifest is None:
        raise PointError(f"{point} has no manifest: choose one of `upkeep points {given['client']}`")
    _refuse(problems(manifest, client=given["client"], site=given["name"], point=point), point)
    return dict(manifest)


def written(bucket: Bucket, given: dict[str, Any], *, write: bool) -> tuple[dict[str, Any], bool]:
    """Write a manifest. Returns it with the name of the one before, and whether it was written now."""
    point, manifest = given["point"], dict(given["manifest"])
    if not write:
        bucket.store.key(point)
        return manifest, True
    _refuse(problems(manifest, client=given["client"], site=given["name"], point=point), point)
    if given["create_bucket"]:
        bucket.make()
    if given["password"]:
        refuse_incomplete(bucket, given, str(manifest["restic"]["snapshot"]))
    there = bucket.read(point)
    if there is not None:
        if not isinstance(there, dict) or there.get("run") != manifest.get("run"):
            raise PointError(f"{point} is taken already, by another run: a manifest is never written over")
        return there, False
    before = [other for other in bucket.ids() if other < point]
    if before:
        manifest["previous"] = before[-1]
        smaller = shrunk(manifest, bucket.read(before[-1]))
        if smaller and not given["allow_shrunk"]:
            raise PointError(
                f"it is less than half of {before[-1]} ({'; '.join(smaller)}). "
                "If that is right: -e site_snapshot_allow_shrunk=true"
            )
    bucket.write(point, manifest)
    return manifest, True


def refuse_incomplete(bucket: Bucket, given: dict[str, Any], snapshot: str) -> None:
    """Raise PointError unless the store has all that this snapshot needs: where there is a gateway, that has looked."""
    store = bucket.store
    keys = store_bucket.Keys(given["access_key"], given["secret_key"])
    try:
        with store_bucket.opened(ContractStore(store.endpoint, store.bucket, store.region), keys) as reached:
            repository = opened_repository(reached, store.prefix, given["password"])
            body = reached.must_get(f"{store.prefix}/restic/snapshots/{snapshot}") or b""
            if repository is None or hashlib.sha256(body).hexdigest() != snapshot:
                raise PointError(f"its snapshot {snapshot[:8]} is not in the store")
            lost = lacking(reached, store.prefix, repository.key, str(repository.key.value(body).get("tree")))
    except (Refused, KeysDamaged) as error:
        raise PointError(str(error)) from error
    if lost:
        raise PointError(f"{lost}. Type: upkeep verify {given['client']} --heal")


def message_of(given: dict[str, Any], manifest: dict[str, Any]) -> str:
    """Say in one sentence what there is now."""
    if not manifest:
        return f"would write the manifest of {given['point']}"
    files, tables = manifest["files"]["count"], len(manifest["dump"]["tables"])
    return f"restore point {manifest['point']} of {manifest['taken']}: {files} files, {tables} tables"


def _refuse(found_problems: list[str], point: str) -> None:
    if found_problems:
        raise PointError(f"{point} cannot be used: {'; '.join(found_problems)}")
