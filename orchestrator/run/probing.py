"""Look at a site without a run: the probes on its host, and the client's own pytest-testinfra files from here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from orchestrator.errors import Refused
from orchestrator.run.ansible import Call, Listener, Project, ansible_environment, carry_out
from orchestrator.run.events import StepReport

# A client's tests are few and small; one that hangs must not keep a timer for ever.
TESTS_TIMEOUT_SECONDS = 600
MESSAGE_LENGTH = 300
# pytest's own codes: all passed, some failed. Anything else is no answer.
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Tested:
    """What came of one test: `message` is empty when it passed, a skipped one says why and counts as not passed."""

    name: str
    passed: bool
    seconds: float
    message: str


def probe_site(project: Project, host: str, run: str, folder: Path) -> StepReport:
    """Carry out `playbooks/probe.yml` against a host. Nothing is changed and nothing is kept."""
    call = Call(
        steps=("probe",),
        host=host,
        variables={"upkeep_run": run, "upkeep_point": run},
        scratch=folder / "work" / run,
        log=folder / "logs" / f"{run}.log",
    )
    listener = Listener(lambda *_: None, lambda *_: None, lambda: False)
    (report,) = carry_out(project, call, listener)
    return report


def test_files(inventory: Path) -> list[Path]:
    """Return the client's own tests, `tests/test_*.py` beside the contract."""
    return sorted((inventory / "tests").glob("test_*.py"))


def run_tests(project: Project, host: str, files: Sequence[Path]) -> list[Tested]:
    """Run pytest-testinfra files here, against the host through its own connection of hosts.yml.

    Raises Refused when pytest-testinfra is not there, or when pytest could not do its work.
    """
    if importlib.util.find_spec("pytest") is None or importlib.util.find_spec("testinfra") is None:
        raise Refused(
            f"{files[0].parent} has tests, and pytest-testinfra is not installed; nothing was touched.",
            f"{sys.executable} -m pip install 'upkeep[testinfra]'",
        )
    with tempfile.TemporaryDirectory(prefix="upkeep-tests-") as scratch:
        answer = Path(scratch) / "answer.xml"
        command = [
            sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-c", os.devnull,
            f"--rootdir={files[0].parent}", f"--hosts=ansible://{host}", f"--ansible-inventory={project.inventory}",
            f"--junit-xml={answer}", "--", *map(str, files),
        ]  # fmt: skip
        vault = str(project.vault_password_file) if project.vault_password_file else ""
        environment = {
            **os.environ,
            **ansible_environment(project),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"ANSIBLE_VAULT_PASSWORD_FILE": vault} if vault else {}),
        }
        try:
            done = subprocess.run(
                command,
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TESTS_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Refused(
                f"the tests in {files[0].parent} took longer than {TESTS_TIMEOUT_SECONDS} seconds.",
                f"pytest --hosts=ansible://{host} --ansible-inventory={project.inventory} {files[0].parent}",
            ) from None
        if done.returncode not in (_PASSED, _FAILED) or not answer.exists():
            said = (done.stdout.strip() or done.stderr.strip()).splitlines()
            raise Refused(
                f"the tests in {files[0].parent} could not be run: {said[-1][:MESSAGE_LENGTH] if said else done.returncode}",
                f"pytest --hosts=ansible://{host} --ansible-inventory={project.inventory} {files[0].parent}",
            )
        written = ElementTree.parse(answer)  # noqa: S314  # pytest wrote it, and escapes what tests say
        return [_tested(case) for case in written.iter("testcase")]


def _tested(case: ElementTree.Element) -> Tested:
    wrong = next((each for each in case if each.tag in ("failure", "error", "skipped")), None)
    message = ""
    if wrong is not None:
        message = (wrong.get("message") or wrong.tag).strip().splitlines()[0][:MESSAGE_LENGTH]
    return Tested(
        name=f"{case.get('classname', '')}: {case.get('name', '')}",
        passed=wrong is None,
        seconds=float(case.get("time") or 0),
        message=message,
    )
