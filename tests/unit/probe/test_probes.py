"""Each kind of probe against a real server that is broken in the ways that real releases break sites."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import baseline
from plugins.module_utils.probes import run_probes
from plugins.module_utils.verdict import judge
from plugins.module_utils.web import Target
from tests.unit.pipeline.sites import site_at

from .conftest import HOST, Reply, SmallSite

HTML = {"Content-Type": "text/html; charset=UTF-8"}
CRITICAL = b"""<!DOCTYPE html><html><head><title>WordPress</title></head><body id="error-page">
<div class="wp-die-message"><p>There has been a critical error on this website.</p></div></body></html>"""
CRITICAL_IN_GERMAN = (
    """<!DOCTYPE html><html><body id="error-page"><p>Es gab einen kritischen Fehler.</p></body></html>"""
)


def probe(kind: str = "page", path: str = "/", **more: Any) -> dict[str, Any]:
    return {"name": more.pop("name", kind), "kind": kind, "path": path, "status": 200, "text": [], **more}


def one(site: SmallSite, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    (result,) = run_probes(site.target(), [wanted], **more)
    return result


def html(body: bytes, status: int = 200, **headers: str) -> Reply:
    return Reply(body, status, {**HTML, **headers})


GOOD = b"<html><body><p>Example Bakery LAB-1</p></body></html>"

PAGES: dict[str, tuple[Reply, list[str]]] = {
    "good": (html(GOOD), []),
    "good-with-a-comment-of-a-cache-after-it": (html(GOOD + b"<!-- cached -->\n"), []),
    "critical-error-page-with-200": (
        html(CRITICAL),
        ["the page says 'There has been a critical error'", "the text 'LAB-1' is missing"],
    ),
    "critical-error-page-with-200-translated": (
        html(CRITICAL_IN_GERMAN.encode()),
        ["the page is WordPress's error page", "the text 'LAB-1' is missing"],
    ),
    "critical-error-page-with-500": (
        html(CRITICAL, 500),
        [
            "status 500, expected 200",
            "the page says 'There has been a critical error'",
            "the text 'LAB-1' is missing",
        ],
    ),
    "white-page-with-200": (html(b""), ["the page is empty"]),
    "white-page-of-blanks": (html(b" \n\n"), ["the page is empty"]),
    "fatal-in-the-footer": (
        html(b"<html><body>LAB-1</p>\n"),
        ["the page breaks off: its end </html> is missing"],
    ),
    "fatal-shown-in-html": (
        html(b"<html>LAB-1<br />\n<b>Fatal error</b>:  Uncaught Error</html>"),
        ["the page says 'Fatal error:'"],
    ),
    "fatal-shown-in-text": (html(b"<html>LAB-1 Fatal error: Uncaught</html>"), ["the page says 'Fatal error:'"]),
    "parse-error-shown": (html(b"<html>LAB-1 <b>Parse error</b>: x</html>"), ["the page says 'Parse error:'"]),
    "database-gone": (
        html(b"<html><h1>Error establishing a database connection</h1>LAB-1</html>", 500),
        ["status 500, expected 200", "the page says 'Error establishing a database connection'"],
    ),
    "left-in-maintenance": (
        html(b"<html>Briefly unavailable for scheduled maintenance. LAB-1</html>", 503),
        ["status 503, expected 200", "the page says 'Briefly unavailable for scheduled maintenance'"],
    ),
    "content-emptied": (html(b"<html><body>Example Bakery</body></html>"), ["the text 'LAB-1' is missing"]),
    "truncated": (
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n<html>LAB-1"),
        ["the answer broke off after 11 bytes (its status was 200)"],
    ),
    "chunks-broken": (
        Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nLAB-1\r\n"),
        ["the answer broke off after 5 bytes (its status was 200)"],
    ),
    "missing-page": (html(b"<html>LAB-1</html>", 404), ["status 404, expected 200"]),
    "redirect-to-a-foreign-host": (
        html(b"", 302, Location="https://evil.example/LAB-1"),
        ["status 302, expected 200: it redirects to https://evil.example/LAB-1"],
    ),
    "no-content-type": (Reply(b"<html>LAB-1"), ["the page breaks off: its end </html> is missing"]),
    "plain-text-has-no-html-end": (Reply(b"LAB-1", 200, {"Content-Type": "text/plain"}), []),
    "latin-1-in-the-header": (
        Reply(b"<html>LAB-1 caf\xe9</html>", 200, {"Content-Type": "text/html; charset=iso-8859-1"}),
        [],
    ),
    "not-utf-8-though-it-says-so": (html(b"<html>LAB-1 \xff\xfe\xe9</html>"), []),
    "unknown-charset": (Reply(b"<html>LAB-1</html>", 200, {"Content-Type": "text/html; charset=martian"}), []),
    "bare-zero-bytes": (
        html(b"\x00" * 100),
        ["the page breaks off: its end </html> is missing", "the text 'LAB-1' is missing"],
    ),
}


@pytest.mark.parametrize(("reply", "problems"), PAGES.values(), ids=PAGES.keys())
def test_page(site: SmallSite, reply: Reply, problems: list[str]) -> None:
    site.replies["/"] = reply
    found = one(site, probe(text=["LAB-1"]))
    assert found["problems"] == problems
    assert found["ok"] is (not problems)


@pytest.mark.parametrize(
    ("wanted", "body", "content_type"),
    [
        ("Ada & Söhne", b"<html>Ada &amp; S&ouml;hne</html>", "text/html"),
        ("Ada\u2019s", b"<html>Ada&#8217;s</html>", "text/html"),
        ("café", b"<html>caf\xe9</html>", "text/html; charset=ISO-8859-1"),
        ("café", b'<html><meta charset="windows-1252">caf\xe9</html>', "text/html"),
        ("日本", "<html>日本</html>".encode(), "text/html"),
    ],
)
def test_promised_text_is_found_however_it_is_written(
    site: SmallSite, wanted: str, body: bytes, content_type: str
) -> None:
    site.replies["/"] = Reply(body, 200, {"Content-Type": content_type})
    assert one(site, probe(text=[wanted]))["problems"] == []


def test_a_result_tells_what_was_seen(site: SmallSite) -> None:
    site.page("/shop/", "hello")
    found = one(site, probe(path="/shop/", name="the shop"))
    assert found.pop("seconds") >= 0
    assert found == {
        "name": "the shop",
        "kind": "page",
        "path": "/shop/",
        "status": 200,
        "bytes": len(site.replies["/shop/"].body),  # type: ignore[union-attr]
        "ok": True,
        "problems": [],
        "notes": [],
        "cached": False,
    }
    json.dumps(found)


def test_another_status_may_be_the_promise(site: SmallSite) -> None:
    site.page("/gone/", "gone", 410)
    assert one(site, probe(path="/gone/", status=410))["ok"]
    site.replies["/old/"] = Reply(b"", 301, {"Location": "/new/"})
    assert one(site, probe(path="/old/", status=301))["ok"]
    assert site.asked("/new/") == 0


def test_a_page_may_have_moved_inside_the_site(site: SmallSite) -> None:
    site.replies["/shop"] = Reply(b"", 301, {"Location": f"http://{HOST}/shop/"})
    site.page("/shop/", "LAB-1")
    assert one(site, probe(path="/shop", text=["LAB-1"]))["ok"]


def test_wordpress_without_its_tables_is_not_healthy(site: SmallSite) -> None:
    site.replies["/"] = Reply(b"", 302, {"Location": "/wp-admin/install.php"})
    site.page("/wp-admin/install.php", "Welcome")
    assert one(site, probe())["problems"] == ["WordPress asks to be installed: it does not find its tables"]


def test_a_slow_answer_fails_at_the_deadline(site: SmallSite) -> None:
    site.replies["/"] = Reply(write=lambda handler: time.sleep(1))
    found = one(site, probe(), timeout=0.2)
    assert found["problems"] == ["no whole answer in time"]
    assert found["seconds"] < 0.8


def test_a_huge_answer_fails(site: SmallSite) -> None:
    site.replies["/"] = html(b"x" * (9 * 1024 * 1024))
    assert "larger than" in one(site, probe())["problems"][0]


def test_an_answer_of_a_cache_is_noted(site: SmallSite) -> None:
    for headers in ({"X-Cache": "HIT"}, {"Age": "30"}, {"X-Cache-Status": "hit"}):
        site.replies["/"] = html(GOOD, 200, **headers)
        assert "cache" in one(site, probe())["notes"][0]
    site.replies["/"] = html(GOOD, 200, **{"X-Cache": "MISS", "Age": "0"})
    assert one(site, probe())["notes"] == []


REST: dict[str, tuple[str, Reply, list[str]]] = {
    "index": ("/wp-json/", Reply(b'{"name": "x", "namespaces": ["wp/v2"]}'), []),
    "list": ("/wp-json/wp/v2/posts", Reply(b"[]"), []),
    "object": ("/wp-json/wp/v2/posts/1?x=y", Reply(b'{"id": 1}'), []),
    "fatal-in-rest": ("/wp-json/", Reply(b'{"code": "internal_server_error"}', 500), ["status 500, expected 200"]),
    "index-without-namespaces": ("/wp-json/", Reply(b'{"code": "x"}'), ["the answer lists no namespaces"]),
    "index-as-list": ("/wp-json/?a=b", Reply(b"[1]"), ["the answer lists no namespaces"]),
    "warning-before-json": ("/wp-json/", Reply(b'<b>Warning</b>: x {"namespaces": []}'), ["the answer is not JSON"]),
    "empty": ("/wp-json/", Reply(b""), ["the answer is empty"]),
    "a-word": ("/wp-json/x", Reply(b'"yes"'), ["the answer is neither an object nor a list"]),
    "not-utf-8": ("/wp-json/", Reply(b'{"namespaces": "caf\xe9"}'), ["the answer is not JSON"]),
    "bottomless": ("/wp-json/", Reply(b"[" * 100_000), ["the answer is not JSON"]),
    "page-instead": ("/wp-json/", html(GOOD), ["the answer is not JSON"]),
    "text-missing": (
        "/wp-json/wp/v2/posts/",
        Reply(b"[]"),
        ["the text 'LAB-1' is missing"],
    ),
}


@pytest.mark.parametrize(("path", "reply", "problems"), REST.values(), ids=REST.keys())
def test_rest(site: SmallSite, path: str, reply: Reply, problems: list[str]) -> None:
    site.replies[path] = reply
    text = ["LAB-1"] if "LAB-1" in str(problems) else []
    assert one(site, probe("rest", path, text=text))["problems"] == problems


@pytest.mark.parametrize(
    ("reply", "problems"),
    [
        (Reply(b"0", 400), []),
        (Reply(b"0\n", 400), []),
        (html(CRITICAL, 500), ["status 500, expected 400"]),
        (Reply(b"", 400), ["the answer is empty"]),
        (Reply(b"<b>Warning</b> 0", 400), ["the answer is not '0'"]),
        (Reply(b"0", 200), ["status 200, expected 400"]),
    ],
    ids=["good", "good-with-newline", "fatal-in-admin-init", "empty", "noise", "other-status"],
)
def test_ajax(site: SmallSite, reply: Reply, problems: list[str]) -> None:
    path = "/wp-admin/admin-ajax.php?action=upkeep"
    site.replies[path] = reply
    wanted = probe("ajax", path)
    del wanted["status"]
    assert one(site, wanted)["problems"] == problems


BAR = b'<div id="wpadminbar">'
ADMIN: dict[str, tuple[Reply, list[str]]] = {
    "good": (html(b"<html><body class='x'>" + BAR + b"</body></html>"), []),
    "good-without-bar": (html(b'<html><body class="wp-admin no-js index-php"></body></html>'), []),
    "fatal-only-in-admin": (html(CRITICAL, 500), ["status 500, expected 200"]),
    "fatal-only-in-admin-with-200": (
        html(CRITICAL),
        ["not a page of the administration", "the page says 'There has been a critical error'"],
    ),
    "breaks-off": (html(BAR), ["the page breaks off: its end </html> is missing"]),
    "to-login": (html(b"", 302, Location=f"http://{HOST}/wp-login.php?redirect_to=x"), ["not logged in"]),
    "login-page": (html(b'<html><form id="loginform"></html>'), ["not logged in"]),
    "database-upgrade-due": (
        html(b"", 302, Location="/wp-admin/upgrade.php?_wp_http_referer=x"),
        ["WordPress asks for its database upgrade"],
    ),
    "elsewhere": (html(b"", 302, Location="/"), ["status 302, expected 200: it redirects to /"]),
    "front-page-instead": (html(GOOD), ["not a page of the administration"]),
}


@pytest.mark.parametrize(("reply", "problems"), ADMIN.values(), ids=ADMIN.keys())
def test_admin(site: SmallSite, reply: Reply, problems: list[str]) -> None:
    site.replies["/wp-admin/index.php"] = reply
    assert one(site, probe("admin", "/wp-admin/index.php"), cookies_admin="wordpress_x=y")["problems"] == problems


EDITORS = {
    "block-editor": ('<html><body class="wp-admin block-editor-page"></body></html>', []),
    "classic-editor": ('<html><body class="wp-admin"><form name="post" action="post.php"></form></body></html>', []),
    "no-editor": ('<html><body class="wp-admin index-php"></body></html>', ["there is no editor"]),
    "front-page-instead": (GOOD.decode(), ["not a page of the administration"]),
}


@pytest.mark.parametrize(("page", "problems"), EDITORS.values(), ids=EDITORS.keys())
def test_editor(site: SmallSite, page: str, problems: list[str]) -> None:
    site.replies["/wp-admin/post-new.php"] = html(page.encode())
    found = one(site, probe("editor", "/wp-admin/post-new.php"), cookies_admin="wordpress_x=y")
    assert found["problems"] == problems


def test_only_admin_probes_carry_the_session(site: SmallSite) -> None:
    site.page("/", "hello")
    site.page("/wp-admin/index.php", BAR.decode())
    probes = [probe(), probe("admin", "/wp-admin/index.php")]
    assert all(found["ok"] for found in run_probes(site.target(cookies="a=b"), probes, cookies_admin="c=d"))
    sent = {path: headers.get("cookie") for _, path, headers in site.requests}
    uncached = "wordpress_no_cache=1"
    assert sent == {"/": f"{uncached}; a=b", "/wp-admin/index.php": f"{uncached}; a=b; c=d"}


def test_without_a_session_an_admin_probe_fails_and_asks_nothing(site: SmallSite) -> None:
    assert one(site, probe("admin", "/wp-admin/"))["problems"] == ["no session of an administrator was given"]
    assert site.requests == []


@pytest.mark.parametrize(("in_turn", "at_once", "seconds"), [(True, 1, 0.2), (False, 2, 10.0)])
def test_pages_of_the_administration_are_asked_for_in_turn(
    site: SmallSite, in_turn: bool, at_once: int, seconds: float
) -> None:
    """Of two first visits at once, the second to write the list of WordPress's jobs loses what the first has planned."""
    opened, most, both = [0], [0], threading.Condition()

    def write(handler: BaseHTTPRequestHandler) -> None:
        with both:
            opened[0] += 1
            most[0] = max(most[0], opened[0])
            both.notify_all()
            both.wait_for(lambda: most[0] == 2, timeout=seconds)
            opened[0] -= 1
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    site.replies.update({"/wp-admin/": Reply(write=write), "/wp-admin/plugins.php": Reply(write=write)})
    wanted = [probe("admin", "/wp-admin/"), probe("editor", "/wp-admin/plugins.php")]

    run_probes(site.target(), wanted, cookies_admin="wordpress_x=y", admin_in_turn=in_turn)

    assert (most[0], len(site.requests)) == (at_once, 2)


