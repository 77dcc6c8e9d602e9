"""Answer the commands that look at a contract alone, or make one: what they find out, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.contract.load import expired_holds
from orchestrator.contract.model import Contract
from orchestrator.contract.scaffold import Answers, scaffold, write_scaffold
from orchestrator.plan.window import window_at
from orchestrator.probe.functions import wants_pictures
from orchestrator.run.eyes import lacking
from orchestrator.screen import show_plan as show_planned
from orchestrator.screen import show_rows

if TYPE_CHECKING:
    from orchestrator.plan.explain import Explanation
    from orchestrator.planning import Client
    from orchestrator.settings import Settings

QUESTIONS = {
    "name": "The client's name, as in the agreement",
    "time_zone": "The clock of the windows",
    "site": "A short name of the first site",
    "url": "Its address",
    "host_address": "The host's name or IP address",
    "user": "The owner of the site's files, who logs in over SSH",
    "root": "The site's folder on the host",
    "endpoint": "The S3 store",
}


def init(settings: Settings, client: str, given: Mapping[str, str], *, ask: bool, password: str) -> Path:
    """Make the folder of a new client."""
    known = {key: value for key, value in given.items() if value}
    if ask:
        for key, question in QUESTIONS.items():
            if key not in known:
                usual = client if key == "name" else str(getattr(Answers, key))
                known[key] = typer.prompt(question, default=usual)
    files = scaffold(client, today=settings.clock().date(), restic_password=password, answers=Answers(**known))
    return write_scaffold(settings.inventories, client, files)


def warnings(contract: Contract, today: date) -> list[str]:
    """Return what is no mistake in a contract and should be known: holds that are over, what is missing here for it."""
    missing, advice = lacking() if wants_pictures(contract) else ("", "")
    wanted = (
        [f"scope.update.pictures: {missing}, so upkeep here refuses its updates. Type: {advice}"] if missing else []
    )
    return [*expired_holds(contract, today), *wanted]


def show_init(console: Console, folder: Path, client: str) -> None:
    """Say what was made and what is left to do."""
    console.print(f"{folder} is made.", markup=False)
    console.print("Look through contract.yml and hosts.yml: what nobody told upkeep is marked with CHANGE.")
    vault = folder / "group_vars" / "all" / "vault.yml"
    console.print(f"Put the store's keys into the vault, then encrypt it: ansible-vault encrypt {vault}", markup=False)
    console.print(f"Next: upkeep check {client}", style="bold", markup=False)


def show_explanation(console: Console, explanation: Explanation) -> None:
    """Show what a contract leads to."""
    console.print(Text(f"{explanation.name} ({explanation.client})", style="bold"))
    for duty in explanation.duties:
        console.print()
        console.print(Text.assemble((duty.clause, "bold"), f": {duty.words}"))
        for place in duty.places:
            away = f", rehearsals on {place.staging_host}" if place.staging_host != place.host else ""
            console.print(Text(f"  at {place.site} ({place.url}), host {place.host}{away}"))
        rows = [
            {
                "step": step.step,
                "playbook": step.playbook,
                "role": f"{step.role}/{step.tasks}",
                "variables": [variable.name for variable in step.variables],
                "way_back": " → ".join(step.way_back),
            }
            for step in duty.steps
        ]
        show_rows(console, "", rows, ("step", "playbook", "role", "variables", "way_back"))
    console.print()
    unserved = [{"clause": each.clause, "words": each.words, "why": each.reason} for each in explanation.unserved]
    show_rows(console, "Clauses that nothing serves yet", unserved, ("clause", "words", "why"))


def show_plan(settings: Settings, client: Client, plan: Mapping[str, Any], next_type: str) -> None:
    """Show a plan, and whether it could be carried out now."""
    show_planned(settings.console, plan)
    update = client.contract.scope.update
    if update is not None and any(run["window"] for run in plan["runs"]):
        zone = client.contract.agreement.time_zone
        state = window_at(update.window, settings.clock(), ZoneInfo(zone))
        if state.is_open:
            settings.console.print(f"The window is open until {state.closes:%H:%M} ({zone}).", markup=False)
        else:
            settings.console.print(
                f"The window is closed. It opens {state.opens:%a %Y-%m-%d %H:%M} ({zone}).", markup=False
            )
            next_type += " --now   (outside of the window: only if the client agrees)"
    settings.console.print("Nothing was touched.")
    settings.console.print(f"Next: {next_type}", style="bold", markup=False)
