"""`upkeep verify --heal` where a store has no versions: garbage goes into quarantine, and everything works again."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.depot import Depot, needs_restic, night

pytest_plugins = ["tests.depot_fixtures"]
pytestmark = needs_restic

MEND = ("verify", "example", "--heal")


def put(depot: Depot, kind: str, body: bytes) -> Path:
    path = depot.site / "restic" / kind / sha256(body).hexdigest()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)
    return path


def test_garbage_that_stops_restic_goes_into_quarantine_and_everything_works_again(depot: Depot):
    before = depot.everything()
    garbage = [put(depot, "index", b"x" * 10), put(depot, "snapshots", b"x" * 10), put(depot, "locks", b"x" * 10)]
    said = depot.upkeep("prune", "example", "--json")
    assert said.code == 12
    assert "if somebody put garbage there: upkeep verify example --heal" in said.err

    said = depot.upkeep(*MEND)

    assert said.code == 3, said.err
    assert said.out.count("was garbage and is in quarantine") == len(garbage)
    moved = {f"example/shop/quarantine/{path.parent.name}/{path.name}": path.name for path in garbage}
    after = depot.everything()
    assert {name: after.pop(name) for name in moved}.keys() == moved.keys()
    assert after == before
    assert depot.snapshots()[0] == night(0)
    assert depot.restic("check", "--read-data")
    # What lies in quarantine disturbs no verification.
    assert depot.upkeep("verify", "example", "--full").code == 0


def test_a_damaged_index_without_another_version_is_put_aside_and_made_again(depot: Depot):
    (first, *_) = sorted((depot.site / "restic" / "index").iterdir())
    first.write_bytes(b"damaged")

    said = depot.upkeep(*MEND, "--json")

    assert said.code == 3
    assert said.answer["sites"][0]["healed"]["put_aside"] == [f"index/{first.name}"]
    assert said.answer["sites"][0]["mended"]["quarantined"] == []


def test_a_sound_repository_is_left_as_it_is(depot: Depot):
    before = depot.everything()
    said = depot.upkeep(*MEND)
    assert said.code == 0
    assert "all restore points of example/shop are complete" in said.out.lower()
    assert depot.everything() == before
