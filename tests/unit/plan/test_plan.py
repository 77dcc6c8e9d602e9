"""From a contract to runs of steps; a plan in a file is believed in nothing but its ids."""

from __future__ import annotations

import copy
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from orchestrator.contract.model import Contract, Hold
from orchestrator.errors import Refused, Usage
from orchestrator.plan.plan import (
    Duty,
    FirstSeen,
    Plan,
    Released,
    SiteRun,
    choose_duty,
    choose_sites,
    make_plan,
    passable,
    plan_json,
    read_plan,
    remade_run,
    same_plan,
)
from orchestrator.plan.variables import place_variables
from tests.unit.contract.samples import DELETED, STAGING, UPDATE, contract_with

ID = "20261122T020000Z-1f0c9a2b"
OTHER = "20261121T020000Z-0a0b0c0d"
MADE = datetime(2026, 11, 22, 2, tzinfo=UTC)
CONTRACT = contract_with()
HELD = Hold("plugin", "newspack-blocks", "4.33.0", "white page on /")


def made(duty: Duty = Duty.UPDATE, point: str = "", holds: tuple[Hold, ...] = ()) -> Plan:
    return make_plan(CONTRACT, "d" * 64, made=MADE, duty=duty, ids={"shop": ID}, holds={"shop": holds}, point=point)


def test_an_update_names_its_restore_point_and_every_way_back_before_anything_is_touched() -> None:
    run = made().runs[0]
    assert [step.name for step in run.steps] == ["preflight", "snapshot", "stage", "rehearse", "promote", "release"]
    assert run.point == run.run == ID
    assert {step.name: step.way_back for step in run.steps}["promote"] == ("back", "release")
    assert all("release" in step.way_back for step in run.steps if step.name != "release")


AWAY = contract_with((*STAGING, "host"), "yard")


def away(duty: Duty, to: str = "") -> SiteRun:
    plan = make_plan(AWAY, "d" * 64, made=MADE, duty=duty, ids={"shop": ID}, holds={}, to=to)
    (run,) = plan.runs
    assert run.batches == remade_run(
        run=run.run, point=run.point, client=run.client, site=run.site, host=run.host, duty=duty, variables=run.variables
    ).batches  # fmt: skip
    assert same_plan(plan_json(plan, AWAY), json.loads(json.dumps(plan_json(plan, AWAY))))
    return run


def test_an_update_is_rehearsed_on_the_staging_host_and_delivered_from_there() -> None:
    run = away(Duty.UPDATE)
    assert [(step.name, step.host) for step in run.steps] == [
        ("preflight", "shop"), ("snapshot", "shop"), ("bring", "yard"), ("stage", "yard"), ("rehearse", "yard"),
        ("deliver", "shop"), ("promote", "shop"), ("release", "shop"), ("leave", "yard"),
    ]  # fmt: skip
    assert (run.host, run.point, run.variables["upkeep_point"]) == ("shop", ID, ID)


def test_what_a_contract_gives_nothing_to_do_is_left_out_but_not_of_a_run_that_is_taken_up_again() -> None:
    def needless(contract: Contract) -> tuple[str, ...]:
        (run,) = make_plan(contract, "d" * 64, made=MADE, duty=Duty.UPDATE, ids={"shop": ID}, holds={}).runs
        return run.needless

    assert needless(CONTRACT) == ("pictures", "staging_host")
    assert needless(AWAY) == ("pictures",)
    assert needless(contract_with((*UPDATE, "pictures"), {"threshold": 0.01})) == ("staging_host",)
    # The ledger does not say of what there was nothing to do, and the contract may have changed since.
    again = remade_run(run=ID, point=ID, client="a", site="shop", host="shop", duty=Duty.UPDATE, variables={})
    assert again.needless == ()


def test_a_rehearsal_on_the_staging_host_tries_the_newest_restore_point() -> None:
    run = away(Duty.REHEARSE)
    assert [step.name for step in run.steps] == ["preflight", "bring", "stage", "rehearse", "release", "leave"]
    assert (run.point, run.variables["upkeep_point"]) == (ID, "newest")
    assert not any(step.kind.changes_production for step in run.steps)


