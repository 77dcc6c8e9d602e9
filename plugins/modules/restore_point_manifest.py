#!/usr/bin/python
# GPL-3.0-or-later
"""Write and read the manifests of restore points, on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point_manifest
short_description: Write or read the manifest of a restore point
description:
  - The gateway on the controller does it (see M(store_gateway)), which is started with Ansible's own Python and needs boto3 there. The host takes no
    part in it.
  - A restore point exists when its manifest exists, so the manifest is written last, read back and compared.
  - A manifest is never written over. The manifest of a restore point that is less than half of the one before is refused.
attributes:
  check_mode:
    support: full
    details: Reads, but writes nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
    details: Writing the manifest of a restore point that the same run has written already changes nothing.
options:
  state:
    description: Whether to V(write) a manifest or to V(read) one.
    type: str
    choices: [write, read]
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
      lock_days: {description: For how many days the contract promises that nobody removes an object., type: int, default: 0}
  access_key:
    description: Key of the store.
    type: str
    required: true
  secret_key:
    description: Secret key of the store.
    type: str
    required: true
  client:
    description: The client whose restore point it must be.
    type: str
    required: true
  name:
    description: The site whose restore point it must be.
    type: str
    required: true
  point:
    description: Id of the restore point, or V(newest).
    type: str
    default: newest
  manifest:
    description: What to write. Empty in check mode, where no restore point was taken.
    type: dict
    default: {}
  create_bucket:
    description: Whether a missing bucket may be made. One that has to lock is made by C(upkeep store init) only.
    type: bool
    default: true
  allow_shrunk:
    description: Whether a restore point may be less than half of the one before.
    type: bool
    default: false
  password:
    description:
      - For V(write), the password of the restic repository. With it the manifest is written only when the store has all that the
        snapshot needs. Where the snapshot came through a gateway, that has looked already.
    type: str
    default: ""
  control:
    description:
      - For V(write), what C(store_gateway) returned under this name. That session makes the snapshot that the manifest names a part
        of the repository, if the host has sent it there, writes the manifest, and ends.
    type: str
    default: ""
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Read the newest manifest
  restore_point_manifest:
    state: read
    store: "{{ site_snapshot_store }}"
    client: example
    name: shop
    access_key: "{{ site_snapshot_access_key }}"
    secret_key: "{{ site_snapshot_secret_key }}"
"""

RETURN = r"""
manifest: {description: The manifest that was read., type: dict, returned: when O(state=read) found it}
outcome: {description: "done after writing, refused for both.", type: str, returned: except when O(state=read) found it}
evidence:
  description:
    - "step, point, manifest, seconds; with O(control) also gateway: snapshot, clock_off, packs, bytes, requests, refused, refusals,
      damaged, stale_locks."
  type: dict
  returned: except when O(state=read) found it
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that something is amiss: Ansible runs the action, and this module only when it has not found the action."""
    module = AnsibleModule(argument_spec={}, bypass_checks=True)
    module.fail_json(msg="Ansible does not see plugins/action: set action_plugins in ansible.cfg", outcome="refused")


if __name__ == "__main__":
    main()
