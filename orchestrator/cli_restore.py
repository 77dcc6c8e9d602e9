"""The command `upkeep restore`: a restore point in the place of production, or on another host."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from orchestrator import screen
from orchestrator.cli_options import (
    HERE,
    AskOnly,
    Content,
    Inventories,
    Json,
    LedgerUrl,
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
from orchestrator.cli_run import Client, Settings, carry_out_plan, planned, read_client
from orchestrator.contract.load import find_client, other_host
from orchestrator.errors import Refused, Usage
from orchestrator.plan.part import Part, ask_part
from orchestrator.plan.plan import ID, Duty, Plan, choose_sites
from orchestrator.results import Answer
from orchestrator.run.ansible import InventoryError, host_variables
from orchestrator.run.store import KEYS

Make = Callable[..., Settings]
End = Callable[[Settings, Sequence[Answer]], None]
NEWEST, STAGING = "newest", "staging"
NEEDED = (*KEYS, "site_snapshot_password")


def add_commands(app: typer.Typer, settings_of: Make, end: End) -> None:
    """Put the command of this module on the command line.

    `settings_of` knows the clock and where things lie, `end` closes a command of several runs.
    """

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
        settings = settings_of(inventories, ledger, as_json, vault, content, program)
        if remove:
            end(settings, carry_out_plan(settings, *_removal(settings, client, site, point, to)))
            return
        if point == NEWEST and not to:
            raise Usage(
                "'newest' goes with --to: what takes the place of production is named by its id.",
                f"upkeep points {client} --site {site}",
            )
        if not ID.fullmatch(point) and point != NEWEST:
            raise Usage(f"'{point[:60]}' is not the id of a restore point.", f"upkeep points {client} --site {site}")
        known = read_client(settings, client)
        part = _part(
            known, site, point, only=only or "", tables=tables or (), paths=paths or (), accept=accept_other_version
        )
        if to:
            end(settings, carry_out_plan(settings, known, elsewhere(settings, known, site, point, part, to)))
            return
        if sys.stdin.isatty() and not sure and not as_json:
            question = screen.safe(f"Replace {part.words()} of {client}/{site} by that of restore point {point}?")
            typer.confirm(question, abort=True)
        end(settings, carry_out_plan(settings, known, planned(settings, known, [site], Duty.RESTORE, point, part)))


def elsewhere(settings: Settings, client: Client, site: str, point: str, part: Part, to: str) -> Plan:
    """Plan a recovery on another host, or in the staging place. Raises Usage or Refused for a host, or a part, that cannot be meant."""
    if not part.whole:
        raise Usage(
            "another place than production gets all of a restore point, not a part of it.",
            f"upkeep restore {client.id} --site {site} --point {point} --to {to}",
        )
    if to == STAGING:
        return planned(settings, client, [site], Duty.SHOW, point)
    check_host(settings, client, site, to)
    return planned(settings, client, [site], Duty.REBUILD, point, to=to)


def _removal(settings: Settings, client: str, site: str, point: str, to: str) -> tuple[Client, Plan]:
    if to != STAGING or point:
        raise Usage(
            "--remove takes away what lies in the staging place, and nothing else.",
            f"upkeep restore {client} --site {site} --to staging --remove",
        )
    known = read_client(settings, client)
    return known, planned(settings, known, [site], Duty.UNSTAGE)


def check_host(settings: Settings, client: Client, site: str, to: str) -> None:
    """See that a site may be brought to that host, and that the vault says for it what is needed."""
    other_host(find_client(settings.inventories, client.id).absolute(), client.contract, site, to)
    scratch = settings.state / "work" / settings.new_id(settings.clock())
    try:
        found = host_variables(settings.project(client.id), to, NEEDED, scratch)
    except InventoryError as error:
        raise Refused(
            f"Ansible cannot read the inventory of {client.id}: {error}",
            f"ansible-inventory -i {settings.inventories / client.id} --list",
        ) from None
    if missing := [name for name in NEEDED if name not in found]:
        raise Refused(
            f"host {to} has no {' and no '.join(missing)}.",
            f"ansible-vault edit {settings.inventories / client.id}/group_vars/all/vault.yml",
        )


def _part(
    client: Client, site: str, point: str, *, only: str, tables: Sequence[str], paths: Sequence[str], accept: bool
) -> Part:
    """Return the part of a restore point that was asked for. Raises Usage for what cannot be one."""
    choose_sites(client.contract, [site])
    return ask_part(
        only=str(only),
        tables=tables,
        paths=paths,
        root=client.contract.site(site).production.root,
        accept_other_version=accept,
        again=f"upkeep restore {client.id} --site {site} --point {point}",
    )
