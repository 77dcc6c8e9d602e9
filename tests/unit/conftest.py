"""What tests of the controller's side share: a tiny project, a ledger, and a desk to run from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.ledger.ledger import Ledger, open_ledger
from orchestrator.run.ansible import Project
from orchestrator.run.runs import Desk
from tests.unit.run.desks import Watcher
from tests.unit.run.fake_project import FakeProject


@pytest.fixture
def project(tmp_path: Path) -> FakeProject:
    return FakeProject(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def desk(tmp_path: Path, project: FakeProject, ledger: Ledger, watcher: Watcher) -> Callable[..., Desk]:
    """Return a maker of desks: `real` starts Ansible itself, else a program that speaks like it."""

    def make(cancelled: Callable[[], bool] = lambda: False, *, real: bool = False) -> Desk:
        return Desk(
            project=Project(project.inventory, project.content, program="" if real else str(project.program)),
            ledger=ledger,
            state=tmp_path / "state",
            clock=lambda: datetime.now(UTC),
            cancelled=cancelled,
            watch=watcher,
            process="",
            recover_pause=0.05,
        )

    return make
