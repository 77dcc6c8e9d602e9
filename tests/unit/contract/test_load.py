"""A contract is loaded whole and without mistakes, or every mistake is said with its line."""

from __future__ import annotations

import copy
import hashlib
import os
import random
import shutil
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.contract.load import (
    check,
    contract_digest,
    expired_holds,
    find_client,
    load_contract,
    parse_contract,
)
from orchestrator.contract.model import Database, Hold, Production, Programs, Promise, Staging
from orchestrator.errors import ContractInvalid, Usage
from plugins.module_utils.language_packs import pack_of
from tests.unit.contract.samples import (
    BACKUP,
    DELETED,
    FUNCTION,
    PRODUCTION,
    SAMPLE,
    STAGING,
    UPDATE,
    URL,
    WINDOW,
    changed,
    contract_with,
    mistakes_of,
    mistakes_with,
    sample_data,
    written,
)


def test_the_sample_loads_with_every_value_in_its_place():
    contract = load_contract(SAMPLE)

    assert contract.client.id == "example"
    assert contract.agreement.ends == date(2027, 1, 31)
    assert [contact.role for contact in contract.contacts] == ["client", "agency"]
    assert contract.contacts[1].phone == ""
    site = contract.site("shop")
    assert site.url == "http://shop.example.test"
    assert site.production == Production("shop", "/srv/shop/htdocs", "127.0.0.1", 80, Programs(), "")
    assert site.staging == Staging(8081, "shop_staging")
    assert [(function.path, function.text, function.status) for function in site.functions] == [
        ("/", ("Example Bakery",), 200),
        ("/lab-post-1/", ("LAB-1",), 200),
    ]
    assert contract.scope.backup is not None
    assert contract.scope.update is not None
    assert contract.scope.update.window.begins == time(2, 0)
    assert (contract.scope.update.core, contract.scope.update.plugins) == ("major", "all")
    assert contract.scope.promises[1] == Promise("report", "One page each month, by mail.")
    assert contract.retention.monthly == 12


def test_a_site_that_does_not_exist_is_no_value():
    with pytest.raises(KeyError):
        load_contract(SAMPLE).site("nowhere")


@pytest.mark.parametrize(
    ("url", "normal", "port"),
    [
        ("https://www.example.test", "https://www.example.test", 443),
        ("http://WWW.Example.test/", "http://www.example.test", 80),
        ("http://shop.example.test:8080", "http://shop.example.test:8080", 8080),
        ("http://192.168.7.9", "http://192.168.7.9", 80),
        ("http://[fd12::7]:81", "http://[fd12::7]:81", 81),
        ("https://xn--bcker-gra.example", "https://xn--bcker-gra.example", 443),
    ],
)
def test_the_port_of_production_follows_the_address_when_none_is_given(url, normal, port):
    data = changed((*PRODUCTION, "port"), DELETED, changed(URL, url))
    site = parse_contract(written(data), "contract.yml").site("shop")
    assert (site.url, site.production.port, site.production.address) == (normal, port, "127.0.0.1")


def test_what_is_optional_has_its_default():
    data = changed(PRODUCTION, {"host": "shop", "root": "/srv/shop/htdocs"})
    data = changed(FUNCTION, {"name": "front page", "path": "/"}, data)
    data = changed((*UPDATE, "holds"), DELETED, data)
    contract = parse_contract(written(data), "contract.yml")

    site = contract.site("shop")
    assert site.production.programs == Programs("php", "mariadb", "mariadb-dump", "restic")
    assert (site.functions[0].text, site.functions[0].status) == ((), 200)
    assert contract.scope.update is not None
    assert contract.scope.update.holds == ()


def test_policies_and_holds_are_values():
    data = changed((*UPDATE, "plugins"), ["akismet", "newspack-blocks"])
    hold = {"kind": "plugin", "slug": "akismet", "version": "5.1", "reason": "breaks the form"}
    contract = parse_contract(written(changed((*UPDATE, "holds"), [hold], data)), "contract.yml")
    assert contract.scope.update is not None
    assert contract.scope.update.plugins == ("akismet", "newspack-blocks")
    assert contract.scope.update.holds == (Hold("plugin", "akismet", "5.1", "breaks the form"),)


