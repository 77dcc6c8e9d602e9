#!/usr/bin/python
# GPL-3.0-or-later
"""Take a site's baseline, or probe it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_probe
short_description: Probe a site from its own host
description:
  - O(state=baseline) begins a run. It takes the site's lease, looks at versions, headroom, PHP and database, carries out
    every probe and stores what it saw for the verdicts that follow.
  - O(state=checked) carries out the probes and judges them. It stores nothing and takes no lease beyond the task.
options:
  run: {description: "Id of the run, such as 20261122T020000Z-1f0c9a2b.", type: str, required: true}
  site: {description: "The site as the contract describes it. See the role's argument specification.", type: dict, required: true}
  probes: {description: "The probes, one for each function of the site.", type: list, elements: dict, required: true}
  state: {description: "What to do.", type: str, choices: [baseline, checked], default: baseline}
  must_be_healthy: {description: "Fail when the site is not healthy already.", type: bool, default: true}
  keep_lease: {description: "Keep the lease after this task, for the next steps of the run.", type: bool, default: false}
attributes:
  check_mode: {support: full, details: "Looks as a visitor does: takes no lease, stores nothing, and leaves out what only an administrator sees."}
  diff_mode: {support: none}
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Take the baseline
  site_probe:
    run: "{{ upkeep_run }}"
    site: "{{ site_probe_site }}"
    probes: "{{ site_probe_probes }}"
"""

RETURN = r"""
outcome: {description: "done, busy, refused or unhealthy.", type: str, returned: always}
evidence: {description: "Versions, verdict with every probe's result, headroom.", type: dict, returned: always}
"""

import os
import tempfile
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import baseline, promotion, restoration, run_state
from ..module_utils.lease import read, utc
from ..module_utils.site import Site
from ..module_utils.task import Stop, carry_out, options, probe_list


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=options(
            probes=probe_list(),
            state={"type": "str", "choices": ["baseline", "checked"], "default": "baseline"},
            must_be_healthy={"type": "bool", "default": True},
        ),
        supports_check_mode=True,
    )
    state = module.params["state"]

    def look(site: Site, run: str) -> dict[str, Any]:
        if not module.check_mode:
            return baseline.take(site, run, module.params["probes"])
        # Our PHP and the option file need a folder for as long as that takes.
        with tempfile.TemporaryDirectory(prefix="upkeep-") as folder:
            elsewhere = replace(site, elsewhere=folder)
            os.mkdir(elsewhere.run_folder(run), 0o700)
            return baseline.take(elsewhere, run, module.params["probes"], as_visitor=True)

    def work(site: Site, run: str) -> dict[str, Any]:
        interrupted = [*promotion.unfinished(site), *restoration.unfinished(site)] if state == "baseline" else []
        if interrupted:
            raise Stop(
                "refused",
                f"Run {interrupted[0]} was interrupted while it changed production. Nothing was touched."
                f" Type: upkeep run --resume {site.client}",
            )
        taken = look(site, run)
        lease = read(site)
        if state == "baseline" and lease:
            taken["lease"] = {"run": lease["run"], "expires": utc(float(str(lease["expires"])))}
        reasons = taken["verdict"]["reasons"]
        if reasons and module.params["must_be_healthy"]:
            raise Stop("unhealthy", f"The site is not healthy already: {reasons[0]}. Nothing was touched.", taken)
        if state == "baseline" and not module.check_mode:
            taken["refusals"] = baseline.refusals(site, run, taken)
            if taken["refusals"] and module.params["must_be_healthy"]:
                told = "; ".join(taken["refusals"])
                raise Stop("refused", f"This site cannot be updated safely: {told}. Nothing was touched.", taken)
            run_state.store(site, run, "baseline", taken)
        return {"evidence": taken, "changed": False, "msg": "healthy" if not reasons else "; ".join(reasons)}

    carry_out(module, "preflight" if state == "baseline" else "probe", work)


if __name__ == "__main__":
    main()
