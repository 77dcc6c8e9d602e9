"""Run on a lab host as the site's owner: carry out a part of a promotion, and die at a named moment.

The request comes by standard input: {what, site, run, probes, stop, alone}. The answer is one line of JSON.
`stop` names a function of ours and the moment: "before tree.exchange" or "after tree.exchange"; the process ends there as
after kill -9, without a word to anybody, and unless it is `alone` the host's own way back with it. With "full
Promotion.note" the process lives, and that finds the disk full.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

# The host has no Ansible; what is tested here does not use it.
for name in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["ansible.module_utils.basic"].AnsibleModule = object  # type: ignore[attr-defined]

from plugins.module_utils import database, freeze, lease, promotion, task, tree, way_back, wordpress  # noqa: E402
from plugins.module_utils.own_way_back import ARMED  # noqa: E402
from plugins.module_utils.site import Site  # noqa: E402

PLACES: dict[str, Any] = {
    "tree": tree, "freeze": freeze, "Promotion": promotion.Promotion, "Database": database.Database,
    "way_back": way_back, "Place": wordpress.Place,
}  # fmt: skip


def die(armed: Path, *, alone: bool) -> None:
    """End this process, and the way back that waits for that."""
    if not alone and armed.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(armed.read_text())["pid"], signal.SIGKILL)
    os._exit(9)


def die_at(stop: str, armed: Path, *, alone: bool) -> None:
    """Let this process die before or after a function of ours; `@3` means its third call."""
    moment, _, rest = stop.partition(" ")
    place, _, rest = rest.partition(".")
    name, _, count = rest.partition("@")
    function = getattr(PLACES[place], name)
    left = [int(count or 1)]

    def dying(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if moment == "before" and not left[0]:
            die(armed, alone=alone)
        if moment == "full" and not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        result = function(*arguments, **named)
        if moment == "after" and not left[0]:
            die(armed, alone=alone)
        return result

    setattr(PLACES[place], name, dying)


def main() -> None:
    """Do what is asked."""
    request = json.load(sys.stdin)
    site, run = Site.from_parameters(request["site"]), request["run"]
    if request.get("stop"):
        die_at(request["stop"], Path(site.run_folder(run), ARMED), alone=request["alone"])
    answer: dict[str, Any]
    try:
        with lease.hold(site, run, keep=True, wait=30, truth=request["what"] == "recover"):
            opened = promotion.opened_promotion(site, run, request["probes"])
            answer = {
                "outcome": "done",
                **{"promote": promotion.promote, "recover": way_back.recover}[request["what"]](opened),
            }
    except task.Stop as stop:
        answer = {"outcome": stop.outcome, "message": str(stop), **stop.evidence}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
