# GPL-3.0-or-later
"""Arm the host's own way back before anybody is kept out: start own_way_back.py and see that it waits.

It must outlive the module, the SSH connection and, where the site's owner may leave programs at work, the session. A
session without a terminal is not hung up on, and by default systemd leaves its programs alone, but it ends the owner's
own services with the last session; so it is a service of the owner's only where lingering keeps those alive.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

from . import freeze, freeze_php, own_way_back
from .command import environment
from .database import Database
from .lease import write_whole
from .site import Site
from .task import Stop
from .web import is_this_host

PROGRAM = "own_way_back.py"
LOG = "own_way_back.log"
# So long may Python take to start on a busy host.
READY_SECONDS = 15.0
LINGER = "/var/lib/systemd/linger"


@dataclass(frozen=True)
class Armed:
    """A way back that was started for a run: where, and how it is kept alive."""

    folder: str
    kept_by: str

    def wait(self, seconds: float = READY_SECONDS) -> None:
        """Return when it waits for us to end. Raises Stop: without a way back nothing is touched."""
        deadline = time.monotonic() + seconds
        while not os.path.exists(os.path.join(self.folder, own_way_back.ARMED)):
            if time.monotonic() > deadline:
                raise Stop(
                    "refused",
                    f"The host's own way back did not start within {seconds:g} s. Production was not touched."
                    f" Look at it: {sys.executable} {os.path.join(self.folder, PROGRAM)}",
                )
            time.sleep(0.005)


def arm(
    site: Site,
    run: str,
    database: Database,
    *,
    prefix: str,
    tree: str,
    token: str,
    changed: list[str],
    web_server: dict[str, object],
    seconds: float,
) -> Armed:
    """Start the way back of a promotion: it goes back when this process ends without a word, or after `seconds`."""
    folder = site.run_folder(run)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, own_way_back.ARMED))
    target = site.production()
    orders = {
        "root": site.root,
        "tree": tree,
        "lock": os.path.join(site.workshop, "lock"),
        "client": shutil.which(database.client) or database.client,
        "options": database.options,
        "database": database.name,
        "prefix": prefix,
        "process": os.getpid(),
        "started": own_way_back.started(os.getpid()),
        "web": {
            "address": target.address,
            "port": target.port,
            "host": target.host,
            "scheme": target.scheme,
            "here": is_this_host(target.address),
            "token": token,
            **{name: web_server[name] for name in ("opcache", "validate_timestamps", "revalidate_freq")},
        },
    }
    seal = hashlib.sha256(token.encode()).hexdigest()
    refresh = os.path.join(folder, own_way_back.REFRESH)
    for path, text in (
        (os.path.join(folder, own_way_back.ORDERS), json.dumps(orders)),
        (refresh + ".php", freeze_php.ONE_TIME % {"seal": seal}),
        (refresh + ".json", freeze.paths_for_php(changed)),
        (os.path.join(folder, PROGRAM), inspect.getsource(own_way_back)),
    ):
        write_whole(path, text)
    # Isolated: nothing of the site's, the session's or ours is in its way.
    command = [sys.executable, "-I", "-S", os.path.join(folder, PROGRAM), f"{seconds:g}"]
    said = os.path.join(folder, LOG)
    systemd = _systemd(run, said)
    with open(said, "ab") as log:
        started = subprocess.Popen(
            [*systemd, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment({"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"} if systemd else None),
            cwd="/",
            start_new_session=True,
        )
    # It is meant to outlive us; the interpreter need not warn of that.
    started.returncode = 0
    return Armed(folder, "systemd" if systemd else "itself")


def _systemd(run: str, said: str) -> list[str]:
    """Return the command that makes a program a service of the owner's, where that outlives the session."""
    try:
        owner = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return []
    program = shutil.which("systemd-run")
    socket = f"/run/user/{os.getuid()}/systemd/private"
    if not program or not os.path.exists(os.path.join(LINGER, owner)) or not os.path.exists(socket):
        return []
    unit = [f"--unit=upkeep-way-back-{run}", f"--property=StandardError=append:{said}"]
    return [program, "--user", "--quiet", "--collect", *unit, "--"]