def test_the_days_of_a_window_come_in_the_order_of_the_week():
    contract = contract_with((*WINDOW, "days"), ["sun", "mon"])
    assert contract.scope.update is not None
    assert contract.scope.update.window.days == ("mon", "sun")


def test_a_window_may_cross_midnight():
    contract = contract_with(WINDOW, {"days": ["fri"], "from": "23:30", "to": "01:00"})
    assert contract.scope.update is not None
    assert contract.scope.update.window.ends < contract.scope.update.window.begins


def test_a_duty_that_was_not_promised_is_none():
    scope = contract_with(("scope",), {"backup": {}}).scope
    assert (scope.update, scope.promises) == (None, ())


def test_a_date_is_a_word_and_a_clock_is_not_counted_in_sixties():
    text = SAMPLE.read_text().replace('from: "02:00"', "from: 22:30").replace('to: "05:00"', "to: 23:45")
    contract = parse_contract(text, "contract.yml")
    assert contract.scope.update is not None
    assert contract.scope.update.window.begins == time(22, 30)


def test_windows_line_ends_are_fine():
    parse_contract(SAMPLE.read_text().replace("\n", "\r\n"), "contract.yml")


def test_letters_of_every_language_are_fine():
    assert contract_with(("client", "name"), "Bäckerei Şahin 面包店 \u06cc\u200c\u0647").client.name.startswith(
        "Bäckerei"
    )


def test_every_mistake_is_reported_at_once_in_the_order_of_the_lines():
    text = SAMPLE.read_text()
    text = text.replace("core: major", "core: minorr")
    text = text.replace("ends: 2027-01-31", "ends: 2025-01-31")
    text = text.replace("url: http://shop.example.test", "url: ftp://shop.example.test")
    text = text.replace("  yearly: 2", "  yeerly: 2")
    with pytest.raises(ContractInvalid) as caught:
        parse_contract(text, "inventories/example/contract.yml", folder="sample")

    lines = text.split("\n")
    found = [(mistake.path, lines[mistake.line - 1].split(":")[0].strip()) for mistake in caught.value.mistakes]
    assert found == [
        ("client.id", "id"),
        ("agreement.ends", "ends"),
        ("sites.shop.url", "url"),
        ("scope.update.core", "core"),
        ("retention.yearly", "retention"),
        ("retention.yeerly", "yeerly"),
    ]
    assert caught.value.message.startswith("6 mistakes in the contract; nothing was run.\n")
    assert caught.value.exit_code == 10
    assert caught.value.next_step.endswith("upkeep check")


def test_a_mistake_says_file_line_column_path_what_is_wrong_and_what_was_meant():
    text = SAMPLE.read_text().replace("core: major", "core: minorr")
    line = text[: text.index("minorr")].count("\n") + 1
    (mistake,) = mistakes_of(text)
    assert str(mistake) == (
        f"contract.yml:{line}:11: scope.update.core: 'minorr' is not allowed. Allowed: 'none', 'minor' or 'major'."
        " Did you mean 'minor'?"
    )


