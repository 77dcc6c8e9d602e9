"""`upkeep store mend` where a store has no versions: garbage goes, and what is lost is said."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.depot import Depot, needs_restic, night

pytest_plugins = ["tests.depot_fixtures"]
pytestmark = needs_restic

MEND = ("store", "mend", "example")


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
    assert "if somebody put garbage there: upkeep store mend example" in said.err

    said = depot.upkeep(*MEND)

    assert said.code == 0, said.err
    assert said.out.count("was garbage and is in quarantine") == len(garbage)
    moved = {f"example/shop/quarantine/{path.parent.name}/{path.name}": path.name for path in garbage}
    after = depot.everything()
    assert {name: after.pop(name) for name in moved}.keys() == moved.keys()
    assert after == before
    assert depot.snapshots()[0] == night(0)
    assert depot.restic("check", "--read-data")


def test_what_is_damaged_and_has_no_other_version_is_said_and_left(depot: Depot):
    (first, *_) = sorted((depot.site / "restic" / "index").iterdir())
    first.write_bytes(b"damaged")

    said = depot.upkeep(*MEND, "--json")

    assert said.code == 12
    assert said.answer["sites"][0]["damaged"] == [f"restic/index/{first.name}"]
    assert "data is lost" in said.err
    assert first.read_bytes() == b"damaged"


def test_a_sound_repository_is_left_as_it_is(depot: Depot):
    before = depot.everything()
    said = depot.upkeep(*MEND)
    assert said.code == 0
    assert "hold nothing that stops restic" in said.out
    assert depot.everything() == before
