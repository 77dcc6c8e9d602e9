"""A person sees what follows from a contract, and what nobody does."""

from __future__ import annotations

from orchestrator.plan.explain import explain
from orchestrator.plan.plan import BATCHES, Duty
from orchestrator.plan.variables import place_variables
from tests.unit.contract.samples import BACKUP, STAGING, UPDATE, contract_with


def test_each_duty_leads_to_the_playbooks_that_a_run_would_start():
    explanation = explain(contract_with())

    assert [duty.clause for duty in explanation.duties] == ["scope.backup", "scope.update", "scope.update"]
    assert explanation.duties[2].duty == "rehearse"
    assert "upkeep rehearse example" in explanation.duties[2].words
    assert not any(step.changes_production for step in explanation.duties[2].steps)
    for duty in explanation.duties:
        assert tuple(step.step for step in duty.steps) == sum(BATCHES[Duty(duty.duty)], ())
        assert [(place.site, place.host) for place in duty.places] == [("shop", "shop")]
    promote = next(step for step in explanation.duties[1].steps if step.step == "promote")
    assert (promote.playbook, promote.role, promote.tasks) == ("playbooks/promote.yml", "cms_update", "promote")
    assert (promote.changes_production, promote.way_back) == (True, ("back", "release"))


def test_a_staging_host_is_named_and_its_steps_are_explained():
    duty = explain(contract_with((*STAGING, "host"), "yard")).duties[1]
    assert [(place.host, place.staging_host) for place in duty.places] == [("shop", "yard")]
    assert [step.step for step in duty.steps if step.step in ("bring", "deliver", "leave")] == [
        "bring",
        "deliver",
        "leave",
    ]


def test_every_variable_of_a_place_is_used_by_a_role_and_comes_from_a_clause():
    contract = contract_with()
    explained = {
        variable.name: variable.clauses
        for duty in explain(contract).duties
        for step in duty.steps
        for variable in step.variables
    }
    assert explained.keys() == place_variables(contract, "shop").keys()
    assert explained["cms_update_policy"] == tuple(
        f"scope.update.{key}"
        for key in ("core", "plugins", "themes", "translations", "cool_down_days", "fast_lane", "look")
    )


def test_the_promise_is_said_in_words():
    update = {
        "window": {"days": ["mon", "tue"], "from": "22:00", "to": "01:00"},
        "core": "minor",
        "plugins": ["akismet", "hello"],
        "themes": "none",
        "holds": [{"kind": "core", "slug": "wordpress", "version": "6.5.5", "reason": "x"}],
    }
    assert explain(contract_with(UPDATE, update)).duties[1].words == (
        "minor releases of WordPress, the plugins akismet, hello, no themes; mon, tue 22:00–01:00 (Europe/Berlin);"
        " 1 release is held."
    )


def test_what_nothing_serves_is_listed_with_the_clients_words():
    unserved = explain(contract_with()).unserved
    assert [(each.clause, each.words) for each in unserved] == [
        ("scope.response_times", "An answer within four hours on working days."),
        ("scope.report", "One page each month, by mail."),
        ("scope.backup.verify", "weekly, all of the data within 30 days"),
        ("retention", "7 daily, 4 weekly, 12 monthly, 2 yearly"),
    ]
    assert all(each.reason for each in unserved)


def test_a_duty_that_was_not_promised_is_not_explained():
    explanation = explain(contract_with(("scope",), {"backup": {}}))
    assert [duty.duty for duty in explanation.duties] == ["backup"]
    assert [each.clause for each in explanation.unserved] == ["scope.backup.verify", "retention"]
    assert "back within" not in explanation.duties[0].words
    recovery = {"recovery": {"rto_hours": 2, "rpo_hours": 12}}
    assert (
        explain(contract_with(BACKUP, recovery))
        .duties[0]
        .words.endswith("; back within 2 hours, with data of no more than 12 hours before.")
    )