@pytest.mark.parametrize(
    ("duty", "to", "host"),
    [
        (Duty.DRILL, "", "yard"),
        (Duty.DRILL, "spare", "spare"),
        (Duty.SHOW, "", "yard"),
        (Duty.UNSTAGE, "", "yard"),
        (Duty.BACKUP, "", "shop"),
        (Duty.RESTORE, "", "shop"),
    ],
)
def test_what_lies_in_the_staging_place_is_on_the_staging_host(duty: Duty, to: str, host: str) -> None:
    run = away(duty, to)
    assert (run.host, {step.host for step in run.steps}) == (host, {host})
    assert run.variables.get("upkeep_to") == (host if host != "shop" else None)


def test_an_update_serves_the_backup_too() -> None:
    assert made().runs[0].serves == (Duty.BACKUP,)
    assert made(Duty.BACKUP).runs[0].serves == ()


def test_ansible_gets_our_own_ids_and_names_only() -> None:
    variables = made(holds=(HELD,)).runs[0].variables
    assert variables == {
        "upkeep_run": ID,
        "upkeep_point": ID,
        "upkeep_keep_lease": True,
        "upkeep_holds": [{"kind": "plugin", "slug": "newspack-blocks", "version": "4.33.0"}],
    }


def test_an_update_with_a_cool_down_is_told_since_when_releases_have_been_on_offer() -> None:
    seen = FirstSeen("plugin", "good", "2.0", date(2026, 11, 1))
    odd = FirstSeen("plugin", "{{ x }}", "2.0", date(2026, 11, 1))
    waits = contract_with((*UPDATE, "cool_down_days"), 7)

    def told(contract: Contract, duty: Duty = Duty.UPDATE) -> Any:
        plan = make_plan(
            contract, "d", made=MADE, duty=duty, ids={"shop": ID}, holds={}, point="newest", first_seen=(seen, odd)
        )
        return plan_json(plan, contract)

    variables = told(waits)["runs"][0]["run_variables"]
    assert variables["upkeep_first_seen"] == [{"kind": "plugin", "slug": "good", "version": "2.0", "day": "2026-11-01"}]
    assert "upkeep_first_seen" not in told(CONTRACT)["runs"][0]["run_variables"]
    assert "upkeep_first_seen" not in told(waits, Duty.DRILL)["runs"][0]["run_variables"]
    # What the ledger has learned since does not make a written plan another one.
    grown = make_plan(waits, "d", made=MADE, duty=Duty.UPDATE, ids={"shop": ID}, holds={}, point="newest")
    assert same_plan(told(waits), plan_json(grown, waits))


def test_what_a_person_has_let_go_is_told_with_its_checksum() -> None:
    good = Released("plugin", "good", "2.0", "a" * 64)
    odd = (Released("plugin", "good", "2.0", ""), Released("plugin", "{{ x }}", "2.0", "a" * 64))
    plan = make_plan(
        CONTRACT, "d", made=MADE, duty=Duty.UPDATE, ids={"shop": ID}, holds={}, released={"shop": (good, *odd)}
    )
    assert plan.runs[0].variables["upkeep_released"] == [
        {"kind": "plugin", "slug": "good", "version": "2.0", "sha256": "a" * 64}
    ]


def test_a_restore_uses_the_point_that_is_asked_for_and_does_not_ask_for_a_healthy_site() -> None:
    run = made(Duty.RESTORE, point=OTHER).runs[0]
    assert run.variables["upkeep_point"] == OTHER
    assert run.variables["site_probe_must_be_healthy"] is False


def test_a_drill_tries_the_newest_point_beside_what_was_promised_and_touches_production_nowhere() -> None:
    run = made(Duty.DRILL, point="newest").runs[0]
    assert [step.name for step in run.steps] == ["preflight", "drill", "release"]
    assert not any(step.kind.changes_production for step in run.steps)
    assert (run.variables["upkeep_point"], run.variables["site_probe_must_be_healthy"]) == ("newest", False)
    assert run.promised == {"rto_hours": 4, "rpo_hours": 24}
    nothing = contract_with(("scope", "backup"), {})
    plan = make_plan(nothing, "d", made=MADE, duty=Duty.DRILL, ids={"shop": ID}, holds={}, point="newest")
    assert plan.runs[0].promised == {}
    assert choose_duty(contract_with(("scope", "backup"), DELETED), Duty.DRILL) is Duty.DRILL


def test_a_rehearsal_is_an_update_that_touches_production_nowhere_and_takes_no_restore_point() -> None:
    run = made(Duty.REHEARSE).runs[0]
    assert [step.name for step in run.steps] == ["preflight", "stage", "rehearse", "release"]
    assert not any(step.kind.changes_production for step in run.steps)
    assert (run.promised, run.serves) == (made().runs[0].promised, ())
    assert run.variables == made().runs[0].variables
    assert plan_json(made(Duty.REHEARSE), CONTRACT)["runs"][0]["window"] is None
    with pytest.raises(Refused, match="does not promise 'update'"):
        choose_duty(contract_with(("scope", "update"), DELETED), Duty.REHEARSE)


