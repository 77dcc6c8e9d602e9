"""Say how a client's bucket must be set so that restore points survive a thief: settings, policies, and what is promised.

Values only: orchestrator/run/bucket.py carries them to the store, and bucket_trial.py finds out what the store does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

UNFINISHED_DAYS = 7
# What was deleted can be brought back for so long, also where no lock was promised.
OLD_VERSIONS_DAYS = 30
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
# Ceph 16 accepts all four and then refuses every upload (BlockPublicAcls) and every policy (BlockPublicPolicy).
HARMLESS_BLOCKS = ("IgnorePublicAcls", "RestrictPublicBuckets")

# What no host ever needs: with one of these it could undo what guards its own restore points.
NEVER = (
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
    "s3:PutBucketAcl",
    "s3:PutBucketPolicy",
    "s3:DeleteBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketPublicAccessBlock",
    "s3:DeleteBucket",
)


@dataclass(frozen=True)
class Finding:
    """One promise about a store, and whether it is kept."""

    name: str
    promise: str
    # None: it could not be tried.
    kept: bool | None
    # Whether the contract makes this promise. What it does not promise is worth knowing, and no failure.
    promised: bool
    how: str
    todo: str = ""


def broken(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the promises of the contract that are not shown to be kept."""
    return tuple(each for each in findings if each.promised and each.kept is not True)


def old_versions_days(lock_days: int) -> int:
    """Return for how many days what was deleted or overwritten stays in the store."""
    return max(lock_days, OLD_VERSIONS_DAYS)


