"""A contract gives a place exactly these variables, and nothing else computes them."""

from __future__ import annotations

import json

import pytest

from orchestrator.plan.variables import place_variables
from tests.unit.contract.samples import UPDATE, contract_with

SITE = {
    "client": "example",
    "name": "shop",
    "cms": "wordpress",
    "url": "http://shop.example.test",
    "root": "/srv/shop/htdocs",
    "address": "127.0.0.1",
    "port": 80,
    "programs": {
        "php": "php",
        "mariadb": "mariadb",
        "mariadb_dump": "mariadb-dump",
        "psql": "psql",
        "pg_dump": "pg_dump",
        "restic": "restic",
    },
    "error_log": "",
    "staging": {"port": 8081, "database": "shop_staging"},
}


def test_the_sample_gives_these_variables():
    variables = place_variables(contract_with(), "shop")

    probes = variables["site_probe_probes"]
    assert variables == {
        "site_probe_site": SITE,
        "site_lease_site": SITE,
        "site_snapshot_site": SITE,
        "site_staging_site": SITE,
        "cms_update_site": SITE,
        "site_probe_probes": probes,
        "site_lease_probes": probes,
        "site_snapshot_probes": probes,
        "site_staging_probes": probes,
        "cms_update_probes": probes,
        "site_snapshot_store": {
            "endpoint": "http://10.77.0.1:9000",
            "bucket": "upkeep-example",
            "region": "us-east-1",
            "prefix": "example/shop",
            "lock_days": 0,
        },
        "cms_update_store": variables["site_snapshot_store"],
        "cms_update_policy": {
            "core": "major",
            "plugins": "all",
            "themes": "all",
            "cool_down_days": 0,
            "fast_lane": ["wordpress"],
            "hold_at": "high",
        },
        "cms_update_holds": [],
        "cms_update_wait_minutes": 2,
        "cms_update_soak_minutes": 0,
        "cms_update_freeze_seconds": 60,
    }


def test_the_probes_are_the_functions_then_what_every_wordpress_gets():
    probes = place_variables(contract_with(), "shop")["site_probe_probes"]
    assert isinstance(probes, list)
    assert probes[0] == {"name": "front page", "kind": "page", "path": "/", "status": 200, "text": ["Example Bakery"]}
    assert [(probe["kind"], probe["path"]) for probe in probes if isinstance(probe, dict)] == [
        ("page", "/"),
        ("page", "/lab-post-1/"),
        ("rest", "/wp-json/"),
        ("ajax", "/wp-admin/admin-ajax.php?action=upkeep"),
        ("admin", "/wp-admin/index.php"),
        ("admin", "/wp-admin/plugins.php"),
        ("assets", "/"),
        ("log", ""),
    ]


def test_they_are_json_and_say_the_same_each_time():
    contract = contract_with()
    once = place_variables(contract, "shop")
    assert json.loads(json.dumps(once)) == once
    assert place_variables(contract, "shop") == once


def test_a_list_of_plugins_and_a_hold_arrive():
    hold = {"kind": "plugin", "slug": "akismet", "version": "5.1", "reason": "breaks the form"}
    update = {
        "window": {"days": ["mon"], "from": "02:00", "to": "03:00"},
        "core": "none",
        "plugins": ["akismet"],
        "themes": "none",
        "holds": [hold],
    }
    variables = place_variables(contract_with(UPDATE, update), "shop")
    assert variables["cms_update_policy"] == {
        "core": "none",
        "plugins": ["akismet"],
        "themes": "none",
        "cool_down_days": 0,
        "fast_lane": [],
        "hold_at": "high",
    }
    assert variables["cms_update_holds"] == [hold]
    with_words = place_variables(contract_with(UPDATE, {**update, "translations": "all"}), "shop")
    assert with_words["cms_update_policy"] == {**variables["cms_update_policy"], "translations": "all"}


def test_what_was_not_promised_may_not_be_updated():
    variables = place_variables(contract_with(("scope",), {"backup": {}}), "shop")
    assert variables["cms_update_policy"] == {"core": "none", "plugins": "none", "themes": "none"}


def test_no_secret_of_the_store_is_among_them():
    text = json.dumps(place_variables(contract_with(), "shop"))
    assert not any(word in text for word in ("access_key", "secret", "password"))


def test_a_site_that_does_not_exist_has_none():
    with pytest.raises(KeyError):
        place_variables(contract_with(), "nowhere")
