"""Run a program and count the CPU seconds of it and of everything that it started, what outlives it included."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.processes import cgroup_root, remove_cgroup

_GROUP = "upkeep-bench"


@dataclass(frozen=True)
class Spent:
    """What a program cost, how it ended, and what it printed."""

    cpu: float
    seconds: float
    code: int
    output: str


def run(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None, timeout: float = 900
) -> Spent:
    """Run a program in a control group of its own.

    A control group counts what waiting for children does not: the connections that ssh keeps open for a minute.
    """
    group = cgroup_root() / _GROUP
    remove_cgroup(group)
    group.mkdir()
    # The shell enters the group first, so that nothing is ever outside.
    wrapped = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs"), *command]
    began = time.monotonic()
    try:
        done = subprocess.run(
            wrapped, cwd=folder, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout, start_new_session=True,
        )  # fmt: skip
        seconds = time.monotonic() - began
        return Spent(used(group), seconds, done.returncode, done.stdout)
    finally:
        remove_cgroup(group)


def used(group: Path) -> float:
    """Return the CPU seconds that a control group has used so far."""
    values = dict(line.split() for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines())
    return int(values["usage_usec"]) / 1e6
