# GPL-3.0-or-later
"""What every step has in common: its lease, and how it ends.

Outcomes are the seam to the orchestrator: done, nothing-to-do, put-back, not-put-back, refused, busy, unhealthy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .command import CommandFailed
from .database import DatabaseError
from .freeze import FreezeError
from .lease import LeaseBusy, hold
from .packages import PackageError
from .postgresql import forget_password
from .site import Site
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


@dataclass(frozen=True)
class Asked:
    """What a step is asked to do: the module's options, and the ways to warn and to only look."""

    options: dict[str, Any]
    check_mode: bool
    warn: Callable[[str], None]


class Stop(Exception):
    """A task ends here with an outcome that is not success."""

    def __init__(self, outcome: str, message: str, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.evidence = evidence or {}


def carry_out(
    module: AnsibleModule,
    step: str,
    work: Callable[[Asked, Site, str], dict[str, Any]],
    *,
    wait: float,
    keep_lease: bool,
    truth: bool = False,
) -> None:
    """Take the lease, waiting up to `wait` seconds for it, do the work, and end the module with outcome and evidence.

    `truth`: the step only asks for what became of its run and puts that right; see lease.hold().

    `work` returns {outcome, msg, evidence}. In check mode the lease is not taken: looking leaves no trace.
    """
    run = module.params["run"]
    asked = Asked(module.params, module.check_mode, module.warn)
    evidence: dict[str, Any] = {"step": step}
    try:
        site = Site.from_parameters(module.params["site"], module.params.get("database_password") or "")
        site.run_folder(run)
        if module.check_mode:
            result = work(asked, site, run)
        else:
            with hold(site, run, keep=keep_lease, wait=wait, truth=truth):
                try:
                    result = work(asked, site, run)
                finally:
                    forget_password(site.run_folder(run))
    except LeaseBusy as error:
        if error.holder:
            evidence["held_by"] = error.holder
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
        for name in ("diff", "handed"):
            if name in result:
                ended[name] = result[name]
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
