"""What Ansible is started with."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from ansible.constants import DEFAULT_VAULT_ID_MATCH
from ansible.parsing.vault import VaultLib, VaultSecret

from orchestrator.run.ansible import Call, InventoryError, Listener, Project, carry_out, host_variables
from orchestrator.run.events import StepReport
from tests.unit.run.fake_project import FakeProject

KEYS = ("site_snapshot_access_key", "site_snapshot_secret_key", "site_snapshot_password")


def encrypted(text: str, password: str) -> bytes:
    secret = VaultSecret(password.encode())
    result: bytes = VaultLib([(DEFAULT_VAULT_ID_MATCH, secret)]).encrypt(text, secret)
    return result


def test_a_hosts_variables_are_read_through_the_vault_and_leave_nothing_on_disk(
    project: FakeProject, tmp_path: Path
) -> None:
    folder = project.inventory / "group_vars" / "all"
    folder.mkdir(parents=True)
    text = "site_snapshot_access_key: the-key\nsite_snapshot_secret_key: seeded-secret\n"
    (folder / "vault.yml").write_bytes(encrypted(text, "open sesame"))
    password = tmp_path / "password"
    password.write_text("open sesame")
    scratch = tmp_path / "state" / "scratch"
    found = host_variables(Project(project.inventory, project.content, password), "shop", KEYS, scratch)
    assert found == {"site_snapshot_access_key": "the-key", "site_snapshot_secret_key": "seeded-secret"}
    assert not scratch.exists()


def test_an_inventory_that_cannot_be_read_is_said_in_a_sentence(project: FakeProject, tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="nobody"):
        host_variables(Project(project.inventory, project.content), "nobody", KEYS, tmp_path / "scratch")


def test_host_keys_are_checked_although_ansible_runner_would_not(
    project: FakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANSIBLE_HOST_KEY_CHECKING", raising=False)
    monkeypatch.setenv("ANSIBLE_VERBOSITY", "4")
    task = (
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - fail:\n        msg: \"{{ lookup('env', 'ANSIBLE_HOST_KEY_CHECKING') }} {{ lookup('env', 'ANSIBLE_VERBOSITY') }}\"\n"
    )
    (project.content / "playbooks" / "preflight.yml").write_text(task)
    ended: list[StepReport] = []

    def nothing(*_given: object) -> None:
        pass

    def begun(_name: str, at: datetime) -> None:
        assert at.tzinfo is not None

    call = Call(("preflight",), "shop", {"upkeep_run": "x"}, tmp_path / "scratch", tmp_path / "log")
    listener = Listener(begun, ended.append, lambda: False)
    (report,) = carry_out(Project(project.inventory, project.content), call, listener)
    assert report.seen.message.endswith("True 0")
    assert ended == [report]
