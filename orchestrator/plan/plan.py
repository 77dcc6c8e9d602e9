"""Turn duties into runs of steps, ways back included, without touching anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from orchestrator.contract.model import Contract, Hold, Policy, Site, Window
from orchestrator.errors import Refused, Usage
from orchestrator.plan.part import Part
from orchestrator.plan.step import Step, step
from orchestrator.plan.variables import place_variables
from orchestrator.probe.functions import pictured

SCHEMA = 1
ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
# What a host reports as held is handed back to Ansible later on: nothing that could be anything but a name goes there.
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")
KINDS = ("core", "plugin", "theme", "translation")
WHOLE = Part()


class Duty(StrEnum):
    """What a run is for."""

    BACKUP = "backup"
    UPDATE = "update"
    REHEARSE = "rehearse"
    RESTORE = "restore"
    DRILL = "drill"
    REBUILD = "rebuild"
    SHOW = "show"
    UNSTAGE = "unstage"


# A batch is what is started with one call of Ansible: between its steps there is nothing to decide.
BATCHES: Mapping[Duty, tuple[tuple[str, ...], ...]] = {
    Duty.BACKUP: (("preflight", "snapshot", "release"),),
    # Promotion finds by itself that there is nothing to promote; a second start of Ansible would cost more than that.
    Duty.UPDATE: (("preflight", "snapshot", "stage", "rehearse", "promote", "release"),),
    # Production is only read, so there is nothing to come back from: no restore point.
    Duty.REHEARSE: (("preflight", "stage", "rehearse", "release"),),
    Duty.RESTORE: (("preflight", "restore", "release"),),
    Duty.DRILL: (("preflight", "drill", "release"),),
    # There is nothing to look at before: the host has no site yet.
    Duty.REBUILD: (("rebuild", "release"),),
    Duty.SHOW: (("show", "release"),),
    Duty.UNSTAGE: (("unstage", "release"),),
}


# The same with a staging host of its own, where the steps of AWAY are carried out.
AWAY_BATCHES: Mapping[Duty, tuple[tuple[str, ...], ...]] = {
    Duty.UPDATE: (("preflight", "snapshot", "bring", "stage", "rehearse", "deliver", "promote", "release", "leave"),),
    # Production is looked at and no more: what is tried is its newest restore point.
    Duty.REHEARSE: (("preflight", "bring", "stage", "rehearse", "release", "leave"),),
}
AWAY = ("bring", "stage", "rehearse", "leave")
# What lies in the staging place is on the staging host, where there is one; and so is a drill.
IN_STAGING = (Duty.DRILL, Duty.SHOW, Duty.UNSTAGE)
NEWEST = "newest"
# Tags of tasks: what is done only where pages are looked at by a browser, and only where staging is on a host of its own.
PICTURES, STAGING_HOST = "pictures", "staging_host"


@dataclass(frozen=True)
class FirstSeen:
    """The day on which a release was first seen on offer by one of the client's sites."""

    kind: str
    slug: str
    version: str
    day: date


@dataclass(frozen=True)
class Released:
    """A release that was held and that a person has let go: these bytes and no others."""

    kind: str
    slug: str
    version: str
    sha256: str


@dataclass(frozen=True)
class SiteRun:
    """One run: what is done for one site, in which order, and with which ids."""

    run: str
    point: str
    client: str
    site: str
    host: str
    duty: Duty
    # Other duties that this run fulfils on its way.
    serves: tuple[Duty, ...]
    promised: Mapping[str, Any]
    batches: tuple[tuple[Step, ...], ...]
    # Handed to Ansible for this run: our own ids and names only, never words of the contract.
    variables: Mapping[str, Any]
    # Tags of the tasks that this contract gives nothing to do: skipping a task on a host costs as much as a short one.
    needless: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of the good way, in order."""
        return tuple(each for batch in self.batches for each in batch)


@dataclass(frozen=True)
class Plan:
    """What would be done for a client, from one version of the contract."""

    client: str
    digest: str
    made: datetime
    runs: tuple[SiteRun, ...]


@dataclass(frozen=True)
class Asked:
    """What a plan file asks for. Everything else in the file is made again from the contract and compared."""

    client: str
    digest: str
    made: datetime
    # site → (run id, restore point id, duty)
    runs: Mapping[str, tuple[str, str, Duty]]


def choose_sites(contract: Contract, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the sites that are asked for; all, when none is."""
    names = [site.name for site in contract.sites]
    for name in asked:
        if name not in names:
            near = get_close_matches(name, names, 1)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            raise Usage(
                f"{contract.client.id} has no site '{name}', only {', '.join(names)}.{guess}",
                f"upkeep explain {contract.client.id}",
            )
    return tuple(name for name in names if not asked or name in asked)