@pytest.mark.parametrize(
    ("key", "value", "path", "words"),
    [
        (("cleint",), {}, "cleint", "unknown key 'cleint'. Allowed: schema, client,"),
        (("cleint",), {}, "cleint", "Did you mean 'client'?"),
        ((*PRODUCTION, "adress"), "10.0.0.1", "sites.shop.places.production.adress", "Did you mean 'address'?"),
        (("scope", "updates"), {}, "scope.updates", "Did you mean 'update'?"),
        (("scope", "backup", "x"), 1, "scope.backup.x", "unknown key 'x'. Allowed: verify, recovery."),
        (
            (*UPDATE, "plugins"),
            "al",
            "scope.update.plugins",
            "Allowed: 'all', 'minor' or 'none', or a list of slugs. Did you",
        ),
        ((*UPDATE, "themes"), {"a": 1}, "scope.update.themes", "a mapping is not allowed"),
        ((*UPDATE, "core"), True, "scope.update.core", "true is not allowed"),
        (("client", "id"), DELETED, "client.id", "the key 'id' is missing. What belongs there: The same as"),
        ((*PRODUCTION, "port"), "80", "sites.shop.places.production.port", "'80' is not a whole number."),
        ((*PRODUCTION, "port"), 70000, "sites.shop.places.production.port", "too large. Allowed: 1 to 65535."),
        (("agreement", "number"), 17, "agreement.number", "17 is not text. Write it in quotes. Allowed: letters"),
        (("client", "name"), "", "client.name", "the text is empty."),
        (("client", "name"), "x" * 201, "client.name", "at most 200 characters"),
        (("client", "name"), None, "client.name", "nothing is not text."),
        (("contacts",), [], "contacts", "the list is too short. Allowed: at least 1."),
        (("sites",), {}, "sites", "nothing stands here. Allowed: at least 1."),
        (("scope",), {}, "scope", "nothing stands here."),
        (("schema",), 2, "schema", "2 is not allowed. Allowed: 1."),
        (("agreement", "time_zone"), "Europe/Berlyn", "agreement.time_zone", "Did you mean 'Europe/Berlin'?"),
        (("agreement", "time_zone"), "localtime", "agreement.time_zone", "no IANA time zone"),
        (("agreement", "time_zone"), "posix/Europe/Berlin", "agreement.time_zone", "no IANA time zone"),
        (("agreement", "time_zone"), "Europe", "agreement.time_zone", "no IANA time zone"),
        (("agreement", "time_zone"), "/etc/localtime", "agreement.time_zone", "no IANA time zone"),
        (("agreement", "signed"), "2026-02-30", "agreement.signed", "is on no calendar"),
        (("agreement", "begins"), "2025-12-31", "agreement.begins", "is not after signed (2026-01-15)"),
        (("agreement", "ends"), "2026-02-01", "agreement.ends", "is not after begins"),
        ((*WINDOW, "to"), "02:00", "scope.update.window.to", "it would never be open"),
        ((*WINDOW, "days"), ["mon", "mon"], "scope.update.window.days[2]", "'mon' stands here twice"),
        ((*WINDOW, "days", 0), "monday", "scope.update.window.days[1]", "Did you mean 'mon'?"),
        ((*UPDATE, "plugins"), ["a", "a"], "scope.update.plugins[2]", "stands here twice"),
        (("sites", "shop", "places", "staging", "port"), 8080, "sites.shop.places.staging.port", "production's port"),
        (("sites", "shop", "places", "staging", "database"), "mysql", "sites.shop.places.staging.database", "server"),
        ((*PRODUCTION, "host"), "localhost", "sites.shop.places.production.host", "Choose another name"),
        (("sites", "shop", "functions", 1, "name"), "front page", "sites.shop.functions[2].name", "already the name"),
        ((*FUNCTION, "name"), "wordpress: mine", "sites.shop.functions[1].name", "built-in checks"),
        (("store", "bucket"), "a..b", "store.bucket", "may not stand in it"),
    ],
)
def test_a_mistake_names_the_place_and_what_is_allowed(key, value, path, words):
    data = changed((*PRODUCTION, "port"), 8080) if "staging" in key and value == 8080 else None
    mistakes = mistakes_of(written(changed(key, value, data)))
    assert [mistake.path for mistake in mistakes] == [path]
    assert words in mistakes[0].message


def test_a_backup_without_more_is_verified_weekly_and_all_of_it_within_thirty_days():
    backup = contract_with(BACKUP, {}).scope.backup
    assert backup is not None
    assert (backup.verify.every, backup.verify.all_within_days, backup.recovery) == ("weekly", 30, None)


def test_what_is_promised_of_verification_and_recovery_is_read():
    said = {"verify": {"every": "daily", "all_within_days": 1}, "recovery": {"rto_hours": 2, "rpo_hours": 12}}
    backup = contract_with(BACKUP, said).scope.backup
    assert backup is not None
    assert (backup.verify.every, backup.verify.all_within_days) == ("daily", 1)
    assert backup.recovery is not None
    assert (backup.recovery.rto_hours, backup.recovery.rpo_hours) == (2, 12)


