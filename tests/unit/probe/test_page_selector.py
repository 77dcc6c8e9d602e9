"""What a selector matches, and what is not in the part of CSS that is known."""

from __future__ import annotations

import re

import pytest

from orchestrator.contract.schema_function import SELECTOR
from plugins.module_utils.page_selector import matches

PAGE = """<!DOCTYPE html><html><body class="home page"><main id="shop">
<form id="order" class="wide checkout"><p>Name<br><input name="email" type="email" required></p>
<input name="plain" value="a b"><button type="submit">Order</button></form></main>
<footer><p class="checkout">no form here</p></footer><script>if (a < b) { x = "<form id=fake>"; }</script></body></html>"""


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("form", True),
        ("FORM", True),
        ("#order", True),
        ("form#order.wide.checkout", True),
        ("form.narrow", False),
        ("#order input[name=email]", True),
        ("#order input[required]", True),
        ("main form input[type=email][name=email]", True),
        ("body.home #order button[type=submit]", True),
        ("footer form", False),
        ("footer input", False),
        ("form .checkout", False),
        ("#fake", False),
        ("input[name=phone]", False),
        ("p input", True),
        ("input p", False),
        ("[value]", True),
    ],
)
def test_what_it_matches(selector: str, found: bool) -> None:
    assert re.fullmatch(SELECTOR, selector)
    assert matches(selector, PAGE) is found


@pytest.mark.parametrize("page", ["", "<", "</p></p>", "<div" * 2000, "<p>" * 5000 + "<b id=x>", "<![CDATA[ <form>"])
def test_a_broken_page_matches_nothing_and_ends(page: str) -> None:
    assert matches("form", page) is False


@pytest.mark.parametrize(
    "selector", ["a > b", "a,b", "a:hover", "a + b", "a[b^=c]", "*", "a[b=", "#", ".", "", " a", "a  b"]
)
def test_what_the_contract_refuses(selector: str) -> None:
    assert not re.fullmatch(SELECTOR, selector)


@pytest.mark.parametrize("selector", ["a>b", "a:hover", "", "#"])
def test_what_is_not_known_is_no_silent_no(selector: str) -> None:
    with pytest.raises(ValueError, match=r"selector|CSS"):
        matches(selector, PAGE)
