"""`upkeep verify`: every manifest against the store, a part of the data read back, and nobody's word believed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from orchestrator.ledger.ledger import open_ledger
from orchestrator.ledger.values import RunEntry
from orchestrator.run.restic_objects import Key, Malformed, key_of
from tests.depot import NOW, PASSWORD, RESTIC, SECRET, Depot, needs_restic, night
from tests.repository import cheap_key_file, seal
from tests.unit.contract.samples import REPOSITORY
from tests.yard import VERIFY, Yard, problems

pytest_plugins = ["tests.depot_fixtures", "tests.yard_fixtures"]
pytestmark = needs_restic


def script(yard: Yard, text: str) -> str:
    """Write a program that stands in for restic."""
    path = yard.depot.folder / "other-restic"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def manifest(yard: Yard, point: str, **more: Any) -> None:
    """Change what the manifest of a point says."""
    path = yard.depot.site / "points" / f"{point}.json"
    yard.put(path, json.dumps({**json.loads(path.read_text()), **more}).encode())


def master(yard: Yard) -> Key:
    """Return the repository's key, as a thief has it who has the password."""
    (file,) = (yard.depot.site / "restic" / "keys").iterdir()
    key = key_of(file.read_bytes(), PASSWORD)
    assert key is not None
    return key


def test_good_restore_points_are_complete_and_nothing_is_touched(yard: Yard) -> None:
    before = yard.depot.everything()
    said = yard.verify("--full")
    assert said.code == 0, said.err
    (site,) = said.answer["sites"]
    assert problems(site) == {point: [] for point in yard.taken}
    assert (site["read"]["packs"], site["read"]["bytes"]) == (site["read"]["of_packs"], site["read"]["of_bytes"])
    assert (site["damage"], site["healed"]) == ([], None)
    assert yard.depot.everything() == before


def test_part_after_part_is_read_and_the_ledger_remembers_whose_turn_it_is(yard: Yard) -> None:
    reads = [yard.seen(now=NOW + timedelta(weeks=week))["read"] for week in range(5)]
    assert [read["parts"] for read in reads] == [[1], [2], [3], [4], [1]]
    assert sum(read["packs"] for read in reads[:4]) == reads[0]["of_packs"]
    assert [bool(read["all_since"]) for read in reads] == [False, False, False, True, True]
    assert datetime.fromisoformat(reads[4]["all_since"]) == NOW + timedelta(weeks=1)


def test_the_contract_says_how_soon_all_is_read(yard: Yard) -> None:
    data = yaml.safe_load(yard.depot.contract.read_text())
    data["scope"]["backup"] = {"verify": {"every": "weekly", "all_within_days": 7}}
    yard.depot.contract.write_text(json.dumps(data, indent=1))
    read = yard.seen()["read"]
    assert (read["parts"], read["of"], read["packs"]) == ([1], 1, read["of_packs"])


def test_what_a_manifest_says_has_to_be_in_its_snapshot(yard: Yard) -> None:
    old, new = yard.taken
    manifest(yard, old, files={"count": 4, "bytes": 602_000})
    manifest(yard, new, dump={"file": "/elsewhere.sql", "bytes": 7})
    said = yard.verify()
    assert said.code == 4
    (site,) = said.answer["sites"]
    assert problems(site) == {
        old: ["its snapshot holds 3 files of 602000 bytes, and its manifest says 4 of 602000"],
        new: ["its snapshot does not hold /elsewhere.sql of the dump of the database"],
    }
    manifest(yard, new, dump={"file": str(yard.dump), "bytes": 7})
    assert problems(yard.seen())[new] == [f"{yard.dump} of the dump in its snapshot has 28 bytes, not 7"]
    tables = {"wp_posts": {"file": yard.dump.name, "bytes": 7}, "wp_users": {"file": "tables/wp_users.sql", "bytes": 7}}
    manifest(yard, new, dump={"folder": str(yard.dump.parent), "tables": tables, "others": {}})
    assert problems(yard.seen())[new] == [
        f"{yard.dump} of the dump in its snapshot has 28 bytes, not 7",
        f"its snapshot does not hold {yard.dump.parent}/tables/wp_users.sql of the dump of the database",
    ]
    manifest(yard, new, dump={}, root="/srv/other/htdocs")
    assert problems(yard.seen())[new] == ["its snapshot does not hold /srv/other/htdocs"]