@pytest.mark.parametrize(("token", "in_turn"), [("", True), ("f" * 32, False)])
def test_only_the_look_through_a_freeze_opens_them_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str, in_turn: bool
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(baseline, "run_probes", lambda *_, **terms: seen.update(terms) or [])

    baseline.probe_production(site_at(tmp_path), [], "", "", token=token)

    assert seen["admin_in_turn"] is in_turn


PAGE_WITH_ASSETS = f"""<html><head>
<link rel="stylesheet" href="/wp-content/style.css?ver=1&#038;x=2"><link rel="canonical" href="/canonical/">
<link rel='modulepreload' href='http://{HOST}/wp-includes/js/dist/pre.min.js'>
<script type="importmap">{{"imports":{{"@wordpress\\/interactivity":
"https:\\/\\/{HOST}\\/wp-includes\\/js\\/dist\\/interactivity.min.js?ver=6.5"}}}}</script>
<script>var x = {{y: "not/an/asset.js",
"concatemoji":"\\/wp-includes\\/js\\/wp-emoji-release.min.js?ver=6.5"}};</script>
<script src="https://cdn.example/foreign.js"></script><script src="//{HOST}/wp-includes/js/jquery.js"></script>
<script src="//{HOST}/wp-includes/js/jquery.js"></script>
</head><body><img src="wp-content/photo.jpg"><img src="data:image/gif;base64,R0"><a href="/page/">x</a></body></html>"""
ASSETS = [
    "/wp-content/style.css?ver=1&x=2",
    "/wp-includes/js/dist/pre.min.js",
    "/wp-includes/js/dist/interactivity.min.js?ver=6.5",
    "/wp-includes/js/wp-emoji-release.min.js?ver=6.5",
    "/wp-includes/js/jquery.js",
    "/wp-content/photo.jpg",
]