def choose_duty(contract: Contract, asked: Duty | None) -> Duty:
    """Return the duty to carry out. An update takes a restore point first, so it serves the backup too."""
    update = contract.scope.update
    promised = {Duty.BACKUP: contract.scope.backup, Duty.UPDATE: update, Duty.REHEARSE: update}
    if asked is None:
        found = next((duty for duty in (Duty.UPDATE, Duty.BACKUP) if promised[duty] is not None), None)
        if found is not None:
            return found
        raise Refused(
            f"the contract of {contract.client.id} promises neither backup nor update.",
            f"upkeep explain {contract.client.id}",
        )
    # Whoever has a restore point may try it or go back to it, whatever else was promised.
    if asked in promised and promised[asked] is None:
        raise Refused(
            f"the contract of {contract.client.id} does not promise '{Duty.UPDATE if asked is Duty.REHEARSE else asked}'; nothing was touched.",
            f"upkeep explain {contract.client.id}",
        )
    return asked


def make_plan(
    contract: Contract,
    digest: str,
    *,
    made: datetime,
    duty: Duty,
    ids: Mapping[str, str],
    holds: Mapping[str, Sequence[Hold]],
    point: str = "",
    part: Part = WHOLE,
    to: str = "",
    first_seen: Sequence[FirstSeen] = (),
    released: Mapping[str, Sequence[Released]] | None = None,
) -> Plan:
    """Plan one run for each site in `ids` (site → run id). The restore point of a run is named like the run.

    `first_seen` is what the ledger knows of releases; an update with a cool-down is told. `released` are, for each site, the holds that a person let go. `to` is another host than production's. `holds` are the ledger's, for each site; the contract's own reach the role by the other way, as the site's variables.
    """
    runs = []
    for name, run in ids.items():
        site = contract.site(name)
        elsewhere = to or (site.staging.host if duty in IN_STAGING else "")
        host, staging = elsewhere or site.production.host, site.staging.host if duty in AWAY_BATCHES else ""
        brought = NEWEST if staging and duty is Duty.REHEARSE else point or run
        runs.append(
            SiteRun(
                run=run,
                point=point or run,
                client=contract.client.id,
                site=name,
                host=host,
                duty=duty,
                serves=(Duty.BACKUP,) if duty is Duty.UPDATE and contract.scope.backup is not None else (),
                promised=_promised(contract, duty),
                batches=_batches(duty, host, staging, elsewhere=bool(elsewhere)),
                variables={
                    **_run_variables(run, brought, duty, holds.get(name, ())),
                    **part.variables(),
                    **_first_seen(contract, duty, first_seen),
                    **_released(duty, (released or {}).get(name, ())),
                    **({"upkeep_site": name, "upkeep_to": elsewhere} if elsewhere else {}),
                    **({"upkeep_staging_host": staging} if staging else {}),
                },
                needless=_needless(contract, site),
            )
        )
    return Plan(contract.client.id, digest, made, tuple(runs))


def remade_run(
    *, run: str, point: str, client: str, site: str, host: str, duty: Duty, variables: Mapping[str, Any]
) -> SiteRun:
    """Make a run again from what the ledger kept of it, without asking the contract, which may have changed since."""
    staging = str(variables.get("upkeep_staging_host", ""))
    batches = _batches(duty, host, staging, elsewhere="upkeep_to" in variables)
    return SiteRun(run, point, client, site, host, duty, (), {}, batches, dict(variables))


def batches_of(duty: Duty, *, away: bool) -> tuple[tuple[str, ...], ...]:
    """Return the names of a duty's steps; `away` is whether staging is on a host of its own."""
    return AWAY_BATCHES.get(duty, BATCHES[duty]) if away else BATCHES[duty]


def _batches(duty: Duty, host: str, staging: str, *, elsewhere: bool) -> tuple[tuple[Step, ...], ...]:
    """Return the steps of a duty; a host that has no site has nothing to look at before."""
    left_out = "preflight" if elsewhere else ""
    return tuple(
        tuple(step(each, staging if staging and each in AWAY else host) for each in batch if each != left_out)
        for batch in batches_of(duty, away=bool(staging))
    )


def plan_json(plan: Plan, contract: Contract) -> dict[str, Any]:
    """Write a plan down, with the variables of each place for the reader."""
    window = contract.scope.update.window if contract.scope.update else None
    return {
        "schema": SCHEMA,
        "client": plan.client,
        "contract": plan.digest,
        "made": plan.made.isoformat(),
        "runs": [_run_json(run, contract, window if run.duty is Duty.UPDATE else None) for run in plan.runs],
    }


