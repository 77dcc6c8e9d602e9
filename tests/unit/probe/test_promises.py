"""What a contract can say of an answer beside its words: time, size, structure, and kinds that are no page."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from plugins.module_utils.probes import run_probes
from plugins.module_utils.verdict import judge

from .conftest import Reply, SmallSite
from .test_probes import html, one, probe

XML = {"Content-Type": "application/xml"}
FORM = b"<html><body><form id=order><input name=email></form>Sold out</body></html>"


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ({"absent": ["Fatal"]}, []),
        ({"absent": ["Sold out", "x"]}, ["the text 'Sold out' stands there"]),
        ({"selector": "#order input[name=email]"}, []),
        ({"selector": "#order input[name=phone]"}, ["nothing matches the selector '#order input[name=phone]'"]),
        ({"min_bytes": len(FORM), "max_bytes": len(FORM)}, []),
        ({"min_bytes": 1000}, [f"it has {len(FORM)} bytes, and the contract wants at least 1000"]),
        ({"max_bytes": 10}, [f"it has {len(FORM)} bytes, and the contract allows 10"]),
        # As Ansible hands in what was not said.
        ({"absent": None, "selector": None, "min_bytes": None, "max_bytes": None, "max_seconds": None}, []),
    ],
)
def test_more_of_a_page(site: SmallSite, said: dict[str, Any], problems: list[str]) -> None:
    site.replies["/"] = html(FORM)
    assert one(site, probe(**said))["problems"] == problems


RSS = b'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title><item><title>x</title></item></channel></rss>'
ATOM = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>x</title></entry></feed>'
MAP = (
    b'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>x</loc></url></urlset>'
)
INDEX = (
    b'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>x</loc></sitemap></sitemapindex>'
)
BOMB = b'<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><rss><item>&b;</item></rss>'
DECLARED = ["the answer declares a document type or entities: that is not read"]


@pytest.mark.parametrize(
    ("kind", "body", "problems"),
    [
        ("feed", RSS, []),
        ("feed", ATOM, []),
        ("feed", RSS.replace(b"item", b"junk"), ["the feed lists nothing"]),
        ("feed", b"<html></html>", ["the answer is XML, but no feed: its root is <html>"]),
        ("feed", b"", ["the answer is empty"]),
        ("feed", RSS[:-5], ["the answer is not well-formed XML: unclosed token: line 1, column 104"]),
        ("feed", b"<b>Warning</b>: x" + RSS, ["the answer is not well-formed XML: junk after document element: line 1, column 14"]),
        ("feed", BOMB, DECLARED),
        ("sitemap", BOMB, DECLARED),
        ("sitemap", MAP, []),
        ("sitemap", INDEX, []),
        ("sitemap", MAP.replace(b"<url><loc>x</loc></url>", b""), ["the sitemap lists nothing"]),
        ("sitemap", RSS, ["the answer is XML, but no sitemap: its root is <rss>"]),
    ],
)  # fmt: skip
def test_feeds_and_sitemaps(site: SmallSite, kind: str, body: bytes, problems: list[str]) -> None:
    site.replies["/x/"] = Reply(body, 200, XML)
    assert one(site, probe(kind, "/x/"))["problems"] == problems


def test_a_feed_that_is_gone(site: SmallSite) -> None:
    assert one(site, probe("feed", "/feed/"))["problems"] == ["status 404, expected 200"]


METHODS = b"<?xml version='1.0'?><methodResponse><params><array><data><value><string>wp.getPost</string></value></data></array></params></methodResponse>"
NO_METHODS = METHODS.replace(b"<value><string>wp.getPost</string></value>", b"")


@pytest.mark.parametrize(
    ("reply", "problems"),
    [
        (Reply(METHODS, 200, XML), ["XML-RPC answers and lists its methods"]),
        (Reply(NO_METHODS, 200, XML), []),
        (html(b"<html>forbidden</html>", 403), []),
        (Reply(b"", 405), []),
        (Reply(b"", 404), []),
        (Reply(write=lambda handler: None), []),
        (html(b"", 500), ["status 500: that is no refusal, something broke"]),
    ],
    ids=["on", "no-methods", "forbidden", "not-allowed", "gone", "hangs-up", "broken"],
)
def test_xmlrpc_is_off(site: SmallSite, reply: Reply, problems: list[str]) -> None:
    site.replies["/xmlrpc.php"] = reply
    assert one(site, probe("xmlrpc_off", "/xmlrpc.php"))["problems"] == problems
    assert site.requests[0][0] == "POST"
    assert b"system.listMethods" in site.posted[0]


def test_a_server_that_is_away_says_nothing_of_xmlrpc(site: SmallSite) -> None:
    (found,) = run_probes(site.target().__class__("127.0.0.1", 1, "x", "http"), [probe("xmlrpc_off", "/xmlrpc.php")])
    assert found["problems"] == ["connection refused"]


def test_the_form_of_the_login(site: SmallSite) -> None:
    site.page("/wp-login.php", '<form id="loginform"><input type="password" name="pwd"></form>')
    assert one(site, probe("login", "/wp-login.php"))["ok"]
    site.page("/wp-login.php", "Too many attempts")
    assert one(site, probe("login", "/wp-login.php"))["problems"] == ["there is no form with a password"]


def test_a_search_finds(site: SmallSite) -> None:
    site.page("/?s=bread", "bread: 3.20 EUR")
    assert one(site, probe("search", "/?s=bread", text=["3.20"]))["ok"]
    site.page("/?s=bread", "Nothing found for bread")
    assert one(site, probe("search", "/?s=bread", text=["3.20"]))["problems"] == ["the text '3.20' is missing"]


def slow_for(*seconds: float) -> Reply:
    """Answer after so many seconds, one for each question; the last one stays."""
    waits = list(seconds)

    def write(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(waits.pop(0) if len(waits) > 1 else waits[0])
        body = b"<html>well</html>"
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    return Reply(write=write)


def test_one_slow_answer_is_measured_again(site: SmallSite) -> None:
    site.replies["/"] = slow_for(0.4, 0.0)
    found = one(site, probe(max_seconds=0.3))
    assert judge([found])["reasons"] == []
    assert site.asked("/") == 2


def test_slow_after_update_is_judged_with_the_baseline_beside_it(site: SmallSite) -> None:
    site.replies["/"] = slow_for(0.0)
    before = one(site, probe(max_seconds=0.2))
    site.replies["/"] = slow_for(0.3)
    after = one(site, probe(max_seconds=0.2))
    assert after["ok"]
    (reason,) = judge([after], [before])["reasons"]
    assert reason.startswith("page: took 0.3")
    assert "s, and the contract allows 0.2 s (0.0" in reason
    assert judge([after], [before], times=False)["healthy"]


def test_no_limit_no_blame(site: SmallSite) -> None:
    site.replies["/"] = slow_for(0.3)
    assert judge([one(site, probe())])["healthy"]
    assert site.asked("/") == 1


def test_every_question_is_one_that_no_cache_has_seen(site: SmallSite) -> None:
    site.page("/", "a")
    site.page("/?s=x", "a")
    run_probes(site.target(), [probe(), probe(), probe("search", "/?s=x")])
    assert len(set(site.raw_paths)) == 3
    assert {raw.partition("upkeep-probe=")[0] for raw in site.raw_paths} == {"/?", "/?s=x&"}


def test_a_cached_answer_is_judged_apart(site: SmallSite) -> None:
    site.replies["/"] = html(FORM, 200, **{"X-FastCGI-Cache": "HIT"})
    site.page("/live/", "a")
    cached, live = run_probes(site.target(), [probe(name="front"), probe(path="/live/", name="live")])
    assert (cached["cached"], live["cached"]) == (True, False)
    assert judge([cached, live])["cached"] == ["front"]
    assert judge([cached, live])["healthy"]
    assert judge([cached])["reasons"] == ["every answer came from a cache: that says nothing about the site"]
