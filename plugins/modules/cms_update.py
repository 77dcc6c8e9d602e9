#!/usr/bin/python
# GPL-3.0-or-later
"""Rehearse a CMS's updates in staging, promote what was healthy, or put production back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cms_update
short_description: Update a CMS through staging, with a way back
description:
  - O(state=rehearsed) asks for releases, tries those that the contract allows in staging, finds and holds the bad ones.
  - O(state=promoted) gives production what staging tested, in one exchange, and puts it back when that is not healthy.
  - O(state=back) puts production back as it was before the promotion of this run, if it was not confirmed.
options:
  run: {description: "Id of the run.", type: str, required: true}
  site: {description: "The site as the contract describes it.", type: dict, required: true}
  probes: {description: "The probes.", type: list, elements: dict, required: true}
  state: {description: "What to do.", type: str, choices: [rehearsed, promoted, back], required: true}
  policy: {description: "Which releases the contract takes. Keys core, plugins and themes.", type: dict}
  holds: {description: "Releases that this site does not get.", type: list, elements: dict, default: []}
  keep_lease: {description: "Keep the lease after this task.", type: bool, default: false}
attributes:
  check_mode: {support: partial, details: "O(state=promoted) shows the versions that would change; the rest says that it would run."}
  diff_mode: {support: full, details: "Versions before and after."}
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Try the updates in staging
  cms_update:
    run: "{{ upkeep_run }}"
    site: "{{ cms_update_site }}"
    probes: "{{ cms_update_probes }}"
    state: rehearsed
    policy: {core: minor, plugins: all, themes: all}
"""

RETURN = r"""
outcome: {description: "done, nothing-to-do, put-back, not-put-back, busy or refused.", type: str, returned: always}
evidence: {description: "Releases on offer, delivered and held; versions; verdicts; seconds frozen.", type: dict, returned: always}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import baseline, promotion, rehearsal, run_state, staging
from ..module_utils.site import Site
from ..module_utils.task import Stop, carry_out, options, probe_list

HOLD = {
    "kind": {"type": "str", "required": True, "choices": ["core", "plugin", "theme"]},
    "slug": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "reason": {"type": "str", "default": ""},
}
STEPS = {"rehearsed": "rehearse", "promoted": "promote", "back": "back"}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=options(
            probes=probe_list(),
            state={"type": "str", "choices": list(STEPS), "required": True},
            policy={"type": "dict"},
            holds={"type": "list", "elements": "dict", "default": [], "options": HOLD},
        ),
        required_if=[("state", "rehearsed", ["policy"])],
        supports_check_mode=True,
    )
    given = module.params

    def rehearse(site: Site, run: str) -> dict[str, Any]:
        before = baseline.of_run(site, run)
        if not before:
            raise Stop(
                "refused", "This run has no baseline: run preflight.yml and stage.yml first. Nothing was touched."
            )
        if before.get("refusals"):
            told = "; ".join(before["refusals"])
            raise Stop("refused", f"This site cannot be updated safely: {told}. Nothing was touched.")
        configuration, database = baseline.opened_site(site, run)
        copy = staging.opened_staging(site, run, configuration)
        trial = rehearsal.Rehearsal(site, copy, configuration, given["probes"], before["verdict"]["probes"])
        evidence = rehearsal.rehearse(trial, run, given["policy"], given["holds"], database)
        return {"evidence": evidence, "outcome": "done" if evidence["delivered"] else "nothing-to-do"}

    def promote(site: Site, run: str) -> dict[str, Any]:
        if not run_state.load(site, run, "staged").get("delivered"):
            return {"outcome": "nothing-to-do", "evidence": {"delivered": []}}
        if run_state.load(site, run, "promotion").get("state") == "confirmed":
            return {"outcome": "nothing-to-do", "evidence": {"delivered": []}, "msg": "this run was promoted already"}
        evidence = promotion.promote(promotion.opened_promotion(site, run, given["probes"]))
        return {"evidence": evidence, "diff": {"before": evidence["before"], "after": evidence["after"]}}

    def back(site: Site, run: str) -> dict[str, Any]:
        state = run_state.load(site, run, "promotion").get("state")
        if state == "confirmed":
            raise Stop(
                "refused",
                "This promotion was confirmed and visitors have written since: nothing they wrote is thrown away by a"
                f" machine. Type: upkeep points {site.client}, then upkeep restore {site.client}",
            )
        if state not in promotion.BEGUN:
            return {"outcome": "nothing-to-do", "evidence": {"put_back": False}}
        evidence = promotion.recover(promotion.opened_promotion(site, run, given["probes"]))
        return {"evidence": evidence}

    def would(site: Site, run: str) -> dict[str, Any]:
        changes = run_state.load(site, run, "staged").get("delivered", [])
        named = {"{kind} {slug}".format(**change): change for change in changes}
        diff = {
            "before": {name: change["version"] for name, change in named.items()},
            "after": {name: change["to"] for name, change in named.items()},
        }
        return {"evidence": {}, "changed": given["state"] == "rehearsed" or bool(changes), "diff": diff}

    def work(site: Site, run: str) -> dict[str, Any]:
        if module.check_mode:
            return would(site, run)
        return {"rehearsed": rehearse, "promoted": promote, "back": back}[given["state"]](site, run)

    carry_out(module, STEPS[given["state"]], work)


if __name__ == "__main__":
    main()
