"""The fixtures of tests/depot.py. A test module that wants them says: pytest_plugins = ["tests.depot_fixtures"]."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.depot import BUCKET, NIGHTS, VAULT, Depot, light_store, make_points, write_client


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store in which a site has restore points."""
    folder = tmp_path_factory.mktemp("stocked")
    (folder / "store" / BUCKET).mkdir(parents=True)
    with light_store(folder / "store") as endpoint:
        make_points(folder, endpoint, NIGHTS)
    return folder


@pytest.fixture
def depot(
    stocked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Depot]:
    """Return a client of its own with a copy of these restore points."""
    shutil.copytree(stocked / "store", tmp_path / "store")
    with light_store(tmp_path / "store") as endpoint:
        write_client(tmp_path, endpoint, vault=VAULT)
        yield Depot(tmp_path, endpoint, capsys, monkeypatch)


@pytest.fixture
def empty_depot(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Depot]:
    """Return a client of its own with a store in which nothing is."""
    with light_store(tmp_path / "store") as endpoint:
        write_client(tmp_path, endpoint, vault=VAULT)
        yield Depot(tmp_path, endpoint, capsys, monkeypatch)