def site_with_assets(site: SmallSite) -> None:
    site.replies["/"] = html(PAGE_WITH_ASSETS.encode())
    for path in ASSETS:
        site.replies[path] = Reply(b"content", 200)


def test_assets_of_the_same_site_are_fetched_each_once(site: SmallSite) -> None:
    site_with_assets(site)
    assert one(site, probe("assets"))["problems"] == []
    assert sorted(path for _, path, _ in site.requests) == sorted(["/", *ASSETS])
    assert {method for method, path, _ in site.requests if path != "/"} == {"HEAD"}


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(b"no", 404), "status 404"),
        (Reply(b"", 200), "empty"),
        (Reply(b"", 403), "status 403"),
        (Reply(b"", 302, {"Location": "https://evil.example/x.js"}), "status 302"),
    ],
    ids=["asset-404", "asset-empty", "asset-403", "asset-elsewhere"],
)
@pytest.mark.parametrize("path", ASSETS)
def test_a_broken_asset_is_named(site: SmallSite, path: str, reply: Reply, problem: str) -> None:
    site_with_assets(site)
    site.replies[path] = reply
    assert one(site, probe("assets"))["problems"] == [f"{path}: {problem}"]


def test_an_asset_whose_server_refuses_head_or_knows_no_length_is_fetched(site: SmallSite) -> None:
    site_with_assets(site)
    site.replies[ASSETS[0]] = [Reply(b"", 405), Reply(b"body")]
    site.replies[ASSETS[1]] = Reply(raw=b"HTTP/1.1 200 OK\r\n\r\nmade by a program")
    assert one(site, probe("assets"))["problems"] == []
    assert site.asked(ASSETS[0]) == site.asked(ASSETS[1]) == 2