def test_a_manifest_of_another_site_or_without_its_snapshot_is_no_restore_point(yard: Yard) -> None:
    old, new = yard.taken
    manifest(yard, old, site="blog")
    manifest(yard, new, restic={"snapshot": "0" * 64})
    yard.put(yard.depot.site / "points" / f"{night(9)}.json", b"{ not JSON")
    assert problems(yard.seen()) == {
        night(9): ["its manifest cannot be read"],
        old: ["its manifest is for another point, client or site"],
        new: ["its snapshot is not in the repository"],
    }


def test_a_pack_with_a_good_name_and_a_false_content_is_damage_too(yard: Yard) -> None:
    """Whoever has the password can make a pack that has its own name, and an index that lies about it."""
    pack = yard.packs("data")[0]
    index = next(
        path for path in (yard.depot.site / "restic" / "index").iterdir()
        if pack.name in yard.depot.restic("cat", "index", path.name)
    )  # fmt: skip
    value = json.loads(yard.depot.restic("cat", "index", index.name))
    listed = next(each for each in value["packs"] if each["id"] == pack.name)
    body = bytes(pack.stat().st_size)
    listed["id"] = hashlib.sha256(body).hexdigest()
    yard.put(pack.parent.with_name(listed["id"][:2]) / listed["id"], body)
    forged = seal(master(yard), value)
    yard.put(index.with_name(hashlib.sha256(forged).hexdigest()), forged)
    yard.delete(index)
    (damage,) = yard.seen("--full")["damage"]
    assert damage["object"].endswith(listed["id"])
    assert "in it: it was not sealed with the repository's key" in damage["problem"]
    assert damage["points"] == yard.taken


def test_the_key_of_a_fast_machine_is_opened_and_a_ruinous_one_is_not(yard: Yard) -> None:
    """restic 0.14 makes a key as dear as its machine does in half a second: at some speed ours were refused."""
    key = master(yard)
    assert key_of(cheap_key_file(key, PASSWORD, cost=32768, lanes=12), PASSWORD) == key
    ruinous = json.loads(cheap_key_file(key, PASSWORD)) | {"N": 1 << 24, "r": 64}
    with pytest.raises(Malformed, match="key derivation"):
        key_of(json.dumps(ruinous).encode(), PASSWORD)


def test_a_restic_that_says_all_is_well_hides_nothing(yard: Yard) -> None:
    yard.flip(yard.packs("data")[0])
    assert yard.verify("--full", "--restic", script(yard, "exit 0")).code == 4


def test_what_restic_does_not_like_counts(yard: Yard) -> None:
    moans = script(
        yard, f'[ "$1" = check ] && {{ echo "Fatal: repository contains errors" >&2; exit 1; }}\nexec {RESTIC} "$@"'
    )
    said = yard.verify("--restic", moans)
    assert said.code == 4
    assert "restic does not find it sound: restic check: Fatal: repository contains errors" in said.out


def test_restic_is_told_no_secret_and_locks_nothing(yard: Yard) -> None:
    log = yard.depot.folder / "said"
    noted = script(yard, f'echo "$@" >> {log}\nexec {RESTIC} "$@"')
    yard.flip(yard.packs("data")[0])
    assert yard.verify("--full", "--heal", "--restic", noted).code == 4
    assert log.read_text().splitlines()[-1] == "rebuild-index"
    assert not list((yard.depot.site / "restic" / "locks").glob("*"))
    yard.take(0)
    assert yard.verify("--restic", noted).code == 4
    log.write_text("")
    for point in yard.taken[:2]:
        yard.delete(yard.depot.site / "points" / f"{point}.json")
    assert yard.verify("--restic", noted).code == 4
    assert SECRET not in log.read_text()
    assert PASSWORD not in log.read_text()


