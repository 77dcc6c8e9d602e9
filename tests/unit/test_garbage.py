"""Python does not look for garbage when a command of ours, or Ansible, ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.unit.contract.samples import REPOSITORY

# Registered first, so it is asked last.
ASKED = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
"""
UPKEEP = "sys.argv = ['upkeep', '--version']; from orchestrator.cli import command; command()"
INVENTORY = """
sys.argv = ["ansible-inventory", "-i", "inventories/example", "--graph"]
from ansible.cli.inventory import InventoryCLI
InventoryCLI(sys.argv).run()
"""


@pytest.mark.parametrize("program", [UPKEEP, INVENTORY], ids=["upkeep", "ansible"])
def test_garbage_is_not_looked_for_at_the_end(program: str) -> None:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", ASKED + program],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "True"
