"""Every variable that the planner can produce is one that its role knows, and of the right type.

Ansible itself says nothing when an optional variable is misspelt: the promise would not be kept and nobody would be told.
"""

from __future__ import annotations

import re
from typing import Any

import jinja2
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from orchestrator.plan.part import Part
from orchestrator.plan.step import STEPS
from tests.seam.ansible_side import ROLES, ROOT, defaults, role_names, specs, verbs
from tests.seam.contracts import CONTRACTS, variables_of

# What vault.yml holds; the values reach no contract and no plan.
SECRETS = {
    "site_snapshot_access_key": "access",
    "site_snapshot_secret_key": "secret",
    "site_snapshot_password": "password",
}
# What a run hands in beside the inventory.
RUN = {
    "upkeep_run": "20261122T020000Z-1f0c9a2b",
    "upkeep_point": "20261122T020000Z-1f0c9a2b",
    "upkeep_keep_lease": True,
    "upkeep_must_be_healthy": False,
    # The vault has these two where the bucket's owner has a key of its own.
    "upkeep_store_access_key": "owner",
    "upkeep_store_secret_key": "owner's secret",
    "upkeep_elsewhere": True,
    "upkeep_database": {"name": "other", "user": "other", "host": "localhost:/run/mysqld/mysqld.sock"},
    # And this one where a site is no WordPress.
    "upkeep_database_password": "the site's",
    "upkeep_holds": [{"kind": "plugin", "slug": "lab-banner", "version": "2.0"}],
    "upkeep_first_seen": [{"kind": "plugin", "slug": "lab-banner", "version": "2.1", "day": "2026-11-01"}],
    "upkeep_released": [{"kind": "plugin", "slug": "lab-banner", "version": "2.0", "sha256": "a" * 64}],
}
# A default that only names a variable of the run: "{{ upkeep_keep_lease | default(false) }}"
_ALIAS = re.compile(r"{{\s*(upkeep_\w+)\s*(?:\|\s*default\(.*?\)\s*)?}}")


def given(role: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Return what the role sees of its own variables: defaults first, then the inventory's and the vault's."""
    values = {name: resolved(value) for name, value in defaults(role).items()}
    values |= {name: value for name, value in {**variables, **SECRETS}.items() if name.startswith(f"{role}_")}
    return values


def resolved(value: Any) -> Any:
    """Follow a default that only names a variable of the run."""
    match = _ALIAS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    return RUN[match[1]]


def mistakes(role: str, verb: str, values: dict[str, Any]) -> list[str]:
    """Return what is wrong with these variables for this verb."""
    known = {option for options in specs(role).values() for option in options}
    unknown = [f"{name} is in no spec of {role}" for name in sorted(set(values) - known)]
    options = specs(role)[verb]
    result = ArgumentSpecValidator(options).validate({name: values[name] for name in values if name in options})
    return unknown + list(result.error_messages)


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("name", STEPS)
def test_the_variables_of_every_step_are_what_its_role_expects(name: str, contract: str) -> None:
    kind = STEPS[name]
    for variables in variables_of(contract):
        assert mistakes(kind.role, kind.tasks, given(kind.role, variables)) == []


@pytest.mark.parametrize(
    "part",
    [Part(), Part(only="files"), Part(only="database"), Part(tables=("wp_posts",), paths=("a b",), accept_other_version=True)],
)  # fmt: skip
def test_every_part_of_a_restore_point_that_can_be_asked_for_is_one_that_the_role_expects(part: Part) -> None:
    for variables in variables_of(CONTRACTS[0]):
        values = given("site_snapshot", {**variables, **part.variables()})
        assert mistakes("site_snapshot", "restore", values) == []
        assert {name: values[name] for name in part.variables()} == part.variables()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_variable_of_a_place_belongs_to_a_role(contract: str) -> None:
    prefixes = tuple(f"{role}_" for role in role_names())
    for variables in variables_of(contract):
        assert [name for name in variables if not name.startswith(prefixes)] == []


@pytest.mark.parametrize("role", role_names())
def test_every_verb_has_a_spec_and_every_spec_a_verb(role: str) -> None:
    assert sorted(specs(role)) == verbs(role)


@pytest.mark.parametrize("role", role_names())
def test_every_input_is_described_and_carries_the_name_of_its_role(role: str) -> None:
    for verb, options in specs(role).items():
        for option, specification in options.items():
            assert option.startswith(f"{role}_"), f"{role} {verb}: {option}"
            assert specification.get("description"), f"{role} {verb}: {option} has no description"


@pytest.mark.parametrize("role", role_names())
def test_every_default_is_an_input_of_some_verb(role: str) -> None:
    known = {option for options in specs(role).values() for option in options}
    assert set(defaults(role)) <= known


@pytest.mark.parametrize("role", role_names())
def test_the_tasks_use_no_input_that_their_spec_does_not_name(role: str) -> None:
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    for verb in verbs(role):
        text = (ROLES / role / "tasks" / f"{verb}.yml").read_text()
        used = set(re.findall(rf"\b{role}_[a-z0-9_]+\b", text)) - modules
        assert used <= set(specs(role)[verb]), f"{role}/tasks/{verb}.yml"


def test_a_misspelt_variable_would_be_seen() -> None:
    variables = next(iter(variables_of(next(iter(CONTRACTS)))))
    values = given("cms_update", variables) | {"cms_update_polcy": {}}
    assert mistakes("cms_update", "promote", values) == ["cms_update_polcy is in no spec of cms_update"]


def test_a_missing_or_mistyped_variable_would_be_seen() -> None:
    variables = next(iter(variables_of(next(iter(CONTRACTS)))))
    values = given("site_probe", variables)
    assert mistakes("site_probe", "baseline", {k: v for k, v in values.items() if k != "site_probe_site"})
    assert mistakes("site_probe", "baseline", values | {"site_probe_probes": "none"})


@pytest.mark.parametrize(
    ("known", "key"),
    [
        ({}, ""),
        ({"site_snapshot_access_key": "only"}, "only"),
        ({"site_snapshot_access_key": "hosts", "upkeep_store_access_key": "owner"}, "owner"),
        # A host that has the only key could say what the others are offered.
        ({"site_snapshot_access_key": "only", "site_snapshot_transport": "direct"}, ""),
        ({"site_snapshot_access_key": "hosts", "site_snapshot_transport": "direct", "upkeep_store_access_key": "owner"}, "owner"),
    ],
)  # fmt: skip
def test_packages_are_read_with_a_key_that_no_host_has(known: dict[str, str], key: str) -> None:
    default = defaults("cms_update")["cms_update_access_key"]
    assert jinja2.Environment(autoescape=False).from_string(default).render(known) == key  # noqa: S701 - no page
    assert defaults("cms_update")["cms_update_secret_key"] == default.replace("access_key", "secret_key")
