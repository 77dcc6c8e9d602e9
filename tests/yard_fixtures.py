"""The fixtures of tests/yard.py. A test module that wants them names this one beside tests.depot_fixtures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.depot import BUCKET, VAULT, Depot, light_store, write_client
from tests.yard import Yard


@pytest.fixture(scope="session")
def stocked_yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a site, and a store with two restore points of it: between them a photo was replaced."""
    folder = tmp_path_factory.mktemp("yard")
    (folder / "store" / BUCKET).mkdir(parents=True)
    with light_store(folder / "store") as endpoint, pytest.MonkeyPatch.context() as monkeypatch:
        # Nothing is typed here, so that nothing has to be captured.
        depot = Depot(folder, endpoint, None, monkeypatch)  # type: ignore[arg-type]
        yard = Yard(depot, folder / "srv")
        for days_ago in (2, 1):
            yard.fill(days_ago)
            yard.take(days_ago)
    return folder


@pytest.fixture
def yard(
    stocked_yard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Yard]:
    """Return a client of its own with a copy of these restore points. The site lies where it lay when they were taken."""
    for name in ("store", "host-cache"):
        shutil.copytree(stocked_yard / name, tmp_path / name)
    shutil.rmtree(stocked_yard / "srv")
    with light_store(tmp_path / "store") as endpoint:
        write_client(tmp_path, endpoint, vault=VAULT)
        yard = Yard(Depot(tmp_path, endpoint, capsys, monkeypatch), stocked_yard / "srv")
        yard.fill(1)
        yard.taken = sorted(yard.depot.manifests())
        yield yard
