"""Carry out parts of a promotion on a lab host, by the code that Ansible would send there, and let it die on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.contract.load import load_contract
from orchestrator.plan.variables import place_variables
from tests.host.shop import REPOSITORY
from tests.lab.hosts import USERS
from tests.pipeline import Site

DIED = 9


@dataclass(frozen=True)
class Interrupted:
    """The host's side of a promotion whose process may die."""

    site: Site

    @classmethod
    def of(cls, site: Site) -> Interrupted:
        """Bring the code to the host."""
        host = cls(site)
        shutil.rmtree(host.place, ignore_errors=True)
        ours = shutil.ignore_patterns("__pycache__", "inventory", "action", "modules")
        shutil.copytree(REPOSITORY / "plugins", host.place / "plugins", ignore=ours)
        shutil.copy(Path(__file__).with_name("at_the_host.py"), host.place)
        number = USERS[site.host.ssh_user]
        for inside, folders, files in os.walk(host.place):
            for name in [".", *folders, *files]:
                os.chown(Path(inside) / name, number, number)
        return host

    @property
    def place(self) -> Path:
        """Return the machine's view of the folder with the code."""
        return self.site.host.folder / self.home.removeprefix("/")

    @property
    def home(self) -> str:
        """Return the host's name for the folder with the code."""
        return f"/home/{self.site.host.ssh_user}/under-test"

    def python(self, program: str, request: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run a program of that folder as the site's owner."""
        command = ["env", f"PYTHONPATH={self.home}", "python3", f"{self.home}/{program}"]
        return self.site.host.run(command, user=self.site.host.ssh_user, input=json.dumps(request))

    def ask(self, what: str, stop: str = "", *, alone: bool = False) -> dict[str, Any]:
        """Promote or recover; with `stop` die at that moment and return nothing, or go on with a full disk.

        The host's own way back dies with it, unless it dies `alone`.
        """
        done = self.python("at_the_host.py", self.request(what, stop, alone=alone))
        dies = stop.startswith(("before ", "after "))
        assert done.returncode == (DIED if dies else 0), f"{stop}: {done.stdout}{done.stderr}"
        answer: dict[str, Any] = {} if dies else json.loads(done.stdout)
        return answer

    def request(self, what: str, stop: str = "", *, alone: bool = False) -> dict[str, Any]:
        """Return what the program on the host is asked."""
        variables = place_variables(load_contract(self.site.shop.inventory / "contract.yml"), "shop")
        return {
            "what": what,
            "site": variables["cms_update_site"],
            "probes": variables["cms_update_probes"],
            "run": self.site.run_id,
            "stop": stop,
            "alone": alone,
        }
