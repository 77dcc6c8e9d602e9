"""A visitor's steps are taken in the staging copy: the order and the mail are there, and production knows of neither."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_an_order_and_a_mail_in_staging_alone(untouched_site: Site) -> None:
    site = untouched_site
    admin = site.host.sql("SELECT user_email FROM wp_users WHERE user_login = 'admin'").strip()
    forgot = {
        "post": "/wp-login.php?action=lostpassword",
        "form": {"user_login": "admin"},
        "text": ["Check your email"],
    }
    path = site.shop.inventory / "contract.yml"
    contract = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key in ("signed", "begins", "ends"):
        contract["agreement"][key] = str(contract["agreement"][key])
    contract["sites"]["shop"]["functions"] += [
        {
            "name": "somebody orders",
            "kind": "steps",
            "steps": [
                {"get": "/lab-post-1/", "text": ["LAB-1"]},
                {
                    "post": "/wp-json/lab/v1/orders",
                    "form": {"customer": "Ada", "amount": "3"},
                    "text": ['"order":'],
                },
                {"get": "/", "text": ["Lab Banner 1.0: 2 orders, 15.50 in all"]},
            ],
        },
        {"name": "a mail", "kind": "steps", "steps": [forgot], "mail": {"to": admin, "text": ["Password Reset"]}},
        {"name": "posts can be written", "kind": "editor"},
        {"name": "no such mail", "kind": "steps", "steps": [forgot], "mail": {"to": admin, "text": ["Thank you"]}},
    ]
    path.write_text(json.dumps(contract), encoding="utf-8")

    steps = site.run("preflight", "stage")

    before = [probe["name"] for probe in steps["preflight"].evidence["verdict"]["probes"]]
    assert not {"somebody orders", "posts can be written"} & set(before)
    assert steps["stage"].outcome == "unhealthy", steps["stage"].message
    verdict = steps["stage"].evidence["verdict"]
    assert verdict["reasons"] == ["no such mail: no mail was sent to that address with these words"]
    seen = {probe["name"]: probe for probe in verdict["probes"]}
    assert [seen[name]["ok"] for name in ("somebody orders", "a mail", "posts can be written")] == [True] * 3
    assert site.host.mails() == []
    assert site.run("release")["release"].outcome == "done"
    site.tidy()
    site.serves("1.0")
