"""Start Ansible. No other module of the package does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.plan.step import Ending
from orchestrator.run import leash, places
from orchestrator.run.events import Reader, StepReport

# So long may ansible-playbook take to go after SIGTERM before the whole group is killed.
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Project:
    """Where Ansible finds what it needs. Another folder of playbooks can be put in through the ordinary option."""

    inventory: Path
    content: Path | None = None
    vault_password_file: Path | None = None
    # Another ansible-playbook than the one beside our own Python.
    program: str = ""

    @property
    def folder(self) -> Path:
        """The folder with ansible.cfg, playbooks/, roles/ and plugins/."""
        return self.content or places.content_root()


@dataclass(frozen=True)
class Call:
    """One call of ansible-playbook: the playbooks of a batch against one host."""

    steps: tuple[str, ...]
    host: str
    variables: Mapping[str, Any]
    scratch: Path
    log: Path


@dataclass(frozen=True)
class Listener:
    """Who is told what, while it happens. `cancelled` is asked about once a second."""

    on_begin: Callable[[str, datetime], None]
    on_end: Callable[[StepReport], None]
    on_task: Callable[[str, str], None]
    cancelled: Callable[[], bool]


def carry_out(project: Project, call: Call, listener: Listener) -> tuple[StepReport, ...]:
    """Run the playbooks of one batch and report each step that began.

    Ansible's own screen is written to `call.log` only if a step ended without a report of ours; everything else that
    ansible-runner leaves on disk (it writes the whole environment down) is removed before this returns.
    """
    from ansible_runner.interface import init_command_config  # noqa: PLC0415  # half a second that `--help` need not pay

    reader = Reader(call.steps, on_begin=listener.on_begin, on_end=listener.on_end, on_task=listener.on_task)

    stop = _Stop(reader, listener.cancelled)

    def take(event: Mapping[str, Any]) -> bool:
        try:
            reader.read(event)
        except Exception as error:
            # ansible-runner swallows some of these and leaves Ansible running after the others.
            stop.because_of(error)
        # No: nothing of an event is to be written to disk.
        return False

    _prepare(call)
    try:
        runner = init_command_config(
            sys.executable,
            [
                # Isolated and without site-packages: it only has to become Ansible.
                *["-I", "-S", leash.__file__, str(os.getpid()), project.program or _program("ansible-playbook")],
                *[str(project.folder / "playbooks" / f"{name}.yml") for name in call.steps],
                *_inventory_arguments(project),
                *["--limit", call.host, "--extra-vars", f"@{call.scratch / 'vars.json'}"],
            ],
            private_data_dir=str(call.scratch),
            ident="batch",
            host_cwd=str(project.folder),
            envvars=ansible_environment(project),
            fact_cache_type="none",
            quiet=True,
            event_handler=take,
            cancel_callback=stop.asked,
        )
        runner.run()
        if stop.error is not None:
            raise stop.error
        reports = reader.finish(code=runner.rc, cancelled=stop.wanted, now=datetime.now(UTC))
        if any(report.seen.ending is Ending.SILENT for report in reports):
            _keep_log(Path(runner.config.artifact_dir) / "stdout", call.log)
    finally:
        shutil.rmtree(call.scratch, ignore_errors=True)
    return reports


def host_variables(project: Project, host: str, names: tuple[str, ...], scratch: Path) -> dict[str, str]:
    """Ask Ansible for some of a host's variables, vault included. Nothing of the answer is written to disk."""
    from ansible_runner.interface import init_command_config  # noqa: PLC0415

    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    answer = os.memfd_create("inventory")
    try:
        with os.fdopen(os.dup(answer), "w") as output, Path(os.devnull).open() as nothing:
            runner = init_command_config(
                _program("ansible-inventory"),
                [*_inventory_arguments(project), "--host", host],
                private_data_dir=str(scratch),
                ident="inventory",
                host_cwd=str(project.folder),
                envvars=ansible_environment(project),
                fact_cache_type="none",
                quiet=True,
                runner_mode="subprocess",
                input_fd=nothing,
                output_fd=output,
            )
            runner.run()
            with runner.stderr as stderr:
                complaint = stderr.read().strip()
        if runner.rc != 0:
            raise InventoryError(
                complaint.splitlines()[0] if complaint else f"ansible-inventory ended with {runner.rc}"
            )
        os.lseek(answer, 0, os.SEEK_SET)
        with os.fdopen(os.dup(answer)) as text:
            values = json.load(text)
    finally:
        os.close(answer)
        shutil.rmtree(scratch, ignore_errors=True)
    return {name: str(values[name]) for name in names if values.get(name)}


class InventoryError(Exception):
    """Ansible could not read the inventory."""


class _Stop:
    """End ansible-playbook politely first: on SIGTERM it ends its workers, which a plain kill would leave alive."""

    def __init__(self, reader: Reader, cancelled: Callable[[], bool]) -> None:
        self._reader, self._cancelled = reader, cancelled
        self._since: float | None = None
        self.wanted = False
        self.error: Exception | None = None

    def because_of(self, error: Exception) -> None:
        self.error = self.error or error
        self.wanted = True

    def asked(self) -> bool:
        try:
            self.wanted = self.wanted or self._cancelled()
        except Exception as error:
            self.because_of(error)
        if not self.wanted:
            return False
        if self._since is None:
            self._since = time.monotonic()
            if self._reader.process is None:
                return True
            try:
                os.kill(self._reader.process, signal.SIGTERM)
            except ProcessLookupError:
                return True
        return time.monotonic() - self._since > GRACE_SECONDS


def _prepare(call: Call) -> None:
    call.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = call.scratch / "env"
    settings.mkdir(mode=0o700, exist_ok=True)
    # A file, because ansible-runner forgets the settings that it is given when this file is missing.
    (settings / "settings").write_text(json.dumps({"pexpect_timeout": 1}))
    handle = os.open(call.scratch / "vars.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(dict(call.variables), file)


def _inventory_arguments(project: Project) -> list[str]:
    arguments = ["--inventory", str(project.inventory)]
    if project.vault_password_file is not None:
        arguments += ["--vault-password-file", str(project.vault_password_file)]
    return arguments


def _program(name: str) -> str:
    # Beside our own interpreter first: `/opt/upkeep/bin/upkeep` must work without its folder in PATH.
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def ansible_environment(project: Project) -> dict[str, str]:
    """Return what Ansible finds in its environment, whoever starts it."""
    given = os.environ
    return {
        "ANSIBLE_CONFIG": str(project.folder / "ansible.cfg"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{given.get('PATH', os.defpath)}",
        # ansible-runner would otherwise switch the check of host keys off.
        "ANSIBLE_HOST_KEY_CHECKING": given.get("ANSIBLE_HOST_KEY_CHECKING", "True"),
        # A result that is longer than this loses its evidence on the way. The manifest of a big site is long.
        "MAX_EVENT_RES": "50000000",
        # What a person sets for working by hand would put arguments and diffs into the log.
        "ANSIBLE_VERBOSITY": "0",
        "ANSIBLE_DIFF_ALWAYS": "False",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_FORCE_COLOR": "False",
    }


def _keep_log(screen: Path, log: Path) -> None:
    if not screen.exists():
        return
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(screen.read_text(errors="replace"))