@pytest.mark.parametrize(("every", "days", "fine"), [("weekly", 7, True), ("weekly", 6, False), ("monthly", 30, False)])
def test_all_cannot_be_read_more_often_than_it_is_looked_at(every: str, days: int, fine: bool):
    mistakes = mistakes_with((*BACKUP, "verify"), {"every": every, "all_within_days": days})
    assert [mistake.path for mistake in mistakes] == ([] if fine else ["scope.backup.verify.all_within_days"])


def test_retention_that_keeps_nothing_is_refused():
    (mistake,) = mistakes_with(("retention",), {"daily": 0, "weekly": 0, "monthly": 0, "yearly": 0})
    assert mistake.path == "retention"
    assert "nothing would be kept" in mistake.message


def test_a_release_is_not_held_twice_and_core_has_one_slug():
    hold = {"kind": "plugin", "slug": "akismet", "version": "5.1", "reason": "x"}
    (mistake,) = mistakes_with((*UPDATE, "holds"), [hold, {**hold, "reason": "y"}])
    assert mistake.path == "scope.update.holds[2]"
    (mistake,) = mistakes_with((*UPDATE, "holds"), [{**hold, "kind": "core"}])
    assert mistake.path == "scope.update.holds[1].slug"


def test_a_language_pack_is_held_by_whose_words_in_which_language_they_are():
    hold = {"kind": "translation", "version": "2024-02-05.12-34-56", "reason": "rude"}
    for slug in ("core.default.de_DE", "plugin.akismet.de_DE_formal", "theme.leaf.fr_FR"):
        assert pack_of(slug)
        contract = contract_with((*UPDATE, "holds"), [{**hold, "slug": slug}])
        assert contract.scope.update is not None
        assert contract.scope.update.holds == (Hold("translation", slug, "2024-02-05.12-34-56", "rude"),)
    long = f"plugin.{'a' * 72}.de_DE"
    for slug in ("akismet", "core.akismet.de_DE", "plugin.akismet", "plugin.akismet.deutsch", long):
        assert pack_of(slug) is None
        (mistake,) = mistakes_with((*UPDATE, "holds"), [{**hold, "slug": slug}])
        assert mistake.path == "scope.update.holds[1].slug"
        assert "is no language pack" in mistake.message


def test_a_hold_is_of_one_version_or_of_all_but_one_and_may_end():
    hold = {"kind": "plugin", "slug": "akismet", "reason": "x"}
    pin = {**hold, "only": "5.1", "until": "2026-11-22"}
    contract = contract_with((*UPDATE, "holds"), [pin, {**hold, "version": "5.2"}])
    assert contract.scope.update is not None
    assert contract.scope.update.holds == (
        Hold("plugin", "akismet", "", "x", "5.1", date(2026, 11, 22)),
        Hold("plugin", "akismet", "5.2", "x"),
    )
    assert expired_holds(contract, date(2026, 11, 22)) == ()
    (said,) = expired_holds(contract, date(2026, 11, 23))
    assert said.startswith("the hold of plugin akismet (only 5.1) ended on 2026-11-22 and counts no more.")


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ({}, "holds[1]", "either 'version'"),
        ({"version": "1", "only": "2"}, "holds[1]", "either 'version'"),
        ({"only": "1..2"}, "holds[1].only", "may not stand in it"),
        ({"version": "1", "until": "2026-02-30"}, "holds[1].until", "is on no calendar"),
        ({"version": "1", "until": "soon"}, "holds[1].until", "a date such as"),
    ],
)
def test_a_hold_that_makes_no_sense_is_refused(more: dict[str, str], path: str, words: str):
    (mistake,) = mistakes_with((*UPDATE, "holds"), [{"kind": "plugin", "slug": "akismet", "reason": "x", **more}])
    assert mistake.path == f"scope.update.{path}"
    assert words in mistake.message


