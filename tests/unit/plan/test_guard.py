"""How a bucket is guarded: the rules, the lock and the policies, as values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.plan.guard import (
    NEVER,
    Finding,
    broken,
    bucket_policy,
    lifecycle_findings,
    lifecycle_rules,
    lock_configuration,
    locked_days,
    user_policy,
)

OURS = "arn:aws:iam:::user/hosts"
THEIRS: dict[str, Any] = {"Sid": "Auditor", "Effect": "Allow", "Principal": "*", "Action": ["s3:ListBucket"]}


def rule(**more: Any) -> dict[str, Any]:
    return {"ID": "somebody", "Status": "Enabled", "Filter": {"Prefix": ""}, **more}


def test_only_what_is_promised_and_not_seen_to_be_kept_is_broken():
    def finding(kept: bool | None, promised: bool) -> Finding:
        return Finding("x", "X.", kept, promised, "")

    every = [finding(kept, promised) for kept in (True, False, None) for promised in (True, False)]
    assert broken(every) == (finding(False, True), finding(None, True))


def test_our_rules_are_kind_to_those_of_others_and_to_themselves():
    others = [rule(), rule(ID="upkeep-acme-too")]
    once = lifecycle_rules("acme", 90, others)
    assert once[:2] == others
    assert lifecycle_rules("acme", 90, once) == once
    assert once[2]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert lifecycle_rules("acme", 0)[0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert "Days" not in json.dumps(once[2]["Expiration"])


@pytest.mark.parametrize(
    ("theirs", "kept"),
    [
        (rule(Expiration={"Days": 30}), False),
        (rule(Expiration={"Date": "2026-12-01"}), False),
        (rule(Expiration={"Days": 30}, Filter={"Prefix": "acme/shop/points/"}), False),
        (rule(Expiration={"Days": 30}, Filter={"And": {"Prefix": "ac", "Tags": []}}), False),
        ({"ID": "old", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 30}}, False),
        (rule(NoncurrentVersionExpiration={"NoncurrentDays": 3}), False),
        (rule(Expiration={"Days": 30}, Filter={"Prefix": "other/"}), True),
        (rule(Expiration={"Days": 30}, Status="Disabled"), True),
        (rule(Expiration={"ExpiredObjectDeleteMarker": True}), True),
    ],
)
def test_a_rule_by_which_the_store_would_eat_restore_points_is_found(theirs: Any, kept: bool):
    no_expiry, cleanup = lifecycle_findings([theirs, *lifecycle_rules("acme", 90)], "acme", 90)
    assert no_expiry.kept is kept
    assert bool(no_expiry.todo) is not kept
    assert cleanup.kept


def test_without_rules_nothing_is_eaten_and_nothing_is_tidied():
    no_expiry, cleanup = lifecycle_findings([], "acme", 90)
    assert (no_expiry.kept, cleanup.kept, cleanup.promised) == (True, False, False)


def test_a_lock_is_counted_in_days():
    assert locked_days(lock_configuration(30)) == 30
    assert locked_days({"Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 2}}}) == 730
    assert locked_days({"ObjectLockEnabled": "Enabled"}) == locked_days({}) == 0


def test_hosts_may_delete_locks_of_restic_and_nothing_else():
    statements = user_policy("bucket", "acme")["Statement"]
    allowed = {(action, where) for each in statements if each["Effect"] == "Allow"
               for action in each["Action"] for where in each["Resource"]}  # fmt: skip
    assert [where for action, where in allowed if "Delete" in action] == ["arn:aws:s3:::bucket/acme/*/restic/locks/*"]
    assert not {action for action, _ in allowed} & set(NEVER)
    assert all(where.startswith("arn:aws:s3:::bucket/acme/") for action, where in allowed if "Object" in action)
    (listing,) = [each for each in statements if "s3:ListBucket" in each["Action"]]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["acme/*"]}}
    assert not [each for each in statements if "Principal" in each]


def test_hosts_write_neither_manifests_nor_packages():
    denied = [where for each in user_policy("bucket", "acme")["Statement"] if each["Effect"] == "Deny"
              and "s3:PutObject" in each["Action"] for where in each["Resource"]]  # fmt: skip
    assert {"arn:aws:s3:::bucket/acme/*/points/*", "arn:aws:s3:::bucket/acme/artefacts/*"} <= set(denied)


def test_a_buckets_policy_replaces_our_statements_and_keeps_all_others():
    first = bucket_policy(
        "bucket", "acme", principal=OURS, owner="arn:aws:iam:::user/owner", there={"Statement": [THEIRS]}
    )
    assert first["Statement"][0] == THEIRS
    assert bucket_policy("bucket", "acme", principal=OURS, owner="arn:aws:iam:::user/owner", there=first) == first
    two = bucket_policy("bucket", "ac-me", principal=OURS, there=first)
    sids = [each["Sid"] for each in two["Statement"]]
    assert len(sids) == len(set(sids)) == len(first["Statement"]) + 6
    assert all(each["Principal"] == {"AWS": [OURS]} for each in two["Statement"][-6:])
