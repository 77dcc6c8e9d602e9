#!/usr/bin/python
# GPL-3.0-or-later
"""Take a restore point of a site's production place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_snapshot
short_description: Take a restore point of a site
description:
  - Dumps the whole database, stores dump and files in one restic snapshot, and proves both against what is there.
  - Returns the manifest. The restore point exists only when M(restore_point_manifest) has written it to the store.
  - A dump that is empty, cut off or lacks tables, and a snapshot that lacks files, fail the task.
attributes:
  check_mode:
    support: full
    details: Says what would be stored and writes nothing, neither on the host nor in the store.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each call takes a snapshot. Unchanged files are not sent again.
options:
  run:
    description: Id of the run, which has or takes the site's lease.
    type: str
    required: true
  site:
    description: The site, as the inventory plugin gives it.
    type: dict
    required: true
  keep_lease:
    description: Whether the lease stays with the run afterwards.
    type: bool
    default: false
  point:
    description: Id of the restore point, named before it is taken.
    type: str
    required: true
  store:
    description: Where the restore points lie.
    type: dict
    required: true
    suboptions:
      endpoint: {description: URL of the S3 service., type: str, required: true}
      bucket: {description: The client's bucket., type: str, required: true}
      region: {description: Region that requests are signed for., type: str, default: us-east-1}
      prefix: {description: "<client>/<site>", type: str, required: true}
  gateway:
    description: Address of a gateway, as M(store_gateway) returns it. With it the host needs no key of the store.
    type: str
    default: ""
  access_key:
    description: Key of the store, without a gateway.
    type: str
    default: ""
  secret_key:
    description: Secret key of the store, without a gateway.
    type: str
    default: ""
  password:
    description: Password of the restic repository.
    type: str
    required: true
  create_bucket:
    description: Whether a missing bucket may be made.
    type: bool
    default: true
  timeout:
    description: Seconds that the dump, and that the transfer, may take.
    type: int
    default: 5400
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Take a restore point
  site_snapshot:
    run: "{{ site_snapshot_run }}"
    point: "{{ site_snapshot_point }}"
    site: "{{ site_snapshot_site }}"
    store: "{{ site_snapshot_store }}"
    access_key: "{{ site_snapshot_access_key }}"
    secret_key: "{{ site_snapshot_secret_key }}"
    password: "{{ site_snapshot_password }}"
"""

RETURN = r"""
outcome: {description: "done, refused or busy.", type: str, returned: always}
evidence:
  description: "What was observed: step, point, manifest, seconds."
  type: dict
  returned: always
"""

import os
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import command, restic, snapshot, tree, wordpress
from ..module_utils.database import opened
from ..module_utils.dump import DumpError
from ..module_utils.points import POINT_ID, STORE_OPTIONS, PointError, Store
from ..module_utils.restic import ResticError
from ..module_utils.site import Site
from ..module_utils.snapshot import SnapshotError
from ..module_utils.task import Stop, carry_out, options

STEP = "snapshot"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=options(
            point={"type": "str", "required": True},
            store={"type": "dict", "required": True, "options": STORE_OPTIONS},
            access_key={"type": "str", "default": "", "no_log": True},
            secret_key={"type": "str", "default": "", "no_log": True},
            password={"type": "str", "required": True, "no_log": True},
            gateway={"type": "str", "default": "", "no_log": True},
            create_bucket={"type": "bool", "default": True},
            timeout={"type": "int", "default": 5400},
        ),
        supports_check_mode=True,
    )
    carry_out(module, STEP, lambda site, run: work(module, site, run))


def work(module: AnsibleModule, site: Site, run: str) -> dict[str, Any]:
    """Take the restore point, or in check mode say what it would hold."""
    given = module.params
    point = given["point"]
    try:
        if not POINT_ID.match(point):
            raise PointError(f"{point!r} is not the id of a restore point")
        store = Store.from_parameters(given["store"])
        if module.check_mode:
            return _would(site, point, store)
        repository = restic.chosen(
            site.programs["restic"], store, given, cache=snapshot.cache_folder(site), make_bucket=given["create_bucket"]
        )
        manifest = snapshot.take(site, run, point, store, repository, timeout=given["timeout"], now=time.time)
    except (SnapshotError, DumpError, ResticError, PointError) as error:
        raise Stop("refused", f"No restore point: {error}. The site was not touched.", {"point": point}) from error
    if manifest["links_outside"]:
        links = ", ".join(manifest["links_outside"])
        module.warn(f"what these links of {site.root} lead to is not in the restore point: {links}")
    return {
        "msg": f"{manifest['files']['count']} files and {len(manifest['dump']['tables'])} tables are in the store",
        "evidence": {"point": point, "manifest": manifest, "seconds": manifest["seconds"]},
    }


def _would(site: Site, point: str, store: Store) -> dict[str, Any]:
    """Look at what a restore point would hold. Our PHP and the option file need a folder for as long as that takes."""
    with tempfile.TemporaryDirectory(prefix="upkeep-") as folder:
        configuration = wordpress.configuration(site, folder)
        database = opened(configuration.credentials, folder, site.programs)
        snapshot.headroom(site, database)
        command.run([site.programs["restic"], "version"], timeout=60)
        tables = database.tables()
    files = sum(1 for entry in tree.scan(site.root).values() if entry.kind == "file")
    location = f"{store.endpoint}/{store.bucket}/{store.prefix}"
    return {
        "changed": True,
        "msg": f"would store {files} files of {os.path.basename(site.root)} and {len(tables)} tables in {location}",
        "evidence": {"point": point, "manifest": {}, "seconds": 0},
    }


if __name__ == "__main__":
    main()
