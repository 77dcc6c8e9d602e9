"""A playbook is a target and a role, nothing else: what it does stands in the role."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.plan.plan import PICTURES, STAGING_HOST
from orchestrator.plan.step import STEPS
from tests.seam.ansible_side import PLAYBOOKS, ROLES, playbooks, role_names

PLAY_KEYS = {"name", "hosts", "gather_facts", "any_errors_fatal", "tasks"}
TASK_KEYS = {"name", "ansible.builtin.import_role"}
ROLE_KEYS = {"name", "tasks_from"}


def plays(playbook: Path) -> list[dict[str, Any]]:
    """Return the plays of a playbook, those of imported playbooks included."""
    found: list[dict[str, Any]] = []
    for play in yaml.safe_load(playbook.read_text()):
        imported = play.get("ansible.builtin.import_playbook")
        if imported is None:
            found.append(play)
        else:
            found.extend(plays(playbook.parent / imported))
    return found


def role_calls(playbook: Path) -> list[tuple[str, str]]:
    """Return role and verb of each task."""
    calls = (task["ansible.builtin.import_role"] for play in plays(playbook) for task in play["tasks"])
    return [(call["name"], call["tasks_from"]) for call in calls]


@pytest.mark.parametrize("playbook", playbooks(), ids=lambda path: path.stem)
def test_a_playbook_is_a_target_and_a_role(playbook: Path) -> None:
    for play in plays(playbook):
        assert set(play) <= PLAY_KEYS, f"{playbook.name} has {sorted(set(play) - PLAY_KEYS)}"
        assert play["gather_facts"] is False, f"{playbook.name} would spend half a second on facts that nobody reads"
        for task in play["tasks"]:
            assert set(task) == TASK_KEYS, f"{playbook.name}: {sorted(task)}"
            assert set(task["ansible.builtin.import_role"]) == ROLE_KEYS


@pytest.mark.parametrize("playbook", playbooks(), ids=lambda path: path.stem)
def test_a_playbook_names_task_files_that_exist(playbook: Path) -> None:
    for role, verb in role_calls(playbook):
        assert (ROLES / role / "tasks" / f"{verb}.yml").is_file(), f"{playbook.name}: {role} has no verb {verb}"


# What a task looks at that has such a tag: a planned run leaves it out by the tag, and by hand it finds out by itself.
WHEN = {
    PICTURES: "_pictures.pages | default([]) | length > 0",
    STAGING_HOST: "_site.staging.host | default('') | length > 0",
}


@pytest.mark.parametrize("role", role_names())
@pytest.mark.parametrize("verb", ["create", "rehearse"])
def test_what_is_left_out_of_a_planned_run_is_what_would_find_nothing_to_do(role: str, verb: str) -> None:
    file = ROLES / role / "tasks" / f"{verb}.yml"
    for task in yaml.safe_load(file.read_text()) if file.is_file() else ():
        conditions = task.get("when", [])
        conditions = [conditions] if isinstance(conditions, str) else conditions
        wanted = [tag for tag, words in WHEN.items() if f"{role}{words}" in conditions]
        assert task.get("tags", []) == wanted, task["name"]


def test_no_other_task_has_a_tag() -> None:
    tagged = [
        file for file in ROLES.glob("*/tasks/*.yml") for task in yaml.safe_load(file.read_text()) if "tags" in task
    ]
    assert {file.stem for file in tagged} == {"create", "rehearse"}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_has_its_playbook_and_it_runs_the_role_and_verb_of_the_step(name: str) -> None:
    playbook = PLAYBOOKS / f"{name}.yml"
    assert playbook.is_file(), f"the planner can produce the step {name}, but there is no {playbook.name}"
    assert role_calls(playbook) == [(STEPS[name].role, STEPS[name].tasks)]
