#!/usr/bin/python
# GPL-3.0-or-later
"""Make the staging copy of a site, or remove it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_staging
short_description: A copy of production that cannot talk to the world
description:
  - O(state=present) copies files and database, serves the copy under the same Host name on another port of the host's
    loopback address and shows that it passes the baseline itself. Mail, cron and outgoing requests are off in it.
  - O(state=absent) removes files and tables of the copy.
options:
  run: {description: "Id of the run.", type: str, required: true}
  site: {description: "The site as the contract describes it.", type: dict, required: true}
  probes: {description: "The probes.", type: list, elements: dict, required: true}
  state: {description: "Whether the copy is there.", type: str, choices: [present, absent], default: present}
  keep_lease: {description: "Keep the lease after this task.", type: bool, default: false}
attributes:
  check_mode: {support: full, details: "Says that a copy would be made or removed."}
  diff_mode: {support: none}
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Make the staging copy
  site_staging:
    run: "{{ upkeep_run }}"
    site: "{{ site_staging_site }}"
    probes: "{{ site_staging_probes }}"
"""

RETURN = r"""
outcome: {description: "done, busy, refused or unhealthy.", type: str, returned: always}
evidence: {description: "Files, bytes, tables, seconds and the copy's own verdict.", type: dict, returned: always}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import baseline, staging, tree
from ..module_utils.rehearsal import probe_staging
from ..module_utils.site import Site
from ..module_utils.task import Stop, carry_out, options, probe_list
from ..module_utils.verdict import judge


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=options(
            probes=probe_list(),
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        ),
        supports_check_mode=True,
    )

    def present(site: Site, run: str) -> dict[str, Any]:
        started = time.monotonic()
        configuration, database = baseline.opened_site(site, run)
        copy = staging.opened_staging(site, run, configuration)
        evidence = staging.create(copy, configuration, database)
        before = baseline.of_run(site, run)
        verdict = judge(probe_staging(copy, module.params["probes"]), before["verdict"]["probes"] if before else None)
        evidence.update({"verdict": verdict, "seconds": round(time.monotonic() - started, 3)})
        if not verdict["healthy"]:
            raise Stop(
                "unhealthy",
                f"The staging copy is not healthy before any update: {verdict['reasons'][0]}. Production was not touched.",
                evidence,
            )
        return {"evidence": evidence}

    def absent(site: Site, run: str) -> dict[str, Any]:
        configuration, _ = baseline.opened_site(site, run)
        copy = staging.opened_staging(site, run, configuration)
        staging.stop_server(copy.folder)
        copy.database.leave()
        tree.remove(copy.folder)
        return {"evidence": {}}

    def work(site: Site, run: str) -> dict[str, Any]:
        if module.check_mode:
            return {"evidence": {}, "changed": True}
        return present(site, run) if module.params["state"] == "present" else absent(site, run)

    carry_out(module, "stage", work)


if __name__ == "__main__":
    main()
