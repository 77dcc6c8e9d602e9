"""Garbage that a host put into the store with a key of its own, past the gateway: restic stops at it, and gets over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.run.gateway_sweep import Sweep, sweep
from tests.module.conftest import Repository
from tests.module.gateway_kit import BUCKET, PASSWORD, PREFIX, direct
from tests.repository import named


@pytest.mark.parametrize(
    ("kind", "size", "stopped"),
    [
        ("snapshots", 10, "snapshots"),
        ("snapshots", 300, "prune"),
        ("index", 10, "restore"),
        ("index", 300, "restore"),
        ("locks", 10, "prune"),
        ("keys", 10, "snapshots"),
    ],
)
def test_what_stops_restic_is_moved_away(
    repository: Repository, tmp_path: Path, kind: str, size: int, stopped: str
) -> None:
    # restic reads in the order of the names; a key that comes after the right one is not even looked at.
    bodies = (number.to_bytes(2, "big") + b"\x01" * (size - 2) for number in range(1000))
    body = next(body for body in bodies if named(body) < min(repository.store.names(kind), default="f"))
    repository.store.put(kind, named(body), body)
    commands = {
        "snapshots": ("snapshots",),
        "prune": ("prune",),
        "restore": ("restore", repository.snapshot, "--target", str(tmp_path / "out")),
    }
    assert direct(repository.store, tmp_path, *commands[stopped], rc=None).returncode != 0
    assert sweep(repository.store.shelf(), PASSWORD) == Sweep((f"{kind}/{named(body)}",))
    direct(repository.store, tmp_path, "unlock", rc=None)
    for command in commands.values():
        direct(repository.store, tmp_path, *command)
    kept = repository.store.folder / BUCKET / PREFIX / "quarantine" / kind / named(body)
    assert kept.read_bytes() == body


def test_what_is_ours_and_broke_is_named_and_stays(repository: Repository) -> None:
    """A prune that does not know of an index takes away everything that the index stood for."""
    name = next(iter(repository.store.names("index")))
    repository.store.put("index", name, b"damaged" * 30)
    assert sweep(repository.store.shelf(), PASSWORD) == Sweep((), (f"index/{name}",))
    assert name in repository.store.names("index")


def test_a_sound_repository_is_left_alone(repository: Repository, tmp_path: Path) -> None:
    direct(repository.store, tmp_path, "backup", str(repository.site))
    direct(repository.store, tmp_path, "key", "list")
    before = repository.store.everything()
    assert sweep(repository.store.shelf(), PASSWORD) == Sweep()
    assert repository.store.everything() == before


def test_with_a_wrong_password_nothing_is_touched(repository: Repository) -> None:
    body = os.urandom(300)
    repository.store.put("snapshots", named(body), body)
    assert sweep(repository.store.shelf(), "another") == Sweep()
    assert named(body) in repository.store.names("snapshots")