def test_a_newer_restic_is_asked_by_the_new_name_of_the_command(yard: Yard) -> None:
    yard.flip(yard.packs("data")[0])
    newer = script(
        yard,
        f'[ "$1" = version ] && {{ echo "restic 0.18.0 compiled with go1.24 on linux/amd64"; exit 0; }}\n'
        f'[ "$1 $2" = "repair index" ] && exec {RESTIC} rebuild-index\n[ "$1" = rebuild-index ] && exit 1\nexec {RESTIC} "$@"',
    )
    assert len(yard.seen("--full", "--heal", "--restic", newer)["healed"]["put_aside"]) == 1


def test_a_damaged_pack_that_nothing_needs_is_taken_away_before_a_snapshot_leans_on_it(yard: Yard) -> None:
    """Of an upload that was cut off: no index lists it, and restic would list it without reading it."""
    pack = yard.packs("data")[0]
    body = bytearray(pack.read_bytes())
    body[100] ^= 0xFF
    yard.put(pack.parent.with_name("ab") / ("ab" * 32), bytes(body))
    (damage,) = yard.seen("--full")["damage"]
    assert (damage["object"], damage["points"]) == (f"data/ab/{'ab' * 32}", [])
    healed = yard.verify("--full", "--heal")
    assert (healed.code, healed.answer["sites"][0]["healed"]["put_aside"]) == (3, [f"data/{'ab' * 32}"])
    assert yard.verify("--full").code == 0


def test_while_a_run_has_the_site_it_is_looked_at_but_not_healed(yard: Yard) -> None:
    yard.flip(yard.packs("data")[0])
    ledger = open_ledger(f"sqlite:///{yard.depot.folder}/state/ledger.sqlite")
    run = "20261122T100002Z-00000002"
    ledger.begin_run(
        RunEntry(id=run, client="example", site="shop", host="shop", duty="backup", digest="", point=run, promised={},
                 variables={}, began=NOW)
    )  # fmt: skip
    before = yard.depot.everything()
    assert yard.verify("--full").code == 4
    said = yard.verify("--full", "--heal")
    assert (said.code, "nothing was put aside" in said.err) == (11, True), said.err
    assert yard.depot.everything() == before
    ledger.end_run(run, outcome="done", message="", ended=NOW)
    ledger.close()
    lock = yard.depot.site / "restic" / "locks" / ("ab" * 32)
    yard.put(lock, b"of a host at work" * 9)
    said = yard.verify("--full", "--heal")
    assert (said.code, "is at work in the repository" in said.err) == (11, True), said.err
    yard.delete(lock)
    assert len(yard.seen("--full", "--heal")["healed"]["put_aside"]) == 1


def test_an_index_that_could_not_be_made_again_is_told_and_done_the_next_time(yard: Yard) -> None:
    yard.flip(yard.packs("data")[0])
    dies = script(
        yard, f'[ "$1" = rebuild-index ] && {{ echo "Fatal: connection reset" >&2; exit 1; }}\nexec {RESTIC} "$@"'
    )
    said = yard.verify("--full", "--heal", "--restic", dies)
    assert said.code == 4
    assert "the index was not made again: restic rebuild-index: Fatal: connection reset" in said.err
    assert len(yard.seen("--full", "--heal")["healed"]["put_aside"]) == 1
    newest = yard.take(0)
    assert problems(yard.seen("--full"))[newest] == []


def test_while_a_snapshot_lies_aside_nothing_is_pruned(yard: Yard) -> None:
    for pack in yard.packs("tree"):
        yard.flip(pack)
    assert yard.verify("--heal").code == 4
    old, new = yard.taken
    assert yard.depot.snapshots() == []
    said = yard.depot.upkeep("prune", "example", "--forget", old, "--yes", "--json")
    assert (said.code, f"the snapshot of {new} was put aside" in said.err) == (12, True), said.err
    newest = yard.take(0)
    said = yard.depot.upkeep("prune", "example", "--forget", old, "--forget", new, "--yes", "--json")
    assert (said.code, yard.depot.manifests(), yard.depot.snapshots()) == (0, [newest], [newest]), said.err
    assert not list((yard.depot.site / "quarantine").glob("snapshots/*"))
    assert yard.verify("--full").code == 0


