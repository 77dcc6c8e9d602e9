"""Explain a contract: which duty leads to which playbooks, roles and variables, and which clauses nothing serves."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.contract.model import Contract, Policy, Retention
from orchestrator.plan.plan import Duty, batches_of, window_words
from orchestrator.plan.step import STEPS
from orchestrator.plan.variables import place_variables

# Which clauses of a contract a role's variable is made of, by what follows the role's name.
CLAUSES_OF_VARIABLES: dict[str, tuple[str, ...]] = {
    "site": ("client.id", "sites.*.cms", "sites.*.url", "sites.*.places"),
    "probes": ("sites.*.functions", "sites.*.cms"),
    "store": ("store", "client.id"),
    "policy": tuple(
        f"scope.update.{key}"
        for key in ("core", "plugins", "themes", "translations", "cool_down_days", "fast_lane", "look")
    ),
    "holds": ("scope.update.holds",),
    "wait_minutes": ("scope.update.background",),
    "soak_minutes": ("scope.update.soak_minutes",),
    "pictures": ("scope.update.pictures", "sites.*.functions"),
    "freeze_seconds": ("scope.update.freeze_seconds",),
}


@dataclass(frozen=True)
class VariableExplained:
    """A variable that a role gets, and the clauses that it is made of."""

    name: str
    clauses: tuple[str, ...]


@dataclass(frozen=True)
class StepExplained:
    """A playbook that a duty leads to, the role behind it, and how to come back from it."""

    step: str
    playbook: str
    role: str
    tasks: str
    purpose: str
    changes_production: bool
    way_back: tuple[str, ...]
    variables: tuple[VariableExplained, ...]


@dataclass(frozen=True)
class PlaceExplained:
    """A place that a duty is carried out at."""

    site: str
    host: str
    url: str
    staging_host: str
    """Where its rehearsals take place."""


@dataclass(frozen=True)
class DutyExplained:
    """A promised duty, in words, and what it leads to at each place."""

    duty: str
    clause: str
    words: str
    places: tuple[PlaceExplained, ...]
    steps: tuple[StepExplained, ...]


@dataclass(frozen=True)
class UnservedClause:
    """A clause that was promised and that nothing serves yet: a person has to."""

    clause: str
    words: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """What a contract leads to."""

    client: str
    name: str
    duties: tuple[DutyExplained, ...]
    unserved: tuple[UnservedClause, ...]


def explain(contract: Contract) -> Explanation:
    """Explain what follows from a contract, without looking at any host."""
    words = {
        Duty.BACKUP: _backup_words(contract),
        Duty.UPDATE: _update_words(contract),
        Duty.REHEARSE: _rehearse_words(contract),
    }
    return Explanation(
        client=contract.client.id,
        name=contract.client.name,
        duties=tuple(_duty(contract, duty, said) for duty, said in words.items() if said),
        unserved=tuple(_unserved(contract)),
    )


def _duty(contract: Contract, duty: Duty, words: str) -> DutyExplained:
    # Steps of a staging host are shown where one of the sites has one.
    away = any(site.staging.host for site in contract.sites)
    return DutyExplained(
        duty=duty.value,
        clause="scope.update" if duty is Duty.REHEARSE else f"scope.{duty.value}",
        words=words,
        places=tuple(
            PlaceExplained(site.name, site.production.host, site.url, site.staging.host or site.production.host)
            for site in contract.sites
        ),
        steps=tuple(_step(contract, name) for batch in batches_of(duty, away=away) for name in batch),
    )


def _step(contract: Contract, name: str) -> StepExplained:
    kind = STEPS[name]
    prefix = f"{kind.role}_"
    # Which variables there are does not depend on the site, only what they hold.
    variables = place_variables(contract, contract.sites[0].name)
    return StepExplained(
        step=name,
        playbook=f"playbooks/{name}.yml",
        role=kind.role,
        tasks=kind.tasks,
        purpose=kind.purpose,
        changes_production=kind.changes_production,
        way_back=kind.way_back,
        variables=tuple(
            VariableExplained(variable, CLAUSES_OF_VARIABLES[variable.removeprefix(prefix)])
            for variable in variables
            if variable.startswith(prefix)
        ),
    )


def _backup_words(contract: Contract) -> str:
    backup = contract.scope.backup
    if backup is None:
        return ""
    words = "A restore point of every site: files and database, proven complete"
    if backup.recovery is None:
        return f"{words}."
    hours = backup.recovery
    return f"{words}; back within {hours.rto_hours} hours, with data of no more than {hours.rpo_hours} hours before."


def _update_words(contract: Contract) -> str:
    update = contract.scope.update
    if update is None:
        return ""
    core = {"none": "WordPress itself is left alone", "minor": "minor releases of WordPress"}.get(
        update.core, "all releases of WordPress"
    )
    parts = [core, _policy_words("plugins", update.plugins), _policy_words("themes", update.themes)]
    if update.translations == "all":
        parts.append("their language packs")
    if update.cool_down_days:
        fast = f", {', '.join(update.fast_lane)} without waiting" if update.fast_lane else ""
        parts.append(f"each release {update.cool_down_days} days after it was first seen{fast}")
    if update.pictures is not None:
        parts.append("each copy looked at with a browser before and after")
    held = {0: "", 1: "; 1 release is held"}.get(len(update.holds), f"; {len(update.holds)} releases are held")
    return f"{', '.join(parts)}; {window_words(update.window)} ({contract.agreement.time_zone}){held}."


def _rehearse_words(contract: Contract) -> str:
    if contract.scope.update is None:
        return ""
    return f"The same in the copy only, at any time: upkeep rehearse {contract.client.id}. Production is only read."


def _policy_words(kind: str, policy: Policy) -> str:
    if isinstance(policy, tuple):
        return f"the {kind} {', '.join(policy)}"
    if policy == "minor":
        return f"minor releases of {kind}"
    return f"{'all' if policy == 'all' else 'no'} {kind}"


def _unserved(contract: Contract) -> list[UnservedClause]:
    nobody = "Nothing serves this duty yet: a person has to."
    clauses = [UnservedClause(f"scope.{each.duty}", each.words, nobody) for each in contract.scope.promises]
    if contract.scope.backup is not None:
        verify = contract.scope.backup.verify
        clauses.append(
            UnservedClause(
                "scope.backup.verify",
                f"{verify.every}, all of the data within {verify.all_within_days} days",
                "`upkeep due` says when it is due: a timer, or somebody, has to type `upkeep verify` and `upkeep drill`.",
            )
        )
    clauses.append(
        UnservedClause(
            "retention",
            _retention_words(contract.retention),
            "Restore points are taken and kept; old ones go when somebody types `upkeep prune`, not by themselves.",
        )
    )
    return clauses


def _retention_words(retention: Retention) -> str:
    return f"{retention.daily} daily, {retention.weekly} weekly, {retention.monthly} monthly, {retention.yearly} yearly"
