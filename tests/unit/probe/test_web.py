"""What `fetch` makes of a web server that does its best, its worst, or nothing at all."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from plugins.module_utils.web import REFUSED, TIMED_OUT, Answer, Target, fetch, same_site_path, target_for

from .conftest import HOST, Reply, SmallSite


def drip(handler: BaseHTTPRequestHandler) -> None:
    """One byte at a time: each read succeeds quickly, the whole never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.03)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        handler.wfile.write(f"X-{number}: x\r\n".encode())
        time.sleep(0.03)


def test_a_whole_answer_is_given_with_everything_about_it(site: SmallSite) -> None:
    site.replies["/a?b=c"] = Reply(b"hello", 200, {"X-Thing": "yes"})
    answer = fetch(site.target(), "/a?b=c#part")
    assert (answer.status, answer.body, answer.error, answer.path) == (200, b"hello", "", "/a?b=c")
    assert answer.headers["x-thing"] == "yes"
    assert 0 < answer.seconds < 5


def test_the_name_of_the_site_goes_to_the_address_of_the_place(site: SmallSite) -> None:
    site.replies["/"] = Reply(b"ok")
    fetch(site.target(token="secret", cookies="a=b"), "/", headers={"X-More": "1"})
    headers = site.requests[0][2]
    assert headers["host"] == HOST
    assert headers["user-agent"] == "Upkeep-Probe/1"
    assert headers["cache-control"] == headers["pragma"] == "no-cache"
    assert headers["x-upkeep-token"] == "secret"
    assert headers["cookie"] == "a=b"
    assert headers["x-more"] == "1"
    assert "accept-encoding" not in headers


def test_without_token_and_cookies_their_headers_are_absent(site: SmallSite) -> None:
    site.replies["/"] = Reply(b"ok")
    fetch(site.target(), "/")
    assert not {"x-upkeep-token", "cookie"} & set(site.requests[0][2])


@pytest.mark.parametrize(
    ("reply", "error", "body"),
    [
        (
            Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
            "the answer broke off after 5 bytes",
            b"short",
        ),
        (
            Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n100\r\nrest"),
            "the answer broke off",
            b"hello",
        ),
        (
            Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
            "the answer broke off after 5 bytes",
            b"hello",
        ),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"), "the answer broke off", b""),
        (Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), "not an answer in HTTP: BadStatusLine", b""),
        (Reply(write=lambda handler: None), "not an answer in HTTP: RemoteDisconnected", b""),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "not an answer in HTTP: HTTPException", b""),
    ],
    ids=["cut", "cut-inside-a-chunk", "no-last-chunk", "bad-chunk-size", "not-http", "hangs-up", "too-many-headers"],
)
def test_a_broken_answer_is_an_error_with_status_0(site: SmallSite, reply: Reply, error: str, body: bytes) -> None:
    site.replies["/"] = reply
    answer = fetch(site.target(), "/")
    assert answer.status == 0
    assert error in answer.error
    assert answer.body.startswith(body)