def lifecycle_rules(client: str, lock_days: int, there: Sequence[Mapping[str, Any]] = ()) -> list[Json]:
    """Return the bucket's rules with ours among them; other people's rules stay as they are."""
    ours: Json = {
        "ID": f"upkeep-{client}",
        "Status": "Enabled",
        "Filter": {"Prefix": f"{client}/"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": old_versions_days(lock_days)},
        # The marks that stay behind when the last old version has gone.
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }
    return [dict(rule) for rule in there if rule.get("ID") != ours["ID"]] + [ours]


def lifecycle_findings(rules: Sequence[Mapping[str, Any]], client: str, lock_days: int) -> tuple[Finding, Finding]:
    """Judge the rules by which the store removes objects by itself."""
    ours = [rule for rule in rules if rule.get("Status") == "Enabled" and _touches(rule, f"{client}/")]
    eaters = [rule for rule in ours if {"Days", "Date"} & dict(rule.get("Expiration") or {}).keys()]
    # The smallest number of days decides; a rule that keeps some newer versions does not make it safer.
    days = [int(rule["NoncurrentVersionExpiration"].get("NoncurrentDays", 0)) for rule in ours
            if rule.get("NoncurrentVersionExpiration")]  # fmt: skip
    uploads = any(rule.get("AbortIncompleteMultipartUpload") for rule in ours)
    too_soon = bool(days) and min(days) < lock_days
    names = ", ".join(str(rule.get("ID", "?")) for rule in eaters)
    no_eater = Finding(
        "no-expiry",
        "The store itself removes no restore point.",
        not eaters and not too_soon,
        True,
        f"asked: the lifecycle rule {names} would remove objects that are in use" if eaters
        else f"asked: old versions go after {min(days)} days already" if too_soon
        else "asked: no lifecycle rule of the bucket does",
        f"take the lifecycle rule {names or 'for old versions'} out at the store" if eaters or too_soon else "",
    )  # fmt: skip
    tidy = bool(days) and uploads
    cleanup = Finding(
        "cleanup",
        f"Unfinished uploads go after {UNFINISHED_DAYS} days, old versions after {old_versions_days(lock_days)}.",
        tidy,
        False,
        "asked: the lifecycle rules say so" if tidy else "asked: the bucket has no such lifecycle rules",
        "" if tidy else "upkeep store init CLIENT; if it stays so, look at the store's size now and then",
    )
    return no_eater, cleanup


def lock_configuration(lock_days: int) -> Json:
    """Return the lock that every new object gets. COMPLIANCE: nobody shortens it, the owner of the bucket included."""
    return {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": lock_days}},
    }


def locked_days(configuration: Mapping[str, Any]) -> int:
    """Return for how many days new objects are locked by themselves; 0 when they are not."""
    rule = (configuration.get("Rule") or {}).get("DefaultRetention") or {}
    return int(rule.get("Days") or 0) + 365 * int(rule.get("Years") or 0)


def user_policy(bucket: str, client: str) -> Json:
    """Return the IAM policy of the user whose key the client's hosts get (AWS and what copies its IAM)."""
    return {"Version": "2012-10-17", "Statement": _statements(bucket, client, {})}


def bucket_policy(
    bucket: str, client: str, *, principal: str, owner: str = "", there: Mapping[str, Any] | None = None
) -> Json:
    """Return the bucket's policy with our statements for `principal` among it (Ceph, and AWS across accounts).

    `owner` is named where objects belong to who wrote them: the bucket's owner could not read them otherwise.
    """
    sids = f"X{client.replace('-', 'Z')}"
    statements = [each for each in (there or {}).get("Statement", ()) if not _is_ours(each, sids)]
    ours = _statements(bucket, client, {"Principal": {"AWS": [principal]}})
    if owner:
        ours.insert(0, {
            "Sid": "UpkeepOwner", "Effect": "Allow", "Principal": {"AWS": [owner]}, "Action": ["s3:*"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        })  # fmt: skip
    return {"Version": "2012-10-17", "Statement": statements + [{**each, "Sid": each["Sid"] + sids} for each in ours]}


def _statements(bucket: str, client: str, who: Json) -> list[Json]:
    whole, inside = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{client}"
    return [
        {"Sid": "UpkeepList", "Effect": "Allow", **who, "Action": ["s3:ListBucket"], "Resource": [whole],
         "Condition": {"StringLike": {"s3:prefix": [f"{client}/*"]}}},
        {"Sid": "UpkeepPlace", "Effect": "Allow", **who, "Action": ["s3:GetBucketLocation"], "Resource": [whole]},
        {"Sid": "UpkeepUse", "Effect": "Allow", **who, "Resource": [f"{inside}/*"],
         "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]},
        # restic takes its own locks away again, and nothing else.
        {"Sid": "UpkeepLocks", "Effect": "Allow", **who, "Action": ["s3:DeleteObject"],
         "Resource": [f"{inside}/*/restic/locks/*"]},
        # The repository is made, and manifests are written, with the owner's key: a host that could write one could
        # say which snapshot the newest restore point is. Whoever writes packages decides which code sites are offered.
        {"Sid": "UpkeepFixed", "Effect": "Deny", **who, "Action": ["s3:PutObject", "s3:DeleteObject"],
         "Resource": [f"{inside}/*/restic/config", f"{inside}/*/restic/keys/*", f"{inside}/*/points/*",
                      f"{inside}/artefacts/*"]},
        {"Sid": "UpkeepNever", "Effect": "Deny", **who, "Action": list(NEVER), "Resource": [whole, f"{whole}/*"]},
    ]  # fmt: skip


def _is_ours(statement: Any, sids: str) -> bool:
    sid = str(statement.get("Sid", "")) if isinstance(statement, dict) else ""
    return sid.startswith("Upkeep") and sid.endswith(sids)


def _touches(rule: Mapping[str, Any], prefix: str) -> bool:
    """Whether a rule may be about objects below the prefix. A rule that also asks for tags is taken at its widest."""
    chosen = rule.get("Filter") or {}
    inner = chosen.get("And") or chosen
    begin = str(inner.get("Prefix") or rule.get("Prefix") or "")
    return begin.startswith(prefix) or prefix.startswith(begin)
