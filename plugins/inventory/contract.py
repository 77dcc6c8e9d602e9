"""Read a client's contract.yml as an Ansible inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: contract
short_description: A client's contract as an inventory source
description:
  - Reads I(contract.yml) in a client's folder and gives each production place of the contract, which is an inventory
    host, the variables that the roles of this project need. They are the very same ones that a run of C(upkeep) uses.
  - Adds the groups C(production) and C(staging), and one group for each CMS, such as C(wordpress). A site's staging is on its
    production's host unless the contract names another one, which gets the same variables.
  - Sets C(upkeep_run), one id for each start of Ansible, so that a playbook works by hand. A run of C(upkeep) hands in
    its own.
  - With C(-e upkeep_site=SITE -e upkeep_to=HOST) that site lives on another host of I(hosts.yml) for this one start, and the
    group C(production) has no other host. What differs there from the contract is a variable of that host,
    C(upkeep_target), with the keys root, address, port, error_log, programs or staging.
  - How a host is reached stands in I(hosts.yml) beside the contract; Ansible reads it as it reads any inventory.
  - A contract with a mistake stops Ansible before anything is done, and every mistake is shown with its line.
author: The upkeep project
options: {}
"""

EXAMPLES = r"""
# ansible-inventory -i inventories/example --list
# ansible-playbook -i inventories/example playbooks/probe.yml
"""

import gc
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.plugins.loader import filter_loader, test_loader
from ansible.template import trust_as_template
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

FILE_NAME = "contract.yml"
# What a host says of itself in hosts.yml or host_vars, over what the contract says of production. These words are ours.
MOVED = "{{ upkeep_contract_site | combine(upkeep_target | default({}), recursive=True) }}"
REPOSITORY = Path(__file__).resolve().parents[2]
# Ansible lives for seconds and makes a million objects. By default Python's collector looks after every 700 whether there is
# garbage among them, and finds next to none: a tenth of the controller's CPU. Ansible's workers inherit this.
OBJECTS_BEFORE_A_LOOK = 100_000


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Turn one contract into hosts, groups and variables."""

    NAME = "contract"
    # Words of a contract are never templates. This is Ansible's default too; it is said so that nobody changes it.
    trusted_by_default = False

    def verify_file(self, path: str) -> bool:
        """Want every file called contract.yml, and no other."""
        return bool(super().verify_file(path)) and Path(path).name == FILE_NAME

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory from the contract."""
        super().parse(inventory, loader, path, cache)
        gc.set_threshold(OBJECTS_BEFORE_A_LOOK, *gc.get_threshold()[1:])
        try:
            _fill(inventory, Path(path), load_extra_vars(loader))
        except ImportError as error:
            _stop(
                f"upkeep's own package cannot be loaded: {error}. Nothing was run.\n"
                "Start Ansible from the Python in which upkeep is installed, such as .venv/bin/ansible-playbook",
                2,
            )
        except Exception as error:
            _stop(f"this is a mistake in upkeep, not in the contract: {type(error).__name__}: {error}", 1)
        # Ansible has a worker for each task, and each would find and load every filter and test anew. Forked from a process that
        # has done so they have them.
        for plugins in (filter_loader, test_loader):
            list(plugins.all())


def _fill(inventory: Any, path: Path, extra: Mapping[str, Any]) -> None:
    # In a checkout the package stands beside plugins/; installed, it is where Ansible's own Python looks.
    if (REPOSITORY / "orchestrator" / "__init__.py").is_file() and str(REPOSITORY) not in sys.path:
        sys.path.insert(0, str(REPOSITORY))
    # Imported here, because Ansible passes over a plugin that cannot be imported, without a word.
    from orchestrator.contract.load import load_contract, other_host  # noqa: PLC0415
    from orchestrator.errors import UpkeepError  # noqa: PLC0415
    from orchestrator.garbage import not_at_the_end  # noqa: PLC0415
    from orchestrator.plan.variables import ROLES, place_variables  # noqa: PLC0415

    not_at_the_end()
    try:
        contract = load_contract(path)
        moved = str(extra.get("upkeep_site", "")), str(extra.get("upkeep_to", ""))
        if any(moved):
            other_host(path, contract, *moved)
    except UpkeepError as error:
        _stop(f"{error.message}\n{error.next_step}", error.exit_code)
    inventory.add_group("production")
    inventory.add_group("staging")
    for site in contract.sites:
        if any(moved) and site.name != moved[0]:
            continue
        host = moved[1] or site.production.host
        inventory.add_host(host, group="production")
        inventory.add_group(site.cms)
        inventory.add_child(site.cms, host)
        staging = host if moved[1] else site.staging.host or host
        inventory.add_host(staging, group="staging")
        for place in {host, staging}:
            for name, value in place_variables(contract, site.name).items():
                inventory.set_variable(place, name, value)
            if place == site.production.host and not moved[1]:
                continue
            inventory.set_variable(place, "upkeep_elsewhere", True)
            inventory.set_variable(
                place, "upkeep_contract_site", place_variables(contract, site.name)[f"{ROLES[0]}_site"]
            )
            for role in ROLES:
                inventory.set_variable(place, f"{role}_site", trust_as_template(MOVED))
    inventory.set_variable("all", "upkeep_run", _run_id())


@cache
def _run_id() -> str:
    # Once for each process: a run that reads its inventory a second time stays the same run.
    return f"{datetime.now(tz=UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _stop(message: str, code: int) -> NoReturn:
    # Not an AnsibleError: Ansible would turn that into a warning, let the plugin `yaml` read the contract as a list of
    # strange groups, find no host for the play, and end with success. Nothing may run on a contract with a mistake.
    Display().error(message, wrap_text=False)
    raise SystemExit(code)
