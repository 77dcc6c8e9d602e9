"""Plan what `upkeep restore` and a drill elsewhere were asked for: whole or in part, in production's place or in another."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.contract.load import find_client, other_host
from orchestrator.errors import Usage
from orchestrator.plan.part import Part, ask_part
from orchestrator.plan.plan import Duty, Plan, choose_sites
from orchestrator.planning import Client, planned, read_client
from orchestrator.run.store import KEYS
from orchestrator.settings import Settings
from orchestrator.vault import kept_for

STAGING = "staging"
NEEDED = (*KEYS, "site_snapshot_password")


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


def removal(settings: Settings, client: str, site: str, point: str, to: str) -> tuple[Client, Plan]:
    """Plan to take away what lies in the staging place. Raises Usage when something else is meant."""
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
    kept_for(settings, client, to, NEEDED)


def chosen_part(
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
