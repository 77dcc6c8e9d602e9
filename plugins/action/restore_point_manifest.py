# GPL-3.0-or-later
"""Have the manifests of restore points written and read by the gateway. Runs on the controller, in Ansible's own process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# In a checkout and in an installed package alike, what the hosts get as module_utils lies in the folder beside this one.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
from orchestrator.run.gateway_client import Unanswered, ask, asked
from plugins.action.store_gateway import ended, gateway
from plugins.module_utils.points import NEWEST, STORE_OPTIONS, PointError, Store

OPTIONS = {
    "state": {"type": "str", "choices": ["write", "read"], "required": True},
    "store": {"type": "dict", "required": True, "options": STORE_OPTIONS},
    "access_key": {"type": "str", "required": True, "no_log": True},
    "secret_key": {"type": "str", "required": True, "no_log": True},
    "client": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "point": {"type": "str", "default": NEWEST},
    "manifest": {"type": "dict", "default": {}},
    "create_bucket": {"type": "bool", "default": True},
    "allow_shrunk": {"type": "bool", "default": False},
    "password": {"type": "str", "default": "", "no_log": True},
    "control": {"type": "str", "default": ""},
}

# What of a session's report goes into the evidence of the step.
EVIDENCE = ("bytes", "requests", "refused", "refusals", "damaged", "stale_locks")


class ActionModule(ActionBase):  # type: ignore[misc]
    """What the module restore_point_manifest documents."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Write or read one manifest."""
        result: dict[str, Any] = dict(super().run(tmp, task_vars) or {})
        _, given = self.validate_argument_spec(argument_spec=OPTIONS)
        writing = given["state"] == "write"
        evidence: dict[str, Any] = {"step": "snapshot" if writing else "restore", "point": given["point"]}
        try:
            if not writing:
                manifest = ask(gateway(), "read", given)["manifest"]
                # No outcome: reading alone brings no step to its end.
                return {**result, "changed": False, "msg": message_of(given, manifest), "manifest": manifest}
            manifest, changed = self._written(given, evidence)
        except (PointError, Unanswered, OSError) as error:
            return {**result, **refusal(str(error), evidence)}
        evidence.update(manifest=manifest, seconds=manifest.get("seconds", 0))
        told = {"changed": changed, "msg": message_of(given, manifest), "outcome": "done", "evidence": evidence}
        return {**result, **told}

    def _written(self, given: dict[str, Any], evidence: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        if self._task.check_mode:
            Store.from_parameters(given["store"]).key(given["point"])
            return dict(given["manifest"]), True
        if not given["control"]:
            told = ask(gateway(), "write", given)
        else:
            evidence["gateway"] = confirmed(
                given["control"], (given["manifest"].get("restic") or {}).get("snapshot") or ""
            )
            told = asked(given["control"], "manifest", given)
            ended(given["control"])
        return told["manifest"], told["changed"]


def confirmed(control: str, snapshot: str) -> dict[str, Any]:
    """Make a snapshot a part of the repository, and say what its session did. Raises Unanswered."""
    told = asked(control, "confirm", {"snapshot": snapshot})
    report = told["report"]
    said = {"snapshot": told["snapshot"], "clock_off": told["clock_off"], "packs": len(report["added"]["data"])}
    return {**said, **{name: report[name] for name in EVIDENCE}}


def refusal(reason: str, evidence: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a task that fails without having touched anything."""
    message = f"No restore point: {reason}. The site was not touched."
    return {"failed": True, "msg": message, "outcome": "refused", "evidence": evidence}


def message_of(given: dict[str, Any], manifest: dict[str, Any]) -> str:
    """Say in one sentence what there is now."""
    if not manifest:
        return f"would write the manifest of {given['point']}"
    files, tables = manifest["files"]["count"], len(manifest["dump"]["tables"])
    return f"restore point {manifest['point']} of {manifest['taken']}: {files} files, {tables} tables"
