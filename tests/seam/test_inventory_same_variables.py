"""By hand Ansible sees exactly the planner's variables, no more and no less, and nothing at all of a contract with a mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contract.load import load_contract
from orchestrator.plan.variables import place_variables
from tests.seam.ansible_side import ROOT
from tests.unit.contract.samples import UPDATE, changed, written

EXAMPLE = ROOT / "inventories" / "example"
ANSIBLE_INVENTORY = Path(sys.executable).with_name("ansible-inventory")
# What hosts.yml says, and what Ansible adds of its own.
NOT_OURS = re.compile(r"ansible_.*|upkeep_run")


def ansible_inventory(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Ask Ansible itself."""
    return subprocess.run(
        [str(ANSIBLE_INVENTORY), *arguments],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def host_variables(inventory: Path, host: str) -> dict[str, Any]:
    """Return a host's variables as Ansible sees them."""
    answer = ansible_inventory("-i", str(inventory), "--host", host)
    assert answer.returncode == 0, answer.stderr
    variables: dict[str, Any] = json.loads(answer.stdout)
    return variables


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """Return a client's folder that a test may change. The sample itself may hold somebody's vault."""
    folder = tmp_path / "example"
    folder.mkdir()
    for name in ("contract.yml", "hosts.yml"):
        shutil.copy(EXAMPLE / name, folder / name)
    return folder


def test_a_place_has_the_variables_of_the_planner_and_no_others(client: Path) -> None:
    seen = {name: value for name, value in host_variables(client, "shop").items() if not NOT_OURS.fullmatch(name)}
    contract = load_contract(client / "contract.yml")
    assert seen == json.loads(json.dumps(place_variables(contract, "shop")))


def test_a_contract_with_a_mistake_stops_ansible_and_says_where(client: Path) -> None:
    (client / "contract.yml").write_text(written(changed((*UPDATE, "core"), "minorr")))
    answer = ansible_inventory("-i", str(client), "--list")
    assert answer.returncode != 0
    assert "scope.update.core" in answer.stderr
    assert "Did you mean" in answer.stderr or "did you mean" in answer.stderr
