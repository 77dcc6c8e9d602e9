"""`upkeep probe` looks at a site and runs the client's own pytest-testinfra files against its host; nothing is changed."""

from __future__ import annotations

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root

TESTS = """
def test_the_web_server_serves(host):
    assert host.addr("127.0.0.1").port(80).is_reachable
    assert host.user().name == "shop"


def test_php_is_new_enough(host):
    assert host.file("/srv/shop/htdocs/wp-config.php").exists
    assert {wanted}
"""


def test_the_functions_and_the_clients_own_tests(untouched_site: Site) -> None:
    site = untouched_site
    own = site.shop.inventory / "tests" / "test_own.py"
    own.parent.mkdir()
    own.write_text(TESTS.format(wanted="True"), encoding="utf-8")

    said = site.upkeep("probe", "example")
    assert said.code == 0, said.text
    (answer,) = said.answer["sites"]
    assert (answer["healthy"], answer["reasons"]) == (True, [])
    front = next(probe for probe in answer["probes"] if probe["name"] == "front page")
    assert (front["status"], front["cached"], front["bytes"] > 1000) == (200, False, True)
    assert [(test["name"].rpartition(": ")[2], test["passed"]) for test in answer["tests"]] == [
        ("test_the_web_server_serves[ansible://shop]", True),
        ("test_php_is_new_enough[ansible://shop]", True),
    ]

    own.write_text(TESTS.format(wanted="not 'a test that fails'"), encoding="utf-8")
    said = site.upkeep("probe", "example", "--site", "shop")
    assert said.code == 12
    (answer,) = said.answer["sites"]
    assert (answer["healthy"], [test["passed"] for test in answer["tests"]]) == (False, [True, False])
    assert "test_php_is_new_enough" in answer["message"]
    assert "a test that fails" in answer["reasons"][0]
    site.tidy()