def test_a_page_with_a_thousand_assets_is_probed_up_to_the_limit(site: SmallSite) -> None:
    site.page("/", "".join(f'<img src="/{number}.png">' for number in range(1000)))
    found = one(site, probe("assets"))
    assert len(site.requests) == 1 + 2 * 80
    assert len(found["problems"]) == 11
    assert found["problems"][-1] == "and 70 more"


def test_the_assets_of_a_dead_page_are_not_guessed(site: SmallSite) -> None:
    site.replies["/"] = html(CRITICAL, 500)
    assert one(site, probe("assets"))["problems"] == ["status 500, expected 200"]


@pytest.mark.parametrize(
    "mess", ["<![if x]><img src=/a.png>", "<!DOCTYPE [<x", "<img src=/a.png <", "<script>", "<base href='http://[x'>"]
)
def test_a_page_that_is_a_mess_is_read_as_far_as_possible(site: SmallSite, mess: str) -> None:
    site.replies["/"] = html(f"<html>{mess}".encode())
    site.replies["/a.png"] = Reply(b"x")
    assert one(site, probe("assets"))["problems"] == []


def test_log_only_fatal(site: SmallSite, tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    log.write_text("PHP Fatal error:  of yesterday in /old.php on line 1\n")

    def die_quietly(handler: Any) -> None:
        with log.open("a") as more:
            more.write("[now] PHP Fatal error:  Uncaught Error: x in /a.php:3\n" * 2 + "PHP Warning:  y\n")
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>")

    site.replies["/"] = Reply(write=die_quietly)
    # The log's probe stands first and is still read last.
    results = run_probes(site.target(), [probe("log", "", name="error log"), probe()], log={"path": str(log)})
    assert [found["kind"] for found in results] == ["log", "page"]
    found = results[0]
    assert found["problems"] == ["PHP Fatal error: Uncaught Error: x in /a.php:3 (2 times)"]
    assert found["warnings"] == 1
    assert found["bytes"] > 0
    assert results[1]["ok"]
    verdict = judge(results)
    assert verdict["reasons"] == ["error log: PHP Fatal error: Uncaught Error: x in /a.php:3 (2 times)"]


def test_the_log_is_judged_from_a_given_position(site: SmallSite, tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    log.write_text("PHP Fatal error:  while the plugin was updated in /a.php:1\n")
    place = {"path": str(log), "position": {"inode": log.stat().st_ino, "size": 0}}
    assert not one(site, probe("log", ""), log=place)["ok"]
    assert one(site, probe("log", ""), log={"path": str(log)})["ok"]


@pytest.mark.parametrize("log", [None, {}, {"path": ""}, {"path": "/no/such/folder/php.log"}])
def test_a_log_that_cannot_be_read_is_a_note_and_not_a_failure(site: SmallSite, log: dict[str, str] | None) -> None:
    found = one(site, probe("log", ""), log=log)
    assert (found["ok"], found["notes"]) == (True, ["log not readable"])


BUSY = html(b"<html>Briefly unavailable for scheduled maintenance.</html>", 503, **{"Retry-After": "600"})


@pytest.mark.parametrize("busy", [BUSY, Reply(b"bad gateway", 502)], ids=["503", "502"])
def test_transient_503_during_migration_is_waited_for(site: SmallSite, busy: Reply) -> None:
    site.replies["/"] = [busy, html(GOOD)]
    found = one(site, probe(text=["LAB-1"]), patience=5)
    assert found["ok"]
    assert site.asked("/") == 2


def test_transient_503_during_migration_that_stays_counts(site: SmallSite) -> None:
    site.replies["/"] = BUSY
    started = time.monotonic()
    found = one(site, probe(), patience=0.7)
    assert found["problems"][0] == "status 503, expected 200"
    assert site.asked("/") == 2
    assert time.monotonic() - started < 3


def test_without_patience_the_first_503_counts(site: SmallSite) -> None:
    site.replies["/"] = [BUSY, html(GOOD)]
    assert not one(site, probe())["ok"]


def test_a_500_is_not_waited_for(site: SmallSite) -> None:
    site.replies["/"] = [html(CRITICAL, 500), html(GOOD)]
    assert not one(site, probe(), patience=5)["ok"]
    assert site.asked("/") == 1


def test_a_server_that_comes_back_is_waited_for(site: SmallSite) -> None:
    free = Target("127.0.0.1", 0, HOST, "http")
    found = run_probes(free, [probe()], patience=0)
    assert found[0]["problems"] == ["connection refused"]

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))

    def serve() -> None:
        time.sleep(0.2)
        listener.listen()
        connection, _ = listener.accept()
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>")
        connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    found = run_probes(Target("127.0.0.1", listener.getsockname()[1], HOST, "http"), [probe()], patience=5)
    thread.join()
    listener.close()
    assert found[0]["ok"]


def test_results_keep_the_order_of_the_probes(site: SmallSite) -> None:
    def slowly(handler: Any) -> None:
        time.sleep(0.2)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>")

    site.replies["/slow"] = Reply(write=slowly)
    site.page("/fast", "x")
    names = [found["path"] for found in run_probes(site.target(), [probe(path="/slow"), probe(path="/fast")])]
    assert names == ["/slow", "/fast"]


def test_a_kind_that_nobody_knows_fails(site: SmallSite) -> None:
    assert one(site, probe("telepathy"))["problems"] == ["this version knows no probe of kind 'telepathy'"]
