"""A store that enforces what it says: Ceph. What guards a client's bucket is set there, tried, and attacked."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from plugins.module_utils import restic
from plugins.module_utils.points import Store as Place
from tests.ceph_client import Client
from tests.depot import NOW, PASSWORD, night

pytest_plugins = ["tests.ceph_fixtures"]
pytestmark = pytest.mark.root


def kept(answer: Any) -> dict[str, Any]:
    return {each["name"]: each["kept"] for each in answer["findings"]}


def finding(answer: Any, name: str) -> Any:
    return next(each for each in answer["findings"] if each["name"] == name)


def test_what_the_contract_promises_is_set_tried_and_kept_and_nothing_of_the_trial_stays(client: Client):
    assert client.check()["code"] == 12
    said = client.depot.upkeep("store", "init", "example", "--json")
    assert {each["what"]: each["state"] for each in said.answer["done"] if each["state"] != "set"} == {
        "versioning": "was so"
    }
    # The hosts' key may do nothing yet, and that is a broken promise as well: no restore point could be taken.
    assert said.code == 12
    assert "host-key-works" in said.err
    assert client.depot.upkeep("store", "policy", "example", "--apply").code == 0
    answer = client.check()
    assert answer["code"] == 0
    assert [name for name, value in kept(answer).items() if not value] == ["tls", "conditional"]
    assert answer["left"] == []
    assert {each["Key"].split("/")[2] for each in client.versions()} == {"restic"}
    assert not client.owner.ask("list_multipart_uploads").value.get("Uploads")


def test_setting_it_twice_changes_nothing_and_what_is_stricter_stays(client: Client):
    client.guarded()
    first = client.owner.settings()
    said = client.depot.upkeep("store", "init", "example", "--json")
    assert {each["state"] for each in said.answer["done"]} == {"was so"}
    assert client.depot.upkeep("store", "policy", "example", "--apply", "--json").answer["applied"] == "was so"
    assert client.owner.settings() == first
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 99}}}
    assert client.owner.ask("put_object_lock_configuration", ObjectLockConfiguration=lock).ok
    client.depot.upkeep("store", "init", "example", "--json")
    assert client.owner.settings().locked_days == 99


def test_a_thief_with_all_that_the_host_holds_destroys_no_restore_point(client: Client):
    client.guarded()
    site = client.snapshot(1, "the good page")
    thief, before = client.host, client.versions()
    keys = [each["Key"] for each in before]
    assert len(keys) > 5
    for each in before:
        lock = {"Mode": "COMPLIANCE", "RetainUntilDate": NOW}
        assert not thief.ask("delete_object", Key=each["Key"], VersionId=each["VersionId"]).ok
        assert not thief.ask(
            "put_object_retention", Key=each["Key"], VersionId=each["VersionId"], Retention=lock, BypassGovernanceRetention=True
        ).ok  # fmt: skip
        deleted = thief.ask("delete_object", Key=each["Key"])
        assert deleted.ok == ("/restic/locks/" in each["Key"])
        fixed = each["Key"].endswith("/restic/config") or "/restic/keys/" in each["Key"] or "/points/" in each["Key"]
        assert thief.put(each["Key"], b"rubbish").ok != fixed
    assert not thief.ask("put_bucket_policy", Policy="{}").ok
    assert not thief.ask("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}).ok
    assert not thief.ask("list_object_versions").ok
    assert not thief.put("other/shop/points/x.json", b"rubbish").ok
    # What was written over is brought back by its owner: every first version is still there.
    for each in (version for version in before if "Size" in version):
        source = {"Bucket": client.store.bucket, "Key": each["Key"], "VersionId": each["VersionId"]}
        assert client.owner.ask("copy_object", Key=each["Key"], CopySource=source, MetadataDirective="REPLACE").ok
    back = client.depot.folder / "back"
    client.restic("restore", "latest", "--no-lock", "--target", str(back), keys=client.owner.keys)
    assert (back / str(site).lstrip("/") / "page.html").read_text() == "the good page"


def test_locked_restore_points_are_seen_to_be_locked_and_are_not_pruned(client: Client):
    client.guarded()
    for days in (1, 2, 3, 4, 40):
        client.snapshot(days, f"{days}")
    assert "locked for 30 (COMPLIANCE)" in finding(client.check(), "default-lock")["how"]
    said = client.depot.upkeep("prune", "example", "--yes", "--json", now=NOW + timedelta(hours=1))
    assert said.code == 0, said.err
    (site,) = said.answer["sites"]
    assert site["removed"] == []
    assert {row["reasons"][-1][:12] for row in site["kept"]} == {"locked until"}


def test_pruning_hides_old_versions_that_the_store_keeps_for_a_while(client: Client):
    client.promises_no_lock().guarded()
    for days in (1, 2, 3, 4, 40):
        client.snapshot(days, f"{days}")
    before = len([each for each in client.versions() if "Size" in each])
    said = client.depot.upkeep("prune", "example", "--yes", "--json")
    assert said.code == 0, said.err
    (site,) = said.answer["sites"]
    assert [row["point"] for row in site["removed"]] == [night(4)]
    assert (
        site["done"]["note"]
        == "The store keeps what was removed as old versions for 30 days, then their space is free."
    )
    assert len([each for each in client.versions() if "Size" in each]) > before
    points = list(client.owner.keys_below("example/shop/points/"))
    assert [key for key in points if night(4) in key] == []
    # The hosts' key reads on, and may not prune by itself.
    assert len(client.restic("snapshots", "--json", "--no-lock")) == 4


def test_what_a_thief_has_written_over_or_removed_is_brought_back_from_its_versions(client: Client):
    client.guarded()
    client.snapshot(1, "the only copy of this page")
    packs = list(client.owner.keys_below("example/shop/restic/data/"))
    right = {key: client.owner.get(key) for key in packs}
    # With the hosts' key; and one with the owner's, by mistake.
    assert client.host.put(packs[0], b"rubbish").ok
    assert client.owner.ask("delete_object", Key=packs[1]).ok
    said = client.depot.upkeep("verify", "example", "--full", "--json")
    assert said.code == 4, said.err
    assert {each["object"] for each in said.answer["sites"][0]["damage"]} >= {
        key.removeprefix("example/shop/restic/") for key in packs
    }
    said = client.depot.upkeep("verify", "example", "--full", "--heal", "--json")
    assert said.code == 3, said.err
    site = said.answer["sites"][0]
    back = {*site["mended"]["brought_back"], *site["healed"]["brought_back"]}
    assert {name.rpartition("/")[2] for name in back} == {key.rpartition("/")[2] for key in packs}
    assert {key: client.owner.get(key) for key in packs} == right
    assert client.depot.upkeep("verify", "example", "--full", "--json").code == 0
    client.snapshot(0, "another page")


@pytest.mark.parametrize(
    ("call", "setting", "name"),
    [
        (
            "put_bucket_lifecycle_configuration",
            {"LifecycleConfiguration": {"Rules": [
                {"ID": "save-money", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 300}}]}},
            "no-expiry",
        ),
        (
            "put_bucket_policy",
            {"Policy": {"Version": "2012-10-17", "Statement": [
                {"Sid": "Everybody", "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"],
                 "Resource": ["arn:aws:s3:::BUCKET/*"]}]}},
            "private",
        ),
    ],
)  # fmt: skip
def test_what_somebody_has_set_against_the_promise_is_found(client: Client, call: str, setting: Any, name: str):
    assert client.owner.ask("create_bucket").ok
    if "Policy" in setting:
        setting = {"Policy": json.dumps(setting["Policy"]).replace("BUCKET", client.store.bucket)}
    assert client.owner.ask(call, **setting).ok
    answer = client.check()
    assert answer["code"] == 12
    assert kept(answer)[name] is False


def test_a_bucket_that_was_not_made_for_a_lock_is_not_talked_into_one(client: Client):
    assert client.owner.ask("create_bucket").ok
    said = client.depot.upkeep("store", "init", "example", "--json")
    assert said.code == 12
    states = {each["what"]: each["state"] for each in said.answer["done"]}
    assert states["object lock of 30 days"] == "not possible"
    assert "make another bucket" in finding(said.answer, "lock")["todo"]


def test_one_key_for_everything_is_a_promise_that_nobody_keeps(client: Client):
    vault = client.depot.contract.parent / "group_vars" / "all" / "vault.yml"
    owner = client.owner.keys
    assert owner is not None
    vault.write_text(
        f"site_snapshot_access_key: {owner.access}\nsite_snapshot_secret_key: {owner.secret}\n"
        f"site_snapshot_password: {PASSWORD}\nsite_snapshot_transport: direct\n"
    )
    said = client.depot.upkeep("store", "init", "example", "--json")
    assert said.code == 12
    broken = [each["name"] for each in said.answer["findings"] if each["promised"] and not each["kept"]]
    assert broken == ["host-key-destroys", "host-key-forges", "host-key-settings"]
    assert "make a second key" in finding(said.answer, "host-key-destroys")["todo"]
    # Even then nothing that is locked goes.
    assert kept(said.answer)["lock"] is True


def test_the_locks_of_old_data_are_renewed_that_the_newest_point_leans_on(client: Client):
    client.guarded()
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}
    assert client.owner.ask("put_object_lock_configuration", ObjectLockConfiguration=lock).ok
    client.snapshot(1, "the same page")
    client.depot.upkeep("store", "init", "example", "--json")
    client.snapshot(0, "the same page")
    packs = [each for each in client.versions() if "/restic/data/" in each["Key"]]
    assert packs

    def ends(each: Any) -> datetime:
        head = client.owner.ask("head_object", Key=each["Key"], VersionId=each["VersionId"])
        end: datetime = head.value["ObjectLockRetainUntilDate"]
        return end

    old = [each for each in packs if ends(each) < datetime.now(UTC) + timedelta(days=2)]
    assert old, "the second restore point leans on nothing of the first"
    answer = client.check()
    assert answer["code"] == 12
    assert f"and {night(0)} needs them until 2026-12-22" in finding(answer, "lock-renewal")["how"]
    assert finding(answer, "lock-renewal")["todo"] == "upkeep prune example --yes, which renews them"
    prune = ("prune", "example", "--site", "shop")
    (shown,) = client.depot.upkeep(*prune, "--json").answer["sites"]
    assert {each["Key"] for each in old} <= {each["key"] for each in shown["locks"]["objects"]}
    assert shown["locks"]["renewed"] is False
    assert shown["next"] == "upkeep prune example --site shop --yes"
    assert "would be renewed" in client.depot.upkeep(*prune).out
    assert all(ends(each) < datetime.now(UTC) + timedelta(days=2) for each in old)

    said = client.depot.upkeep(*prune, "--yes", "--json")

    assert said.code == 0, said.err
    assert said.answer["sites"][0]["locks"]["renewed"] is True
    assert {ends(each).date().isoformat() for each in old} == {"2026-12-22"}
    assert finding(client.check(), "lock-renewal")["kept"] is True
    assert client.depot.upkeep(*prune, "--json").answer["sites"][0]["locks"] is None
    # A lock of restic's own is none of these: restic must be able to take it away.
    client.restic("backup", str(client.depot.folder / "site"))
    assert list(client.owner.keys_below("example/shop/restic/locks/")) == []


def test_a_bucket_that_is_missing_is_not_made_by_a_host_where_the_contract_promises_a_lock(client: Client):
    keys = client.owner.keys
    assert keys is not None
    place = Place(
        client.store.endpoint, client.store.bucket, client.store.region, "example/shop", client.store.lock_days
    )
    given = {"gateway": "", "access_key": keys.access, "secret_key": keys.secret, "password": PASSWORD}
    cache = str(client.depot.folder / "cache")
    repository = restic.chosen("restic", place, given, cache=cache, make_bucket=True)
    with pytest.raises(restic.ResticError, match="a lock of 30 days: type upkeep store init example"):
        repository.backup([str(client.depot.contract)], host="x", tags=[], exclude=[], timeout=60)
    assert client.owner.ask("head_bucket").status == 404
