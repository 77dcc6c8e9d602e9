"""Somebody on the host holds the gateway up or fills the store: bodies that are huge, slow, cut off, too many."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.run import gateway_http, gateway_server, gateway_session
from orchestrator.run.gateway_store import StoreError
from tests.module.conftest import Repository
from tests.module.gateway_kit import Host, credentials, session
from tests.module.gateway_thief import locked
from tests.repository import named

LATER = "20261123T020000Z-2a0c9a2b"
LATEST = "20261124T020000Z-3b0c9a2b"
KINDS = ("data", "index", "keys", "locks", "snapshots")


@pytest.mark.parametrize("kind", KINDS)
def test_a_huge_body_is_refused_before_it_is_read(repository: Repository, tmp_path: Path, kind: str) -> None:
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        limit = gateway_session.LIMITS[kind]
        for length in (str(limit + 1), "10000000000000", "9" * 30, "-1", "1e3", "+5", ""):
            began = time.monotonic()
            answer = host.ask("POST", f"/{kind}/{'ab' * 32}", headers={"Content-Length": length})
            assert answer.status in (403, 411, 413)
            assert answer.headers["Connection"] == "close"
            assert time.monotonic() - began < 5


def test_a_body_without_a_length_is_refused(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        chunked = {"Transfer-Encoding": "chunked"}
        assert host.ask("POST", f"/data/{'ab' * 32}", headers=chunked).status == 411
        both = chunked | {"Content-Length": "100"}
        assert host.ask("POST", f"/data/{'ab' * 32}", headers=both).status == 411


def test_a_body_that_breaks_off_is_not_stored(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.names("data")
    body = os.urandom(100_000)
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        with opened(host, "POST", f"/data/{named(body)}", len(body)) as connection:
            connection.sendall(body[:50_000])
        assert host.ask("GET", "/config").status == 200
    assert repository.store.names("data") == before


@pytest.mark.parametrize("pause", [0.05, 10.0], ids=["trickles", "stalls"])
def test_a_body_that_comes_too_slowly_is_given_up(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(gateway_http, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(gateway_http, "STALLED_SECONDS", 0.6)
    before = repository.store.names("data")
    body = os.urandom(400)
    with (
        session(repository.store, tmp_path, point=LATER) as host,
        locked(host),
        opened(host, "POST", f"/data/{named(body)}", len(body)) as connection,
    ):
        began = time.monotonic()
        connection.settimeout(0.01)
        answer, sent = b"", 0
        while not answer and time.monotonic() - began < 8:
            with contextlib.suppress(OSError):
                connection.sendall(body[sent : sent + 1])
                sent += 1
            stop = time.monotonic() + min(pause, 8)
            while not answer and time.monotonic() < stop:
                with contextlib.suppress(TimeoutError):
                    answer = connection.recv(100)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert sent < len(body)
    assert repository.store.names("data") == before


def test_strangers_who_say_nothing_have_to_go(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_http, "STRANGER_SECONDS", 0.3)
    monkeypatch.setattr(gateway_server, "CONNECTIONS", 4)
    with session(repository.store, tmp_path, point=LATER) as host, contextlib.ExitStack() as crowd:
        for _ in range(8):
            stranger = crowd.enter_context(socket.create_connection(("127.0.0.1", host.way.port)))
            stranger.sendall(b"GET /config HT")
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(Exception):
                if host.ask("GET", "/config").status == 200:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_session_adds_no_more_than_it_may(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(repository.store, tmp_path, point=LATER, budget=1000) as host, locked(host):
        assert [host.send("data", os.urandom(400)).status for _ in range(4)] == [200, 200, 403, 403]
        assert "as much as it may" in host.end()["refusals"][-1]
    monkeypatch.setattr(gateway_session, "SMALL_PACKS", 2)
    with session(repository.store, tmp_path, point=LATEST) as host, locked(host):
        assert [host.send("data", os.urandom(400)).status for _ in range(5)] == [200, 200, 200, 403, 403]


def test_nothing_is_added_without_a_lock(repository: Repository, tmp_path: Path) -> None:
    before = repository.store.everything()
    with session(repository.store, tmp_path, point=LATER) as host:
        for kind in ("data", "index", "snapshots"):
            assert host.send(kind, os.urandom(300)).status == 403
    assert repository.store.everything() == before


def test_what_was_sent_once_may_be_sent_again_and_is_not_stored_again(repository: Repository, tmp_path: Path) -> None:
    """restic does so when an answer gets lost."""
    body = os.urandom(300)
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        assert host.send("data", body).status == 200
        stored = next((repository.store.objects / "data").rglob(named(body)))
        first = stored.stat().st_mtime_ns
        assert host.send("data", body).status == 200
        assert host.send("data", os.urandom(300), named(body)).status == 400
        assert stored.stat().st_mtime_ns == first
        assert host.end()["bytes"] == 300


def test_a_store_that_goes_away_is_an_error_that_restic_tries_again(repository: Repository, tmp_path: Path) -> None:
    with session(repository.store, tmp_path, point=LATER) as host, locked(host):
        shelf = host.gateway.session.shelf
        real, shelf.write = shelf.write, away  # type: ignore[method-assign]
        body = os.urandom(300)
        assert host.send("data", body).status == 502
        shelf.write = real  # type: ignore[method-assign]
        assert host.send("data", body).status == 200


def away(*_: Any) -> None:
    raise StoreError("it is away")


@contextlib.contextmanager
def opened(host: Host, method: str, path: str, length: int) -> Any:
    """Send a head and leave the body to the caller."""
    head = f"{method} {path} HTTP/1.1\r\nAuthorization: {credentials(host.gateway.secret)}\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", host.way.port), timeout=20) as connection:
        connection.sendall(head.encode())
        yield connection
