"""Real hosts for tests: the lab's instance `test`, brought back to its template for every test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.shop import Shop, shop_of
from tests.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Return the lab with one host; a lab that is up already is used as it is."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    lab = Lab(os.environ.get("UPKEEP_TEST_LAB", "test"))
    lab.up(["shop"])
    return lab


@pytest.fixture(scope="session")
def sockets() -> Iterator[Path]:
    """Return a folder for Ansible's sockets: short, because the path of a socket is."""
    folder = Path(tempfile.mkdtemp(prefix="upk", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shop(lab: Lab, tmp_path: Path, sockets: Path) -> Shop:
    """Return the shop as the template has it, with an empty store."""
    return shop_of(lab, "shop", tmp_path / "inventories" / "example", sockets)
