"""What every command is told, and how every command answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from orchestrator.complaint import complain_json
from orchestrator.ledger.address import ledger_file

if TYPE_CHECKING:
    from orchestrator.results import Answer
    from orchestrator.run.ansible import Project


@dataclass(frozen=True)
class Settings:
    """What every command is told. The clock and the maker of ids come from `cli`, and from nowhere else."""

    inventories: Path
    ledger: str
    as_json: bool
    console: Console
    clock: Callable[[], datetime]
    new_id: Callable[[datetime], str]
    vault_password_file: Path | None = None
    content: Path | None = None
    program: str = ""

    @property
    def state(self) -> Path:
        """The folder beside the ledger, for logs and for what a running step needs."""
        file = ledger_file(self.ledger)
        return file.parent if file is not None else Path.home() / ".local" / "state" / "upkeep"

    def project(self, client: str) -> Project:
        """Where Ansible finds this client's hosts and our playbooks. It works in another folder, so paths are whole."""
        from orchestrator.run.ansible import Project  # noqa: PLC0415  # for those who start Ansible

        vault = self.vault_password_file.absolute() if self.vault_password_file else None
        content = self.content.absolute() if self.content else None
        return Project((self.inventories / client).absolute(), content, vault, self.program)


def say(settings: Settings, answer: Answer, ink: Callable[[], object]) -> None:
    """Give a command's answer: as JSON on standard output where that was asked for, else as `ink` shows it."""
    if settings.as_json:
        sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    else:
        ink()


def end_with(settings: Settings, whole: Answer, answers: Sequence[Answer], ink: Callable[[], object]) -> None:
    """Say what came of several things, and end the command with the code of `whole`, which is that of the worst of them."""
    say(settings, whole, ink)
    code = whole["exit_code"]
    if code and settings.as_json:
        bad = next(answer for answer in answers if answer["exit_code"] == code)
        complain_json(code, str(bad["message"]), str(bad["next"]))
    if code:
        raise typer.Exit(code)
