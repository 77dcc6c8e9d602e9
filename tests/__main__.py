"""Run the groups of tests one after the other: `python -m tests all|quick|lint|pure|lab|molecule …`.

Stops at the first group that fails and says which it was. The last line sums up what pytest counted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.progress import SILENCE, shown

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Command:
    """One program of a group."""

    name: str
    argv: tuple[str, ...]
    root: bool = False
    """The lab needs root; a person who is not root is asked by sudo."""


@dataclass
class Count:
    """What pytest counted, over all groups."""

    tests: int = 0
    failed: int = 0
    skipped: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, junit: Path) -> None:
        """Add the numbers of one pytest run, if it was one and came so far as to write them down."""
        if not junit.exists():
            return
        # Our own file, written a moment ago.
        for suite in ElementTree.parse(junit).getroot().iter("testsuite"):  # noqa: S314
            self.tests += int(suite.get("tests", 0))
            self.failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            self.skipped += int(suite.get("skipped", 0))

    def line(self) -> str:
        """Return one closing line in pytest's words."""
        parts = [f"{self.failed} failed"] if self.failed else []
        parts.append(f"{self.tests - self.failed - self.skipped} passed")
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        return f" {', '.join(parts)} in {time.monotonic() - self.began:.2f}s ".center(100, "=")


def program(name: str, *arguments: str, root: bool = False) -> Command:
    """Return a program of the virtual environment."""
    return Command(name, (str(PROGRAMS / name), *arguments), root)


def pytest(name: str, *arguments: str, root: bool = False) -> Command:
    """Return a pytest run."""
    colour = ("--color=yes",) if sys.stdout.isatty() else ()
    # As root no cache is written into a person's checkout.
    cache = ("-p", "no:cacheprovider") if root else ()
    return Command(name, (sys.executable, "-m", "pytest", *colour, *cache, *arguments), root)


def formatting() -> list[Command]:
    """Return what is checked in seconds."""
    return [
        program("ruff", "check", "."),
        program("ruff", "format", "--check", "."),
        program("lint-imports", "--no-cache"),
        program("mypy"),
    ]


def lint() -> list[Command]:
    """Return every check that runs nothing of ours."""
    # The slowest begins first, beside all others.
    commands = [
        program("ansible-lint", "--offline", "-q"),
        *formatting(),
        program("yamllint", "--strict", "."),
    ]
    php = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "roles").rglob("*.php"))
    if shutil.which("php"):
        commands += [Command(f"php -l {path}", ("php", "-l", path)) for path in php]
    else:
        print("php is not here: the PHP of the roles is not checked (make requirements installs it)")
    return commands


LONGEST_FIRST = ("whole_contract", "cms_update", "site_snapshot")
"""The scenarios that take more than half a minute: one that begins last would have the machine to itself."""


def molecule() -> list[Command]:
    """Return one command for each scenario."""
    there = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    scenarios = [name for name in LONGEST_FIRST if name in there]
    scenarios += [name for name in there if name not in LONGEST_FIRST]
    return [
        Command(f"molecule {name}", (str(PROGRAMS / "molecule"), "test", "--scenario-name", name), root=True)
        for name in scenarios
    ]


def on_hosts() -> list[str]:
    """Return the folders whose tests want a host."""
    return [f"tests/{name}" for name in ("module", "host", "failures", "fleet") if (ROOT / "tests" / name).is_dir()]


LANES = ("testa", "testb")
"""The labs on which tests run side by side: one keeps about one core busy, and two cores are the least there is."""


# Some of the pure tests wait for processes: two for two cores would leave a third of them idle.
WORKERS = (os.cpu_count() or 2) + 1


def pure(but: str = "root") -> list[Command]:
    """Return the tests that need no host."""
    return [pytest("unit and seam tests", "tests/unit", "tests/seam", "-m", f"not ({but})", "-n", str(WORKERS))]


GROUPS = {
    "format": formatting,
    "lint": lint,
    "pure": pure,
    "quick": lambda: [*pure("root or slow"), *formatting()],
    # The pure tests begin when only ansible-lint, which keeps one core busy, has not ended yet.
    "lint+pure": lambda: [*lint(), *pure()],
    "lab": lambda: [
        pytest(
            "tests on real hosts",
            *on_hosts(),
            "-v",
            "-n",
            str(len(LANES)),
            "--dist",
            "loadfile",
            "--durations=40",
            root=True,
        ),
    ],
    "molecule": molecule,
}
SIDE_BY_SIDE = ("quick", "lint", "lint+pure", "molecule")
SETS = {"all": ["lint+pure", "lab", "molecule"]}


