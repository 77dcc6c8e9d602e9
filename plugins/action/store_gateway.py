# GPL-3.0-or-later
"""Start and end a session of the gateway. Runs on the controller, in Ansible's own process."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

# In a checkout the package stands beside plugins/; installed, it is where Ansible's own Python looks.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
from orchestrator.run import gateway_client, lend
from orchestrator.run.gateway_client import Unanswered
from orchestrator.run.gateway_forward import ForwardError, command_of

NEEDED = {"started": ("mode", "store", "access_key", "secret_key", "password"), "ended": ("control",)}
OPTIONS = {
    "state",
    "control",
    "mode",
    "point",
    "show",
    "store",
    "access_key",
    "secret_key",
    "password",
    "create_bucket",
    "budget",
    "idle",
    "longest",
    "program",
    "root",
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """The controller's side of the module store_gateway. An action, because only an action knows the host's connection."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True
    _VALID_ARGS = frozenset(OPTIONS)

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Do what `state` says."""
        result: dict[str, Any] = dict(super().run(tmp, task_vars) or {})
        given = dict(self._task.args)
        state = given.pop("state", "")
        missing = [name for name in NEEDED.get(state, ()) if not given.get(name)]
        if self._task.check_mode:
            return {**result, "changed": True, "msg": f"would be {state}", "url": "", "control": "", "password": ""}
        try:
            if state not in NEEDED:
                raise Unanswered(f"the state is started or ended, not {state!r}")
            if missing:
                raise Unanswered(f"the state {state} needs {', '.join(missing)}")
            if state == "started":
                return {**result, **self._started(given)}
            return {**result, **ended(given["control"])}
        except (Unanswered, OSError) as error:
            message = f"No way to the store: {error}. {advice(state, given, str(error))}The site was not touched."
            return {**result, "failed": True, "msg": message, "outcome": "refused", "evidence": {}}

    def _started(self, given: dict[str, Any]) -> dict[str, Any]:
        program, root = given.pop("program", ""), given.pop("root", "")
        with gateway_client.Opening(gateway, "repository", given) as opening:
            # While it begins, the host is asked.
            told = opening.led(self._way(self._lend(program, root)))
        # The address holds the secret, and the password is one. Ansible keeps such a result from the screen, the log and every callback.
        return {
            "_ansible_no_log": True,
            "changed": True,
            "msg": "the host reaches its repository through this controller",
            "url": told["url"],
            "control": told["control"],
            "password": told["password"],
        }

    def _lend(self, program: str, root: str) -> bool:
        """See that the host has a restic: its own, or a copy of ours in our own folder there. Returns whether it was asked."""
        if program != lend.USUAL or not root:
            return False
        try:
            told = lend.heard(str(self._low_level_execute_command(lend.question(root)).get("stdout", "")))
            if told.has_its_own:
                if told.lent:
                    self._must(f"rm -f -- {shlex.quote(told.place)}")
                return True
            lend.fits(told)
            path, wanted = lend.own()
            if told.lent == wanted:
                return True
            place, coming = shlex.quote(told.place), shlex.quote(told.place + ".coming")
            self._must(f"umask 077; mkdir -p -- {shlex.quote(told.workshop + '/bin')}")
            self._transfer_file(path, told.place + ".coming")
            # Under its name only when every byte has come, and when it runs there.
            self._must(
                f"chmod 700 -- {coming} && echo '{wanted}  '{coming} | sha256sum -c --quiet - && {coming} version"
                f" && mv -f -- {coming} {place}"
            )
        except lend.CannotLend as error:
            raise Unanswered(str(error)) from None
        return True

    def _must(self, command: str) -> None:
        done = self._low_level_execute_command(command)
        if done.get("rc") != 0:
            said = str(done.get("stderr") or done.get("stdout") or "").strip().splitlines()
            raise Unanswered(f"the host has no restic and cannot use ours ({said[-1] if said else done.get('rc')})")

    def _way(self, reached: bool = False) -> dict[str, Any]:
        """Return ssh's command line as Ansible writes it for this host, and the name of the host."""
        # Opens the connection that Ansible keeps, with whatever it needs for that, where it is not open. The forward rides on it.
        if not reached and self._low_level_execute_command(":").get("rc") != 0:
            raise AnsibleConnectionFailure("the host does not carry out anything")
        try:
            ssh, host = command_of(self._connection)
        except ForwardError as error:
            raise Unanswered(str(error)) from None
        return {"ssh": ssh, "host": host}


def gateway() -> str:
    """Return the socket of the gateway of this call of Ansible, which is started where there is none. Raises Unanswered."""
    # It ends with this process' parent: that is ansible-playbook itself, we are one of its workers.
    return gateway_client.found(Path(constants.DEFAULT_LOCAL_TMP), os.getppid())


def advice(state: str, given: dict[str, Any], said: str) -> str:
    """Return what to type when a session did not begin, unless that was said already."""
    prefix = str((given.get("store") or {}).get("prefix", ""))
    if state != "started" or not prefix or "upkeep store" in said:
        return ""
    return f"Type: upkeep store check {prefix.partition('/')[0]}. "


def ended(control: str) -> dict[str, Any]:
    """End a session. One that is over already is no mistake: what the step did stands."""
    try:
        report = gateway_client.asked(control, "end", {})
    except (Unanswered, OSError) as error:
        return {"changed": False, "msg": f"the gateway is over already ({error})"}
    return {"changed": False, "msg": f"{report['requests']} requests came through the gateway"}
