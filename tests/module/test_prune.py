"""Pruning with restic itself against rclone's store: what goes is gone, what stays is whole, whatever interrupts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ledger.ledger import open_ledger
from orchestrator.ledger.values import PointEntry, RunEntry
from tests.depot import NOW, PASSWORD, RESTIC, SECRET, Depot, make_manifest, needs_restic, night, restic_environment

pytest_plugins = ["tests.depot_fixtures"]
pytestmark = needs_restic

ALL = [night(days) for days in (0, 1, 2, 3, 10, 40)]
STAY = [night(days) for days in (0, 1, 2, 40)]
GO = [night(3), night(10)]
PRUNE = ("prune", "example", "--site", "shop", "--json")


def script(depot: Depot, text: str) -> str:
    """Write a program that stands in for restic."""
    path = depot.folder / "other-restic"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def ids(rows: Any) -> list[str]:
    return [row["point"] for row in rows]


def lock_of(process: subprocess.Popen[bytes], depot: Depot) -> Path:
    """Wait until a restic at work has put its lock into the store."""
    deadline = time.monotonic() + 30
    while not (found := [path for path in (depot.site / "restic" / "locks").glob("*") if path.stat().st_size]):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found[0]


def at_work(depot: Depot) -> subprocess.Popen[bytes]:
    """Start a backup that waits for its input, as a host's that takes long."""
    assert RESTIC is not None
    environment = {**restic_environment(depot.endpoint), "RESTIC_CACHE_DIR": str(depot.folder / "cache")}
    return subprocess.Popen(
        [RESTIC, "backup", "--stdin"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def run_entry(number: int, point: str, **more: Any) -> RunEntry:
    run = f"20261122T10000{number}Z-0000000{number}"
    return RunEntry(
        id=run, client="example", site="shop", host="shop", duty="restore", digest="", point=point, promised={},
        variables={}, began=NOW, **more,
    )  # fmt: skip


def test_without_yes_it_is_shown_with_reasons_and_nothing_is_touched(depot: Depot):
    before = depot.everything()
    said = depot.upkeep(*PRUNE)
    (site,) = said.answer["sites"]
    assert (said.code, ids(site["kept"]), ids(site["removed"]), site["done"]) == (0, STAY, GO, None)
    assert site["kept"][0]["reasons"] == ["daily 2026-11-22", "monthly 2026-11", "newest good point"]
    assert site["removed"][0]["reasons"] == ["no span needs it (2 daily, 0 weekly, 2 monthly, 0 yearly)"]
    assert site["next"] == "upkeep prune example --site shop --yes"
    assert depot.everything() == before


def test_the_screen_names_every_point_and_what_to_type(depot: Depot):
    said = depot.upkeep("prune", "example", ansible=True)
    assert said.code == 0
    for point in ALL:
        assert point in said.out
    assert "shop: 4 restore points stay, 2 would go" in said.out
    assert "floor: one of the newest 3 good points" in said.out
    assert "Next: upkeep prune example --site shop --yes" in said.out


def test_with_yes_manifests_and_snapshots_go_and_what_stays_can_be_restored(depot: Depot):
    before = sum(len(body) for body in depot.everything().values())
    said = depot.upkeep(*PRUNE, "--yes")
    assert said.code == 0, said.err
    assert said.answer["sites"][0]["done"]["points"] == sorted(GO)
    assert depot.manifests() == depot.snapshots() == STAY
    assert not list(depot.site.glob("removed/*"))
    assert sum(len(body) for body in depot.everything().values()) < before
    depot.restic("check", "--read-data")
    depot.restic("restore", "latest", "--tag", f"point={night(40)}", "--target", str(depot.folder / "back"))
    assert [path.read_text() for path in depot.folder.glob("back/**/page.html")] == ["40 nights ago"]
    again = depot.upkeep(*PRUNE, "--yes").answer["sites"][0]
    assert (again["removed"], again["done"], ids(again["kept"])) == ([], None, STAY)


def test_a_prune_that_dies_after_the_manifests_is_finished_by_the_next_one(depot: Depot):
    dies = script(depot, f'[ "$1" = forget ] && {{ echo "Fatal: connection reset" >&2; exit 1; }}\nexec {RESTIC} "$@"')
    said = depot.upkeep(*PRUNE, "--yes", "--restic", dies)
    assert said.code == 12
    error = json.loads(said.err)["error"]
    assert error["message"] == (
        "2 restore points are none any more, and their bytes are still in the store: restic forget: Fatal: connection reset"
    )
    assert error["next"] == "upkeep prune example --site shop --yes"
    assert depot.manifests() == STAY
    site = depot.upkeep(*PRUNE).answer["sites"][0]
    assert {row["point"]: row["reasons"] for row in site["removed"]} == {
        point: ["its removal was begun before"] for point in GO
    }
    assert depot.upkeep(*PRUNE, "--yes").code == 0
    assert depot.manifests() == depot.snapshots() == STAY
    assert not list(depot.site.glob("removed/*"))


def test_a_forget_that_says_it_did_and_did_not_is_found_out(depot: Depot):
    lies = script(depot, f'[ "$1" = forget ] && exit 0\nexec {RESTIC} "$@"')
    said = depot.upkeep(*PRUNE, "--yes", "--restic", lies)
    assert said.code == 12
    assert "2 of their snapshots are still in the repository" in said.err
    assert depot.snapshots() == ALL


def test_a_forget_that_takes_too_much_is_found_out(depot: Depot):
    too_much = script(depot, f'[ "$1" = forget ] && exec {RESTIC} forget --keep-last 1\nexec {RESTIC} "$@"')
    said = depot.upkeep(*PRUNE, "--yes", "--restic", too_much)
    assert said.code == 12
    assert "was to stay and is not in the repository any more" in said.err


def test_only_full_ids_are_given_to_restic_and_no_secret(depot: Depot):
    log = depot.folder / "said"
    noted = script(depot, f'echo "$@" >> {log}\nexec {RESTIC} "$@"')
    assert depot.upkeep(*PRUNE, "--yes", "--restic", noted).code == 0
    (forget,) = [line.split() for line in log.read_text().splitlines() if line.startswith("forget")]
    assert forget[1] == "--"
    assert len(forget) == 4
    assert {len(word) for word in forget[2:]} == {64}
    assert SECRET not in log.read_text()
    assert PASSWORD not in log.read_text()


def test_a_manifest_that_somebody_else_took_away_costs_no_snapshot(depot: Depot):
    # The one of ten nights ago is named by the next one as the one before it.
    (depot.site / "points" / f"{night(10)}.json").unlink()
    site = depot.upkeep(*PRUNE, "--yes").answer["sites"][0]
    assert ids(site["removed"]) == [night(3)]
    kept = {row["point"]: row["reasons"] for row in site["kept"]}
    assert "it was complete once" in kept[night(10)][0]
    assert night(10) in depot.snapshots()


def test_a_point_that_the_ledger_has_seen_complete_is_not_taken_for_a_leftover(depot: Depot):
    (depot.site / "points" / f"{night(0)}.json").unlink()
    later = {"now": NOW + timedelta(days=9)}
    assert night(0) in ids(depot.upkeep(*PRUNE, **later).answer["sites"][0]["removed"])
    ledger = open_ledger(f"sqlite:///{depot.folder}/state/ledger.sqlite")
    ledger.begin_run(run_entry(1, night(0)))
    ledger.end_run("20261122T100001Z-00000001", outcome="done", message="", ended=NOW)
    ledger.add_point(PointEntry(night(0), "example", "shop", "20261122T100001Z-00000001", NOW, {}))
    ledger.close()
    assert night(0) in ids(depot.upkeep(*PRUNE, **later).answer["sites"][0]["kept"])


def test_a_manifest_without_its_snapshot_is_no_good_point_and_a_person_may_remove_it(depot: Depot):
    snapshots = depot.restic("snapshots", "--json")
    newest = next(each["id"] for each in snapshots if each["tags"] == [f"point={night(0)}"])
    depot.restic("forget", newest)
    site = depot.upkeep(*PRUNE).answer["sites"][0]
    kept = {row["point"]: row["reasons"] for row in site["kept"]}
    assert kept[night(0)] == ["cannot be used (its snapshot is not in the repository): a person decides, with --forget"]
    assert "newest good point" in kept[night(1)]
    assert night(3) in kept
    said = depot.upkeep(*PRUNE, "--forget", night(0), "--yes")
    assert night(0) in said.answer["sites"][0]["done"]["points"]
    assert night(0) not in depot.manifests()


def test_a_lock_that_is_alive_is_respected_and_nothing_is_touched(depot: Depot):
    with at_work(depot) as host:
        lock = lock_of(host, depot)
        before = depot.everything()
        said = depot.upkeep(*PRUNE, "--yes")
        assert said.code == 11
        assert "is at work in the repository of example/shop" in said.err
        assert "Nothing was removed" in said.err
        assert depot.everything() == before
        assert lock.exists()
        # To look disturbs nobody.
        assert depot.upkeep(*PRUNE).code == 0
        host.kill()


def test_the_lock_of_a_prune_of_ours_that_was_killed_is_taken_away(depot: Depot):
    with at_work(depot) as killed:
        lock = lock_of(killed, depot)
        killed.send_signal(signal.SIGKILL)
    said = depot.upkeep(*PRUNE, "--yes")
    assert said.code == 0, said.err
    assert said.answer["sites"][0]["done"]["stale_locks"] == [lock.name]
    assert depot.manifests() == STAY


@pytest.mark.parametrize(("seconds", "code"), [(1900, 0), (1700, 11)])
def test_a_lock_is_stale_when_nobody_renews_it_whatever_it_says_of_its_time(depot: Depot, seconds: int, code: int):
    locks = depot.site / "restic" / "locks"
    locks.mkdir(exist_ok=True)
    forged = locks / ("ab" * 32)
    forged.write_bytes(b"not even a lock" * 9)
    os.utime(forged, (time.time() - seconds, time.time() - seconds))
    assert depot.upkeep(*PRUNE, "--yes").code == code
    assert forged.exists() == bool(code)


def test_a_snapshot_that_is_none_of_ours_is_left_alone(depot: Depot):
    depot.restic("backup", "--host", "somebody", str(depot.contract))
    said = depot.upkeep(*PRUNE, "--yes")
    assert len(said.answer["sites"][0]["foreign"]) == 1
    assert depot.snapshots() == [*STAY, "-"]


def test_a_make_manifest_another_site_among_ours_stops_everything_until_a_person_names_it(depot: Depot):
    forged = depot.site / "points" / f"{night(5)}.json"
    forged.write_text(json.dumps(make_manifest(night(5), "0" * 64) | {"client": "other"}))
    said = depot.upkeep(*PRUNE, "--yes")
    assert said.code == 12
    assert f"restore point {night(5)} is of other/shop" in said.err
    assert set(depot.manifests()) == {*ALL, night(5)}
    assert depot.upkeep(*PRUNE, "--forget", night(5), "--yes").code == 0
    assert depot.manifests() == STAY


def test_a_make_manifest_a_newer_upkeep_or_of_nobody_is_kept(depot: Depot):
    for days, text in ((3, json.dumps({**make_manifest(night(3), "0" * 64), "schema": 99})), (10, "{ not JSON")):
        (depot.site / "points" / f"{night(days)}.json").write_text(text)
    site = depot.upkeep(*PRUNE, "--yes").answer["sites"][0]
    assert (site["removed"], ids(site["kept"])) == ([], ALL)


def test_while_a_run_has_the_site_nothing_is_removed_and_what_it_needs_is_named(depot: Depot):
    ledger = open_ledger(f"sqlite:///{depot.folder}/state/ledger.sqlite")
    ledger.begin_run(run_entry(2, night(10)))
    said = depot.upkeep(*PRUNE)
    kept = {row["point"]: row["reasons"] for row in said.answer["sites"][0]["kept"]}
    assert kept[night(10)] == ["needed by run 20261122T100002Z-00000002"]
    before = depot.everything()
    said = depot.upkeep(*PRUNE, "--yes")
    assert said.code == 11
    assert "upkeep run --resume example" in said.err
    assert depot.everything() == before
    # A run that could not be put back needs its way back for as long as nobody has looked.
    ledger.end_run("20261122T100002Z-00000002", outcome="not-put-back", message="", ended=NOW)
    ledger.close()
    assert depot.upkeep(*PRUNE, "--yes").code == 0
    assert night(10) in depot.manifests()


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("--restic", "/nowhere/restic"), 12, "restic cannot be started on the controller"),
        (("--forget", "latest"), 2, "is not the id of a restore point"),
        (("--forget", night(77)), 12, "has no restore point"),
        (("--site", "blog"), 2, "blog"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_touched(depot: Depot, words: Any, code: int, complaint: str):
    before = depot.everything()
    said = depot.upkeep("prune", "example", "--yes", "--json", *words)
    assert (said.code, complaint in said.err) == (code, True), said.err
    assert depot.everything() == before


def test_the_wrong_password_and_a_store_that_is_away_remove_nothing(depot: Depot):
    vault = depot.contract.parent / "group_vars" / "all" / "vault.yml"
    right = vault.read_text()
    vault.write_text(right.replace(PASSWORD, "another"))
    said = depot.upkeep(*PRUNE, "--yes")
    assert (said.code, "cannot be read: restic snapshots: Fatal: wrong password" in said.err) == (12, True), said.err
    vault.write_text(right)
    depot.contract.write_text(depot.contract.read_text().replace(depot.endpoint, "http://127.0.0.1:9"))
    said = depot.upkeep(*PRUNE, "--yes")
    assert (said.code, "cannot be reached" in said.err) == (12, True), said.err
    assert depot.manifests() == ALL


def test_a_site_without_any_restore_point_has_nothing_to_prune(depot: Depot):
    for path in depot.objects.iterdir():
        path.rename(depot.folder / "gone")
    said = depot.upkeep(*PRUNE, "--yes")
    assert (said.code, said.answer["sites"][0]["kept"], said.answer["sites"][0]["removed"]) == (0, [], [])


def test_ids_are_those_of_their_nights():
    assert night(0).startswith(f"{datetime(2026, 11, 22, 2, tzinfo=UTC):%Y%m%dT%H%M%SZ}-")