def as_root(command: Command, **environment: str) -> tuple[str, ...]:
    """Return the command line with more environment, through sudo where it needs root and we are not."""
    if not command.root or os.geteuid() == 0:
        given = [f"{name}={value}" for name, value in environment.items()]
        return ("env", *given, *command.argv) if given else command.argv
    kept = {name: os.environ[name] for name in ("PATH", "MOLECULE_COMMAND_BORDERS")} | environment
    given = [f"{name}={value}" for name, value in kept.items()]
    return ("sudo", "env", *given, "PYTHONDONTWRITEBYTECODE=1", *command.argv)


def run(command: Command, count: Count, scratch: Path) -> int:
    """Run one command; return its exit code."""
    junit = scratch / f"{time.monotonic_ns()}.xml"
    print(f"-- {command.name}", flush=True)
    code = shown((*as_root(command), *counted(command, junit)), name=command.name)
    count.add(junit)
    return code


def counted(command: Command, junit: Path) -> tuple[str, ...]:
    """Return what a command is told so that it writes down what it counted."""
    return (f"--junitxml={junit}",) if "pytest" in command.argv else ()


def one_by_one(commands: list[Command], count: Count, scratch: Path) -> Command | None:
    """Run commands until one fails; return that one."""
    return next((command for command in commands if run(command, count, scratch)), None)


def side_by_side(commands: list[Command], count: Count, scratch: Path) -> Command | None:
    """Run commands, one in each lane at a time, and show what each printed when it has ended. Return one that failed.

    Those that want a host find the name of the lane's lab in their environment.
    """
    waiting = list(reversed(commands))
    running: dict[str, tuple[Command, subprocess.Popen[bytes], IO[bytes]]] = {}
    failed: Command | None = None
    began = spoken = time.monotonic()
    while running or (waiting and failed is None):
        for lane in LANES:
            if lane not in running and waiting and failed is None:
                command, output = waiting.pop(), tempfile.TemporaryFile()  # noqa: SIM115  # closed when it was shown
                argv = (*as_root(command, UPKEEP_LAB=lane), *counted(command, scratch / f"{lane}.xml"))
                process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
                running[lane] = (command, process, output)
                print(f"-- {command.name} begins", flush=True)
        time.sleep(0.2)
        for lane, (command, process, output) in list(running.items()):
            if process.poll() is None:
                continue
            del running[lane]
            count.add(scratch / f"{lane}.xml")
            (scratch / f"{lane}.xml").unlink(missing_ok=True)
            failed = command if process.returncode else failed
            print(
                f"-- {command.name} ended with {process.returncode} after {time.monotonic() - began:.0f} s", flush=True
            )
            with output:
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            spoken = time.monotonic()
        if time.monotonic() - spoken > SILENCE:
            names = ", ".join(command.name for command, _, _ in running.values())
            print(f"   ... {names} still at it, {time.monotonic() - began:.0f} s", flush=True)
            spoken = time.monotonic()
    return failed


def main(names: list[str]) -> int:
    """Run the named groups; return 0 only if all of them passed."""
    groups = [group for name in names for group in SETS.get(name, [name])]
    unknown = [name for name in groups if name not in GROUPS]
    if unknown or not groups:
        print(f"usage: python -m tests [{'|'.join([*SETS, *GROUPS])}] …", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    os.environ["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"
    # Molecule draws frames around what Ansible says, and breaks its lines to fit.
    os.environ["MOLECULE_COMMAND_BORDERS"] = "false"
    count, needs_lab, report = Count(), False, []
    failed: Command | None = None
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for name in groups:
                began = time.monotonic()
                print(f"\n==== {name} ".ljust(100, "="), flush=True)
                commands = GROUPS[name]()
                needs_lab = needs_lab or any(command.root for command in commands)
                together = side_by_side if name in SIDE_BY_SIDE else one_by_one
                failed = together(commands, count, Path(scratch))
                if failed is not None:
                    report.append(f"{name}: FAILED at {failed.name}")
                    break
                report.append(f"{name}: passed in {time.monotonic() - began:.0f} s")
    finally:
        if needs_lab:
            for lane in LANES:
                down = Command("lab down", (sys.executable, "-m", "tests.lab", "down", "--instance", lane), root=True)
                shown(as_root(down), name=down.name)
    print("\n" + "\n".join(report))
    if failed is not None:
        print(f"Stopped at the first group that failed. Again: .venv/bin/python -m tests {groups[len(report) - 1]}")
    if count.tests:
        print(count.line())
    return 1 if failed is not None else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