def test_two_pins_of_one_plugin_leave_nothing():
    pin = {"kind": "plugin", "slug": "akismet", "reason": "x", "only": "1"}
    (mistake,) = mistakes_with((*UPDATE, "holds"), [pin, {**pin, "only": "2"}])
    assert mistake.path == "scope.update.holds[2]"


DATABASE = {"engine": "postgresql", "name": "notes", "user": "notes", "host": "127.0.0.1:5433"}


def not_wordpress(database: Any, *, update: bool = False) -> str:
    """Return the sample as the contract of a site that is not WordPress."""
    data = changed(("sites", "shop", "cms"), "other", changed((*PRODUCTION, "database"), database))
    return written(data if update else changed(UPDATE, DELETED, data))


def test_a_site_that_is_not_wordpress_declares_its_database():
    production = parse_contract(not_wordpress(DATABASE), "contract.yml").sites[0].production
    assert production.database == Database("postgresql", "notes", "notes", "127.0.0.1:5433")


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (not_wordpress(DATABASE, update=True), "scope.update", "'shop' is no WordPress, and nothing else is updated."),
        (not_wordpress({"engine": "mysql"}), "sites.shop.places.production.database.engine", "'mysql' is not allowed"),
        (
            not_wordpress({"engine": "postgresql", "name": "a"}),
            "sites.shop.places.production.database",
            "'user' is missing",
        ),
        (not_wordpress({"engine": "sqlite"}), "sites.shop.places.production.database", "'file' is missing"),
        (
            not_wordpress({"engine": "sqlite", "file": "/etc/../x"}),
            "sites.shop.places.production.database.file",
            "not allowed",
        ),
        (not_wordpress({**DATABASE, "file": "/srv/a/b"}), "sites.shop.places.production.database.file", "has no file"),
        (not_wordpress({**DATABASE, "name": "template1"}), "sites.shop.places.production.database.name", "server"),
        (not_wordpress({**DATABASE, "user": "a;b"}), "sites.shop.places.production.database.user", "not allowed"),
        (not_wordpress({**DATABASE, "password": "x"}), "sites.shop.places.production.database.password", "unknown key"),
        (
            written(changed((*PRODUCTION, "database"), DATABASE)),
            "sites.shop.places.production.database",
            "wp-config.php",
        ),
        (
            written(changed(("sites", "shop", "cms"), "other", changed(UPDATE, DELETED))),
            "sites.shop.places.production",
            "the key 'database' is missing",
        ),
    ],
)
def test_a_declared_database_that_makes_no_sense_is_refused(text: str, path: str, words: str):
    (mistake,) = mistakes_of(text)
    assert mistake.path == path
    assert words in mistake.message


def test_two_places_never_share_an_inventory_host():
    data = sample_data()
    data["sites"]["blog"] = {**data["sites"]["shop"], "url": "http://blog.example.test"}
    (mistake,) = mistakes_of(written(data))
    assert mistake.path == "sites.blog.places.production.host"
    assert "already the place of 'shop'" in mistake.message


def test_a_mistake_in_one_value_does_not_hide_one_beside_it():
    data = changed(("agreement", "signed"), "yesterday", changed(("agreement", "ends"), "2026-01-01"))
    assert [mistake.path for mistake in mistakes_of(written(data))] == ["agreement.signed", "agreement.ends"]


def test_a_file_that_is_empty_or_no_mapping_is_a_mistake_on_its_first_line():
    for text in ("", "# only a comment\n", "[]", "just words", "17"):
        (mistake, *_) = mistakes_of(text)
        assert (mistake.line, mistake.column) == (1, 1)


def test_the_digest_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "contract.yml"
    path.write_bytes(b"schema: 1\n")
    assert contract_digest(path) == hashlib.sha256(b"schema: 1\n").hexdigest()


@pytest.fixture
def client_folder(tmp_path):
    """A client's folder with the sample in it."""
    shutil.copytree(SAMPLE.parent, tmp_path / "example", ignore=shutil.ignore_patterns("vault.yml"))
    return tmp_path / "example"


def test_a_client_is_found_by_name(client_folder):
    assert find_client(client_folder.parent, "example") == client_folder / "contract.yml"
    assert check([client_folder, client_folder / "contract.yml"]) == []


