"""A real Chromium before a small site behind a socket: what it sees of a page, and that it reaches nothing else."""

from __future__ import annotations

import socket
import socketserver
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image

from orchestrator.run.eyes import browser
from orchestrator.run.looking import CannotLook, browsed, remove_old

PAGE = """<!doctype html><html><head><title>Shop</title><link rel="stylesheet" href="/style.css"></head>
<body style="margin:0;height:3000px;background:%s"><h1 style="margin:0">Shop</h1>
<form action="/order/?step=1" method="post"><input name="email"><input type="hidden" name="nonce"><button>Order</button></form>
<form style="display:none" action="/hidden/"><input name="unseen"></form>
<button>  The
Menu </button><a href="/cart/?id=1#top">Cart</a><a href="http://elsewhere.example/">Away</a>
<div class="slideshow" data-kind="a/b" style="position:absolute;left:10px;top:500px;width:300px;height:80px"></div>
<img loading="lazy" src="/late.png" style="position:absolute;top:2800px">
<img src="http://192.0.2.1/tracker.gif"><script src="http://elsewhere.example/x.js"></script>
<script>%s</script></body></html>"""
ERRORS = "console.error('oh', 42); setTimeout(() => missing(), 0);"


class Site(BaseHTTPRequestHandler):
    """Answers like a site's copy: plain http, whatever the browser calls it."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        type(self).asked.append((self.headers["Host"], self.path))
        if self.path == "/dead/":
            return
        if self.path == "/moved/":
            self.send_response(302)
            self.send_header("Location", "/")
            self.end_headers()
            return
        found = self.path in ("/", "/style.css")
        body = (PAGE % ("#eee", ERRORS)).encode() if self.path == "/" else b"h1 { color: navy }" if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/css" if self.path.endswith(".css") else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


class OnSocket(socketserver.ThreadingMixIn, HTTPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)


@contextmanager
def served(place: Path) -> Iterator[list[tuple[str, str]]]:
    handler = type("OneSite", (Site,), {"asked": []})
    with OnSocket(str(place), handler) as server:  # type: ignore[arg-type]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield handler.asked  # type: ignore[attr-defined]
        finally:
            server.shutdown()


def looked(folder: Path, url: str, pages: list[dict[str, str]], **changes: Any) -> dict[str, Any]:
    program = browser()
    assert program is not None, "there is no Chromium: type make requirements"
    asked = {"socket": str(folder / "copy"), "url": url, "pages": pages, "shots": ["before"], "masks": [".slideshow"],
             "width": 800, "folder": str(folder), "program": program, **changes}  # fmt: skip
    return browsed(asked, 120)


def test_what_a_browser_sees_of_a_page(tmp_path: Path) -> None:
    pages = [{"name": "front page", "path": "/", "file": "01-front-page"},
             {"name": "moved", "path": "/moved/", "file": "02-moved"},
             {"name": "dead", "path": "/dead/", "file": "03-dead"}]  # fmt: skip
    with served(tmp_path / "copy") as asked:
        seen = looked(tmp_path, "http://shop.example:8080", pages, masks=[".slideshow[data-kind=a/b]"])
    front, moved, dead = seen["shots"]["before"]

    assert seen["kept_by"] == "no network"
    assert (front["status"], front["error"]) == (200, "")
    assert sorted(front["errors"]) == [
        "Failed to load resource: the server responded with a status of 404 (Not Found) (/late.png)",
        "ReferenceError: missing is not defined",
        "oh 42",
    ]
    assert front["parts"] == [
        "the form to /order/",
        "the field email of the form to /order/",
        "the button of the form to /order/",
        "the button The Menu",
    ]
    assert front["links"] == ["/cart/"]
    assert front["masks"] == [[10, 500, 310, 580]]
    assert (moved["status"], moved["parts"]) == (200, front["parts"])
    assert (dead["status"], dead["files"]) == (0, {})
    assert dead["error"].startswith("the browser saw nothing: Page.goto: net::ERR_EMPTY_RESPONSE")
    assert {host for host, _ in asked} == {"shop.example:8080"}

    picture, response = front["files"]["picture"], front["files"]["response"]
    file = tmp_path / picture["file"]
    assert picture["file"] == "01-front-page.before.png"
    assert (file.stat().st_size, stat.S_IMODE(file.stat().st_mode)) == (picture["bytes"], 0o600)
    with Image.open(file) as drawn:
        assert drawn.size == (800, 3000)
    assert b"<title>Shop</title>" in (tmp_path / response["file"]).read_bytes()


def test_a_site_with_https_whose_copy_speaks_http(tmp_path: Path) -> None:
    with served(tmp_path / "copy") as asked:
        seen = looked(tmp_path, "https://shop.example", [{"name": "front page", "path": "/", "file": "01"}])
    (front,) = seen["shots"]["before"]
    assert (front["status"], front["error"], front["links"]) == (200, "", ["/cart/"])
    assert ("shop.example", "/style.css") in asked


def test_a_browser_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    seen = looked(tmp_path, "http://shop.example", [], program="/bin/false")
    assert "failed" in seen


def test_a_browser_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="not ready after 0 s"):
        browsed({"socket": str(tmp_path / "copy")}, 0.01)


def test_the_pictures_of_old_runs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    now, here = datetime(2026, 11, 22, 3, tzinfo=UTC), "20261122T020000Z-1f0c9a2b"
    old, young, other = "20260823T020000Z-1f0c9a2b", "20260824T040000Z-1f0c9a2b", "holiday"
    for name in (here, old, young, other):
        (tmp_path / name).mkdir()
        (tmp_path / name / "01-front-page.before.png").touch()
    (tmp_path / "20260101T000000Z-1f0c9a2b").symlink_to(tmp_path / other)
    assert remove_old(tmp_path / here, 0, now) == []
    # A folder that somebody chose may lie beside anything.
    assert remove_old(tmp_path / other, 90, now) == []
    assert remove_old(tmp_path / here, 90, now) == [old]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20260101T000000Z-1f0c9a2b", young, here, other]
