#!/usr/bin/python
# GPL-3.0-or-later
"""Put a restore point in the place of a site's production."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_restore
short_description: Put a restore point in the place of production
description:
  - Brings files and dump to the host, compares them with the manifest, and loads the dump into the staging database.
    A file that is not as it was, or one statement that fails, ends the task with production untouched.
  - Then, in one freeze of seconds, exchanges the trees, renames the tables, and probes the site.
  - What was there before stays on the host until the run is released, and comes back when the site is not healthy.
attributes:
  check_mode:
    support: full
    details: Says what would be put back, and why it cannot be. Writes nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each call puts the restore point in the place of production again.
options:
  run: {description: Id of the run., type: str, required: true}
  site: {description: The site as the contract describes it., type: dict, required: true}
  probes: {description: The probes that the restored site must pass., type: list, elements: dict, required: true}
  keep_lease: {description: Keep the lease after this task., type: bool, default: false}
  manifest: {description: The manifest of the restore point., type: dict, required: true}
  store:
    description: Where the restore points lie.
    type: dict
    required: true
    suboptions:
      endpoint: {description: URL of the S3 service., type: str, required: true}
      bucket: {description: The client's bucket., type: str, required: true}
      region: {description: Region that requests are signed for., type: str, default: us-east-1}
      prefix: {description: Client and site with a slash between., type: str, required: true}
  gateway: {description: "Address of a gateway, as M(store_gateway) returns it.", type: str, default: ""}
  access_key: {description: "Key of the store, without a gateway.", type: str, default: ""}
  secret_key: {description: "Secret key of the store, without a gateway.", type: str, default: ""}
  password: {description: Password of the restic repository., type: str, required: true}
  must_be_healthy:
    description: Put back what was there before when the restored site does not pass its probes.
    type: bool
    default: true
  timeout: {description: Seconds that the transfer or the load may take., type: int, default: 5400}
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Put a restore point in the place of production
  site_restore:
    run: "{{ site_snapshot_run }}"
    site: "{{ site_snapshot_site }}"
    probes: "{{ site_snapshot_probes }}"
    manifest: "{{ __site_snapshot_found.manifest }}"
    store: "{{ site_snapshot_store }}"
    access_key: "{{ site_snapshot_access_key }}"
    secret_key: "{{ site_snapshot_secret_key }}"
    password: "{{ site_snapshot_password }}"
"""

RETURN = r"""
outcome: {description: "done, put-back, not-put-back, refused or busy.", type: str, returned: always}
evidence: {description: "Restore point, seconds, seconds frozen, files, tables, rows and verdict.", type: dict, returned: always}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import promotion, restic, restoration
from ..module_utils.points import STORE_OPTIONS, PointError, Store, problems
from ..module_utils.restic import ResticError
from ..module_utils.restoration import RestoreError
from ..module_utils.site import Site
from ..module_utils.snapshot import cache_folder
from ..module_utils.task import KNOWN_ERRORS, Stop, carry_out, options, probe_list


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=options(
            probes=probe_list(),
            manifest={"type": "dict", "required": True},
            store={"type": "dict", "required": True, "options": STORE_OPTIONS},
            access_key={"type": "str", "default": "", "no_log": True},
            secret_key={"type": "str", "default": "", "no_log": True},
            password={"type": "str", "required": True, "no_log": True},
            gateway={"type": "str", "default": "", "no_log": True},
            must_be_healthy={"type": "bool", "default": True},
            timeout={"type": "int", "default": 5400},
        ),
        supports_check_mode=True,
    )
    carry_out(module, "restore", lambda site, run: work(module, site, run))


def work(module: AnsibleModule, site: Site, run: str) -> dict[str, Any]:
    """Fetch, prove, then switch; everything that can be refused is refused before production is touched."""
    given = module.params
    manifest = given["manifest"]
    point = str(manifest.get("point", ""))
    started = time.monotonic()
    try:
        store = Store.from_parameters(given["store"])
        found = problems(manifest, client=site.client, site=site.name)
        begun = [*promotion.unfinished(site), *restoration.unfinished(site)]
        if begun:
            found.append(f"run {begun[0]} has neither ended nor been put back: type upkeep run --resume {site.client}")
        if found:
            raise RestoreError("; ".join(found))
        if module.check_mode:
            found = restoration.refusals(site, manifest)
            if found:
                raise RestoreError("; ".join(found))
            return {
                "changed": True,
                "msg": f"would put {point} in the place of production",
                "evidence": {"point": point},
            }
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache_folder(site), make_bucket=False)
        restoration.fetch(site, run, manifest, repository, timeout=given["timeout"])
        opened = restoration.opened_restoration(site, run, manifest, given["probes"])
        evidence = restoration.prepare(opened, timeout=given["timeout"])
    except (RestoreError, ResticError, PointError, *KNOWN_ERRORS) as error:
        message = f"Nothing was restored: {str(error).rstrip('.')}. Production was not touched."
        raise Stop("refused", message, {"point": point}) from error
    evidence["point"] = point
    try:
        evidence.update(restoration.switch(opened, must_be_healthy=given["must_be_healthy"]))
    except Stop as stop:
        evidence.update(stop.evidence, seconds=round(time.monotonic() - started, 1))
        raise Stop(stop.outcome, str(stop), evidence) from stop
    evidence["seconds"] = round(time.monotonic() - started, 1)
    return {
        "msg": f"{point} is in the place of production; what was there before is kept until the release",
        "evidence": evidence,
    }


if __name__ == "__main__":
    main()