def test_the_list_of_points_says_what_was_verified_and_what_changed(yard: Yard) -> None:
    manifest(yard, yard.taken[0], files={"count": 9, "bytes": 602_000})
    assert yard.verify().code == 4
    new, old = yard.depot.upkeep("points", "example", "--json").answer["points"]
    assert (new["verified"], new["complete"], old["complete"]) == (NOW.isoformat(), True, False)
    assert (new["changes"]["count"], new["changes"]["bytes"], new["drilled"]) == (-6, 0, None)
    said = yard.depot.upkeep("points", "example")
    assert "2026-11-22 NOT COMPLETE" in said.out
    assert "-6 files" in said.out


def test_a_healing_that_is_interrupted_does_not_say_that_nothing_was_touched(yard: Yard) -> None:
    yard.flip(yard.packs("data")[0])
    stops = script(yard, f'[ "$1" = rebuild-index ] && kill -INT $PPID && sleep 5\nexec {RESTIC} "$@"')
    said = yard.verify("--full", "--heal", "--restic", stops)
    interrupted = "interrupted while damaged objects of example/shop were put aside"
    assert (said.code, interrupted in said.err) == (4, True), said.err
    assert len(yard.seen("--full", "--heal")["healed"]["put_aside"]) == 1


def test_on_a_terminal_a_bar_shows_how_far_the_reading_has_come(yard: Yard) -> None:
    script = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'orchestrator.cli', 'verify', 'example', '--full']) >> 8)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=yard.environment(), cwd=REPOSITORY, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "reading back" in done.stdout
    assert "kB" in done.stdout or "MB" in done.stdout
    assert "shop: 2 of 2 restore points complete" in done.stdout
    assert done.returncode == 0, done.stdout


def test_the_screen_names_object_point_and_what_to_type(yard: Yard) -> None:
    pack = yard.packs("data")[0]
    yard.flip(pack)
    said = yard.depot.upkeep("verify", "example", "--full")
    assert said.code == 4
    assert "shop: 0 of 2 restore points complete" in said.out
    assert pack.name in said.out
    assert all(point in said.out for point in yard.taken)
    assert "Next: upkeep verify example --site shop --heal" in said.out


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [(("--restic", "/nowhere/restic"), 12, "restic cannot be started"), (("--site", "blog"), 2, "blog")],
)
def test_what_cannot_be_done_is_said(yard: Yard, words: tuple[str, ...], code: int, complaint: str) -> None:
    said = yard.verify(*words)
    assert (said.code, complaint in said.err) == (code, True), said.err


def test_the_wrong_password_and_a_store_that_is_away_are_no_damage(yard: Yard) -> None:
    vault = yard.depot.contract.parent / "group_vars" / "all" / "vault.yml"
    right = vault.read_text()
    vault.write_text(right.replace(PASSWORD, "another"))
    said = yard.verify()
    assert (said.code, "opens no key of the repository" in said.err) == (12, True), said.err
    vault.write_text(right)
    yard.depot.contract.write_text(yard.depot.contract.read_text().replace(yard.depot.endpoint, "http://127.0.0.1:9"))
    said = yard.verify()
    assert (said.code, "cannot be reached" in said.err) == (12, True), said.err
    ledger = open_ledger(f"sqlite:///{yard.depot.folder}/state/ledger.sqlite")
    assert ledger.verifications("example") == ()
    assert ledger.incidents("example") == ()
    ledger.close()


def test_a_site_without_restore_points_has_nothing_to_verify(empty_depot: Depot) -> None:
    (empty_depot.objects).mkdir(parents=True)
    said = empty_depot.upkeep(*VERIFY)
    (site,) = said.answer["sites"]
    assert (said.code, site["points"], site["message"]) == (0, [], "example/shop has no restore point yet.")


def test_a_point_whose_repository_has_gone_is_told(yard: Yard) -> None:
    for name in yard.depot.everything():
        if "/restic/" in name:
            yard.delete(yard.depot.objects / name)
    assert problems(yard.seen()) == {point: ["its snapshot is not in the repository"] for point in yard.taken}
