"""Every command pays for what it imports, `upkeep --version` too: none imports what only others do their work with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.ledger.ledger import open_ledger
from tests.unit.contract.samples import REPOSITORY, SAMPLE
from tests.unit.run.fake_project import FakeProject

# Types a command, and says afterwards what was loaded for it.
TYPED = """
import sys
from orchestrator import cli
code = cli.main(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write("\\n".join([str(code), *sys.modules]))
"""
# What tells a package that a client brings, a report, the proofs and the store from all else.
OTHERS = {
    "alembic", "boto3", "botocore", "cryptography", "jinja2", "playwright", "rich.progress", "zstandard",
    "orchestrator.packager", "orchestrator.prober", "orchestrator.remembered", "orchestrator.reporter",
    "orchestrator.restorer", "orchestrator.storekeeper", "orchestrator.verifier", "orchestrator.report.page",
    "orchestrator.run.artefacts", "orchestrator.run.bucket", "orchestrator.run.bucket_trial", "orchestrator.run.heal",
    "orchestrator.run.mend", "orchestrator.run.package_store", "orchestrator.run.prune", "orchestrator.run.publisher",
    "orchestrator.run.verify",
}  # fmt: skip
RUN = {"ansible_runner", "orchestrator.cli_run", "orchestrator.ledger.ledger", "sqlalchemy"}
CONTRACT = {"orchestrator.contract.load", "ruamel"}


class Terminal:
    """Where commands are typed, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, folder / "state" / "ledger.sqlite"
        project = FakeProject(folder)
        (project.inventory / "contract.yml").write_text(SAMPLE.read_text())
        self.environment = {
            "UPKEEP_INVENTORIES": str(project.inventory.parent),
            "UPKEEP_CONTENT": str(project.content),
            "UPKEEP_LEDGER": str(self.ledger),
            "UPKEEP_ANSIBLE_PLAYBOOK": str(project.program),
            "XDG_STATE_HOME": str(folder / "home"),
            "PYTHONPATH": str(REPOSITORY),
        }

    def modules_of(self, *words: str) -> set[str]:
        """Type a command and return what was imported for it."""
        file = self.folder / "modules"
        command = [sys.executable, "-c", TYPED, str(file), *words]
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        code, *modules = file.read_text().splitlines()
        assert code == "0", done.stderr
        return set(modules)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["run", "--help"], ["store", "check", "--help"]])
def test_help_is_the_command_line_and_nothing_else(terminal: Terminal, words: list[str]) -> None:
    modules = terminal.modules_of(*words)
    assert not modules & (OTHERS | RUN | CONTRACT)
    assert {each for each in modules if each.startswith("orchestrator.")} <= {
        "orchestrator.cli", "orchestrator.cli_artefact", "orchestrator.cli_contract", "orchestrator.cli_due", "orchestrator.cli_options",
        "orchestrator.cli_probe", "orchestrator.cli_proof", "orchestrator.cli_restore", "orchestrator.cli_store",
        "orchestrator.complaint", "orchestrator.errors", "orchestrator.garbage", "orchestrator.run", "orchestrator.run.places",
    }  # fmt: skip


@pytest.mark.parametrize("words", [["check"], ["check", "--schema"], ["explain", "example"], ["plan", "example"]])
def test_who_only_looks_at_a_contract_needs_no_ledger_and_no_ansible(terminal: Terminal, words: list[str]) -> None:
    assert not terminal.modules_of(*words) & (OTHERS | RUN)


@pytest.mark.slow
def test_a_plan_asks_the_ledger_when_there_is_one(terminal: Terminal) -> None:
    open_ledger(f"sqlite:///{terminal.ledger}").close()
    modules = terminal.modules_of("plan", "example")
    assert "sqlalchemy" in modules
    assert not modules & (OTHERS | {"ansible_runner", "orchestrator.cli_run"})


@pytest.mark.parametrize("duty", ["backup", "update"])
@pytest.mark.slow
def test_a_run_imports_what_it_carries_out_and_nothing_else(terminal: Terminal, duty: str) -> None:
    open_ledger(f"sqlite:///{terminal.ledger}").close()
    modules = terminal.modules_of("run", "example", "--now", "--duty", duty)
    assert modules >= RUN
    assert not modules & OTHERS


def test_the_inventory_of_ansible_needs_the_contract_alone(terminal: Terminal) -> None:
    loads = "import sys, orchestrator.contract.load, orchestrator.plan.variables; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loads],
        env={**os.environ, **terminal.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(done.stdout.split()) & (OTHERS | RUN | {"rich", "typer"})
