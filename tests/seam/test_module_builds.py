"""The module of all steps is built once for these sources, by this Ansible, and found again in the next call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.seam.ansible_side import ROOT

USED = "ANSIBALLZ: using cached module"
BUILT = "ANSIBALLZ: Creating module"


def said(home: Path) -> str:
    """Call the module without what it needs, and return all that Ansible says of it."""
    inventory = home / "hosts.yml"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"hosts": {"here": here}}}))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "here", "--inventory", str(inventory),
         "--module-name", "site_step"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_DEBUG": "true", "XDG_CACHE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert "missing required arguments: run, site, step" in text, text[-2000:]
    return text


@pytest.mark.slow
def test_ansible_builds_the_module_once_and_finds_it_in_its_next_call(tmp_path: Path) -> None:
    first = said(tmp_path)
    assert BUILT in first
    assert USED not in first
    second = said(tmp_path)
    assert USED in second
    assert BUILT not in second
