"""A client's bucket through boto3: how it is reached, what it says of itself, and how it is made safe.

What a store says is never believed here: bucket_trial.py tries it. And nothing is ever taken away by a call that names
a part of a bucket (`delete_bucket_policy` and its kin): a store that does not know the part removes the bucket itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.plan import guard
from orchestrator.run import s3

# So long is locked what is put in for a trial.
SECONDS = 6.0
ATTEMPTS = 3
ABSENT = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")


@dataclass(frozen=True)
class Keys:
    """A pair of keys of the store."""

    access: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Said:
    """What a store answered: whether it did what it was asked, and in which words it refused."""

    ok: bool
    code: str
    status: int
    value: Mapping[str, Any]

    @property
    def words(self) -> str:
        """Return the answer in a word or two."""
        return "accepted" if self.ok else f"refused ({self.code} {self.status})"


@dataclass(frozen=True)
class Settings:
    """What a bucket says of itself. Only answers of the right shape are taken: some stores answer something else."""

    versioned: bool
    lock: Mapping[str, Any]
    rules: tuple[Mapping[str, Any], ...]
    blocks: frozenset[str]
    policy: Mapping[str, Any]

    @property
    def has_lock(self) -> bool:
        """Whether the bucket was made for object lock."""
        return self.lock.get("ObjectLockEnabled") == "Enabled"

    @property
    def locked_days(self) -> int:
        """For how many days every new object is locked."""
        return guard.locked_days(self.lock)

    @property
    def lock_is_strict(self) -> bool:
        """Whether nobody at all, the bucket's owner included, may undo the lock of a new object."""
        mode = ((self.lock.get("Rule") or {}).get("DefaultRetention") or {}).get("Mode")
        return self.locked_days > 0 and mode == "COMPLIANCE"


@dataclass(frozen=True)
class Done:
    """One thing that was to be set, and what came of it."""

    what: str
    state: Literal["set", "was so", "not possible"]
    how: str = ""