@pytest.mark.parametrize("name", ["exampel", "../example", "/etc", "", "-x", "example/", ".", "EXAMPLE", "a\x1b[2J"])
def test_a_client_that_is_not_there_is_refused_with_what_is_there(client_folder, name):
    with pytest.raises(Usage) as caught:
        find_client(client_folder.parent, name)
    assert caught.value.next_step == "Clients: example"
    assert "\x1b" not in caught.value.message
    if name == "exampel":
        assert "Did you mean 'example'?" in caught.value.message


def test_a_client_that_leads_out_of_the_folder_is_refused(client_folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "deep" / "other"
    shutil.copytree(client_folder, elsewhere)
    (client_folder.parent / "other").symlink_to(elsewhere)
    with pytest.raises(Usage):
        find_client(client_folder.parent, "other")


def test_without_clients_the_next_step_is_to_make_one(tmp_path):
    with pytest.raises(Usage) as caught:
        find_client(tmp_path, "example")
    assert caught.value.next_step.endswith("upkeep init CLIENT")


def test_a_host_that_hosts_yml_does_not_name_is_reported_at_its_line_in_the_contract(client_folder):
    hosts = client_folder / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("    shop:", "    shopp:"))
    (mistake,) = check([client_folder])
    text = (client_folder / "contract.yml").read_text().split("\n")
    assert mistake.path == "sites.shop.places.production.host"
    assert text[mistake.line - 1].strip().startswith("host: shop")
    assert "Did you mean 'shopp'?" in mistake.message


def test_staging_may_be_on_another_host_that_hosts_yml_names(client_folder):
    contract, hosts = client_folder / "contract.yml", client_folder / "hosts.yml"
    place = "      staging:"
    contract.write_text(contract.read_text().replace(place, f"{place}\n        host: yard #", 1))
    (mistake,) = check([client_folder])
    assert (mistake.path, "no host of hosts.yml" in mistake.message) == ("sites.shop.places.staging.host", True)

    hosts.write_text(hosts.read_text() + "    yard: {ansible_host: 192.0.2.8}\n")
    assert check([client_folder]) == []
    assert load_contract(contract).site("shop").staging.host == "yard"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("shop", "production's own host. Remove this"),
        ("staging", "Choose another name"),
        ("blog", "already the place of 'blog'"),
    ],
)
def test_a_staging_host_is_no_other_place(host: str, words: str):
    data = changed(("sites", "blog"), copy.deepcopy(sample_data()["sites"]["shop"]))
    data = changed(("sites", "blog", "places", "production", "host"), "blog", data)
    (mistake,) = mistakes_of(written(changed((*STAGING, "host"), host, data)))
    assert (mistake.path, words in mistake.message) == ("sites.shop.places.staging.host", True), mistake


def test_only_a_wordpress_has_a_staging_host():
    data = changed(("sites", "shop", "cms"), "other", changed(UPDATE, DELETED))
    data = changed((*PRODUCTION, "database"), {"engine": "sqlite", "file": "/srv/shop/notes.sqlite"}, data)
    (mistake,) = mistakes_of(written(changed((*STAGING, "host"), "yard", data)))
    assert (mistake.path, "only a WordPress" in mistake.message) == ("sites.shop.places.staging.host", True)


def test_hosts_yml_may_use_all_of_ansible(client_folder):
    (client_folder / "hosts.yml").write_text(
        "all:\n  children:\n    web:\n      hosts:\n        shop: &shop\n          x: !vault abc\n"
        '          y: \'{{ lookup("env", "HOME") }}\'\n        other: *shop\n'
    )
    assert check([client_folder]) == []


def test_hosts_yml_that_cannot_be_read_is_a_mistake_of_its_own(client_folder):
    (client_folder / "hosts.yml").write_text("all: [\n")
    (mistake,) = check([client_folder])
    assert mistake.file.endswith("hosts.yml")
    (client_folder / "hosts.yml").unlink()
    (mistake,) = check([client_folder])
    assert (mistake.file.endswith("hosts.yml"), mistake.line) == (True, 1)
    assert "No such file" in mistake.message


