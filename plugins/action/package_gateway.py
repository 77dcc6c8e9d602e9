# GPL-3.0-or-later
"""Say which packages the client's store has, and open the host's way to them. Runs on the controller, in Ansible's own process."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

# In a checkout the package stands beside plugins/; installed, it is where Ansible's own Python looks.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
from orchestrator.contract.model import Store
from orchestrator.errors import Refused
from orchestrator.run.artefacts import Artefact, read_index
from orchestrator.run.bucket import Keys, opened
from plugins.action.store_gateway import ActionModule as StoreGateway
from plugins.action.store_gateway import Launch, Unanswered
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
# What a host has to know of a package to choose it.
TOLD = ("kind", "slug", "file", "version", "sha256")


class ActionModule(StoreGateway):
    """The controller's side of the module package_gateway."""

    _VALID_ARGS = frozenset(OPTIONS)

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Read the index, and start a gateway when there is something that it could give."""
        # Past the gateway to the store: of that one only the way to the host is wanted.
        result: dict[str, Any] = dict(super(StoreGateway, self).run(tmp, task_vars) or {})
        _, given = self.validate_argument_spec(argument_spec=OPTIONS)
        told: dict[str, Any] = {**result, "changed": False, "artefacts": [], "url": ""}
        if self._task.check_mode:
            return told
        client, source = given["store"]["prefix"].partition("/")[0], given["wordpress_org"]
        try:
            refuse_source(source)
            found = index_of(client, given)
        except Refused as error:
            message = f"No way to the packages: {error.message}. Production was not touched. Type: {error.next_step}"
            return {**result, "failed": True, "msg": message, "outcome": "refused", "evidence": {}}
        told["artefacts"] = [{name: getattr(each, name) for name in TOLD} for each in found]
        if found or source:
            told.update(self._opened(client, given, found))
        # The address holds the secret. Ansible keeps such a result from the screen, the log and every callback.
        return {**told, "_ansible_no_log": bool(told["url"])}

    def _opened(self, client: str, given: dict[str, Any], found: tuple[Artefact, ...]) -> dict[str, Any]:
        handed = ("store", "access_key", "secret_key", "wordpress_org", "cache", "catalogue_minutes")
        wanted = {name: given[name] for name in handed}
        wanted.update(client=client, artefacts=[each.sha256 for each in found], watch=os.getppid())
        try:
            with Launch(wanted, "orchestrator.run.package_gateway") as launch:
                return {"url": launch.told(self._way())["url"]}
        except (Unanswered, OSError) as error:
            # Releases of publishers are fetched by the host then; for the client's own it says that no way leads there.
            return {"msg": f"no way to the packages on this controller: {error}"}


def refuse_source(source: dict[str, Any]) -> None:
    """Raise Refused unless this says where WordPress.org is, or that nothing is fetched from there."""
    if source and not (set(source) == SOURCE and all(ADDRESS.fullmatch(str(each)) for each in source.values())):
        raise Refused(
            "cms_update_wordpress_org must be {} or have the keys downloads and api, each with an address such as https://…",
            "grep -r cms_update_wordpress_org group_vars host_vars hosts.yml",
        )


def index_of(client: str, given: dict[str, Any]) -> tuple[Artefact, ...]:
    """Return what the client's store has; nothing without a key. Raises Refused when the store does not say."""
    if not given["access_key"] or not given["secret_key"]:
        return ()
    store = Store(given["store"]["endpoint"], given["store"]["bucket"], given["store"]["region"])
    with opened(store, Keys(given["access_key"], given["secret_key"])) as bucket:
        return read_index(bucket, client)
