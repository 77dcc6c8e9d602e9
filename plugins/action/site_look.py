# GPL-3.0-or-later
"""Look at the staging copy with a browser, before its update and after it. Runs on the controller, in Ansible's own process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# In a checkout the package stands beside plugins/; installed, it is where Ansible's own Python looks.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
from orchestrator.run.eyes import lacking
from orchestrator.run.gateway_forward import ForwardError, command_of
from orchestrator.run.places import pictures_folder, state_folder

PICTURES = {
    "pages": {"type": "list", "elements": "dict", "required": True},
    "threshold": {"type": "float", "default": 0.01},
    "masks": {"type": "list", "elements": "str", "default": []},
    "width": {"type": "int", "default": 1280},
}
OPTIONS = {
    "state": {"type": "str", "choices": ["before", "after"], "required": True},
    "run": {"type": "str", "required": True},
    "site": {"type": "dict", "required": True},
    "pictures": {"type": "dict", "options": PICTURES, "required": True},
    "folder": {"type": "str", "default": ""},
    "keep_days": {"type": "int", "default": 0},
    "keep_lease": {"type": "bool", "default": False},
    "delivered": {"type": "list", "elements": "dict", "default": []},
    "held": {"type": "list", "elements": "dict", "default": []},
    "released": {"type": "list", "elements": "dict", "default": []},
}
NEXT = "A person should look"


class CannotLook(Exception):
    """Nobody looked; the message says why, and what to type."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """What the module site_look documents. An action, because only an action knows the host's connection."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Look, end the serving of the copy, and say whether a person has to look first."""
        result: dict[str, Any] = dict(super().run(tmp, task_vars) or {})
        _, given = self.validate_argument_spec(argument_spec=OPTIONS)
        if self._task.check_mode:
            return {**result, "changed": False, "msg": "would look at the copy with a browser"}
        try:
            try:
                evidence, objections = self._looked(given)
            finally:
                served = self._step(given, task_vars, [])
            evidence["php_log"] = {key: served["evidence"][key] for key in ("fatals", "warnings")}
            if given["state"] == "before":
                return {**result, "changed": False, "outcome": "done", "evidence": {"pictures": evidence}}
            objections += [f"PHP error log: {said}" for said in evidence["php_log"]["fatals"]]
            return {**result, **self._verdict(given, task_vars, {**evidence, "objections": objections}, objections)}
        except CannotLook as error:
            message = f"The copy was not looked at: {str(error).rstrip('.')}. Production was not touched."
            return {**result, "failed": True, "msg": message, "outcome": "refused", "evidence": {}}

    def _looked(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        missing, advice = lacking()
        if missing:
            raise CannotLook(f"the contract wants pictures, and {missing}. Type: {advice}")
        # Only now: it needs what may be missing.
        from orchestrator.run import looking  # noqa: PLC0415

        try:
            wish = self._wish(given, looking.Wish)
            # Opens the connection that Ansible keeps, with whatever it needs for that. The way to the copy rides on it.
            if self._low_level_execute_command(":").get("rc") != 0:
                raise CannotLook("the host does not carry out anything")
            ssh, host = command_of(self._connection)
            if given["state"] == "before":
                return looking.look_before(wish, ssh, host), []
            return looking.look_after(wish, ssh, host)
        except (ForwardError, looking.CannotLook, OSError) as error:
            raise CannotLook(str(error)) from None

    def _wish(self, given: dict[str, Any], kind: Any) -> Any:
        pictures, site = given["pictures"], given["site"]
        folder = Path(given["folder"]) if given["folder"] else pictures_folder(state_folder(), given["run"])
        return kind(
            url=str(site["url"]),
            port=int(site["staging"]["port"]),
            pages=[{"name": str(page["name"]), "path": str(page["path"])} for page in pictures["pages"]],
            masks=pictures["masks"],
            threshold=pictures["threshold"],
            width=pictures["width"],
            folder=folder,
            keep_days=given["keep_days"],
        )

    def _verdict(
        self, given: dict[str, Any], task_vars: Any, evidence: dict[str, Any], objections: list[str]
    ) -> dict[str, Any]:
        """Withhold what was rehearsed when there are objections, but not what a person has let go already."""
        unseen = [each for each in given["delivered"] if not was_let_go(each, given["released"])]
        if not objections or not unseen:
            told = "a person has let these releases go" if objections else "the pages look as before"
            return {
                "changed": False,
                "msg": told,
                "outcome": "done",
                "evidence": {"pictures": {**evidence, "let_go": bool(objections)}},
            }
        reason = f"{NEXT}: {'; '.join(objections)}"[:500]
        withheld = [{"kind": each["kind"], "slug": each["slug"], "version": each["to"]} for each in unseen]
        self._step(given, task_vars, withheld)
        held = [*given["held"], *({**each, "reason": reason} for each in unseen)]
        return {
            "changed": False,
            "msg": f"{reason}. Production was not touched.",
            "outcome": "nothing-to-do",
            "evidence": {"pictures": evidence, "delivered": [], "held": held},
        }

    def _step(self, given: dict[str, Any], task_vars: Any, withheld: list[dict[str, Any]]) -> dict[str, Any]:
        """Have the host end the serving of the copy, and remember what is not to be promoted."""
        arguments = {
            "step": "looked",
            "run": given["run"],
            "site": {key: value for key, value in given["site"].items() if value is not None},
            "keep_lease": given["keep_lease"],
            "withheld": withheld,
        }
        told = dict(self._execute_module("site_step", module_args=arguments, task_vars=task_vars))
        if told.get("outcome") != "done":
            raise CannotLook(str(told.get("msg") or "the host did not say how that ended"))
        return told


def was_let_go(change: dict[str, Any], released: list[dict[str, Any]]) -> bool:
    """Whether a person has looked at this release and let it go: these bytes and no others."""
    wanted = tuple(str(change.get(key)) for key in ("kind", "slug", "to", "sha256"))
    return wanted in {tuple(str(each.get(key)) for key in ("kind", "slug", "version", "sha256")) for each in released}
