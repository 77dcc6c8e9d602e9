"""Ask Ansible what a client's vault has for a host."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import Refused
from orchestrator.planning import Client
from orchestrator.run.ansible import InventoryError, host_variables
from orchestrator.settings import Settings


def kept_for(
    settings: Settings, client: Client, host: str, needed: Sequence[str], also: Sequence[str] = ()
) -> dict[str, str]:
    """Return the variables `needed` of a host, and those of `also` that are there. Nothing of the answer is written to disk.

    Raises Refused when one that is needed is missing or the inventory cannot be read.
    """
    scratch = settings.state / "work" / settings.new_id(settings.clock())
    try:
        found = host_variables(settings.project(client.id), host, (*needed, *also), scratch)
    except InventoryError as error:
        raise Refused(
            f"Ansible cannot read the inventory of {client.id}: {error}",
            f"ansible-inventory -i {settings.inventories / client.id} --list",
        ) from None
    if missing := [name for name in needed if name not in found]:
        raise Refused(
            f"host {host} has no {' and no '.join(missing)}.",
            f"ansible-vault edit {settings.inventories / client.id}/group_vars/all/vault.yml",
        )
    return found
