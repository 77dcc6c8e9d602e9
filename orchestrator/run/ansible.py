"""Start Ansible. No other module of the package does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.plan.step import Ending
from orchestrator.run import leash, places
from orchestrator.run.events import Reader, StepReport

# So long may ansible-playbook take to go after SIGTERM before the whole group is killed.
GRACE_SECONDS = 5.0
# Names in the folder of one call: the variables of all its sites, those of each, and ansible-runner's own part.
VARIABLES, HOSTS, IDENT = "vars.json", "hosts.json", "batch"
# The tag of the tasks in which roles judge their variables, and of no other. What a plan gives was held against the same
# specifications (tests/seam), and the modules judge each value again: that is six tasks less.
JUDGING = "always"
_NONE = object()


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
    # Tags of tasks that are left out.
    needless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listener:
    """Who is told what, while it happens. `cancelled` is asked about once a second."""

    on_begin: Callable[[str, datetime], None]
    on_end: Callable[[StepReport], None]
    cancelled: Callable[[], bool]


@dataclass(frozen=True)
class Part:
    """What one site has of a call of Ansible. `on_over` is told as soon as no further step of this site will be seen."""

    call: Call
    listener: Listener
    on_over: Callable[[], None] = lambda: None


def carry_out(project: Project, call: Call, listener: Listener) -> tuple[StepReport, ...]:
    """Run the playbooks of one batch and report each step that began.

    Ansible's own screen is written to `call.log` only if a step ended without a report of ours; everything else that
    ansible-runner leaves on disk (it writes the whole environment down) is removed before this returns.
    """
    return carry_out_together(project, call.scratch, [Part(call, listener)])[0]


def carry_out_together(project: Project, scratch: Path, parts: Sequence[Part]) -> list[tuple[StepReport, ...]]:
    """Run the same playbooks for several sites with one call of Ansible, as `carry_out` does for one.

    A site that fails is left out of the steps that follow, and the others go on. What is learnt of each is told to its own
    listener, from the thread that called this. An error in a listener ends the call for all, and is raised.
    """
    from ansible_runner.interface import init_command_config  # noqa: PLC0415  # half a second that `--help` need not pay

    told = [_Told(part, len(parts) > 1) for part in parts]
    # Each is asked, also when another has said yes: they give signs of life, too.
    stop = _Stop(lambda: True in [part.listener.cancelled() for part in parts])
    screen = scratch / "artifacts" / IDENT / "stdout"

    def take(event: Mapping[str, Any]) -> bool:
        try:
            if isinstance(event.get("pid"), int):
                stop.process = event["pid"]
            for each in told:
                each.take(event, screen)
        except Exception as error:
            # ansible-runner swallows some of these and leaves Ansible running after the others.
            stop.because_of(error)
        # No: nothing of an event is to be written to disk.
        return False

    try:
        steps = _prepare(project, scratch, parts)
        runner = init_command_config(
            sys.executable,
            [
                # Isolated and without site-packages: it only has to become Ansible.
                *["-I", "-S", leash.__file__, str(os.getpid()), project.program or _program("ansible-playbook")],
                *[str(steps), *_inventory_arguments(project)],
                *(["--inventory", str(scratch / HOSTS)] if len(parts) > 1 else []),
                *["--skip-tags", ",".join([JUDGING, *_needless(parts)])],
                *["--limit", ",".join(part.call.host for part in parts), "--extra-vars", f"@{scratch / VARIABLES}"],
            ],
            private_data_dir=str(scratch),
            ident=IDENT,
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
        return [each.finish(screen, code=runner.rc, cancelled=stop.wanted) for each in told]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


class _Told:
    """One site's part of a call while it goes on."""

    def __init__(self, part: Part, among_others: bool) -> None:
        call, listener = part.call, part.listener
        self._part, self._over = part, False
        self._reader = Reader(
            call.steps, call.host.split(",") if among_others else (),
            on_begin=listener.on_begin, on_end=listener.on_end,
        )  # fmt: skip

    def take(self, event: Mapping[str, Any], screen: Path) -> None:
        if self._over:
            return
        self._reader.read(event)
        if self._reader.over:
            # An event comes before what it says is on the screen.
            self._end(screen, str(event.get("stdout", "")))

    def finish(self, screen: Path, *, code: int | None, cancelled: bool) -> tuple[StepReport, ...]:
        reports = self._reader.finish(code=code, cancelled=cancelled, now=datetime.now(UTC))
        if not self._over:
            self._end(screen)
        return reports

    def _end(self, screen: Path, said: str = "") -> None:
        self._over = True
        if any(report.seen.ending is Ending.SILENT for report in self._reader.reports):
            _keep_log(screen, said, self._part.call.log)
        self._part.on_over()


class _Stop:
    """End ansible-playbook politely first: on SIGTERM it ends its workers, which a plain kill would leave alive."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._since: float | None = None
        self.process: int | None = None
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
            if self.process is None:
                return True
            try:
                os.kill(self.process, signal.SIGTERM)
            except ProcessLookupError:
                return True
        return time.monotonic() - self._since > GRACE_SECONDS


def _prepare(project: Project, scratch: Path, parts: Sequence[Part]) -> Path:
    """Write down what Ansible is to read; return the playbook of all steps."""
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = scratch / "env"
    settings.mkdir(mode=0o700, exist_ok=True)
    # A file, because ansible-runner forgets the settings that it is given when this file is missing.
    (settings / "settings").write_text(json.dumps({"pexpect_timeout": 1}))
    # Beside the playbook of all steps, because Ansible takes the name of one that is imported apart at its spaces.
    (scratch / "playbooks").symlink_to(project.folder / "playbooks")
    steps = scratch / "steps.yml"
    names = parts[0].call.steps
    steps.write_text(json.dumps([{"ansible.builtin.import_playbook": f"playbooks/{name}.yml"} for name in names]))
    # What is the same for all is a variable of the call and stands above everything, what differs is the host's.
    first, *others = [part.call.variables for part in parts]
    same = {name: value for name, value in first.items() if all(each.get(name, _NONE) == value for each in others)}
    _write(scratch / VARIABLES, same)
    if others:
        own = {
            part.call.host: {name: value for name, value in part.call.variables.items() if name not in same}
            for part in parts
        }
        _write(scratch / HOSTS, {"all": {"hosts": own}})
    return steps


def _needless(parts: Sequence[Part]) -> list[str]:
    """Return the tags of what none of the sites needs. Where one does, the tasks find out by themselves for the others."""
    first, *others = [part.call.needless for part in parts]
    return [tag for tag in first if all(tag in each for each in others)]


def _write(file: Path, value: Mapping[str, Any]) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        json.dump(dict(value), stream)


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


def _keep_log(screen: Path, said: str, log: Path) -> None:
    if not screen.exists():
        return
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(screen.read_text(errors="replace") + said)
