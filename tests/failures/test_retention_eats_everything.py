"""A clock jumps, a policy is empty, a client is mistyped, a manifest is lost: no restore point that counts is removed.

[borgmatic 534, restic 2565 and many like them: a policy that matches nothing, or everything, and nobody sees it coming]
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.contract.model import Retention
from orchestrator.ledger.ledger import open_ledger
from orchestrator.ledger.values import RunEntry
from orchestrator.plan.retention import KnownPoint, decide
from tests.depot import NOW, Depot, make_manifest, needs_restic, night

pytest_plugins = ["tests.depot_fixtures"]
pytestmark = needs_restic

ALL = [night(days) for days in (0, 1, 2, 3, 10, 40)]
PRUNE = ("prune", "example", "--site", "shop", "--yes", "--json")


def site_of(said: Any) -> Any:
    (site,) = said.answer["sites"]
    return site


def why(site: Any) -> dict[str, list[str]]:
    return {row["point"]: row["reasons"] for row in (*site["kept"], *site["removed"])}


@pytest.mark.parametrize("years", [-10, -1])
def test_retention_eats_everything_when_the_clock_jumps_back(depot: Depot, years: int) -> None:
    said = depot.upkeep(*PRUNE, now=NOW + timedelta(days=365 * years))
    assert said.code == 12
    assert "a clock is wrong, or was" in said.err
    assert (depot.manifests(), depot.snapshots()) == (ALL, ALL)


def test_retention_eats_everything_when_the_clock_jumps_ahead(depot: Depot) -> None:
    site = site_of(depot.upkeep(*PRUNE, now=NOW + timedelta(days=3650)))
    # No more goes than on the right day: the newest ones, and those that their spans need.
    assert [row["point"] for row in site["removed"]] == [night(3), night(10)]
    assert depot.manifests() == depot.snapshots() == [night(days) for days in (0, 1, 2, 40)]
    assert "newest good point" in why(site)[night(0)]


def test_retention_eats_everything_when_a_point_was_taken_by_a_clock_ten_years_ahead(depot: Depot) -> None:
    ahead = "20361122T020000Z-ffffffff"
    snapshot = depot.restic("snapshots", "--json")[0]["id"]
    path = depot.site / "points" / f"{ahead}.json"
    path.write_text(json.dumps(make_manifest(ahead, snapshot)))
    said = depot.upkeep(*PRUNE)
    assert said.code == 12
    assert f"{ahead} was taken after now" in said.err
    assert (depot.manifests(), depot.snapshots()) == ([ahead, *ALL], ALL)


@pytest.mark.parametrize(("zero", "code"), [(0, 10), (-1, 10)])
def test_retention_eats_everything_when_the_policy_is_empty(depot: Depot, zero: int, code: int) -> None:
    data = json.loads(depot.contract.read_text())
    data["retention"] = dict.fromkeys(data["retention"], zero)
    depot.contract.write_text(json.dumps(data))
    said = depot.upkeep(*PRUNE)
    assert said.code == code
    assert (depot.manifests(), depot.snapshots()) == (ALL, ALL)
    # And should such a policy ever get past the contract's check:
    points = [KnownPoint(point, "example", "shop") for point in ALL]
    decision = decide(points, Retention(zero, zero, zero, zero), NOW, client="example", site="shop", zone=UTC)
    assert decision.removed == ()
    assert all(judged.reasons for judged in decision.kept)


@pytest.mark.parametrize("name", ["exmaple", "example2", "../example", "."])
def test_retention_eats_everything_when_the_client_is_mistyped(depot: Depot, name: str) -> None:
    said = depot.upkeep("prune", name, "--yes")
    assert said.code == 2
    assert (depot.manifests(), depot.snapshots()) == (ALL, ALL)


def test_retention_eats_everything_when_the_store_shows_another_clients_points(depot: Depot) -> None:
    for path in (depot.site / "points").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "client": "exmaple"}))
    said = depot.upkeep(*PRUNE)
    assert said.code == 12
    assert "is of exmaple/shop and lies among those of example/shop; nothing was removed" in said.err
    assert (depot.manifests(), depot.snapshots()) == (ALL, ALL)


def test_retention_eats_everything_when_all_manifests_are_lost(depot: Depot) -> None:
    for path in (depot.site / "points").glob("*.json"):
        path.unlink()
    said = depot.upkeep(*PRUNE, now=NOW + timedelta(days=90))
    assert said.code == 12
    assert "there is no good restore point among all of these" in said.err
    assert depot.snapshots() == ALL


def test_retention_eats_everything_that_a_run_in_flight_needs(depot: Depot) -> None:
    ledger = open_ledger(f"sqlite:///{depot.folder}/state/ledger.sqlite")
    run = "20261122T105900Z-0000abcd"
    ledger.begin_run(
        RunEntry(
            id=run, client="example", site="shop", host="shop", duty="restore", digest="", point=night(10), promised={},
            variables={}, began=datetime(2026, 11, 22, 10, 59, tzinfo=UTC),
        )
    )  # fmt: skip
    ledger.close()
    assert why(site_of(depot.upkeep(*PRUNE[:-2], "--json")))[night(10)] == [f"needed by run {run}"]
    said = depot.upkeep(*PRUNE)
    assert said.code == 11
    assert (depot.manifests(), depot.snapshots()) == (ALL, ALL)


def test_retention_eats_everything_that_a_person_names(depot: Depot) -> None:
    words = [word for point in ALL for word in ("--forget", point)]
    site = site_of(depot.upkeep(*PRUNE, *words))
    assert depot.manifests() == depot.snapshots() == ALL[:3]
    assert {reason for row in site["removed"] for reason in row["reasons"]} == {"a person named it"}
    assert why(site)[night(2)] == ["floor: one of the newest 3 good points"]
