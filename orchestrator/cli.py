"""The command line. The one place that makes ids and asks the clock, and that turns an error into words and a code.

Here and in `cli_*.py` stand signatures. A command imports what does its work when it is typed: most of it is slow to load,
and `--help` needs none of it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import cli_artefact, cli_contract, cli_due, cli_probe, cli_proof, cli_restore, cli_store
from orchestrator.cli_options import (
    CODES,
    HERE,
    AskDuty,
    Content,
    Inventories,
    Json,
    LedgerUrl,
    Name,
    Program,
    Sites,
    Together,
    Vault,
    Which,
)
from orchestrator.complaint import complain, help_for, write_crash
from orchestrator.errors import UpkeepError, Usage
from orchestrator.garbage import not_at_the_end
from orchestrator.run.places import state_folder

if TYPE_CHECKING:
    from orchestrator.settings import Settings

app = typer.Typer(
    name="upkeep",
    help="Keep the websites that a contract promises to keep: **contract → plan → run → ledger → report**.\n\n"
    "A client is a folder in `inventories/`. Begin with `upkeep init acme`, then `upkeep check acme`, "
    "`upkeep plan acme`, `upkeep run acme`.\n" + CODES,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def upkeep(which: Which = False) -> None:
    """Take the options that stand before a command."""


def now() -> datetime:
    """Ask the clock."""
    return datetime.now(UTC)


def new_id(moment: datetime) -> str:
    """Make the id of a run."""
    return f"{moment:%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"


def settings_of(
    inventories: Path,
    ledger: str,
    as_json: bool,
    vault: Path | None = None,
    content: Path | None = None,
    program: str = "",
) -> Settings:
    """Gather what a command was told."""
    from orchestrator.screen import make_console
    from orchestrator.settings import Settings

    console = make_console()
    url = ledger or str(state_folder() / "ledger.sqlite")
    if "://" not in url:
        url = f"sqlite:///{Path(url).expanduser().absolute()}"
    return Settings(
        inventories, url, as_json, console, lambda: now(), lambda moment: new_id(moment), vault, content, program
    )


cli_contract.add_commands(app, settings_of)


@app.command()
def plan(
    client: Name,
    sites: Sites = None,
    duty: AskDuty = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the plan, for `upkeep run FILE`.")] = None,
    inventories: Inventories = HERE,
    ledger: LedgerUrl = "",
    as_json: Json = False,
) -> None:
    """Show what would be done and how each step comes back. Touches nothing: no host, no store, no ledger.

    Examples: `upkeep plan acme` · `upkeep plan acme --site shop --duty backup` · `upkeep plan acme --out plan.json`
    """
    from orchestrator.cli_ask import show_plan
    from orchestrator.plan.plan import Duty, plan_json
    from orchestrator.planning import planned, read_client
    from orchestrator.settings import say

    settings = settings_of(inventories, ledger, as_json)
    known = read_client(settings, client)
    written = plan_json(planned(settings, known, sites or (), Duty(duty) if duty else None), known.contract)
    if out is not None:
        out.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    run_next = f"upkeep run {out or client}"
    say(settings, written, lambda: show_plan(settings, known, written, run_next))


@app.command()
def run(
    target: Annotated[str, typer.Argument(metavar="CLIENT|PLAN.json", help="A client, or a plan made before.")],
    sites: Sites = None,
    duty: AskDuty = None,
    outside: Annotated[bool, typer.Option("--now", help="Update although the window is closed.")] = False,
    take_up: Annotated[bool, typer.Option("--resume", help="Finish or put back what was interrupted.")] = False,
    together: Together = 5,
    inventories: Inventories = HERE,
    ledger: LedgerUrl = "",
    vault: Vault = None,
    content: Content = None,
    program: Program = "",
    as_json: Json = False,
) -> None:
    """Carry out what is promised: restore point, staging, update, probes, production, and the way back if it is bad.

    Several sites are worked on at once, at most one on a machine; the worst outcome decides the exit code. Ctrl-C leaves each
    site whole and says in which state it is.

    Examples: `upkeep run acme` · `upkeep run acme --site shop --duty backup` · `upkeep run plan.json` ·
    `upkeep run --resume acme`
    """
    from orchestrator import planning
    from orchestrator.cli_run import carry_on, carry_out_plan, end
    from orchestrator.plan.plan import Duty

    settings = settings_of(inventories, ledger, as_json, vault, content, program)
    if take_up:
        end(settings, carry_on(settings, target))
        return
    if target.endswith(".json") or Path(target).is_file():
        if sites or duty:
            raise Usage("a plan file says itself which sites and which duty.", f"upkeep run {target}")
        known, planned = planning.planned_before(settings, Path(target))
    else:
        known = planning.read_client(settings, target)
        planned = planning.planned(settings, known, sites or (), Duty(duty) if duty else None)
    if not outside:
        planning.check_window(settings, known, planned)
    end(settings, carry_out_plan(settings, known, planned, together))


@app.command()
def rehearse(
    client: Name,
    sites: Sites = None,
    together: Together = 5,
    inventories: Inventories = HERE,
    ledger: LedgerUrl = "",
    vault: Vault = None,
    content: Content = None,
    program: Program = "",
    as_json: Json = False,
) -> None:
    """Try the update in a copy and stop before production: what would it get, what breaks the copy and is held?

    Production is only read, so any hour will do. Releases that break the copy are held from then on, as in an update.

    Examples: `upkeep rehearse acme` · `upkeep rehearse acme --site shop --json`
    """
    from orchestrator.cli_run import carry_out_plan, end
    from orchestrator.plan.plan import Duty
    from orchestrator.planning import planned, read_client

    settings = settings_of(inventories, ledger, as_json, vault, content, program)
    known = read_client(settings, client)
    end(settings, carry_out_plan(settings, known, planned(settings, known, sites or (), Duty.REHEARSE), together))


@app.command()
def status(
    client: Annotated[str, typer.Argument(metavar="[CLIENT]", help="Without one: all.")] = "",
    inventories: Inventories = HERE,
    ledger: LedgerUrl = "",
    as_json: Json = False,
) -> None:
    """Show the last runs, what is running or was interrupted, what is held, and what is wrong.

    Examples: `upkeep status` · `upkeep status acme --json`
    """
    from orchestrator import remembered
    from orchestrator.settings import say

    settings = settings_of(inventories, ledger, as_json)
    answer = remembered.status(settings, client)
    say(settings, answer, lambda: remembered.show_status(settings.console, answer))


@app.command()
def points(
    client: Name,
    sites: Sites = None,
    inventories: Inventories = HERE,
    ledger: LedgerUrl = "",
    vault: Vault = None,
    content: Content = None,
    as_json: Json = False,
) -> None:
    """List the restore points that the client's store has: age, size, what changed since, verified and drilled when.

    Example: `upkeep points acme --site shop`
    """
    from orchestrator import remembered
    from orchestrator.planning import read_client
    from orchestrator.settings import say

    settings = settings_of(inventories, ledger, as_json, vault, content)
    found = remembered.points(settings, read_client(settings, client), sites or ())
    say(settings, {"client": client, "points": found}, lambda: remembered.show_points(settings.console, client, found))


@app.command()
def report(
    client: Name,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="The month, by the agreement's clock.")] = "",
    runs: Annotated[list[str] | None, typer.Option("--run", metavar="ID", help="These runs instead.")] = None,
    last: Annotated[int, typer.Option(metavar="N", min=0, help="The last N runs instead.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the page goes.")] = None,
    inventories: Inventories = HERE,
    ledger: LedgerUrl = "",
    as_json: Json = False,
) -> None:
    """Write a page that holds the promise and what was done side by side.

    Examples: `upkeep report acme --month 2026-11` · `upkeep report acme --last 3 --out three-runs.html`
    """
    from orchestrator import reporter
    from orchestrator.planning import read_client
    from orchestrator.settings import say

    settings = settings_of(inventories, ledger, as_json)
    known = read_client(settings, client)
    if (bool(month) + bool(runs) + bool(last)) != 1:
        raise Usage(
            "a report is for a month, for named runs, or for the last ones.", f"upkeep report {client} --last 3"
        )
    answer, page = reporter.report(settings, known, month=month, runs=runs or (), last=last)
    if as_json and out is None:
        say(settings, answer, lambda: None)
        return
    path = out or Path(f"{client}-{month or 'runs'}.html")
    path.write_text(page, encoding="utf-8")
    say(
        settings,
        {**answer, "page": str(path)},
        lambda: settings.console.print(f"Report: {path.absolute()}", markup=False),
    )


@app.command("release-hold")
def release_hold(
    client: Name,
    hold: Annotated[int, typer.Argument(metavar="ID", help="The hold, as `upkeep status` shows it.")],
    inventories: Inventories = HERE,
    ledger: LedgerUrl = "",
    as_json: Json = False,
) -> None:
    """Let a held release be tried again. The next run rehearses it, and holds it again if it breaks the copy again.

    Example: `upkeep release-hold acme 3`
    """
    from orchestrator import remembered
    from orchestrator.screen import safe
    from orchestrator.settings import say

    settings = settings_of(inventories, ledger, as_json)
    answer = remembered.release_hold(settings, client, hold)
    words = f"{answer['kind']} {answer['slug']} {answer['version']} of {client}/{answer['site']} is not held any more."
    say(settings, answer, lambda: settings.console.print(safe(words), markup=False))


cli_restore.add_commands(app, settings_of)
cli_store.add_commands(app, settings_of)
cli_artefact.add_commands(app, settings_of)
cli_due.add_commands(app, settings_of)
cli_probe.add_commands(app, settings_of)
cli_proof.add_commands(app, settings_of)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in given
    try:
        return int(app(given, prog_name="upkeep", standalone_mode=False) or 0)
    except UpkeepError as error:
        complain(as_json, error.exit_code, error.message, error.next_step, getattr(error, "mistakes", ()))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain(as_json, 130, "interrupted; nothing was touched.", "upkeep status")
        return 130
    except BrokenPipeError:
        # Whoever read our answer has gone. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # The parser's own errors. Their class is typer's in some versions and click's in others.
        usage: Callable[[], str] | None = getattr(error, "format_message", None)
        if usage is not None:
            complain(as_json, Usage.exit_code, usage(), help_for(error))
            return Usage.exit_code
        file = write_crash(error, state_folder() / "crashes", new_id(now()))
        what = f"this is a bug in upkeep ({type(error).__name__}: {error})."
        complain(as_json, 1, what, f"look at upkeep status, then report the bug with {file} (read it first)")
        return 1


def command() -> int:
    """Be the program `upkeep`: the command line in a process of its own."""
    not_at_the_end()
    return main()


if __name__ == "__main__":
    sys.exit(command())
