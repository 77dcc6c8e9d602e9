#!/usr/bin/python
# GPL-3.0-or-later
"""Say what the action store_gateway does. The work is done on the controller, in plugins/action/store_gateway.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_gateway
short_description: Lead a host to its restic repository through the controller
description:
  - Opens a session of the gateway on the controller, and leads a port of the host's loopback address to it, through the
    SSH connection that Ansible has open. The host holds no key of the store.
  - One gateway serves all sessions of one C(ansible-playbook); it is started where it is needed first.
  - What the host may do is written in I(docs/gateway.md). It can add, and it can remove and change nothing.
  - The session ends when it is told to, when C(ansible-playbook) ends, however that happens, or when nothing is asked of
    it for O(idle) seconds.
attributes:
  check_mode:
    support: full
    details: Starts nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every start is a session of its own.
  action:
    support: full
options:
  state:
    description:
      - V(started) begins a session and returns its address.
      - V(ended) ends the session. Its snapshot is forgotten, unless C(restore_point_manifest) has made a restore point of it, which
        ends the session as well.
    type: str
    choices: [started, ended]
    required: true
  mode:
    description: V(write) for a snapshot; V(read) for a restore, in which nothing can be added.
    type: str
    choices: [write, read]
  point:
    description: Id of the restore point that is taken. The snapshot must carry the tag C(point=<id>).
    type: str
  show:
    description: Full ids of the snapshots that the host sees. Without them it sees the one of the newest manifest.
    type: list
    elements: str
  store:
    description: Where the repository lies.
    type: dict
    suboptions:
      endpoint: {description: URL of the S3 service., type: str, required: true}
      bucket: {description: The client's bucket., type: str, required: true}
      region: {description: Region that requests are signed for., type: str, default: us-east-1}
      prefix: {description: "<client>/<site>", type: str, required: true}
      lock_days: {description: For how many days the contract promises that nobody removes an object., type: int, default: 0}
  access_key:
    description: Key of the store. It stays on the controller.
    type: str
  secret_key:
    description: Secret key of the store. It stays on the controller.
    type: str
  password:
    description: Password of the restic repository. It stays on the controller; the gateway looks with it at what the host sends.
    type: str
  create_bucket:
    description: Whether a missing bucket may be made. One that has to lock is made by C(upkeep store init) only.
    type: bool
    default: false
  budget:
    description: Bytes that the session may add at most.
    type: int
    default: 1099511627776
  program:
    description:
      - For V(started), how the contract calls the host's restic. Where that is V(restic), and the host has none or one older than
        0.14, the controller's own is copied to C(.upkeep/bin) beside O(root), if the machine is of the same kind.
    type: str
    default: ""
  root:
    description: For V(started), the document root of the site.
    type: str
    default: ""
  idle:
    description: Seconds without a request after which the session ends.
    type: int
    default: 7200
  longest:
    description: Seconds after which the session ends in any case.
    type: int
    default: 86400
  control:
    description: What V(started) returned under this name.
    type: str
"""

EXAMPLES = r"""
- name: Lead the host to its repository
  store_gateway:
    state: started
    mode: write
    point: "{{ site_snapshot_point }}"
    store: "{{ site_snapshot_store }}"
    access_key: "{{ site_snapshot_access_key }}"
    secret_key: "{{ site_snapshot_secret_key }}"
    password: "{{ site_snapshot_password }}"
  register: __site_snapshot_gateway
  no_log: true
"""

RETURN = r"""
outcome: {description: refused., type: str, returned: failed}
url: {description: "restic's address of the repository, secret included: give it by environment.", type: str, returned: started}
control: {description: Where the controller reaches this session., type: str, returned: started}
password: {description: "restic's password for this session and for no other.", type: str, returned: started}
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that something is amiss: Ansible runs the action, and this module only when it has not found the action."""
    module = AnsibleModule(argument_spec={}, bypass_checks=True)
    module.fail_json(msg="Ansible does not see plugins/action: set action_plugins in ansible.cfg", outcome="refused")


if __name__ == "__main__":
    main()