def read_plan(data: Any) -> Asked:
    """Read what a plan file asks for. Raises Usage for anything that is not a plan."""
    try:
        if data["schema"] != SCHEMA:
            raise Usage(f"this plan has schema {data['schema']!r}; this upkeep reads {SCHEMA}.", "upkeep plan CLIENT")
        runs = {str(run["site"]): (_id(run["run"]), _id(run["point"]), Duty(run["duty"])) for run in data["runs"]}
        if not runs or len(runs) != len(data["runs"]):
            raise ValueError("runs")
        return Asked(str(data["client"]), str(data["contract"]), datetime.fromisoformat(data["made"]), runs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Usage(f"this is not a plan of upkeep ({type(error).__name__}: {error}).", "upkeep plan CLIENT") from None


def same_plan(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two written plans say the same. What the ledger holds may have grown since: that is left out."""
    return _without_holds(one) == _without_holds(other)


def passable(release: Hold | FirstSeen | Released) -> bool:
    """Tell whether a release may be handed to Ansible: a host reported it, and a host is not to be believed blindly."""
    return release.kind in KINDS and bool(SLUG.fullmatch(release.slug)) and bool(VERSION.fullmatch(release.version))


def _released(duty: Duty, released: Sequence[Released]) -> dict[str, Any]:
    passed = [each for each in released if passable(each) and SHA256.fullmatch(each.sha256)]
    if duty not in (Duty.UPDATE, Duty.REHEARSE) or not passed:
        return {}
    return {
        "upkeep_released": [
            {"kind": each.kind, "slug": each.slug, "version": each.version, "sha256": each.sha256} for each in passed
        ]
    }


def _first_seen(contract: Contract, duty: Duty, first_seen: Sequence[FirstSeen]) -> dict[str, Any]:
    update = contract.scope.update
    if duty is not Duty.UPDATE or update is None or not update.cool_down_days or not first_seen:
        return {}
    return {
        "upkeep_first_seen": [
            {"kind": each.kind, "slug": each.slug, "version": each.version, "day": each.day.isoformat()}
            for each in first_seen
            if passable(each)
        ]
    }


def _run_variables(run: str, point: str, duty: Duty, holds: Sequence[Hold]) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "upkeep_run": run,
        "upkeep_point": point,
        "upkeep_keep_lease": True,
        "upkeep_holds": [
            {"kind": hold.kind, "slug": hold.slug, "version": hold.version} for hold in holds if passable(hold)
        ],
    }
    if duty in (Duty.RESTORE, Duty.DRILL):
        # A site that is well seldom needs a restore, and a drill says nothing about production.
        variables["site_probe_must_be_healthy"] = False
    return variables


def _needless(contract: Contract, site: Site) -> tuple[str, ...]:
    wish = contract.scope.update.pictures if contract.scope.update else None
    return tuple(
        tag for tag, wanted in ((PICTURES, pictured(wish, site)), (STAGING_HOST, site.staging.host)) if not wanted
    )


def _promised(contract: Contract, duty: Duty) -> dict[str, Any]:
    update, backup = contract.scope.update, contract.scope.backup
    if duty in (Duty.DRILL, Duty.REBUILD) and backup is not None and backup.recovery is not None:
        return {"rto_hours": backup.recovery.rto_hours, "rpo_hours": backup.recovery.rpo_hours}
    if duty not in (Duty.UPDATE, Duty.REHEARSE) or update is None:
        return {}
    return {
        "core": update.core,
        "plugins": _policy(update.plugins),
        "themes": _policy(update.themes),
        **({"translations": update.translations} if update.translations != "none" else {}),
        "cool_down_days": update.cool_down_days,
        "fast_lane": list(update.fast_lane),
        "holds": [_hold(each) for each in update.holds],
        "window": window_words(update.window),
    }


def _hold(hold: Hold) -> dict[str, str]:
    held = {"only": hold.only} if hold.only else {"version": hold.version}
    return {"kind": hold.kind, "slug": hold.slug, **held, **({"until": f"{hold.until}"} if hold.until else {})}


def _policy(policy: Policy) -> str | list[str]:
    return policy if isinstance(policy, str) else list(policy)


def window_words(window: Window) -> str:
    """Say a window in words: mon, tue 02:00–05:00."""
    return f"{', '.join(window.days)} {window.begins:%H:%M}–{window.ends:%H:%M}"


def _run_json(run: SiteRun, contract: Contract, window: Window | None) -> dict[str, Any]:
    return {
        "run": run.run,
        "point": run.point,
        "site": run.site,
        "duty": run.duty.value,
        "serves": [duty.value for duty in run.serves],
        "promised": dict(run.promised),
        "host": run.host,
        "window": None
        if window is None
        else {
            "days": list(window.days),
            "from": f"{window.begins:%H:%M}",
            "to": f"{window.ends:%H:%M}",
            "time_zone": contract.agreement.time_zone,
        },
        "batches": [[each.name for each in batch] for batch in run.batches],
        "steps": [
            {
                "name": each.name,
                "host": each.host,
                "playbook": each.playbook,
                "role": each.kind.role,
                "tasks": each.kind.tasks,
                "purpose": each.kind.purpose,
                "changes_production": each.kind.changes_production,
                "way_back": list(each.way_back),
            }
            for each in run.steps
        ],
        "run_variables": dict(run.variables),
        "place_variables": place_variables(contract, run.site),
    }


def _without_holds(plan: Mapping[str, Any]) -> dict[str, Any]:
    runs = []
    for run in plan.get("runs", ()):
        known = ("upkeep_holds", "upkeep_first_seen", "upkeep_released")
        variables = {key: value for key, value in run.get("run_variables", {}).items() if key not in known}
        runs.append({**run, "run_variables": variables})
    return {**plan, "runs": runs}


def _id(value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise ValueError(f"not an id: {value!r}")
    return value
