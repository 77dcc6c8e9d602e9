"""The command `upkeep due`: which promises about restore points are due, for a timer to act on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.cli_options import HERE, Inventories, Json, LedgerUrl
from orchestrator.cli_run import Client, Settings, read_client, say
from orchestrator.contract.load import CONTRACT_FILE
from orchestrator.errors import Usage
from orchestrator.ledger.ledger import Ledger, peek
from orchestrator.plan.due import Due, Proved, due
from orchestrator.plan.rotation import Reading
from orchestrator.results import Answer
from orchestrator.screen import show_rows

Make = Callable[..., Settings]
# Nothing went wrong and nothing was touched, and somebody has something to do.
DUE = 5


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the command of this module on the command line. `settings_of` knows the clock and where things lie."""

    @app.command("due")
    def asked(
        client: Annotated[str, typer.Argument(metavar="[CLIENT]", help="Without one: all.")] = "",
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        as_json: Json = False,
    ) -> None:
        """Say which backups, verifications and drills are due, and what to type for each. Asks the ledger, touches nothing.

        Code 5 when something is due, 0 when nothing is: so a timer can act. See docs/verify.md.

        Examples: `upkeep due` · `upkeep due acme --json`
        """
        settings = settings_of(inventories, ledger, as_json)
        names = [client] if client else sorted(path.parent.name for path in inventories.glob(f"*/{CONTRACT_FILE}"))
        if not names:
            raise Usage(f"there is no client in {inventories}.", "upkeep init CLIENT")
        answers: list[Answer] = []
        book = peek(settings.ledger)
        try:
            for name in names:
                known = read_client(settings, name)
                found = due(known.contract, _proved(book, known), settings.clock())
                answers += [_answer(known.id, each) for each in found]
        finally:
            if book is not None:
                book.close()
        code = DUE if answers else 0
        columns = ("client", "site", "duty", "since", "reason", "command")
        say(settings, {"exit_code": code, "due": answers}, lambda: show_rows(settings.console, "Due", answers, columns))
        if code:
            raise typer.Exit(code)


def _proved(book: Ledger | None, client: Client) -> list[Proved]:
    """Gather what the ledger has seen of each site."""
    if book is None:
        return [Proved(site.name) for site in client.contract.sites]
    points, verifications, drills = book.points(client.id), book.verifications(client.id), book.drills(client.id)
    return [
        Proved(
            site.name,
            point=max((each.taken for each in points if each.site == site.name), default=None),
            readings=[Reading(each.began, each.parts, each.of) for each in verifications if each.site == site.name],
            good_drill=max(
                (each.began for each in drills if each.site == site.name and each.outcome == "done"), default=None
            ),
        )
        for site in client.contract.sites
    ]


def _answer(client: str, found: Due) -> Answer:
    return {
        "client": client,
        "site": found.site,
        "duty": found.duty,
        "since": found.since.isoformat() if found.since else None,
        "reason": found.reason,
        "command": found.command,
    }