def test_the_status_of_a_broken_answer_is_in_its_error(site: SmallSite) -> None:
    site.replies["/"] = Reply(raw=b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\n")
    assert fetch(site.target(), "/").error == "the answer broke off after 0 bytes (its status was 500)"


@pytest.mark.parametrize(
    "write", [drip, drip_headers, lambda handler: time.sleep(1)], ids=["body", "headers", "silence"]
)
def test_the_deadline_holds_for_all_reads_together(site: SmallSite, write: object) -> None:
    site.replies["/"] = Reply(write=write)  # type: ignore[arg-type]
    answer = fetch(site.target(), "/", timeout=0.3)
    assert answer.error.startswith(TIMED_OUT)
    assert answer.status == 0
    assert 0.2 < answer.seconds < 0.9


def test_a_huge_answer_is_given_up_at_the_limit(site: SmallSite) -> None:
    site.replies["/"] = Reply(b"x" * 300_000)
    answer = fetch(site.target(), "/", max_bytes=100_000)
    assert answer.error == "the answer is larger than 100000 bytes (its status was 200)"
    assert len(answer.body) == 100_000
    assert fetch(site.target(), "/", max_bytes=300_000).error == ""


def test_an_endless_answer_is_given_up_at_the_limit(site: SmallSite) -> None:
    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(b"x" * 65536)

    site.replies["/"] = Reply(write=pour)
    assert "larger than 1000000 bytes" in fetch(site.target(), "/", max_bytes=1_000_000).error


def test_nobody_listening_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    answer = fetch(Target("127.0.0.1", port, HOST, "http"), "/")
    assert (answer.status, answer.error) == (0, REFUSED)


def test_a_name_that_does_not_exist_is_an_error() -> None:
    assert fetch(Target("no-such-host.invalid", 80, HOST, "http"), "/").error.startswith("no answer")


@pytest.mark.parametrize(
    "target",
    [
        Target("127.0.0.1", 1, HOST, "http", token="a\r\nX-Evil: 1"),
        Target("127.0.0.1", 1, HOST, "http", cookies="a=\u20ac"),
    ],
)
def test_what_cannot_be_a_header_is_an_error(site: SmallSite, target: Target) -> None:
    there = Target("127.0.0.1", site.port, HOST, "http", target.token, target.cookies)
    assert fetch(there, "/").error.startswith("no answer")
    assert site.requests == []


def test_a_path_cannot_smuggle_a_second_request(site: SmallSite) -> None:
    fetch(site.target(), "/a b\r\nX: y/\u00fc")
    assert [path for _, path, _ in site.requests] == ["/a%20b%0D%0AX:%20y/%C3%BC"]


def test_head_has_no_body_and_is_whole(site: SmallSite) -> None:
    site.replies["/"] = Reply(b"hello")
    answer = fetch(site.target(), "/", method="HEAD")
    assert (answer.status, answer.body, answer.error, answer.headers["content-length"]) == (200, b"", "", "5")


def test_redirects_are_not_followed_unless_asked(site: SmallSite) -> None:
    site.replies["/a"] = Reply(b"", 302, {"Location": "/b"})
    site.page("/b", "here")
    assert fetch(site.target(), "/a").status == 302
    followed = fetch(site.target(), "/a", follow=3)
    assert (followed.status, followed.path) == (200, "/b")


@pytest.mark.parametrize(
    "location",
    ["b", "/x/b", f"http://{HOST}/x/b", f"HTTP://{HOST.upper()}:80/x/b", f"//{HOST}/x/b", f"https://{HOST}/x/b#part"],
)
def test_every_way_of_writing_the_same_site_is_followed(site: SmallSite, location: str) -> None:
    site.replies["/x/a"] = Reply(b"", 301, {"Location": location})
    site.page("/x/b", "here")
    assert fetch(site.target(), "/x/a", follow=1).status == 200


@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere.example/",
        f"http://{HOST}.elsewhere.example/",
        f"http://{HOST}@elsewhere.example/",
        f"http://www.{HOST}/",
        f"http://{HOST}:8080/",
        f"ftp://{HOST}/",
        "//elsewhere.example/",
        "http://169.254.169.254/latest/",
        "http://[broken/",
        "http://x:99999999/",
        "javascript:alert(1)",
        "",
    ],
)
def test_no_redirect_leads_elsewhere(site: SmallSite, location: str) -> None:
    site.replies["/"] = Reply(b"", 302, {"Location": location})
    answer = fetch(site.target(), "/", follow=3)
    assert answer.status == 302
    assert len(site.requests) == 1


def test_a_redirect_in_a_circle_ends(site: SmallSite) -> None:
    site.replies["/"] = Reply(b"", 302, {"Location": "/"})
    assert fetch(site.target(), "/", follow=3).status == 302
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    ("url", "port", "host", "scheme"),
    [
        ("http://Shop.Example.test", 80, "shop.example.test", "http"),
        ("http://shop.example.test:80/", 8081, "shop.example.test", "http"),
        ("https://shop.example.test:8443", 443, "shop.example.test:8443", "https"),
        ("http://[::1]:8080/", 80, "[::1]:8080", "http"),
    ],
)
def test_the_host_header_has_the_port_of_the_url_only(url: str, port: int, host: str, scheme: str) -> None:
    assert target_for(url, "127.0.0.1", port) == Target("127.0.0.1", port, host, scheme)


def test_same_site_path_is_relative_to_the_page() -> None:
    target = Target("127.0.0.1", 80, HOST, "http")
    assert same_site_path(target, "style.css?ver=1", "/a/b/") == "/a/b/style.css?ver=1"
    assert same_site_path(target, f"http://{HOST}", "/a/b/") == "/"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=somebody.else", "-keyout", str(path), "-out", str(path) + ".crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(str(path) + ".crt").read_bytes())
    return path


def test_on_the_host_itself_tls_names_the_site_and_takes_any_certificate(certificate: Path) -> None:
    names: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"secure")

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        answer: Answer = fetch(Target("127.0.0.1", server.server_address[1], f"{HOST}:8443", "https"), "/")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (answer.error, answer.body) == ("", b"secure")
    assert names == [HOST]


def test_tls_spoken_to_a_plain_server_is_an_error(site: SmallSite) -> None:
    answer = fetch(site.target(scheme="https"), "/", timeout=2)
    assert answer.status == 0
    assert answer.error
