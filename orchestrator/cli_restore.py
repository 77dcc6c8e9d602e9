"""The command `upkeep restore`: a restore point in the place of production, or on another host."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from orchestrator.cli_options import (
    HERE,
    AskOnly,
    Content,
    Inventories,
    Json,
    LedgerUrl,
    Make,
    Name,
    OtherVersion,
    Paths,
    Program,
    RestoredPoint,
    RestoredSite,
    Tables,
    To,
    Vault,
)

NEWEST = "newest"


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the command of this module on the command line. `settings_of` knows the clock and where things lie."""

    @app.command("restore")
    def restore(
        client: Name,
        site: RestoredSite,
        point: RestoredPoint = "",
        to: To = "",
        remove: Annotated[bool, typer.Option("--remove", help="With --to staging: take away what lies there.")] = False,
        only: AskOnly = None,
        tables: Tables = None,
        paths: Paths = None,
        accept_other_version: OtherVersion = False,
        sure: Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal.")] = False,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        program: Program = "",
        as_json: Json = False,
    ) -> None:
        """Put a restore point in the place of production: files and database together, or only a part of it.

        What visitors wrote there since that moment is lost; on a terminal you are asked first. What is not asked for
        stays as it is.

        With `--to HOST` the site is made anew on a host of hosts.yml that has none yet. Only the store, the contract and
        the vault are needed for that: production may be gone. With `--to staging` it is served in the staging place of
        its own host, where it can talk to nobody, until `--remove`, an update or a drill needs the place.

        Examples: `upkeep restore acme --site shop --point 20261122T020000Z-1f0c9a2b` · the same with `--only files` ·
        `--table wp_posts --table wp_postmeta` · `--path wp-content/uploads/2026/11` ·
        `upkeep restore acme --site shop --point newest --to new-host` ·
        `upkeep restore acme --site shop --point newest --to staging`
        """
        from orchestrator.cli_run import carry_out_plan, end
        from orchestrator.errors import Usage
        from orchestrator.plan.plan import ID, Duty
        from orchestrator.planning import planned, read_client
        from orchestrator.restorer import chosen_part, elsewhere, removal
        from orchestrator.screen import safe

        settings = settings_of(inventories, ledger, as_json, vault, content, program)
        if remove:
            end(settings, carry_out_plan(settings, *removal(settings, client, site, point, to)))
            return
        if point == NEWEST and not to:
            raise Usage(
                "'newest' goes with --to: what takes the place of production is named by its id.",
                f"upkeep points {client} --site {site}",
            )
        if not ID.fullmatch(point) and point != NEWEST:
            raise Usage(f"'{point[:60]}' is not the id of a restore point.", f"upkeep points {client} --site {site}")
        known = read_client(settings, client)
        part = chosen_part(
            known, site, point, only=only or "", tables=tables or (), paths=paths or (), accept=accept_other_version
        )
        if to:
            end(settings, carry_out_plan(settings, known, elsewhere(settings, known, site, point, part, to)))
            return
        if sys.stdin.isatty() and not sure and not as_json:
            question = safe(f"Replace {part.words()} of {client}/{site} by that of restore point {point}?")
            typer.confirm(question, abort=True)
        end(settings, carry_out_plan(settings, known, planned(settings, known, [site], Duty.RESTORE, point, part)))
