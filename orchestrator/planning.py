"""Read a client's contract, and plan what is asked for: with the ledger's holds, if there is a ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from orchestrator.contract.load import contract_digest, find_client, load_contract
from orchestrator.contract.model import Contract, Hold
from orchestrator.errors import Refused, Usage
from orchestrator.ledger.address import peek
from orchestrator.plan.part import Part
from orchestrator.plan.plan import (
    WHOLE,
    Duty,
    FirstSeen,
    Plan,
    Released,
    choose_duty,
    choose_sites,
    make_plan,
    plan_json,
    read_plan,
    same_plan,
)
from orchestrator.plan.window import window_at
from orchestrator.probe.functions import wants_pictures
from orchestrator.run.eyes import lacking
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.ledger.ledger import Ledger

# A release that nobody has seen on offer for so long begins its cool-down anew when it comes back.
FORGOTTEN_AFTER_DAYS = 400


@dataclass(frozen=True)
class Client:
    """A client's contract as it is on disk now."""

    contract: Contract
    digest: str

    @property
    def id(self) -> str:
        """The client's id, which is the folder's name too."""
        return self.contract.client.id


def read_client(settings: Settings, client: str) -> Client:
    """Load a client's contract. Raises ContractInvalid with every mistake."""
    path = find_client(settings.inventories, client)
    digest = contract_digest(path)
    contract = load_contract(path)
    if contract_digest(path) != digest:
        raise Refused(f"{path} was changed while it was read; nothing was touched.", f"upkeep plan {client}")
    return Client(contract, digest)


def planned(
    settings: Settings,
    client: Client,
    sites: Sequence[str],
    duty: Duty | None,
    point: str = "",
    part: Part = WHOLE,
    to: str = "",
) -> Plan:
    """Plan for a client, on another host than production's with `to`. Reads the ledger's holds, if any; makes nothing."""
    chosen = choose_duty(client.contract, duty)
    names = choose_sites(client.contract, sites)
    refuse_without_eyes(client, chosen)
    now = settings.clock()
    ids = {name: settings.new_id(now) for name in names}
    return make_plan(
        client.contract,
        client.digest,
        made=now,
        duty=chosen,
        ids=ids,
        point=point,
        part=part,
        to=to,
        **_remembered(settings, client.id, names),
    )


def planned_before(settings: Settings, file: Path) -> tuple[Client, Plan]:
    """Make the plan of a file again. Raises Refused when the contract, or anybody else, has changed it since."""
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Usage(f"{file} cannot be read as a plan: {error}", "upkeep plan CLIENT --out FILE") from None
    asked = read_plan(written)
    client = read_client(settings, asked.client)
    again = f"upkeep plan {client.id} --out {file}"
    if client.digest != asked.digest:
        raise Refused(
            f"the contract of {client.id} has changed since this plan was made ({asked.made:%Y-%m-%d %H:%M} UTC); "
            "nothing was touched.",
            again,
        )
    choose_sites(client.contract, tuple(asked.runs))
    for _, _, duty in asked.runs.values():
        refuse_without_eyes(client, duty)
    duties = {duty for _, _, duty in asked.runs.values()}
    points = {point for run, point, _ in asked.runs.values() if point != run}
    if len(duties) != 1 or Duty.RESTORE in duties or points:
        raise Refused("a plan file is for one duty, and a restore is asked for by name; nothing was touched.", again)
    plan = make_plan(
        client.contract,
        client.digest,
        made=asked.made,
        duty=choose_duty(client.contract, duties.pop()),
        ids={site: run for site, (run, _, _) in asked.runs.items()},
        **_remembered(settings, client.id, tuple(asked.runs)),
    )
    if not same_plan(written, plan_json(plan, client.contract)):
        raise Refused(
            "this plan says something else than the contract leads to: it was edited, or made by another version of "
            "upkeep; nothing was touched.",
            again,
        )
    return client, plan


def refuse_without_eyes(client: Client, duty: Duty) -> None:
    """Raise Refused when the contract wants pictures for this duty and this machine has nothing to take them with."""
    missing, advice = lacking() if wants_pictures(client.contract) else ("", "")
    if missing and duty in (Duty.UPDATE, Duty.REHEARSE):
        raise Refused(f"the contract of {client.id} wants pictures, and {missing}; nothing was touched.", advice)


def check_window(settings: Settings, client: Client, plan: Plan) -> None:
    """Raise Refused when an update is asked for outside of its window."""
    update = client.contract.scope.update
    if update is None or all(run.duty is not Duty.UPDATE for run in plan.runs):
        return
    zone_name = client.contract.agreement.time_zone
    state = window_at(update.window, settings.clock(), ZoneInfo(zone_name))
    if not state.is_open:
        raise Refused(
            f"the update window of {client.id} is closed; nothing was touched. It opens next on "
            f"{state.opens:%a %Y-%m-%d at %H:%M} ({zone_name}) and closes at {state.closes:%H:%M}.",
            f"wait until then, or, if the client agrees: upkeep run {client.id} --now",
        )


def _remembered(settings: Settings, client: str, sites: Sequence[str]) -> dict[str, Any]:
    """Return what make_plan wants of the ledger: holds, those let go, releases seen on offer; less, when there is none."""
    ledger = peek(settings.ledger)
    if ledger is None:
        return {"holds": {}}
    try:
        seen = ledger.releases(client, since=settings.clock() - timedelta(days=FORGOTTEN_AFTER_DAYS))
        return {
            "holds": _holds(ledger, client, sites),
            "first_seen": tuple(FirstSeen(each.kind, each.slug, each.version, each.first.date()) for each in seen),
            "released": {
                site: tuple(
                    Released(each.kind, each.slug, each.version, each.sha256)
                    for each in ledger.released_holds(client, site)
                )
                for site in sites
            },
        }
    finally:
        ledger.close()


def _holds(ledger: Ledger, client: str, sites: Sequence[str]) -> Mapping[str, tuple[Hold, ...]]:
    kinds: dict[str, Any] = {each: each for each in ("core", "plugin", "theme", "translation")}
    return {
        site: tuple(
            Hold(kinds[hold.kind], hold.slug, hold.version, hold.reason)
            for hold in ledger.holds(client, site)
            if hold.kind in kinds
        )
        for site in sites
    }