@pytest.mark.parametrize(
    "hold",
    [
        Hold("plugin", "{{ lookup('pipe','id') }}", "1.0", ""),
        Hold("plugin", "a", "1.0\n", ""),
        Hold("plugin", "../a", "1.0", ""),
        Hold("plugin", "-a", "1.0", ""),
        Hold("plugin", "a", "", ""),
        Hold("drop-in", "a", "1.0", ""),  # type: ignore[arg-type]
    ],
)
def test_what_a_host_calls_a_release_is_not_handed_to_ansible_when_it_is_no_name(hold: Hold) -> None:
    assert not passable(hold)
    assert made(holds=(hold, HELD)).runs[0].variables["upkeep_holds"] == [
        {"kind": "plugin", "slug": "newspack-blocks", "version": "4.33.0"}
    ]


def test_a_written_plan_shows_the_variables_of_the_place_and_no_secret() -> None:
    written = plan_json(made(), CONTRACT)
    run = written["runs"][0]
    assert run["place_variables"] == place_variables(CONTRACT, "shop")
    assert run["window"] == {"days": list(CONTRACT.scope.update.window.days), "from": "02:00", "to": "05:00",  # type: ignore[union-attr]
                             "time_zone": "Europe/Berlin"}  # fmt: skip
    assert "secret" not in json.dumps(written)
    assert "password" not in json.dumps(written)


def test_a_plan_that_was_written_and_read_says_the_same() -> None:
    written = json.loads(json.dumps(plan_json(made(), CONTRACT)))
    asked = read_plan(written)
    assert (asked.client, asked.digest, asked.made) == ("example", "d" * 64, MADE)
    assert asked.runs == {"shop": (ID, ID, Duty.UPDATE)}
    assert same_plan(written, plan_json(made(holds=(HELD,)), CONTRACT))


def test_an_edited_plan_does_not_say_the_same() -> None:
    written = plan_json(made(), CONTRACT)
    for change in (
        lambda run: run["steps"].pop(0),
        lambda run: run["place_variables"]["site_probe_site"].update(root="/"),
        lambda run: run["run_variables"].update(upkeep_keep_lease=False),
        lambda run: run.update(host="other"),
    ):
        edited: dict[str, Any] = copy.deepcopy(written)
        change(edited["runs"][0])
        assert not same_plan(edited, written)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "plan",
        {},
        {"schema": 2},
        {"schema": 1, "client": "a", "contract": "d", "made": "x", "runs": []},
        {"schema": 1, "client": "a", "contract": "d", "made": "2026-11-22", "runs": [{"site": "a", "run": "../../x"}]},
        {"schema": 1, "client": "a", "contract": "d", "made": "2026-11-22", "runs": [1]},
    ],
)
def test_what_is_no_plan_is_refused_in_a_sentence(broken: Any) -> None:
    with pytest.raises(Usage, match=r"plan"):
        read_plan(broken)


def test_without_a_duty_the_update_is_chosen_and_the_backup_when_no_update_was_promised() -> None:
    assert choose_duty(CONTRACT, None) is Duty.UPDATE
    assert choose_duty(CONTRACT, Duty.BACKUP) is Duty.BACKUP
    backup_only = contract_with(("scope", "update"), DELETED)
    assert choose_duty(backup_only, None) is Duty.BACKUP
    with pytest.raises(Refused, match="does not promise 'update'; nothing was touched"):
        choose_duty(backup_only, Duty.UPDATE)


def test_a_site_that_is_not_there_is_a_question_of_usage() -> None:
    assert choose_sites(CONTRACT, ()) == ("shop",)
    with pytest.raises(Usage, match=r"no site 'shp'.*Did you mean 'shop'"):
        choose_sites(CONTRACT, ("shp",))


def test_a_run_is_made_again_from_what_the_ledger_kept() -> None:
    run = made().runs[0]
    again = remade_run(
        run=run.run, point=run.point, client=run.client, site=run.site, host=run.host, duty=run.duty,
        variables=run.variables,
    )  # fmt: skip
    assert (again.batches, again.variables, again.host) == (run.batches, run.variables, run.host)
