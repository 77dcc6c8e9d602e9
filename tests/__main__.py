"""Run the groups of tests one after the other: `python -m tests all|quick|lint|pure|lab|molecule …`.

Stops at the first group that fails and says which it was. The last line sums up what pytest counted.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from tests.progress import shown

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
        """Add the numbers of one pytest run."""
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
    commands = [
        *formatting(),
        program("yamllint", "--strict", "."),
        program("ansible-lint", "--offline", "-q"),
    ]
    php = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "roles").rglob("*.php"))
    if shutil.which("php"):
        commands += [Command(f"php -l {path}", ("php", "-l", path)) for path in php]
    else:
        print("php is not here: the PHP of the roles is not checked (make requirements installs it)")
    return commands


def molecule() -> list[Command]:
    """Return one command for each scenario."""
    scenarios = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    return [
        Command(f"molecule {name}", (str(PROGRAMS / "molecule"), "test", "--scenario-name", name), root=True)
        for name in scenarios
    ]


def on_hosts() -> list[str]:
    """Return the folders whose tests want a host."""
    return [f"tests/{name}" for name in ("module", "host", "failures", "fleet") if (ROOT / "tests" / name).is_dir()]


GROUPS = {
    "format": formatting,
    "lint": lint,
    "pure": lambda: [pytest("unit and seam tests", "tests/unit", "tests/seam", "-m", "not root", "-n", "auto")],
    "lab": lambda: [
        pytest("tests on real hosts", *on_hosts(), "-v", root=True),
    ],
    "molecule": molecule,
}
SETS = {"all": ["lint", "pure", "lab", "molecule"], "quick": ["format", "pure"]}


def as_root(command: Command) -> tuple[str, ...]:
    """Return the command line, through sudo where it needs root and we are not."""
    if not command.root or os.geteuid() == 0:
        return command.argv
    kept = [f"{name}={os.environ[name]}" for name in ("PATH", "MOLECULE_COMMAND_BORDERS")]
    return ("sudo", "env", *kept, "PYTHONDONTWRITEBYTECODE=1", *command.argv)


def run(command: Command, count: Count, scratch: Path) -> int:
    """Run one command; return its exit code."""
    argv = as_root(command)
    junit = scratch / f"{time.monotonic_ns()}.xml"
    if "pytest" in command.argv:
        argv = (*argv, f"--junitxml={junit}")
    print(f"-- {command.name}", flush=True)
    code = shown(argv, name=command.name)
    if junit.exists():
        count.add(junit)
    return code


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
    code = 0
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for name in groups:
                began = time.monotonic()
                print(f"\n==== {name} ".ljust(100, "="), flush=True)
                for command in GROUPS[name]():
                    needs_lab = needs_lab or command.root
                    code = run(command, count, Path(scratch))
                    if code:
                        report.append(f"{name}: FAILED at {command.name} (exit code {code})")
                        break
                else:
                    report.append(f"{name}: passed in {time.monotonic() - began:.0f} s")
                if code:
                    break
    finally:
        if needs_lab:
            down = Command("lab down", (sys.executable, "-m", "tests.lab", "down", "--instance", "test"), root=True)
            shown(as_root(down), name=down.name)
    print("\n" + "\n".join(report))
    if code:
        print(f"Stopped at the first group that failed. Again: .venv/bin/python -m tests {groups[len(report) - 1]}")
    if count.tests:
        print(count.line())
    return 1 if code else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
