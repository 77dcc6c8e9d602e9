"""The commands that prove restore points: `upkeep verify` reads them back, `upkeep drill` recovers from one."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli_options import (
    HERE,
    Content,
    Inventories,
    Json,
    LedgerUrl,
    Make,
    Name,
    Program,
    Restic,
    Sites,
    Vault,
)

Full = Annotated[bool, typer.Option("--full", help="Read all of the data back, not only the part whose turn it is.")]
Heal = Annotated[
    bool,
    typer.Option(
        "--heal",
        help="Bring back what was written over, take out garbage and what is damaged, so that snapshots bring it again.",
    ),
]
NEWEST = "newest"
Point = Annotated[
    str, typer.Option("--point", metavar="ID", help="This restore point instead, as `upkeep points` shows it.")
]


On = Annotated[str, typer.Option("--on", metavar="HOST", help="In a scratch place of this host.", show_default=False)]


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the commands of this module on the command line. `settings_of` knows the clock and where things lie."""

    @app.command("drill")
    def drill(
        client: Name,
        sites: Sites = None,
        point: Point = NEWEST,
        on: On = "",
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        program: Program = "",
        as_json: Json = False,
    ) -> None:
        """Bring the newest restore point back in a scratch place on its host, try every function, and remove it again.

        Measures how long a recovery takes and how old its data are, beside what the contract promises. Production is
        only read. Code 12 when the site cannot be recovered from that point. A staging host of its own (`places.staging.host`)
        is that host.

        With `--on HOST` it is another host of hosts.yml, which need not have a site: what is needed of production is then
        nothing, as in an emergency.

        Examples: `upkeep drill acme` · `upkeep drill acme --site shop` · `upkeep drill acme --on spare-host`
        """
        from orchestrator.cli_run import carry_out_plan, end
        from orchestrator.errors import Usage
        from orchestrator.plan.plan import ID, Duty, choose_sites
        from orchestrator.planning import planned, read_client
        from orchestrator.restorer import check_host

        settings = settings_of(inventories, ledger, as_json, vault, content, program)
        if point != NEWEST and not ID.fullmatch(point):
            raise Usage(f"'{point[:60]}' is not the id of a restore point.", f"upkeep points {client}")
        known = read_client(settings, client)
        for site in choose_sites(known.contract, sites or ()) if on else ():
            check_host(settings, known, site, on)
        end(settings, carry_out_plan(settings, known, planned(settings, known, sites or (), Duty.DRILL, point, to=on)))

    @app.command("verify")
    def verify(
        client: Name,
        sites: Sites = None,
        full: Full = False,
        heal: Heal = False,
        restic: Restic = "restic",
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Hold every restore point against the store, and read a part of the data back: another part each time.

        Damage is named by restore point, site and object. Code 4: something is damaged, a person is needed. Code 3: it
        was put right, and every restore point is complete. Nothing is changed without `--heal`, which is also what to type
        after a break-in, or when restic stops at what lies in the repository.

        Examples: `upkeep verify acme` · `upkeep verify acme --site shop --full` · `upkeep verify acme --heal`
        """
        from orchestrator.planning import read_client
        from orchestrator.results import worst
        from orchestrator.screen_proof import show_all, watching
        from orchestrator.settings import end_with
        from orchestrator.verifier import verify_sites

        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        with watching(settings) as watch:
            answers = verify_sites(settings, known, sites or (), full=full, healing=heal, program=restic, watch=watch)
        code = worst(answer["exit_code"] for answer in answers)
        whole = {"client": client, "exit_code": code, "sites": answers}
        end_with(settings, whole, answers, lambda: show_all(settings.console, answers))
