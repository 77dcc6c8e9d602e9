"""The command `upkeep due`: which promises about restore points are due, for a timer to act on."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli_options import HERE, Inventories, Json, LedgerUrl, Make

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
        from orchestrator.contract.load import CONTRACT_FILE
        from orchestrator.errors import Usage
        from orchestrator.remembered import due
        from orchestrator.screen import show_rows
        from orchestrator.settings import say

        settings = settings_of(inventories, ledger, as_json)
        names = [client] if client else sorted(path.parent.name for path in inventories.glob(f"*/{CONTRACT_FILE}"))
        if not names:
            raise Usage(f"there is no client in {inventories}.", "upkeep init CLIENT")
        answers = due(settings, names)
        code = DUE if answers else 0
        columns = ("client", "site", "duty", "since", "reason", "command")
        say(settings, {"exit_code": code, "due": answers}, lambda: show_rows(settings.console, "Due", answers, columns))
        if code:
            raise typer.Exit(code)
