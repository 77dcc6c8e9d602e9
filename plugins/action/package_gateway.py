# GPL-3.0-or-later
"""Say which packages the client's store has, and open the host's way to them. Runs on the controller, in Ansible's own process."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

# In a checkout the package stands beside plugins/; installed, it is where Ansible's own Python looks.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
from orchestrator.errors import Refused
from orchestrator.run.gateway_client import STORE_SECONDS, Opening, Unanswered
from plugins.action.store_gateway import ActionModule as StoreGateway
from plugins.action.store_gateway import gateway
from plugins.module_utils.points import STORE_OPTIONS

OPTIONS = {
    "store": {"type": "dict", "required": True, "options": STORE_OPTIONS},
    "access_key": {"type": "str", "default": "", "no_log": True},
    "secret_key": {"type": "str", "default": "", "no_log": True},
    "wordpress_org": {"type": "dict", "default": {}},
    "cache": {"type": "path", "default": ""},
    "catalogue_minutes": {"type": "int", "default": 60},
}
SOURCE = {"downloads", "api"}
ADDRESS = re.compile(r"https?://[^/@\s]+(?:/\S*)?")


class ActionModule(StoreGateway):
    """The controller's side of the module package_gateway."""

    _VALID_ARGS = frozenset(OPTIONS)

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Have the index read, and a session opened when there is something that it could give."""
        # Past the gateway to the store: of that one only the way to the host is wanted.
        result: dict[str, Any] = dict(super(StoreGateway, self).run(tmp, task_vars) or {})
        _, given = self.validate_argument_spec(argument_spec=OPTIONS)
        told: dict[str, Any] = {**result, "changed": False, "artefacts": [], "url": ""}
        if self._task.check_mode:
            return told
        source, has_key = given["wordpress_org"], bool(given["access_key"] and given["secret_key"])
        try:
            refuse_source(source)
            if source or has_key:
                told.update(self._opened(given, has_key))
        except Refused as error:
            message = f"No way to the packages: {error.message}. Production was not touched. Type: {error.next_step}"
            return {**result, "failed": True, "msg": message, "outcome": "refused", "evidence": {}}
        # The address holds the secret. Ansible keeps such a result from the screen, the log and every callback.
        return {**told, "_ansible_no_log": bool(told["url"])}

    def _opened(self, given: dict[str, Any], has_key: bool) -> dict[str, Any]:
        """Return what the store has, and the address. Raises Refused when nobody can say what the store has."""
        wanted = {**given, "client": given["store"]["prefix"].partition("/")[0]}
        told: dict[str, Any] = {}
        try:
            with Opening(gateway, "packages", wanted, STORE_SECONDS) as opening:
                begun = opening.begun()
                told["artefacts"] = begun["artefacts"]
                if begun["failure"]:
                    raise Unanswered(begun["failure"])
                if begun["session"]:
                    told["url"] = opening.led(self._way())["url"]
        except (Unanswered, OSError) as error:
            if has_key and not told:
                raise Refused(str(error), getattr(error, "next_step", "") or "ansible --version") from None
            # Releases of publishers are fetched by the host then; for the client's own it says that no way leads there.
            told["msg"] = f"no way to the packages on this controller: {error}"
        return told


def refuse_source(source: dict[str, Any]) -> None:
    """Raise Refused unless this says where WordPress.org is, or that nothing is fetched from there."""
    if source and not (set(source) == SOURCE and all(ADDRESS.fullmatch(str(each)) for each in source.values())):
        raise Refused(
            "cms_update_wordpress_org must be {} or have the keys downloads and api, each with an address such as https://…",
            "grep -r cms_update_wordpress_org group_vars host_vars hosts.yml",
        )