class Bucket:
    """One bucket with one pair of keys; without keys, as a stranger sees it."""

    def __init__(self, store: Store, keys: Keys | None, *, shared: bool = False) -> None:
        """Reach it; with `shared` by the client that this process has for these keys, which nobody closes."""
        self.store, self.keys, self._shared = store, keys, shared
        access, secret = (keys.access, keys.secret) if keys else ("", "")
        self.client: Any = (s3.shared if shared else s3.client)(
            store.endpoint, store.region, access_key=access, secret_key=secret
        )

    def ask(self, call: str, **parameters: Any) -> Said:
        """Ask the store for something in this bucket. Raises Refused when it cannot be reached."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            value = getattr(self.client, call)(Bucket=self.store.bucket, **parameters)
        except ClientError as error:
            answer = error.response
            status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return Said(False, str(answer.get("Error", {}).get("Code", "")), status, answer)
        except BotoCoreError as error:
            raise self._away(error) from None
        return Said(True, "", 200, value)

    def put(self, key: str, body: bytes, **more: Any) -> Said:
        """Store a small object. With its MD5: Amazon takes nothing else into a bucket that locks."""
        # The checksum that S3 asks for by name; nothing secret hangs on it.
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        return self.ask("put_object", **{"Key": key, "Body": body, "ContentMD5": md5, **more})

    def get(self, key: str, version: str = "") -> bytes | None:
        """Return an object, None when it may not be read or is not there."""
        said = self.ask("get_object", Key=key, **({"VersionId": version} if version else {}))
        return self.body(said) if said.ok else None

    def must_get(self, key: str) -> bytes | None:
        """Return an object, None when it is not there. Raises Refused for every other answer: that says nothing of it."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                said = self.ask("get_object", Key=key)
                if said.ok:
                    return self.body(said)
            except Refused:
                # Reading back takes hours: one connection that breaks is not the end of it.
                if attempt == ATTEMPTS:
                    raise
                continue
            if said.code in ABSENT:
                return None
            if attempt == ATTEMPTS or said.status < 500:
                break
        raise Refused(
            f"the store {self.store.endpoint} does not give {key}: {said.words}", "look at the key in the vault"
        )

    def body(self, said: Said) -> bytes:
        """Read what an answer brings."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        try:
            whole: bytes = said.value["Body"].read()
        except (BotoCoreError, OSError) as error:
            raise self._away(error) from None
        return whole

    def fetch(self, key: str, place: Path) -> str:
        """Write an object into a file and return its SHA-256, empty when it is not there. Raises Refused."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        said = self.ask("get_object", Key=key)
        if not said.ok:
            return ""
        digest = hashlib.sha256()
        try:
            with said.value["Body"] as body, place.open("wb") as file:
                while block := body.read(1024 * 1024):
                    digest.update(block)
                    file.write(block)
        except BotoCoreError as error:
            raise self._away(error) from None
        return digest.hexdigest()

    def keys_below(self, prefix: str) -> Iterator[str]:
        """Return the names of all objects below a prefix."""
        return (str(entry["Key"]) for entry in self.entries_below(prefix))

    def sizes_below(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Return the names and sizes of all objects below a prefix."""
        return ((str(entry["Key"]), int(entry["Size"])) for entry in self.entries_below(prefix))

    def entries_below(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        """Return what the store lists of all objects below a prefix."""
        more: dict[str, str] = {}
        while True:
            said = self.ask("list_objects_v2", Prefix=prefix, **more)
            if not said.ok:
                raise Refused(
                    f"the store {self.store.endpoint} does not show what is in {self.store.bucket}: {said.words}",
                    "look at the key in the vault",
                )
            yield from said.value.get("Contents") or ()
            if not said.value.get("IsTruncated"):
                return
            more = {"ContinuationToken": said.value["NextContinuationToken"]}

    def settings(self) -> Settings:
        """Read what the bucket says of itself."""
        lock = self.ask("get_object_lock_configuration").value.get("ObjectLockConfiguration") or {}
        rules = self.ask("get_bucket_lifecycle_configuration").value.get("Rules") or ()
        blocks = self.ask("get_public_access_block").value.get("PublicAccessBlockConfiguration") or {}
        return Settings(
            versioned=self.ask("get_bucket_versioning").value.get("Status") == "Enabled",
            lock=lock,
            rules=tuple(rules),
            blocks=frozenset(name for name in guard.BLOCKS if blocks.get(name)),
            policy=_policy(self.ask("get_bucket_policy").value.get("Policy")),
        )

    def user(self) -> str:
        """Return the id of the user whose keys these are, empty when the store does not say."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return str((self.client.list_buckets().get("Owner") or {}).get("ID", ""))
        except (BotoCoreError, ClientError):
            return ""

    def clock(self) -> datetime:
        """Return the time by the store's clock, which is the one that counts for a lock."""
        told = self.ask("head_bucket").value.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return parsedate_to_datetime(told) if told else datetime.now(UTC)

    def lock_for(self, seconds: float) -> dict[str, Any]:
        """Return what locks a new object for some seconds, and for no longer, whatever the bucket's own lock is."""
        until = self.clock() + timedelta(seconds=seconds)
        return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}

    def close(self) -> None:
        """Let go of the connections."""
        if not self._shared:
            self.client.close()

    def _away(self, error: Exception) -> Refused:
        words = " ".join(str(error).split())[:300]
        return Refused(f"the store {self.store.endpoint} cannot be reached: {words}", f"curl -sI {self.store.endpoint}")


@contextmanager
def opened(store: Store, keys: Keys | None) -> Iterator[Bucket]:
    """Reach a bucket for as long as the block lasts."""
    bucket = Bucket(store, keys)
    try:
        yield bucket
    finally:
        bucket.close()


