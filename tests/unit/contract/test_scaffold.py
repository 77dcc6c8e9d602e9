"""A new client's folder passes the check, and gives no secret away."""

from __future__ import annotations

import stat
from datetime import date

import pytest
from ruamel.yaml import YAML

from orchestrator.contract.load import check, load_contract
from orchestrator.contract.scaffold import Answers, scaffold, write_scaffold
from orchestrator.errors import ContractInvalid, Usage

TODAY = date(2026, 11, 23)
PASSWORD = 'correct horse: {battery} "staple"'


def files_of(client="acme", **answers):
    """Make the files of a new client."""
    return scaffold(client, today=TODAY, restic_password=PASSWORD, answers=Answers(**answers))


def test_a_new_client_passes_the_check_at_once(tmp_path):
    folder = write_scaffold(tmp_path, "acme", files_of())

    assert check([folder]) == []
    contract = load_contract(folder / "contract.yml")
    assert (contract.client.name, contract.agreement.begins) == ("acme", TODAY)
    assert contract.agreement.ends == date(2027, 11, 22)
    assert contract.sites[0].production.host == "acme-main"


def test_the_answers_arrive_where_they_belong(tmp_path):
    files = files_of(
        name='Ada\'s "best" bread: since 1900 # fresh', site="shop", url="https://shop.acme.test", user="web7",
        host_address="192.0.2.7", root="/var/www/web7/htdocs", endpoint="http://127.0.0.1:9000", time_zone="Europe/Paris",
    )  # fmt: skip
    contract = load_contract(write_scaffold(tmp_path, "acme", files) / "contract.yml")
    site = contract.site("shop")
    assert contract.client.name == 'Ada\'s "best" bread: since 1900 # fresh'
    assert (site.url, site.production.root, site.production.host) == (
        "https://shop.acme.test", "/var/www/web7/htdocs", "acme-shop",
    )  # fmt: skip
    host = YAML(typ="safe").load(files["hosts.yml"])["all"]["hosts"]["acme-shop"]
    assert host == {"ansible_host": "192.0.2.7", "ansible_user": "web7"}
    assert "# CHANGE" not in files["hosts.yml"]
    assert "CHANGE" in files_of()["hosts.yml"]


def test_the_vault_is_for_its_owner_only_and_git_does_not_see_it(tmp_path):
    folder = write_scaffold(tmp_path, "acme", files_of())
    vault = folder / "group_vars" / "all" / "vault.yml"

    assert stat.S_IMODE(vault.stat().st_mode) == 0o600
    assert YAML(typ="safe").load(vault.read_text()) == {
        "site_snapshot_access_key": "CHANGE",
        "site_snapshot_secret_key": "CHANGE",
        "site_snapshot_password": PASSWORD,
    }
    assert "group_vars/all/vault.yml" in (folder / ".gitignore").read_text().splitlines()
    others = [path for path in folder.rglob("*") if path.is_file() and path != vault]
    assert all(PASSWORD not in path.read_text() for path in others)
    assert YAML(typ="safe").load((folder / "group_vars" / "all" / "vars.yml").read_text()) == {}


def test_a_client_that_is_there_is_never_written_over(tmp_path):
    folder = write_scaffold(tmp_path, "acme", files_of())
    before = (folder / "contract.yml").read_text()
    with pytest.raises(Usage, match="nothing was written"):
        write_scaffold(tmp_path, "acme", files_of(name="other"))
    assert (folder / "contract.yml").read_text() == before


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(OSError):
        write_scaffold(tmp_path, "acme", {**files_of(), "x" * 300: ""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("client", ["../acme", "Acme", "", "-x", "a b", "a\x1b"])
def test_a_client_has_an_ordinary_name(client):
    with pytest.raises(Usage):
        files_of(client)


@pytest.mark.parametrize(
    "answer",
    [{"user": "-x"}, {"user": "a;b"}, {"host_address": "169.254.169.254"}, {"host_address": "-oProxyCommand=id"}],
)
def test_how_the_host_is_reached_is_judged_too(answer):
    with pytest.raises(Usage):
        files_of(**answer)


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({"url": "http://169.254.169.254"}, "sites.main.url"),
        ({"name": "a\nid: b"}, "client.name"),
        ({"root": "/etc"}, "sites.main.places.production.root"),
        ({"site": "My Site"}, "sites.'My Site'"),
        ({"time_zone": "Mars/Base"}, "agreement.time_zone"),
    ],
)
def test_an_answer_that_cannot_stand_in_a_contract_is_refused_before_anything_is_written(answer, path):
    with pytest.raises(ContractInvalid) as caught:
        files_of(**answer)
    assert path in {mistake.path for mistake in caught.value.mistakes}
