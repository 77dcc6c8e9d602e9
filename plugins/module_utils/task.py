# GPL-3.0-or-later
"""What every module of ours has in common: its options, its lease, and how it ends.

Outcomes are the seam to the orchestrator: done, nothing-to-do, put-back, not-put-back, refused, busy, unhealthy.
"""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .command import CommandFailed
from .database import DatabaseError
from .freeze import FreezeError
from .lease import LeaseBusy, hold
from .packages import PackageError
from .site import SITE_OPTIONS, Site
from .staging import StagingError
from .tree import TreeError
from .wordpress import WordPressError

KNOWN_ERRORS = (
    CommandFailed,
    DatabaseError,
    FreezeError,
    PackageError,
    StagingError,
    TreeError,
    WordPressError,
    OSError,
)

PROBE_OPTIONS = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True, "choices": ["page", "rest", "ajax", "admin", "assets", "log"]},
    "path": {"type": "str", "default": "/"},
    "status": {"type": "int", "default": 200},
    "text": {"type": "list", "elements": "str", "default": []},
}


class Stop(Exception):
    """A task ends here with an outcome that is not success."""

    def __init__(self, outcome: str, message: str, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.evidence = evidence or {}


def options(**more: dict[str, Any]) -> dict[str, Any]:
    """Return the argument spec that all modules share, with `more`."""
    shared: dict[str, Any] = {
        "run": {"type": "str", "required": True},
        "site": {"type": "dict", "required": True, "options": SITE_OPTIONS},
        "keep_lease": {"type": "bool", "default": False},
    }
    shared.update(more)
    return shared


def probe_list() -> dict[str, Any]:
    """Return the argument spec of a list of probes."""
    return {"type": "list", "elements": "dict", "required": True, "options": PROBE_OPTIONS}


def carry_out(
    module: AnsibleModule, step: str, work: Callable[[Site, str], dict[str, Any]], *, wait: float = 0.0
) -> None:
    """Take the lease, do the work, and end the module with outcome and evidence.

    `work` returns {outcome, msg, evidence}. In check mode the lease is not taken: looking leaves no trace.
    """
    run = module.params["run"]
    evidence: dict[str, Any] = {"step": step}
    try:
        site = Site.from_parameters(module.params["site"])
        site.run_folder(run)
        if module.check_mode:
            result = work(site, run)
        else:
            with hold(site, run, keep=module.params["keep_lease"], wait=wait):
                result = work(site, run)
    except LeaseBusy as error:
        ended = {"msg": str(error), "outcome": "busy", "evidence": evidence, "changed": False}
        module.fail_json(**printable(ended))
    except Stop as stop:
        evidence.update(stop.evidence)
        changed = stop.outcome in ("put-back", "not-put-back")
        ended = {"msg": str(stop), "outcome": stop.outcome, "evidence": evidence, "changed": changed}
        module.fail_json(**printable(ended))
    except (ValueError, *KNOWN_ERRORS) as error:
        # Whatever touches production turns its errors into a Stop that says so.
        message = f"{str(error).rstrip('.')}. Production was not touched."
        ended = {"msg": message, "outcome": "refused", "evidence": evidence, "changed": False}
        module.fail_json(**printable(ended))
    else:
        evidence.update(result.get("evidence", {}))
        outcome = result.get("outcome", "done")
        ended = {"msg": result.get("msg", ""), "outcome": outcome, "evidence": evidence}
        ended["changed"] = result.get("changed", outcome == "done")
        if "diff" in result:
            ended["diff"] = result["diff"]
        module.exit_json(**printable(ended))


def printable(value: Any) -> Any:
    """Return a value that anybody can write down: the name of a file may have bytes that are no text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(inner) for inner in value]
    return value
