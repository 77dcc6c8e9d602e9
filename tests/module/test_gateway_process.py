"""The gateway as a process of its own: how it begins, how it is led to a host, and what makes it end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.run.gateway_forward import Forward, ForwardError
from plugins.action import store_gateway
from plugins.module_utils import restic
from tests.depot import make_manifest
from tests.module.conftest import Repository
from tests.module.gateway_kit import BUCKET, PASSWORD, POINT, PREFIX, Way

SSH = r"""#!{python}
import sys, time
open({log!r}, "a").write(" ".join(sys.argv[1:]) + "\n")
if "-O" in sys.argv:
    if {master}:
        print(40123)
    sys.exit(0 if {master} else 255)
print("Warning: something else", file=sys.stderr)
if {allowed}:
    print("Allocated port 40456 for remote forward to x", file=sys.stderr, flush=True)
    time.sleep(60)
print("Error: remote port forwarding failed for listen port 0", file=sys.stderr)
sys.exit(255)
"""


class Started:
    """A gateway that was started as Ansible starts it."""

    def __init__(self, process: subprocess.Popen[bytes], told: dict[str, Any]) -> None:
        self.process, self.told = process, told

    @property
    def folder(self) -> Path:
        return Path(self.told["control"]).parent

    def ask(self, method: str, path: str, value: Any = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("gateway", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.told["control"])
        try:
            connection.request(method, path, None if value is None else json.dumps(value))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@contextlib.contextmanager
def started(repository: Repository, **more: Any) -> Iterator[Started]:
    terms = {
        "mode": "write",
        "point": POINT,
        "store": repository.store.options(),
        "access_key": repository.store.access_key,
        "secret_key": repository.store.secret_key,
        "password": PASSWORD,
        **more,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator.run.gateway"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(terms).encode() + b"\n{}\n")
            process.stdin.close()
            yield Started(process, json.loads(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextlib.contextmanager
def way_to(gateway: Started) -> Iterator[str]:
    """Lead a port to a gateway; yields what restic would be told."""
    way = Way(Path(gateway.told["socket"]))
    try:
        yield gateway.told["url"].replace(":0/", f":{way.port}/")
    finally:
        way.close()


def test_it_begins_answers_and_ends_without_a_trace(repository: Repository) -> None:
    with started(repository) as gateway:
        assert gateway.told["url"].startswith("rest:http://upkeep:")
        assert gateway.folder.stat().st_mode & 0o777 == 0o700
        assert Path(gateway.told["socket"]).stat().st_mode & 0o777 == 0o600
        status, report = gateway.ask("GET", "/")
        assert (status, report["mode"], report["requests"]) == (200, "write", 0)
        assert gateway.ask("POST", "/confirm", {"snapshot": "0" * 64})[0] == 409
        assert gateway.ask("POST", "/end", {})[0] == 200
        assert gateway.process.wait(timeout=20) == 0
        assert not gateway.folder.exists()


def test_no_secret_stands_where_others_could_read_it(repository: Repository) -> None:
    secrets = [PASSWORD, repository.store.secret_key]
    with started(repository) as gateway:
        place = Path(f"/proc/{gateway.process.pid}")
        shown = place.joinpath("cmdline").read_bytes() + place.joinpath("environ").read_bytes()
        for secret in [*secrets, gateway.told["secret"], gateway.told["password"]]:
            assert secret.encode() not in shown
    said = json.dumps(gateway.told)
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_job_that_it_was_started_for(repository: Repository, how: signal.Signals) -> None:
    with subprocess.Popen(["sleep", "60"]) as job, started(repository, watch=job.pid) as gateway:
        assert gateway.ask("GET", "/")[0] == 200
        job.send_signal(how)
        assert gateway.process.wait(timeout=20) == 0
        assert not gateway.folder.exists()


def test_it_does_not_begin_for_a_job_that_is_over(repository: Repository) -> None:
    with subprocess.Popen(["true"]) as job:
        job.wait()
    with started(repository, watch=job.pid) as gateway:
        assert gateway.told == {"error": "the job is over already"}


@pytest.mark.parametrize("limit", ["idle", "longest"])
def test_it_ends_when_nothing_happens_or_the_day_is_over(repository: Repository, limit: str) -> None:
    with started(repository, **{limit: 1}) as gateway:
        assert gateway.process.wait(timeout=30) == 0
        assert not gateway.folder.exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"mode": "append"}, "for reading, or for writing"),
        ({"point": ""}, "for reading, or for writing"),
        ({"store": {}}, "was not told"),
        ({"mode": "read", "store": None}, "was not told"),
    ],
)
def test_it_says_why_it_does_not_begin(repository: Repository, more: dict[str, Any], words: str) -> None:
    with started(repository, **more) as gateway:
        assert words in gateway.told["error"]
        assert gateway.process.wait(timeout=20) == 1


def test_a_host_is_answered_when_the_repository_has_been_looked_at(repository: Repository) -> None:
    # The second one has no repository, which is no reason not to begin.
    for more in ({}, {"store": repository.store.options() | {"prefix": "example/other"}}):
        with started(repository, **more) as gateway, way_to(gateway) as url:
            restic.reach_gateway(url)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"password": "another"}, "opens no key"),
        ({"endpoint": "http://127.0.0.1:9"}, "connect"),
        ({"mode": "read", "prefix": "example/other"}, "no repository"),
    ],
)
def test_a_host_is_told_why_nothing_comes_of_it(repository: Repository, more: dict[str, Any], words: str) -> None:
    place = {name: more[name] for name in ("endpoint", "prefix") if name in more}
    terms = {name: more[name] for name in ("password", "mode") if name in more}
    with (
        started(repository, store=repository.store.options() | place, **terms) as gateway,
        way_to(gateway) as url,
        pytest.raises(restic.ResticError, match=f"{words}.*Type: upkeep store check example"),
    ):
        restic.reach_gateway(url)


def test_a_way_that_is_broken_is_said() -> None:
    with pytest.raises(restic.ResticError, match="on the controller does not answer"):
        restic.reach_gateway("rest:http://upkeep:secret@127.0.0.1:9/")


LATER = "20261123T020000Z-2a0c9a2b"
DUMP = {
    "file": "/srv/dump.sql", "exit_codes": {"mariadb-dump": 0}, "end_marker": True, "tables": {"wp_posts": 1}, "bytes": 9,
    "sha256": "0" * 64,
}  # fmt: skip


def test_ansible_starts_confirms_and_ends_it(repository: Repository, tmp_path: Path) -> None:
    given = {
        "mode": "write",
        "point": LATER,
        "store": repository.store.options(),
        "access_key": repository.store.access_key,
        "secret_key": repository.store.secret_key,
        "password": PASSWORD,
        "watch": os.getpid(),
    }
    with store_gateway.Launch(given) as launch:
        told = launch.told({})
    try:
        with pytest.raises(store_gateway.Unanswered, match="was not given a snapshot"):
            store_gateway.confirmed(told["control"], "0" * 64)
        way = Way(Path(told["socket"]))
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "RESTIC_PASSWORD": told["password"],
            "RESTIC_REPOSITORY": told["url"].replace(":0/", f":{way.port}/"), "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
        }  # fmt: skip
        command = ["restic", "backup", "--json", "--tag", f"point={LATER}", str(repository.site)]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        short = json.loads(done.stdout.splitlines()[-1])["snapshot_id"]
        way.close()
        report = json.loads(subprocess.check_output(["curl", "-s", "--unix-socket", told["control"], "http://x/"]))
        snapshot = next(name for name in report["added"]["snapshots"] if name.startswith(short))
        wanted = {
            **{name: given[name] for name in ("store", "access_key", "secret_key")}, "client": "example", "name": "shop",
            "point": LATER, "create_bucket": True, "allow_shrunk": False, "manifest": make_manifest(LATER, snapshot, root="/srv/shop", dump=DUMP),
        }  # fmt: skip
        with pytest.raises(store_gateway.Unanswered, match="another snapshot than the one that was confirmed"):
            store_gateway.asked(told["control"], "/manifest", wanted)
        result = store_gateway.confirmed(told["control"], snapshot)
        assert store_gateway.asked(told["control"], "/manifest", wanted)["changed"]
        there = repository.store.folder / BUCKET / PREFIX / "points" / f"{LATER}.json"
        assert json.loads(there.read_text()) == wanted["manifest"] | {"previous": POINT}
        assert not store_gateway.asked(told["control"], "/manifest", wanted)["changed"]
        with pytest.raises(store_gateway.Unanswered, match="it is for site 'shop', not 'other'"):
            store_gateway.asked(told["control"], "/manifest", {**wanted, "name": "other"})
    finally:
        os.kill(told["pid"], signal.SIGTERM)
        # It removes its locks, and the next test wants the store for itself.
        launch._process.wait(20)
    assert result["changed"]
    evidence = result["evidence"]["gateway"]
    assert evidence["snapshot"] == snapshot
    assert evidence["packs"] >= 1
    assert abs(evidence["clock_off"]) < 60
    assert f"point={LATER}" in result["tags"]
    assert repository.store.names("snapshots") == {repository.snapshot, snapshot}


def test_ansible_is_told_why_it_did_not_begin(repository: Repository) -> None:
    with (
        pytest.raises(store_gateway.Unanswered, match="was not told"),
        store_gateway.Launch({"mode": "write"}) as launch,
    ):
        launch.told({})
    with pytest.raises(OSError, match="No such file"):
        store_gateway.confirmed("/nowhere/control", "0" * 64)
    # What came before stands, so this is no failure.
    assert "over already" in store_gateway.ended("/nowhere/control")["msg"]


def test_one_that_is_told_no_way_ends_and_leaves_nothing(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    given = {
        "mode": "write", "point": POINT, "store": repository.store.options(), "password": PASSWORD,
        "access_key": repository.store.access_key, "secret_key": repository.store.secret_key,
    }  # fmt: skip
    launch = store_gateway.Launch(given)
    while not list(tmp_path.glob("upkeep-gateway-*")):
        time.sleep(0.01)
    failure = OSError("the host is gone")
    launch.__exit__(OSError, failure, None)
    assert launch._process.returncode == 1
    assert not list(tmp_path.glob("upkeep-gateway-*"))


# ---- the way to the host --------------------------------------------------------------------------------------------


def ssh(folder: Path, *, master: bool, allowed: bool = True) -> tuple[Path, Path]:
    """Return a program that behaves like ssh, and what it was called with."""
    program, log = folder / "ssh", folder / "calls"
    program.write_text(SSH.format(python=sys.executable, log=str(log), master=master, allowed=allowed))
    program.chmod(0o755)
    log.touch()
    return program, log


def test_the_connection_that_is_open_already_is_used(tmp_path: Path) -> None:
    program, log = ssh(tmp_path, master=True)
    forward = Forward([str(program), "-o", "ControlPath=x"], "shop.example", tmp_path / "restic")
    assert forward.open() == 40123
    forward.close()
    spec = f"127.0.0.1:0:{tmp_path}/restic"
    assert log.read_text().splitlines() == [
        f"-o ControlPath=x -O forward -R {spec} shop.example",
        f"-o ControlPath=x -O cancel -R {spec} shop.example",
    ]


def test_without_one_a_connection_is_made_and_ended(tmp_path: Path) -> None:
    program, log = ssh(tmp_path, master=False)
    forward = Forward([str(program), "-o", "ControlMaster=auto"], "shop.example", tmp_path / "restic")
    assert forward.open() == 40456
    own = log.read_text().splitlines()[1]
    # The first value counts.
    assert own.index("ControlMaster=no") < own.index("ControlMaster=auto")
    forward.close()
    deadline = time.monotonic() + 10
    while subprocess.run(["pgrep", "-f", str(program)], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_host_that_allows_no_forward_is_said(tmp_path: Path) -> None:
    program, _ = ssh(tmp_path, master=False, allowed=False)
    with pytest.raises(ForwardError, match="remote port forwarding failed"):
        Forward([str(program)], "shop.example", tmp_path / "restic").open()
