#!/usr/bin/python
# GPL-3.0-or-later
"""Say what the action package_gateway does. The work is done on the controller, in plugins/action/package_gateway.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_gateway
short_description: Lead a host to the packages that are kept on its controller and in the client's store
description:
  - Lists the packages that lie in the client's store (C(upkeep artefact add)), and opens a session of the gateway on the controller
    (see M(store_gateway)), to which a port of the host's loopback address leads through the SSH connection that Ansible has open.
  - The session gives out packages of the client's store by their SHA-256, and releases of WordPress.org by their path there,
    which it fetches itself, once, and keeps. It takes nothing, and asks no address that a host names. See I(docs/updates.md).
  - It also says which releases there are at WordPress.org, which it asks itself, once for all hosts, and remembers for an hour.
  - It ends with C(ansible-playbook), however that happens, or when nothing was asked of it for half an hour.
attributes:
  check_mode:
    support: full
    details: Starts nothing, and lists nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every start is a session of its own.
  action:
    support: full
options:
  store:
    description: The client's store.
    type: dict
    required: true
    suboptions:
      endpoint: {description: URL of the S3 service., type: str, required: true}
      bucket: {description: The client's bucket., type: str, required: true}
      region: {description: Region that requests are signed for., type: str, default: us-east-1}
      prefix: {description: Client and site with a slash between., type: str, required: true}
      lock_days: {description: For how many days the contract promises a lock., type: int, default: 0}
  access_key:
    description: Key of the store. It stays on the controller. Without it no package of the client's own is listed.
    type: str
    default: ""
  secret_key:
    description: Secret key of the store. It stays on the controller.
    type: str
    default: ""
  wordpress_org:
    description: Where WordPress.org is for the controller, with the keys C(downloads) and C(api). Empty, so that hosts fetch by themselves.
    type: dict
    default: {}
  cache:
    description: The folder of the controller in which releases of WordPress.org lie for seven days.
    type: path
    default: ""
  catalogue_minutes:
    description: For so many minutes what WordPress.org said of a release is not asked again. 0 so that every run asks.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Open the way to the packages that are kept here
  package_gateway:
    store: "{{ cms_update_store }}"
    access_key: "{{ cms_update_access_key }}"
    secret_key: "{{ cms_update_secret_key }}"
    wordpress_org: {downloads: "https://downloads.wordpress.org", api: "https://api.wordpress.org"}
    cache: ~/.cache/upkeep/packages
  register: __cms_update_packages
"""

RETURN = r"""
artefacts: {description: "The packages of the client's store: kind, slug, file, version, sha256.", type: list, elements: dict, returned: success}
url: {description: "Address of the gateway, secret included; empty where there is none.", type: str, returned: success}
outcome: {description: refused., type: str, returned: failed}
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that something is amiss: Ansible runs the action, and this module only when it has not found the action."""
    module = AnsibleModule(argument_spec={}, bypass_checks=True)
    module.fail_json(msg="Ansible does not see plugins/action: set action_plugins in ansible.cfg", outcome="refused")


if __name__ == "__main__":
    main()
