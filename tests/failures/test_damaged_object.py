"""An object in the store is flipped or deleted (restic issue 21820, kopia issue 3492).

Verification finds it and names the restore points that are lost by it; the next snapshot does not lean on it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.ledger.ledger import open_ledger
from tests.depot import NOW, needs_restic, restic_environment
from tests.yard import Yard, problems

pytest_plugins = ["tests.depot_fixtures", "tests.yard_fixtures"]
pytestmark = needs_restic

LATER = {"now": NOW + timedelta(days=1)}


def incidents(yard: Yard) -> list[tuple[str, ...]]:
    ledger = open_ledger(f"sqlite:///{yard.depot.folder}/state/ledger.sqlite")
    try:
        return [incident.reasons for incident in ledger.incidents("example", open_only=True)]
    finally:
        ledger.close()


def test_a_flipped_byte_that_restic_check_does_not_see_is_named_with_its_points_and_files(yard: Yard) -> None:
    pack = yard.packs("data")[0]
    yard.flip(pack)
    environment = {**restic_environment(yard.depot.endpoint), "RESTIC_CACHE_DIR": str(yard.depot.folder / "cache")}
    assert (
        subprocess.run(["restic", "check", "--no-lock"], env=environment, capture_output=True, check=False).returncode
        == 0
    )

    before = yard.depot.everything()
    said = yard.verify("--full")
    assert said.code == 4, said.err
    (site,) = said.answer["sites"]
    (damage,) = site["damage"]
    assert damage["object"] == f"data/{pack.name[:2]}/{pack.name}"
    assert damage["problem"] == "its content does not match its name"
    assert damage["points"] == yard.taken
    assert f"{yard.root}/uploads/2026/first.jpg" in damage["files"]
    old, new = yard.taken
    assert problems(site)[old][0].startswith("4 files or folders cannot be read")
    assert problems(site)[new][0].startswith("2 files or folders cannot be read")
    assert site["next"] == "upkeep verify example --site shop --heal"
    assert yard.depot.everything() == before
    ((told, *_),) = incidents(yard)
    assert told == f"{damage['object']}: {damage['problem']}"


def test_the_next_snapshot_brings_again_what_is_still_on_the_site_and_the_rest_is_told(yard: Yard) -> None:
    yard.flip(yard.packs("data")[0])
    old, new = yard.taken
    healed = yard.verify("--full", "--heal")
    assert healed.code == 4
    (site,) = healed.answer["sites"]
    assert len(site["healed"]["put_aside"]) == 1
    assert "upkeep run example --site shop --duty backup" in site["next"]
    # The damaged object is kept for whoever wants to look at it.
    assert len(list((yard.depot.site / "quarantine" / "data").iterdir())) == 1

    newest = yard.take(0)
    after = yard.seen("--full", **LATER)
    assert problems(after)[newest] == []
    assert problems(after)[new] == []
    # Of the photo that was replaced and of the dump of that night there is no other copy: that point stays lost.
    assert problems(after)[old][0].startswith("2 files or folders cannot be read")
    lost = {point["point"]: point["files"] for point in after["points"]}[old]
    assert [Path(path).name for path in lost] == ["shop.sql", "replaced.jpg"]
    assert f"--forget {old}" in after["next"]
    target = yard.depot.folder / "back"
    yard.depot.restic("restore", "latest", "--target", str(target))
    assert (target / str(yard.root).lstrip("/") / "uploads/2026/first.jpg").read_bytes() == (
        yard.root / "uploads/2026/first.jpg"
    ).read_bytes()

    assert yard.depot.upkeep("prune", "example", "--forget", old, "--yes", **LATER).code == 0
    clean = yard.verify("--full", **LATER)
    assert (clean.code, incidents(yard)) == (0, []), clean.out


@pytest.mark.parametrize("with_cache", [True, False])
def test_a_snapshot_can_be_taken_after_the_lists_of_folders_were_damaged(yard: Yard, with_cache: bool) -> None:
    for pack in yard.packs("tree"):
        yard.flip(pack)
    if not with_cache:
        shutil.rmtree(yard.depot.folder / "host-cache")
    # Nobody has to be lucky with the part that is read back: the lists are read each time.
    said = yard.verify("--heal")
    assert said.code == 4
    (site,) = said.answer["sites"]
    assert all("cannot be read" in words[-1] for words in problems(site).values())
    newest = yard.take(0)
    healed = yard.seen("--heal", **LATER)
    assert problems(healed)[newest] == []
    # They do no harm any more, but the list of their topmost folder was theirs alone: nobody has it any more.
    assert [name.partition("/")[0] for name in healed["healed"]["brought_back"]] == ["snapshots", "snapshots"]
    assert problems(healed)[yard.taken[1]] == ["1 file or folder cannot be read, such as /"]


def deleted(yard: Yard, path: Path) -> None:
    yard.delete(path)


def cut(yard: Yard, path: Path) -> None:
    yard.put(path, path.read_bytes()[:-50])


@pytest.mark.parametrize(("breaks", "says"), [(deleted, "it is not in the store"), (cut, "its content does not match")])
def test_what_is_missing_or_cut_off_is_seen_whatever_part_is_read(
    yard: Yard, breaks: Callable[[Yard, Path], None], says: str
) -> None:
    pack = yard.packs("data")[0]
    breaks(yard, pack)
    for week in range(4):
        site = yard.seen(now=NOW + timedelta(weeks=week))
        assert [damage["object"][8:] for damage in site["damage"]] == [pack.name]
        assert says in site["damage"][0]["problem"]
        assert site["exit_code"] == 4
    assert yard.seen("--heal", **LATER)["exit_code"] == 4
    newest = yard.take(0)
    assert problems(yard.seen("--full", **LATER))[newest] == []


def test_what_was_damaged_the_last_time_is_looked_at_again_whatever_part_is_read(yard: Yard) -> None:
    yard.flip(yard.packs("data")[0])
    assert yard.verify("--full").code == 4
    for week in range(1, 5):
        assert len(yard.seen(now=NOW + timedelta(weeks=week))["damage"]) == 1


def test_a_damaged_index_costs_no_restore_point(yard: Yard) -> None:
    for index in (yard.depot.site / "restic" / "index").iterdir():
        yard.flip(index)
    site = yard.seen()
    assert {damage["object"].partition("/")[0] for damage in site["damage"]} == {"index"}
    assert set(site["damage"][0]["points"]) == set(yard.taken)
    healed = yard.verify("--heal")
    assert healed.code == 3, healed.err
    assert all(point["complete"] for point in healed.answer["sites"][0]["points"])
    assert yard.verify("--full", **LATER).code == 0
    yard.take(0)
    assert yard.verify("--full", **LATER).code == 0


def test_a_damaged_snapshot_costs_its_own_point_only(yard: Yard) -> None:
    old, new = yard.taken
    manifest = (yard.depot.site / "points" / f"{old}.json").read_text()
    name = next(path for path in (yard.depot.site / "restic" / "snapshots").iterdir() if path.name in manifest)
    yard.flip(name)
    site = yard.seen()
    assert [damage["object"] for damage in site["damage"]] == [f"snapshots/{name.name}"]
    assert site["damage"][0]["points"] == [old]
    assert problems(site)[old] == ["its snapshot is damaged: its content does not match its name"]
    assert problems(site)[new] == []
    assert problems(yard.seen("--heal")) == {old: ["its snapshot is not in the repository"], new: []}
    yard.take(0)


def test_a_repository_without_its_key_is_damage_too(yard: Yard) -> None:
    (key,) = (yard.depot.site / "restic" / "keys").iterdir()
    yard.flip(key, at=-40)
    said = yard.verify()
    assert said.code == 4
    (site,) = said.answer["sites"]
    assert (site["damage"][0]["object"], set(site["damage"][0]["points"])) == (f"keys/{key.name}", set(yard.taken))
    assert "bring back an older version of example/shop/restic/keys/" in site["next"]


def test_a_repository_without_its_configuration_is_damage_too(yard: Yard) -> None:
    yard.flip(yard.depot.site / "restic" / "config", at=40)
    (damage,) = yard.seen()["damage"]
    assert (damage["object"], set(damage["points"])) == ("config", set(yard.taken))
