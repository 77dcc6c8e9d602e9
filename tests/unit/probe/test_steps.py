"""Steps of a visitor against a small shop: cookies, forms, hidden fields, redirects, and the mail that would be sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.probe_steps import for_place
from plugins.module_utils.probes import run_probes
from plugins.module_utils.verdict import judge

from .conftest import Reply, SmallSite
from .test_probes import html, one

SHOP = b"<html><form><input type=hidden name=_wpnonce value='a&amp;b'><input name=who></form></html>"


def step(method: str, path: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "path": path, **more}


def journey(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "an order", "kind": "steps", "path": "", "steps": list(steps), "places": ["staging"], **more}


@pytest.fixture
def shop(site: SmallSite) -> SmallSite:
    site.replies["/shop/"] = html(SHOP, 200, **{"Set-Cookie": "cart=7; Path=/; HttpOnly"})
    site.replies["/order/"] = html(b"", 302, Location="/thanks/", **{"Set-Cookie": "last=3"})
    site.page("/thanks/", "Thank you")
    return site


ORDER = step("post", "/order/", form={"who": "Ada & Co"}, hidden=["_wpnonce"], text=["Thank you"])


def test_an_order_as_a_visitor_makes_it(shop: SmallSite) -> None:
    found = one(shop, journey(step("get", "/shop/"), ORDER))
    assert found["problems"] == []
    assert (found["status"], found["path"], found["cached"]) == (200, "", False)
    assert [(method, path) for method, path, _ in shop.requests] == [
        ("GET", "/shop/"), ("POST", "/order/"), ("GET", "/thanks/"),
    ]  # fmt: skip
    assert shop.posted[1] == b"who=Ada+%26+Co&_wpnonce=a%26b"
    cookies = [headers["cookie"] for _, _, headers in shop.requests]
    assert cookies[1].endswith("; cart=7")
    assert cookies[2].endswith("; cart=7; last=3")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"/thanks/": html(b"<html>Sorry</html>")}, "step 2 (post /order/): the text 'Thank you' is missing"),
        ({"/order/": html(b"<html>broken</html>", 500)}, "step 2 (post /order/): status 500, expected 200"),
        ({"/shop/": html(b"<html>no form</html>")}, "step 2 (post /order/): the page before has no hidden field '_wpnonce'"),
        ({"/shop/": Reply(b"", 404)}, "step 1 (get /shop/): status 404, expected 200"),
        (
            {"/order/": html(b"", 302, Location="https://pay.example/")},
            "step 2 (post /order/): status 302, expected 200: it redirects to https://pay.example/",
        ),
        (
            {"/order/": html(b"", 307, Location="/thanks/")},
            "step 2 (post /order/): status 307, expected 200: it redirects to /thanks/",
        ),
    ],
    ids=["no-thanks", "broken", "no-nonce", "no-shop", "leads-away", "would-send-the-form-again"],
)  # fmt: skip
def test_the_first_step_that_goes_wrong_ends_it(shop: SmallSite, change: dict[str, Reply], problem: str) -> None:
    shop.replies.update(change)
    found = one(shop, journey(step("get", "/shop/"), ORDER, step("get", "/never/")))
    assert found["problems"][0] == problem
    assert shop.asked("/never/") == 0
    assert judge([found])["reasons"][0] == f"an order: {problem}"


def test_redirects_without_end_end(shop: SmallSite) -> None:
    shop.replies["/round/"] = html(b"", 302, Location="/round/")
    found = one(shop, journey(step("get", "/round/")))
    assert found["problems"] == ["step 1 (get /round/): status 302, expected 200: it redirects to /round/"]
    assert shop.asked("/round/") == 6


def test_cookies_that_are_taken_back_or_mean_harm_are_not_sent(shop: SmallSite) -> None:
    shop.replies["/a"] = html(SHOP, 200, **{"Set-Cookie": "cart=7"})
    shop.replies["/b"] = html(SHOP, 200, **{"Set-Cookie": "cart=gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT"})
    shop.replies["/c"] = html(SHOP, 200, **{"Set-Cookie": "long=" + "x" * 5000})
    one(shop, journey(*(step("get", path) for path in ("/a", "/b", "/c", "/shop/"))))
    assert [headers["cookie"].count("cart=") for _, _, headers in shop.requests] == [0, 1, 0, 0]
    assert "long" not in shop.requests[-1][2]["cookie"]


@pytest.mark.parametrize(
    ("sent", "problems"),
    [
        ([{"to": "Ada <ADA@example.test>", "subject": "Your order", "message": "Thank you"}], []),
        ([{"to": "bob@example.test", "subject": "Thank you", "message": ""}], ["no mail was sent to that address with these words"]),
        ([{"to": "ada@example.test", "subject": "x", "message": "y"}], ["no mail was sent to that address with these words"]),
        ([], ["no mail was sent to that address with these words"]),
        (["no mail", {"to": "ada@example.test", "subject": "Thank you", "message": ""}], []),
    ],
)  # fmt: skip
def test_the_mail_that_staging_would_have_sent(
    shop: SmallSite, tmp_path: Path, sent: list[Any], problems: list[str]
) -> None:
    sink = tmp_path / "mail.jsonl"
    # A mail of before is none of this order.
    old = json.dumps({"to": "ada@example.test", "subject": "Thank you", "message": ""}) + "\n"
    sink.write_text(old, encoding="utf-8")

    def order(handler: Any) -> None:
        with sink.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(mail) + "\n" for mail in sent)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n<html>Thank you</html>")

    shop.replies["/order/"] = Reply(write=order)
    wanted = {"to": "ada@example.test", "text": ["Thank you"]}
    (found,) = run_probes(shop.target(), [journey(step("get", "/shop/"), ORDER, mail=wanted)], mail=str(sink))
    assert found["problems"] == problems


def test_in_production_nobody_sees_the_mail(shop: SmallSite) -> None:
    found = one(shop, journey(step("get", "/shop/"), ORDER, mail={"to": "ada@example.test"}))
    assert (found["ok"], found["notes"]) == (True, ["mail is seen in staging only, where nothing is sent"])


def test_what_writes_is_taken_where_the_contract_says() -> None:
    page, here, there = {"kind": "page", "places": None}, journey(), {**journey(), "places": ["staging", "production"]}
    assert for_place([page, here, there], "production") == [page, there]
    assert for_place([page, here, there], "staging") == [page, here, there]
