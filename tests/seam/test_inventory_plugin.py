"""A playbook that is started by hand gets the very same variables as a planned run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestrator.contract.load import load_contract
from orchestrator.plan.variables import place_variables
from tests.unit.contract.samples import REPOSITORY, SAMPLE

pytestmark = pytest.mark.slow


def ansible(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start one of Ansible's programs as a person in this folder would."""
    return subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The sample without its vault, which may be somebody's."""
    folder = tmp_path_factory.mktemp("inventories") / "example"
    shutil.copytree(SAMPLE.parent, folder, ignore=shutil.ignore_patterns("vault.yml"))
    return folder


@pytest.fixture(scope="module")
def inventory(client):
    """The sample as Ansible sees it."""
    ended = ansible("ansible-inventory", "-i", str(client), "--list")
    assert ended.returncode == 0, ended.stderr
    assert "WARNING" not in ended.stderr
    return json.loads(ended.stdout)


def played(client, text):
    """Return what a playbook of these words prints, started by hand."""
    play = client.parent / "play.yml"
    play.write_text(text)
    ended = ansible("ansible-playbook", "-i", str(client), str(play))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def untrusted(value):
    """Return a value as it stands in the contract, after seeing that Ansible will not take its words for templates."""
    if isinstance(value, list):
        return [untrusted(each) for each in value]
    if isinstance(value, dict) and "__ansible_unsafe" not in value:
        return {key: untrusted(each) for key, each in value.items()}
    assert not isinstance(value, str), value
    return value["__ansible_unsafe"] if isinstance(value, dict) else value


def test_the_place_has_the_variables_of_the_planner_and_none_of_them_is_a_template(inventory):
    variables = inventory["_meta"]["hostvars"]["shop"]
    for name, value in place_variables(load_contract(SAMPLE), "shop").items():
        assert untrusted(variables[name]) == value
    assert variables["ansible_user"] == "shop"


def test_the_place_is_in_the_groups_of_production_and_of_its_cms(inventory):
    assert inventory["production"]["hosts"] == ["shop"]
    assert inventory["wordpress"]["hosts"] == ["shop"]


def test_staging_is_on_the_same_host_or_on_another_with_the_same_variables(client, inventory):
    assert inventory["staging"]["hosts"] == ["shop"]
    contract, hosts = client / "contract.yml", client / "hosts.yml"
    before = contract.read_text(), hosts.read_text()
    try:
        place = "      staging:"
        contract.write_text(before[0].replace(place, f"{place}\n        host: yard #", 1))
        yard = {"ansible_host": "192.0.2.8", "upkeep_target": {"programs": {"php": "php8.3"}}}
        hosts.write_text(f"{before[1]}    yard: {json.dumps(yard)}\n")
        said = played(
            client,
            "- hosts: staging:!production\n  gather_facts: false\n  connection: local\n  tasks:\n"
            "    - ansible.builtin.debug: {msg: '{{ site_staging_site.programs.php }} {{ upkeep_elsewhere }}"
            " {{ cms_update_site.staging.host }} {{ cms_update_policy.core }}'}\n"
            "- hosts: production\n  gather_facts: false\n  connection: local\n  tasks:\n"
            "    - ansible.builtin.debug: {msg: 'home {{ site_staging_site.programs.php }} {{ upkeep_elsewhere is defined }}'}\n",
        )
        assert "php8.3 True yard major" in said
        assert "home php False" in said
    finally:
        contract.write_text(before[0])
        hosts.write_text(before[1])


def test_each_start_has_one_run_id(inventory):
    run = untrusted(inventory["_meta"]["hostvars"]["shop"]["upkeep_run"])
    assert re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", run)


def test_a_playbook_by_hand_sees_them_and_the_run_stays_the_same_when_the_inventory_is_read_again(client):
    said = played(
        client,
        "- hosts: production\n  gather_facts: false\n  connection: local\n  tasks:\n"
        "    - ansible.builtin.debug: {msg: 'first {{ upkeep_run }} {{ cms_update_policy.core }}'}\n"
        "    - ansible.builtin.meta: refresh_inventory\n"
        "    - ansible.builtin.debug: {msg: 'again {{ upkeep_run }}'}\n",
    )
    first, again = (re.search(word + r" ([0-9TZ]+-[0-9a-f]{8})", said) for word in ("first", "again"))
    assert first is not None
    assert again is not None
    assert first[1] == again[1]
    assert f"{first[1]} major" in said


def test_a_site_lives_on_another_host_for_one_start_with_what_differs_there_and_no_word_of_it_is_a_template(client):
    hosts = client / "hosts.yml"
    before = hosts.read_text()
    target = {"root": "/var/www/new", "port": 8000, "programs": {"php": "php8.3"}}
    try:
        more = {"fresh": {"ansible_host": "192.0.2.9", "upkeep_target": target}}
        hosts.write_text(f"{before}\nothers: {json.dumps({'hosts': more})}\n")
        moved = ("-e", "upkeep_site=shop", "-e", "upkeep_to=fresh")
        ended = ansible("ansible-inventory", "-i", str(client), "--list", *moved)
        assert json.loads(ended.stdout)["production"]["hosts"] == ["fresh"], ended.stderr
        play = client.parent / "moved.yml"
        play.write_text(
            "- hosts: production\n  gather_facts: false\n  connection: local\n  tasks:\n"
            "    - ansible.builtin.debug: {var: site_lease_site}\n"
        )
        ended = ansible("ansible-playbook", "-i", str(client), str(play), *moved)
        told = yaml.safe_load(re.search(r"(?s)=> *\n(.*?)\n\n", ended.stdout)[1])["site_lease_site"]
        assert (told["root"], told["port"]) == ("/var/www/new", 8000)
        assert told["programs"] == {
            **place_variables(load_contract(SAMPLE), "shop")["site_lease_site"]["programs"],
            "php": "php8.3",
        }
        ended = ansible(
            "ansible-inventory", "-i", str(client), "--list", "-e", "upkeep_site=shop", "-e", "upkeep_to=nobody"
        )
        assert ended.returncode == 2
        assert "'nobody' is no host in" in ended.stderr
    finally:
        hosts.write_text(before)
