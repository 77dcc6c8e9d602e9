# GPL-3.0-or-later
"""Start, confirm and end a session of the gateway. Runs on the controller, in Ansible's own process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import selectors
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

# In a checkout the package stands beside plugins/; installed, it is where Ansible's own Python looks.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
from orchestrator.run import lend
from orchestrator.run.gateway_forward import ForwardError, command_of

SECONDS = 120
# So long may a gateway take to end that has nothing to do any more.
GRACE_SECONDS = 10
NEEDED = {"started": ("mode", "store", "access_key", "secret_key", "password"), "confirmed": ("control", "snapshot")}
# What of a session's report goes into the evidence of the step.
EVIDENCE = ("bytes", "requests", "refused", "refusals", "damaged", "stale_locks")
OPTIONS = {
    "state",
    "control",
    "snapshot",
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


class Unanswered(Exception):
    """The gateway did not do what it was asked; the message is what it said."""


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
        missing = [name for name in NEEDED.get(state, ("control",)) if not given.get(name)]
        if self._task.check_mode:
            return {**result, "changed": True, "msg": f"would be {state}", "url": "", "control": "", "password": ""}
        try:
            if state not in ("started", "confirmed", "ended"):
                raise Unanswered(f"the state is started, confirmed or ended, not {state!r}")
            if missing:
                raise Unanswered(f"the state {state} needs {', '.join(missing)}")
            if state == "started":
                return {**result, **self._started(given)}
            if state == "confirmed":
                return {**result, **confirmed(given["control"], given["snapshot"])}
            return {**result, **ended(given["control"])}
        except (Unanswered, OSError) as error:
            what = "No restore point" if state == "confirmed" else "No way to the store"
            message = f"{what}: {error}. {advice(state, given, str(error))}The site was not touched."
            return {**result, "failed": True, "msg": message, "outcome": "refused", "evidence": {}}

    def _started(self, given: dict[str, Any]) -> dict[str, Any]:
        program, root = given.pop("program", ""), given.pop("root", "")
        # The gateway ends with this process' parent: that is ansible-playbook itself, we are one of its workers.
        with Launch({**given, "watch": os.getppid()}) as launch:
            # While it begins, the host is asked.
            told = launch.told(self._way(self._lend(program, root)))
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


def advice(state: str, given: dict[str, Any], said: str) -> str:
    """Return what to type when a session did not begin, unless that was said already."""
    prefix = str((given.get("store") or {}).get("prefix", ""))
    if state != "started" or not prefix or "upkeep store" in said:
        return ""
    return f"Type: upkeep store check {prefix.partition('/')[0]}. "


class Launch:
    """A gateway that is being started: told first what it is for, and then, when that is known, the way to the host.

    As a context it ends the gateway when the block fails, before it has said how it is reached.
    """

    def __init__(self, given: dict[str, Any], program: str = "orchestrator.run.gateway") -> None:
        """Start it."""
        self._process = subprocess.Popen(
            # The same Python: it is the one in which upkeep is installed.
            [sys.executable, "-m", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        )
        self._write(given)

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *failed: object) -> None:
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        assert self._process.stdout is not None  # noqa: S101  # as well
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if failed[0] is not None:
            # Where nobody says the way it ends by itself, and leaves nothing behind.
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()

    def told(self, way: dict[str, Any]) -> dict[str, Any]:
        """Say how the host is reached; return how the gateway is. Raises Unanswered with what it said of its failure."""
        self._write(way)
        output = self._process.stdout
        assert output is not None  # noqa: S101  # it is a pipe
        # It says one line when it is ready, or why it is not. Its end is not waited for: it outlives this task.
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            if not selector.select(SECONDS):
                raise Unanswered(f"it has not begun after {SECONDS} s")
            line = output.readline()
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            raise Unanswered("upkeep's own package cannot be started by Ansible's Python") from None
        if "error" in told:
            raise Unanswered(str(told["error"]))
        return told

    def _write(self, value: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        # What is gone already has said why: that is read where its answer is.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(value, default=str).encode() + b"\n")
            self._process.stdin.flush()


def confirmed(control: str, snapshot: str) -> dict[str, Any]:
    """Make a snapshot a part of the repository, and say what the session did. It stays for the manifest."""
    told = asked(control, "/confirm", {"snapshot": snapshot})
    report = told["report"]
    packs = report["added"]["data"]
    evidence = {"snapshot": told["snapshot"], "clock_off": told["clock_off"], "packs": len(packs)}
    evidence.update({name: report[name] for name in EVIDENCE})
    return {
        "changed": True,
        "msg": f"{len(packs)} packs, {report['bytes']} bytes came through the gateway",
        "outcome": "done",
        "evidence": {"gateway": evidence},
        "tags": told["tags"],
    }


def ended(control: str) -> dict[str, Any]:
    """End a session. One that is over already is no mistake: what the step did stands."""
    try:
        report = asked(control, "/end", {})
    except (Unanswered, OSError) as error:
        return {"changed": False, "msg": f"the gateway is over already ({error})"}
    return {"changed": False, "msg": f"{report['requests']} requests came through the gateway"}


def asked(control: str, path: str, value: dict[str, Any]) -> dict[str, Any]:
    """Ask a gateway. Raises Unanswered with its own words when it refuses."""
    connection = Local(control)
    try:
        connection.request("POST", path, json.dumps(value))
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
    except (http.client.HTTPException, ValueError) as error:
        raise Unanswered(f"the gateway does not answer: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        refusals = told.get("report", {}).get("refusals", [])
        raise Unanswered("; ".join([str(told.get("error")), *refusals[-3:]]))
    return told


class Local(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("gateway", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
