#!/usr/bin/python
# GPL-3.0-or-later
"""Say what the action site_look does. The work is done on the controller, in plugins/action/site_look.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_look
short_description: Look at a staging copy with a browser
description:
  - Opens pages of the copy in Chromium on the controller, through the SSH connection that Ansible has open. The copy is served
    already, by M(site_step) with C(serve); this action ends that.
  - The browser reaches the copy and nothing else. I(docs/pictures.md) says what is compared, and what this machine needs.
attributes:
  check_mode:
    support: full
    details: Starts no browser.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every look is one of its own.
  action:
    support: full
options:
  state:
    description:
      - V(before) opens every page twice and remembers what it saw.
      - V(after) opens every page once and compares. What may not go to production before a person has looked is withheld.
    type: str
    choices: [before, after]
    required: true
  run:
    description: Id of the run.
    type: str
    required: true
  site:
    description: The site as the contract describes it. See the role's argument specification.
    type: dict
    required: true
  pictures:
    description: What is looked at.
    type: dict
    required: true
    suboptions:
      pages: {description: Name and path of each page., type: list, elements: dict, required: true}
      threshold: {description: "The share of a picture, part of 1, that may be different.", type: float, default: 0.01}
      masks: {description: Selectors of what is left out., type: list, elements: str, default: []}
      width: {description: "Width of the window, in pixels.", type: int, default: 1280}
  folder:
    description: Where the pictures go on the controller. Empty for C(pictures/RUN) in the folder of our state.
    type: str
    default: ""
  keep_days:
    description: After how many days the pictures of other runs in the folder above are removed. 0 for never.
    type: int
    default: 0
  keep_lease:
    description: Keep the lease of the site after this task.
    type: bool
    default: false
  delivered:
    description: For V(after), the releases that are in the copy, as M(site_step) returned them.
    type: list
    elements: dict
    default: []
  held:
    description: For V(after), those that were held before.
    type: list
    elements: dict
    default: []
  released:
    description: For V(after), releases that a person has looked at and let go, each with its sha256.
    type: list
    elements: dict
    default: []
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Look at the copy with a browser, twice
  site_look:
    state: before
    run: "{{ site_staging_run }}"
    site: "{{ site_staging_site }}"
    pictures: {pages: [{name: front page, path: /}]}
"""

RETURN = r"""
outcome: {description: "done, nothing-to-do when a person should look first, or refused when nobody could look.", type: str, returned: always}
evidence:
  description: "pictures: folder, browser, pages with verdict, files, sizes and checksums. Where a person should look, also delivered and held."
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that something is amiss: Ansible runs the action, and this module only when it has not found the action."""
    module = AnsibleModule(argument_spec={}, bypass_checks=True)
    module.fail_json(msg="Ansible does not see plugins/action: set action_plugins in ansible.cfg", outcome="refused")


if __name__ == "__main__":
    main()
