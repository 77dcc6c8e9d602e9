#!/usr/bin/python
# GPL-3.0-or-later
"""Give a site's lease back, or bring an interrupted run to an end."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_lease
short_description: End a run on a host
description:
  - O(state=released) ends a run. It removes what the run left on the host and gives the lease back.
  - O(state=recovered) asks the host how far an interrupted run came, and finishes it or puts production back.
options:
  run: {description: "Id of the run.", type: str, required: true}
  site: {description: "The site as the contract describes it.", type: dict, required: true}
  probes: {description: "The probes, for the verdict after a way back.", type: list, elements: dict, required: true}
  state: {description: "What to do.", type: str, choices: [released, recovered], default: released}
  keep_lease: {description: "Not used: the lease always ends with this task.", type: bool, default: false}
attributes:
  check_mode: {support: full, details: "Says whether the run has the lease and what it left."}
  diff_mode: {support: none}
author: [Upkeep]
"""

EXAMPLES = r"""
- name: End the run
  site_lease:
    run: "{{ upkeep_run }}"
    site: "{{ site_lease_site }}"
    probes: "{{ site_lease_probes }}"
"""

RETURN = r"""
outcome: {description: "done, busy, refused or not-put-back.", type: str, returned: always}
evidence: {description: "What was removed, or the state in which the run was found.", type: dict, returned: always}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import promotion, restoration, run_state
from ..module_utils.clean_up import clean_up
from ..module_utils.lease import read
from ..module_utils.site import Site
from ..module_utils.task import Stop, carry_out, options, probe_list

# A task that lost its connection may still be at work on the host: wait for it to end before asking how far it came.
PATIENCE_SECONDS = 120.0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=options(
            probes=probe_list(),
            state={"type": "str", "choices": ["released", "recovered"], "default": "released"},
        ),
        supports_check_mode=True,
    )
    recovering = module.params["state"] == "recovered"

    def work(site: Site, run: str) -> dict[str, Any]:
        if module.check_mode:
            mine = read(site).get("run") == run
            return {"evidence": {"lease": mine}, "changed": mine or os.path.isdir(site.run_folder(run))}
        evidence: dict[str, Any] = {}
        if recovering and run_state.load(site, run, "promotion"):
            evidence = promotion.recover(promotion.opened_promotion(site, run, module.params["probes"]))
        elif recovering and run_state.load(site, run, restoration.STATE):
            evidence = restoration.recover(restoration.opened_restoration(site, run, {}, module.params["probes"]))
        elif recovering:
            evidence = {"state": "untouched"}
        begun = [*promotion.unfinished(site), *restoration.unfinished(site)]
        if begun:
            raise Stop(
                "refused",
                f"The promotion of run {begun[0]} has neither ended nor been put back. Type: upkeep run --resume {site.client}",
            )
        evidence["removed"] = clean_up(site, run)
        return {"evidence": evidence, "changed": True}

    module.params["keep_lease"] = False
    carry_out(module, "recover" if recovering else "release", work, wait=PATIENCE_SECONDS if recovering else 10.0)


if __name__ == "__main__":
    main()
