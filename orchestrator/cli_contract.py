"""The commands about contracts: `upkeep init`, `upkeep check` and `upkeep explain`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from orchestrator.cli_options import HERE, Inventories, Json, Make, Name
from orchestrator.errors import ContractInvalid, Usage


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the commands of this module on the command line. `settings_of` knows the clock and where things lie."""

    @app.command()
    def init(
        client: Name,
        name: Annotated[str, typer.Option(help="The client's name, as in the agreement.")] = "",
        language: Annotated[str, typer.Option(help="The language of the reports.")] = "",
        time_zone: Annotated[str, typer.Option("--time-zone", help="The clock of the windows: Europe/Berlin")] = "",
        site: Annotated[str, typer.Option(help="A short name of the first site.")] = "",
        url: Annotated[str, typer.Option(help="Its address: https://www.example.com")] = "",
        host: Annotated[str, typer.Option(help="The host's name or IP address.")] = "",
        user: Annotated[str, typer.Option(help="The owner of the site's files, who logs in over SSH.")] = "",
        root: Annotated[str, typer.Option(help="The site's folder on the host: /srv/www/htdocs")] = "",
        endpoint: Annotated[str, typer.Option(help="The S3 store: https://s3.example.com")] = "",
        region: Annotated[str, typer.Option(help="The store's region.")] = "",
        inventories: Inventories = HERE,
        as_json: Json = False,
    ) -> None:
        """Make the folder of a new client: a contract that passes the check, hosts, and the place of the secrets.

        On a terminal, what no option gives is asked for. Everywhere else it gets a value marked with CHANGE.

        Example: `upkeep init acme --name "Acme Ltd" --url https://acme.example --host 192.0.2.10 --user acme`
        """
        from orchestrator import cli_ask
        from orchestrator.run import passwords
        from orchestrator.settings import say

        given = {"name": name, "language": language, "time_zone": time_zone, "site": site, "url": url,
                 "host_address": host, "user": user, "root": root, "endpoint": endpoint, "region": region}  # fmt: skip
        settings = settings_of(inventories, "", as_json)
        ask = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
        folder = cli_ask.init(settings, client, given, ask=ask, password=passwords.make(os.urandom(passwords.BYTES)))
        answer = {"client": client, "folder": str(folder), "next": f"upkeep check {client}"}
        say(settings, answer, lambda: cli_ask.show_init(settings.console, folder, client))

    @app.command()
    def check(
        clients: Annotated[list[str] | None, typer.Argument(metavar="[CLIENT]…", help="Without one: all.")] = None,
        schema: Annotated[
            bool, typer.Option("--schema", help="Print the contract's JSON Schema, for an editor.")
        ] = False,
        inventories: Inventories = HERE,
        as_json: Json = False,
    ) -> None:
        """Report every mistake in the contracts at once, as `file:line:column: path: what is wrong, what is allowed`.

        Examples: `upkeep check` · `upkeep check acme` · `upkeep check --schema > contract.schema.json`
        """
        from orchestrator.cli_ask import warnings
        from orchestrator.contract.load import CONTRACT_FILE, find_client, load_contract
        from orchestrator.contract.load import check as find_mistakes
        from orchestrator.contract.schema import schema_text
        from orchestrator.contract.suggest import printable
        from orchestrator.settings import say

        if schema:
            sys.stdout.write(schema_text())
            return
        settings = settings_of(inventories, "", as_json)
        paths = [find_client(inventories, client) for client in clients or ()]
        if not clients:
            paths = sorted(inventories.glob(f"*/{CONTRACT_FILE}"))
        if not paths:
            raise Usage(f"there is no client in {inventories}.", "upkeep init CLIENT")
        if mistakes := find_mistakes(paths):
            raise ContractInvalid(tuple(mistakes))
        names = [path.parent.name for path in paths]
        today = settings.clock().date()
        warned = [f"{path.parent.name}: {said}" for path in paths for said in warnings(load_contract(path), today)]

        def show() -> None:
            settings.console.print(f"No mistake in {', '.join(names)}.")
            for each in warned:
                settings.console.print(f"Warning: {printable(each)}", soft_wrap=True, markup=False)

        say(settings, {"clients": names, "mistakes": [], "warnings": warned}, show)

    @app.command()
    def explain(client: Name, inventories: Inventories = HERE, as_json: Json = False) -> None:
        """Show which duty leads to which playbooks, roles and variables, and which clauses nothing serves.

        Example: `upkeep explain acme`
        """
        import dataclasses

        from orchestrator.cli_ask import show_explanation
        from orchestrator.plan.explain import explain as explain_contract
        from orchestrator.planning import read_client
        from orchestrator.settings import say

        settings = settings_of(inventories, "", as_json)
        explanation = explain_contract(read_client(settings, client).contract)
        say(settings, dataclasses.asdict(explanation), lambda: show_explanation(settings.console, explanation))