def prepare(bucket: Bucket, client: str, probe: str) -> list[Done]:
    """Make the bucket and set what guards it. What is stricter already stays; what the store cannot do is said.

    An object named `probe` is put in and taken out; where it is locked for seconds, the trial afterwards takes it out.
    """
    lock_days = bucket.store.lock_days
    made = _made(bucket)
    if made.state == "not possible":
        return [made]
    there = bucket.settings()
    rules = guard.lifecycle_rules(client, lock_days, there.rules)
    steps = [
        made,
        _set("versioning", there.versioned, lambda: bucket.ask(
            "put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})),
        # Before the lock: what is put in to see whether uploads still work can then be taken out at once.
        _blocked(bucket, there, probe),
        _set("lifecycle rules", _comparable(rules) == _comparable(there.rules), lambda: bucket.ask(
            "put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": rules})),
    ]  # fmt: skip
    if lock_days:
        days = max(lock_days, there.locked_days)
        so_already = there.lock_is_strict and there.locked_days >= lock_days
        steps.append(_set(f"object lock of {days} days", so_already, lambda: bucket.ask(
            "put_object_lock_configuration", ObjectLockConfiguration=guard.lock_configuration(days))))  # fmt: skip
    return steps


def apply_policy(bucket: Bucket, client: str, *, principal: str, owner: str) -> Done:
    """Let the key of `principal` do what the client's hosts need, and no more. Other statements stay as they are."""
    there = bucket.settings()
    policy = guard.bucket_policy(bucket.store.bucket, client, principal=principal, owner=owner, there=there.policy)
    if policy["Statement"] == there.policy.get("Statement"):
        return Done("policy", "was so")
    said = bucket.ask("put_bucket_policy", Policy=json.dumps(policy))
    if not said.ok and "BlockPublicPolicy" in there.blocks:
        # Ceph 16 takes every policy for a public one while this is on. It stays as strict as it was afterwards.
        _block(bucket, there.blocks - {"BlockPublicPolicy"})
        said = bucket.ask("put_bucket_policy", Policy=json.dumps(policy))
        _block(bucket, there.blocks)
    return Done("policy", "set" if said.ok else "not possible", f"for {principal}: {said.words}")


def _made(bucket: Bucket) -> Done:
    name = f"bucket {bucket.store.bucket}"
    there = bucket.ask("head_bucket")
    if there.ok:
        return Done(name, "was so")
    if there.code not in ABSENT and there.status != 404:
        return Done(name, "not possible", f"looking at it was {there.words}")
    more: dict[str, Any] = {}
    if "amazonaws.com" in bucket.store.endpoint and bucket.store.region != "us-east-1":
        more["CreateBucketConfiguration"] = {"LocationConstraint": bucket.store.region}
    # Most stores can lock only in a bucket that was made for it, so each is made for it: nothing is locked by that yet.
    said = bucket.ask("create_bucket", ObjectLockEnabledForBucket=True, **more)
    if said.ok:
        return Done(name, "set", "made, ready for object lock")
    again = bucket.ask("create_bucket", **more)
    if again.ok:
        return Done(name, "set", f"made without object lock: with it, it was {said.words}")
    return Done(name, "not possible", f"making it was {again.words}")


def _blocked(bucket: Bucket, there: Settings, probe: str) -> Done:
    what = "public access blocked"
    if there.blocks >= set(guard.HARMLESS_BLOCKS):
        return Done(what, "was so", ", ".join(sorted(there.blocks)))
    said = _block(bucket, frozenset(guard.BLOCKS))
    if not said.ok:
        return Done(what, "not possible", said.words)
    # Believed only after an upload went through: Ceph 16 refuses every upload with one of these on.
    for blocks in (guard.BLOCKS, guard.HARMLESS_BLOCKS, ()):
        _block(bucket, frozenset(blocks))
        begun = bucket.put(probe, b"upkeep", **(bucket.lock_for(SECONDS) if there.locked_days else {}))
        if begun.ok:
            version = begun.value.get("VersionId")
            bucket.ask("delete_object", Key=probe, **({"VersionId": version} if version else {}))
            left_out = [name for name in guard.BLOCKS if name not in blocks]
            how = f"left out, because this store then refuses every upload or policy: {', '.join(left_out)}"
            return Done(what, "set" if blocks else "not possible", how if left_out else "")
    return Done(what, "not possible", "uploads are refused with and without")


def _block(bucket: Bucket, blocks: frozenset[str]) -> Said:
    wanted = {name: name in blocks for name in guard.BLOCKS}
    return bucket.ask("put_public_access_block", PublicAccessBlockConfiguration=wanted)


def _set(what: str, so_already: bool, call: Callable[[], Said]) -> Done:
    if so_already:
        return Done(what, "was so")
    said = call()
    return Done(what, "set" if said.ok else "not possible", "" if said.ok else said.words)


def _comparable(rules: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(sorted((dict(rule) for rule in rules), key=lambda rule: str(rule.get("ID"))), sort_keys=True)


def _policy(text: Any) -> Mapping[str, Any]:
    try:
        value = json.loads(str(text))
    except ValueError:
        return {}
    # rclone answers the question for the policy with the list of the bucket's objects.
    return value if isinstance(value, dict) and isinstance(value.get("Statement"), list) else {}
