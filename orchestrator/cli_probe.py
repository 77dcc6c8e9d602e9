"""The command `upkeep probe`: is a site well now, by its contract's functions and by the client's own tests."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli_options import HERE, Content, Inventories, Json, LedgerUrl, Make, Name, Program, Sites, Vault

WithoutTests = Annotated[bool, typer.Option("--without-tests", help="Leave out the files in the client's tests/.")]


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the command of this module on the command line. `settings_of` knows the clock and where things lie."""

    @app.command("probe")
    def probe(
        client: Name,
        sites: Sites = None,
        without_tests: WithoutTests = False,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        program: Program = "",
        as_json: Json = False,
    ) -> None:
        """Look whether the sites are well now: every function of the contract, and the client's own tests. Changes nothing.

        `inventories/CLIENT/tests/test_*.py` are pytest-testinfra files. They run here, as whoever types this, and look at
        each site's host through its connection of hosts.yml: what stands there is code, so read it before you run it.

        Code 0: well. Code 12: not well, or nobody could look. Code 11: a run has the site.

        Examples: `upkeep probe acme` · `upkeep probe acme --site shop --json`
        """
        from orchestrator import prober
        from orchestrator.plan.plan import choose_sites
        from orchestrator.planning import read_client
        from orchestrator.results import worst
        from orchestrator.settings import end_with

        settings = settings_of(inventories, ledger, as_json, vault, content, program)
        known = read_client(settings, client)
        answers = []
        for site in choose_sites(known.contract, sites or ()):
            answers.append(prober.look(settings, known, site, without_tests=without_tests))
            if not as_json:
                prober.show(settings, answers[-1])
        code = worst(answer["exit_code"] for answer in answers)
        # What is ink was shown as it came.
        end_with(settings, {"client": client, "exit_code": code, "sites": answers}, answers, lambda: None)
