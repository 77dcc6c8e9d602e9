"""A staged update that several tests begin from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.staged import Staged, staged
from tests.trials import AsTemplate


@pytest.fixture(scope="module")
def ready(
    lab: Lab, sockets: Path, tmp_path_factory: pytest.TempPathFactory, as_template: AsTemplate
) -> Iterator[Staged]:
    """Stage good releases once for a file; each of its tests begins from there."""
    folder = tmp_path_factory.mktemp("ready")
    with staged(lab, sockets, folder, as_template, lab_banner="1.1", lab_alpha="1.1") as ready:
        yield ready
