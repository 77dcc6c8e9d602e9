"""Start, find and end the processes of a lab. Everything that runs on the machine for a lab is started here."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.lab.layout import CACHE, MARK, STATE, Instance, LabError

CLEAN_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
_STARTED = time.monotonic()


def say(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)


def call(command: Sequence[str], timeout: float = 120) -> str:
    """Run a command of the machine and return what it prints, or raise with what it complained about."""
    shown = " ".join(command)
    with subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_with_path(),
    ) as process:
        deadline = time.monotonic() + timeout
        while True:
            try:
                output, complaint = process.communicate(timeout=8)
                break
            except subprocess.TimeoutExpired as error:
                say(f"… still running: {command[0]}")
                if time.monotonic() > deadline:
                    process.kill()
                    raise LabError(f"{shown} did not end in {timeout:.0f} s.") from error
    if process.returncode != 0:
        raise LabError(f"{shown} ended with {process.returncode}: {(complaint or output).strip()[-800:]}")
    return output


def _with_path() -> dict[str, str]:
    # An ordinary login of a Debian user does not have the sbin folders in PATH.
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"}


def wait_for(what: str, ready: Callable[[], bool], seconds: float, step: float = 0.05) -> None:
    """Wait until something is so; say every five seconds that it is still being waited for."""
    begin = told = time.monotonic()
    while not ready():
        now = time.monotonic()
        if now - begin > seconds:
            raise LabError(f"{what}: not after {seconds:.0f} s.")
        if now - told > 5:
            told = now
            say(f"… still waiting: {what}")
        time.sleep(step)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let only one process at a time change an instance or the template."""
    folder = CACHE if name == "cache" else STATE
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that works on the lab's {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# ---- control groups -------------------------------------------------------------------------------------------------


def cgroup_root() -> Path:
    """Return where the machine shows its version 2 control groups (pure or hybrid)."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise LabError("This machine has no cgroup2 mounted. Type: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")


def cgroup(instance: Instance, part: str = "") -> Path:
    """Return the folder of the control group of an instance, or of one part of it."""
    return cgroup_root() / "upkeep-lab" / instance.name / part


def cgroup_members(group: Path) -> set[int]:
    """Return the processes of a control group and of all groups below."""
    found: set[int] = set()
    # Not by rglob(): a session that ends takes its folder away meanwhile, and os.walk() passes over what has gone.
    for folder, _, files in os.walk(group):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                text = Path(folder, "cgroup.procs").read_text(encoding="ascii")
                found.update(int(word) for word in text.split())
    found.discard(0)
    return found


def remove_cgroup(group: Path) -> None:
    """End every process in a control group, then remove it and all groups below."""
    if not group.is_dir():
        return
    _kill_cgroup(group)
    wait_for(f"the end of the processes in {group}", lambda: _gone(group), 20)
    # The kernel needs a moment after the last process before the folder counts as empty.
    wait_for(f"the removal of {group}", lambda: _removed(group), 10)


def _kill_cgroup(group: Path) -> None:
    try:
        (group / "cgroup.kill").write_text("1", encoding="ascii")
    except OSError:  # kernels before 5.14 do not have this file
        for member in cgroup_members(group):
            kill(member)


def _gone(group: Path) -> bool:
    members = cgroup_members(group)
    if members:
        _kill_cgroup(group)
    return not members


def _removed(group: Path) -> bool:
    if cgroup_members(group):  # born while the others died
        _kill_cgroup(group)
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


# ---- single processes -----------------------------------------------------------------------------------------------


def kill(process: int, sign: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process; it does not matter when it is gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, sign)


def birth(process: int) -> int:
    """Return when a process began, in clock ticks since boot, or 0 when it is dead. A number alone is used again."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def children(process: int) -> list[int]:
    """Return the children of a process."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == process:
                    found.append(int(folder.name))
    return found


def write_pidfile(file: Path, process: int) -> None:
    """Remember a process by its number and its birth."""
    file.write_text(json.dumps({"pid": process, "birth": birth(process)}), encoding="ascii")


def read_pidfile(file: Path) -> int:
    """Return the process of a pid file when exactly that process is alive, else 0."""
    try:
        noted = json.loads(file.read_text(encoding="ascii"))
        process, born = int(noted["pid"]), int(noted["birth"])
    except (OSError, ValueError, KeyError):
        return 0
    return process if born and birth(process) == born else 0


def start(instance: Instance, part: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Start a process that outlives this one, inside a control group of the instance, and return its number."""
    group = cgroup(instance, part)
    group.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    # The shell enters the group first, so that no child can ever be outside.
    wrapped = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs"), *command]
    with log.open("ab") as output:
        process = subprocess.Popen(
            wrapped, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            cwd="/", env={**environment, MARK: instance.name},
        )  # fmt: skip
    return process.pid


def marked(instance: Instance) -> set[int]:
    """Return every process of the machine that carries the mark of the instance, wherever it is."""
    mark = f"{MARK}={instance.name}".encode()
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
    return found