def test_a_client_in_the_wrong_folder_is_a_mistake(client_folder):
    moved = client_folder.rename(client_folder.with_name("acme"))
    (mistake,) = check([moved])
    assert mistake.path == "client.id"
    assert "Allowed: 'acme'" in mistake.message


def test_a_pipe_a_folder_and_nothing_at_all_are_mistakes_and_never_wait(tmp_path):
    os.mkfifo(tmp_path / "contract.yml")
    (mistake,) = check([tmp_path])
    assert "not an ordinary file" in mistake.message
    (mistake,) = check([tmp_path / "absent.yml"])
    assert "cannot be read" in mistake.message
    (mistake,) = check([Path("a\0b")])
    assert "cannot be read" in mistake.message


# A loader that meets a stranger's file may end in two ways only.

PIECES = st.sampled_from(
    ["&a ", "*a", "!x ", "<<: ", "- ", "? ", ": ", "\n", "  ", "{", "}", "[", "]", "'", '"', "|", ">", "%YAML 1.1\n",
     "---\n", "...\n", "\t", "\x00", "\x1b", "\u2028", "\ufeff", "\ud800", "{{ x }}", "--x", "../", ";", "`id`", "$(id)",
     '"\\UFFFFFFFF"', '"\\ud800"', "1e999", ".nan", "0x7f", "99999999999999999999", "~", "null", "true", "é", "#", "@"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), pieces=st.lists(PIECES, min_size=1, max_size=6), cut=st.booleans())
def test_a_mutated_contract_loads_or_is_invalid_and_nothing_else(seed, pieces, cut):
    chance = random.Random(seed)
    text = SAMPLE.read_text()
    for piece in pieces:
        at = chance.randrange(len(text) + 1)
        text = text[:at] + piece + text[min(len(text), at + chance.randrange(4)) :]
    _loads_or_is_invalid(text[: chance.randrange(len(text) + 1)] if cut else text)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(), max_size=200))
def test_any_text_is_a_contract_or_invalid(text):
    _loads_or_is_invalid(text)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=10), below, max_size=3),
    max_leaves=8,
)
PLACES = [
    ("client",), ("client", "id"), ("agreement", "ends"), ("contacts",), ("contacts", 0), ("store", "endpoint"),
    ("sites",), ("sites", "shop"), ("sites", "shop", "places"), PRODUCTION, (*PRODUCTION, "root"), URL, FUNCTION,
    (*FUNCTION, "path"), ("scope",), UPDATE, WINDOW, (*UPDATE, "plugins"), (*UPDATE, "holds"), ("retention",),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(PLACES), tree=TREES)
def test_anything_at_any_place_loads_or_is_invalid(place, tree):
    _loads_or_is_invalid(written(changed(place, tree)))


def _loads_or_is_invalid(text: str) -> None:
    # mistakes_of lets everything but ContractInvalid through.
    for mistake in mistakes_of(text):
        assert str(mistake).isprintable()
        assert mistake.line >= 1
        assert mistake.column >= 1


CHECKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "feed-has-no-selector": ({"kind": "feed", "selector": "a"}, "selector", "a function of kind feed has no 'selector'"),
    "off-is-off": ({"kind": "xmlrpc_off", "text": ["x"]}, "text", "Nothing more can be said of it"),
    "page-needs-a-path": ({}, "", "the key 'path' is missing"),
    "search-needs-words": ({"kind": "search", "path": "/?s=bread"}, "", "the key 'text' is missing"),
    "search-repeats-the-question": ({"kind": "search", "path": "/?s=bread", "text": ["Bread"]}, "text", "stand in the path"),
    "sizes-in-order": ({"path": "/", "min_bytes": 9, "max_bytes": 8}, "max_bytes", "8 is less than min_bytes (9)"),
    "no-more-of-css": ({"path": "/", "selector": "ul > li"}, "selector", "a space for 'inside of'"),
    "seconds-are-a-number": ({"path": "/", "max_seconds": "fast"}, "max_seconds", "is not a number"),
    "seconds-have-an-end": ({"path": "/", "max_seconds": 3600}, "max_seconds", "Allowed: 0.05 to 20"),
    "steps-need-steps": ({"kind": "steps"}, "", "the key 'steps' is missing"),
    "steps-have-their-own-paths": ({"kind": "steps", "path": "/", "steps": [{"get": "/"}]}, "path", "a path of its own"),
    "get-or-post": ({"kind": "steps", "steps": [{"get": "/", "post": "/"}]}, "steps[1]", "either 'get' or 'post'"),
    "forms-are-posted": ({"kind": "steps", "steps": [{"get": "/", "form": {"a": "b"}}]}, "steps[1].form", "goes with 'post'"),
    "no-passwords": ({"kind": "steps", "steps": [{"post": "/", "form": {"user_pass": "b"}}]}, "steps[1].form.user_pass", "never"),
    "no-way-out": ({"kind": "steps", "steps": [{"get": "//evil/"}]}, "steps[1].get", "names another host"),
    "a-page-has-no-steps": ({"path": "/", "steps": [{"get": "/"}]}, "steps", "a function of kind page has no 'steps'"),
    "admin-needs-a-path": ({"kind": "admin"}, "", "the key 'path' is missing"),
    "admin-is-below-wp-admin": ({"kind": "admin", "path": "/shop/"}, "path", "its path has '/wp-admin/' in it"),
    "an-editor-has-a-status": ({"kind": "editor", "status": 200}, "status", "a function of kind editor has no 'status'"),
    "an-editor-in-one-place-once": ({"kind": "editor", "in": ["staging", "staging"]}, "in[2]", "stands here twice"),
    "no-such-kind": ({"path": "/", "kind": "sitmap"}, "kind", "Did you mean 'sitemap'"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "key", "told"), CHECKS.values(), ids=CHECKS.keys())
def test_what_is_said_of_a_function_goes_with_its_kind(said: dict[str, Any], key: str, told: str) -> None:
    (mistake,) = mistakes_with(FUNCTION, {"name": "x", **said})
    assert told in mistake.message
    assert mistake.path == "sites.shop.functions[1]" + (f".{key}" if key else "")


def test_a_function_of_another_kind() -> None:
    said = {
        "name": "x",
        "path": "/",
        "max_seconds": 1.5,
        "selector": "form#a input[name=b]",
        "absent": ["y"],
        "max_bytes": 9,
    }
    function = contract_with(FUNCTION, said).site("shop").functions[0]
    assert (function.kind, function.max_seconds, function.absent, function.max_bytes) == ("page", 1.5, ("y",), 9)
    assert contract_with(FUNCTION, {"name": "x", "kind": "login"}).site("shop").functions[0].path == "/wp-login.php"


def test_nobody_is_signed_in_at_a_site_that_is_not_wordpress() -> None:
    editor = {"name": "x", "kind": "editor"}
    data = changed(("sites", "shop", "cms"), "other", changed(UPDATE, DELETED, changed(FUNCTION, editor)))
    assert "a function of kind editor is WordPress's" in " ".join(
        mistake.message for mistake in mistakes_of(written(data))
    )


def test_the_editor_makes_a_draft_so_it_is_asked_for_in_staging_alone() -> None:
    function = contract_with(FUNCTION, {"name": "x", "kind": "editor"}).site("shop").functions[0]
    assert (function.path, function.places) == ("/wp-admin/post-new.php", ("staging",))


def test_steps_are_taken_in_staging_alone_unless_the_contract_says_otherwise() -> None:
    said = {
        "name": "x",
        "kind": "steps",
        "steps": [{"get": "/"}, {"post": "/a/", "form": {"b": "c"}}],
        "mail": {"to": "d@e.test"},
    }
    function = contract_with(FUNCTION, said).site("shop").functions[0]
    assert (function.places, [step.method for step in function.steps]) == (("staging",), ["get", "post"])
    both = contract_with(FUNCTION, {**said, "in": ["staging", "production"]}).site("shop").functions[0]
    assert both.places == ("staging", "production")
    assert contract_with(FUNCTION, {"name": "x", "path": "/"}).site("shop").functions[0].places == ()
