"""A store tried by attacking it: rclone's, which takes object lock and enforces nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.run import bucket_trial
from orchestrator.run.bucket import Keys, opened, prepare
from tests.depot import BUCKET, KEY, PASSWORD, SECRET, VAULT, Depot, night, write_client

pytest_plugins = ["tests.depot_fixtures"]

OWNER = Keys(KEY, SECRET)
TOKEN = "20261122T110000Z-00000001"
CHECK = ("store", "check", "example", "--json")
REAL = {
    f"example/shop/points/{night(1)}.json": b"{}",
    "example/shop/restic/config": b"sealed",
    "example/blog/x": b"theirs",
}


def fill(depot: Depot) -> None:
    for key, body in REAL.items():
        path = depot.objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def promise(depot: Depot, days: int) -> None:
    data = json.loads(depot.contract.read_text())
    data["store"]["lock_days"] = days
    depot.contract.write_text(json.dumps(data))


def kept(answer: Any) -> dict[str, Any]:
    return {each["name"]: each["kept"] for each in answer["findings"]}


def finding(answer: Any, name: str) -> Any:
    return next(each for each in answer["findings"] if each["name"] == name)


def no_wait(seconds: float) -> None:
    raise AssertionError("there was nothing to wait for")


def test_a_store_that_promises_no_lock_keeps_what_the_contract_says(empty_depot: Depot):
    fill(empty_depot)
    said = empty_depot.upkeep(*CHECK, ansible=True)
    assert said.code == 0, said.err
    assert kept(said.answer) == {
        "bucket": True, "tls": False, "bytes": True, "lock": False, "default-lock": False, "versions": False,
        "private": True, "no-expiry": True, "cleanup": False, "conditional": False, "host-key-works": True,
        "host-key-destroys": False, "host-key-forges": False, "host-key-settings": None, "host-key-scope": False,
    }  # fmt: skip
    promised = {each["name"] for each in said.answer["findings"] if each["promised"]}
    assert promised == {"bucket", "bytes", "private", "no-expiry", "host-key-works"}


def test_object_lock_that_is_taken_and_not_enforced_is_found_out(empty_depot: Depot):
    fill(empty_depot)
    promise(empty_depot, 30)
    said = empty_depot.upkeep(*CHECK)
    assert said.code == 12
    assert finding(said.answer, "lock")["how"] == "an object locked for 6 s: removing it: accepted; it is GONE"
    error = json.loads(said.err)["error"]
    assert error["code"] == 12
    assert error["message"] == (
        f"the store {empty_depot.endpoint} does not keep 6 promises of the contract (store.lock_days: 30): "
        "lock, default-lock, versions, host-key-destroys, host-key-forges, host-key-settings."
    )
    assert "choose a store that enforces object lock" in error["next"]


@pytest.mark.parametrize("command", ["check", "init"])
def test_nothing_of_a_trial_is_left_and_nothing_else_is_touched(empty_depot: Depot, command: str):
    """A store that does not know a part of a bucket may take a call about it for one about the bucket, or an object."""
    fill(empty_depot)
    promise(empty_depot, 30)
    empty_depot.upkeep("store", command, "example", "--json")
    assert empty_depot.everything() == REAL


def test_the_screen_says_which_promise_how_it_is_known_and_what_to_do(empty_depot: Depot):
    fill(empty_depot)
    promise(empty_depot, 30)
    said = empty_depot.upkeep("store", "check", "example")
    assert said.code == 12
    assert "What is locked can be removed by nobody until its time has come." in said.out
    assert "it is GONE" in said.out
    assert "NO, not promised" in said.out
    assert "does not keep 6 promises of the contract" in said.out
    assert "Next: choose a store" in said.out


def test_init_makes_the_bucket_and_says_what_this_store_cannot_do(empty_depot: Depot):
    said = empty_depot.upkeep("store", "check", "example", "--json")
    assert said.code == 12
    assert finding(said.answer, "bucket")["todo"] == "upkeep store init example"
    said = empty_depot.upkeep("store", "init", "example", "--json")
    assert said.code == 0, said.err
    states = {each["what"]: each["state"] for each in said.answer["done"]}
    assert states[f"bucket {BUCKET}"] == "set"
    assert states["versioning"] == states["lifecycle rules"] == states["public access blocked"] == "not possible"
    assert empty_depot.objects.is_dir()


def test_a_shared_bucket_makes_other_clients_a_promise(empty_depot: Depot):
    fill(empty_depot)
    assert not finding(empty_depot.upkeep(*CHECK).answer, "host-key-scope")["promised"]
    with opened(Store(empty_depot.endpoint, BUCKET, "us-east-1"), OWNER) as bucket:
        bucket.put(f"third/shop/points/{night(1)}.json", b"{}")
    said = empty_depot.upkeep(*CHECK)
    assert said.code == 12
    assert "host-key-scope" in said.err


def test_a_store_that_is_away_and_one_that_refuses_the_key_are_told_apart(empty_depot: Depot, tmp_path: Path):
    away = Store("http://127.0.0.1:9", BUCKET, "us-east-1")
    with pytest.raises(Refused, match=r"cannot be reached"):
        bucket_trial.check(away, OWNER, {}, client="example", sites=["shop"], token=TOKEN, wait=no_wait)
    refused = Store(empty_depot.endpoint, BUCKET, "us-east-1")
    wrong = Keys(KEY, "seeded-wrong")
    checked = bucket_trial.check(refused, wrong, {}, client="example", sites=["shop"], token=TOKEN, wait=no_wait)
    assert not checked.findings[0].kept
    assert "refused (403" in checked.findings[0].how


def test_without_a_key_on_the_host_there_is_no_key_to_try(empty_depot: Depot):
    fill(empty_depot)
    store = Store(empty_depot.endpoint, BUCKET, "us-east-1", 30)
    checked = bucket_trial.check(store, OWNER, {}, client="example", sites=["shop"], token=TOKEN, wait=no_wait)
    names = [each.name for each in checked.findings if each.name.startswith("host-key")]
    assert names == ["host-key"]


def test_what_a_trial_leaves_is_taken_out_also_when_it_breaks_off(empty_depot: Depot, monkeypatch: pytest.MonkeyPatch):
    fill(empty_depot)

    def broken_off(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(bucket_trial, "_conditional", broken_off)
    store = Store(empty_depot.endpoint, BUCKET, "us-east-1")
    with pytest.raises(KeyboardInterrupt):
        bucket_trial.check(store, OWNER, {}, client="example", sites=["shop"], token=TOKEN, wait=no_wait)
    assert empty_depot.everything() == REAL


def test_policies_are_shown_only_where_hosts_have_a_key_of_their_own(tmp_path: Path, empty_depot: Depot):
    said = empty_depot.upkeep("store", "policy", "example")
    assert said.code == 12
    assert "make a second key at the store" in said.err
    vault = {**VAULT, "upkeep_store_access_key": "owner", "upkeep_store_secret_key": "seeded-owner"}
    write_client(tmp_path / "two", empty_depot.endpoint, vault=vault)
    two = Depot(tmp_path / "two", empty_depot.endpoint, empty_depot.capsys, empty_depot.monkeypatch)
    said = two.upkeep("store", "policy", "example", "--principal", "arn:aws:iam::1:user/x", "--json")
    assert said.code == 0, said.err
    assert said.answer["applied"] is None
    assert {"AWS": ["arn:aws:iam::1:user/x"]} in [
        each.get("Principal") for each in said.answer["bucket_policy"]["Statement"]
    ]
    said = two.upkeep("store", "policy", "example")
    assert '"s3:DeleteObjectVersion"' in said.out
    assert PASSWORD not in said.out


@pytest.mark.parametrize("command", ["store check", "store init", "store policy", "verify", "prune"])
def test_every_commands_help_teaches_by_example(empty_depot: Depot, command: str):
    said = empty_depot.upkeep(*command.split(), "--help")
    assert said.code == 0
    assert "Example" in said.out
    assert f"upkeep {command} acme" in " ".join(said.out.split())


def test_through_the_gateway_no_host_has_a_key_that_could_be_tried(empty_depot: Depot):
    fill(empty_depot)
    promise(empty_depot, 30)
    vault = empty_depot.contract.parent / "group_vars" / "all" / "vault.yml"
    vault.write_text(vault.read_text().replace("site_snapshot_transport: direct\n", ""))
    names = kept(empty_depot.upkeep(*CHECK).answer)
    assert [name for name in names if name.startswith("host-key")] == ["host-key"]
    assert "no host of example is given a key" in empty_depot.upkeep("store", "policy", "example").err


def test_keys_are_not_shown_by_accident():
    assert SECRET not in repr(OWNER)


def test_a_bucket_that_is_there_is_not_made_again(empty_depot: Depot):
    fill(empty_depot)
    with opened(Store(empty_depot.endpoint, BUCKET, "us-east-1"), OWNER) as bucket:
        assert prepare(bucket, "example", "example/shop/.upkeep-probe/x/init")[0].state == "was so"
