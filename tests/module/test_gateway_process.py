"""The gateway as a process of its own: how it begins, how it is led to a host, and what makes it end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.run import gateway as gateway_process
from orchestrator.run.gateway_client import NOTE, Opening, Unanswered, ask, asked, found
from orchestrator.run.gateway_door import GatewayError
from orchestrator.run.gateway_forward import Forward, ForwardError
from orchestrator.run.gateway_repository import opened_repository
from plugins.action import store_gateway
from plugins.action.restore_point_manifest import confirmed
from plugins.module_utils import restic
from tests.depot import make_manifest
from tests.module.conftest import Repository
from tests.module.gateway_kit import BUCKET, PASSWORD, POINT, PREFIX
from tests.module.gateway_process import Running, running, ssh, terms, way_to

# It outlives whoever starts it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


def until(done: Any, seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_begins_answers_and_ends_without_a_trace(repository: Repository) -> None:
    with running() as gateway:
        told = gateway.open(terms(repository.store))
        assert told["url"].startswith("rest:http://upkeep:")
        assert gateway.folder.stat().st_mode & 0o777 == 0o700
        for each in (told["socket"], gateway.control):
            assert Path(each).stat().st_mode & 0o777 == 0o600
        report = gateway.report(told)
        assert (report["mode"], report["requests"]) == ("write", 0)
        with pytest.raises(Unanswered, match="was not given a snapshot"):
            asked(told["control"], "confirm", {"snapshot": "0" * 64})
        for what in ("", "nothing", "../control"):
            with pytest.raises(Unanswered, match="no such thing"):
                asked(told["control"], what, {})
        assert asked(told["control"], "end", {})["mode"] == "write"
        until(lambda: not Path(told["socket"]).exists())
        with pytest.raises(Unanswered, match="the session is over"):
            asked(told["control"], "end", {})


@pytest.mark.parametrize(("more", "where"), [(0, ""), (1, "/tmp")])
def test_a_folder_for_temporary_files_may_lie_as_deep_as_it_likes(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, more: int, where: str
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        deep = Path(short, "x" * (gateway_process.LONGEST - len(short) - 1 + more))
        deep.mkdir()
        monkeypatch.setenv("TMPDIR", str(deep))
        with running(Path(short)) as gateway:
            assert gateway.folder.parent == Path(where or deep)
            assert gateway.open(terms(repository.store))["socket"]


def test_no_secret_stands_where_others_could_read_it(repository: Repository) -> None:
    secrets = [PASSWORD, repository.store.secret_key]
    with running() as gateway:
        told = gateway.open(terms(repository.store))
        place = Path(f"/proc/{gateway.pid}")
        shown = place.joinpath("cmdline").read_bytes() + place.joinpath("environ").read_bytes()
        secret = told["url"].removeprefix("rest:http://upkeep:").partition("@")[0]
        for each in [*secrets, secret, told["password"]]:
            assert each.encode() not in shown
    said = json.dumps(told)
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_job_that_it_was_started_for(
    repository: Repository, tmp_path: Path, how: signal.Signals
) -> None:
    program, log = ssh(tmp_path, master=True)
    with subprocess.Popen(["sleep", "60"]) as job, running(job=job.pid) as gateway:
        told = [gateway.open(terms(repository.store), {"ssh": [str(program)], "host": f"shop{n}"}) for n in (1, 2)]
        job.send_signal(how)
        assert gateway.ends()
        assert not gateway.folder.exists()
    # The port of each host, and of no other.
    for number, each in enumerate(told, 1):
        spec = f"-R 127.0.0.1:0:{each['socket']} shop{number}"
        assert sorted(line for line in log.read_text().splitlines() if line.endswith(spec)) == [
            f"-O cancel {spec}", f"-O forward {spec}",
        ]  # fmt: skip


def test_it_is_unused_when_there_has_been_no_session_for_long(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_process, "UNUSED_SECONDS", 0.2)
    sessions = gateway_process.Sessions(tmp_path)
    door = opened_repository(terms(repository.store), tmp_path)
    sessions.add(door)
    assert not sessions.unused
    sessions.close(door)
    until(lambda: sessions.unused)
    sessions.end()
    late = opened_repository(terms(repository.store), tmp_path)
    with pytest.raises(GatewayError, match="the job is over already"):
        sessions.add(late)
    assert not late.socket.exists()


def test_it_does_not_begin_for_a_job_that_is_over(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as job:
        job.wait()
    with pytest.raises(Unanswered, match="the job is over already"):
        found(tmp_path, job.pid)
    assert not (tmp_path / NOTE).exists()


def test_it_is_said_when_it_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unanswered, match="cannot be started by Ansible's Python"):
        found(tmp_path, os.getpid())


def test_it_is_said_when_this_python_lacks_what_speaks_to_a_store(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "botocore").mkdir()
    (tmp_path / "botocore" / "__init__.py").write_text("raise ImportError('there is no botocore')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with running() as gateway, pytest.raises(Unanswered, match=r"by Ansible's Python \(there is no botocore\)"):
        gateway.open(terms(repository.store))


@pytest.mark.parametrize("limit", ["idle", "longest"])
def test_a_session_ends_when_nothing_happens_or_the_day_is_over(repository: Repository, limit: str) -> None:
    with running() as gateway:
        other = gateway.open(terms(repository.store))
        told = gateway.open(terms(repository.store, **{limit: 1}))
        until(lambda: not Path(told["socket"]).exists())
        with pytest.raises(Unanswered, match="the session is over"):
            asked(told["control"], "confirm", {"snapshot": "0" * 64})
        assert gateway.report(other)["mode"] == "write"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"mode": "append"}, "for reading, or for writing"),
        ({"point": ""}, "for reading, or for writing"),
        ({"store": {}}, "was not told"),
        ({"mode": "read", "store": None}, "was not told"),
    ],
)
def test_it_says_why_a_session_does_not_begin(repository: Repository, more: dict[str, Any], words: str) -> None:
    with running() as gateway:
        with pytest.raises(Unanswered, match=words):
            gateway.open(terms(repository.store) | more)
        assert [each.name for each in gateway.folder.iterdir()] == ["control"]


def test_a_host_is_answered_when_the_repository_has_been_looked_at(repository: Repository) -> None:
    with running() as gateway:
        # The second one has no repository, which is no reason not to begin.
        for more in ({}, {"store": repository.store.options() | {"prefix": "example/other"}}):
            with way_to(gateway.open(terms(repository.store) | more)) as url:
                restic.reach_gateway(url)


def test_a_host_is_told_why_nothing_comes_of_it_and_others_do_not_wait_for_that(repository: Repository) -> None:
    given = terms(repository.store)
    wrong = [
        (given | {"password": "another"}, "opens no key"),
        (given | {"store": given["store"] | {"endpoint": "http://127.0.0.1:9"}}, "connect"),
        (given | {"mode": "read", "store": given["store"] | {"prefix": "example/other"}}, "no repository"),
    ]
    with running() as gateway:
        for bad, words in wrong:
            with way_to(gateway.open(bad)) as url, way_to(gateway.open(given)) as good:
                restic.reach_gateway(good)
                with pytest.raises(restic.ResticError, match=f"{words}.*Type: upkeep store check example"):
                    restic.reach_gateway(url)


def test_a_way_that_is_broken_is_said() -> None:
    with pytest.raises(restic.ResticError, match="on the controller does not answer"):
        restic.reach_gateway("rest:http://upkeep:secret@127.0.0.1:9/")


LATER = "20261123T020000Z-2a0c9a2b"
DUMP = {
    "file": "/srv/dump.sql", "exit_codes": {"mariadb-dump": 0}, "end_marker": True, "tables": {"wp_posts": 1}, "bytes": 9,
    "sha256": "0" * 64,
}  # fmt: skip


def test_ansible_opens_confirms_and_ends_a_session(repository: Repository, tmp_path: Path) -> None:
    store = repository.store
    with running() as gateway:
        told = gateway.open(terms(store, point=LATER))
        with pytest.raises(Unanswered, match="was not given a snapshot"):
            confirmed(told["control"], "0" * 64)
        with way_to(told) as url:
            environment = {
                "PATH": os.environ["PATH"], "HOME": str(tmp_path), "RESTIC_PASSWORD": told["password"],
                "RESTIC_REPOSITORY": url, "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
            }  # fmt: skip
            command = ["restic", "backup", "--json", "--tag", f"point={LATER}", str(repository.site)]
            done = subprocess.run(command, env=environment, capture_output=True, check=True)
        short = json.loads(done.stdout.splitlines()[-1])["snapshot_id"]
        snapshot = next(name for name in gateway.report(told)["added"]["snapshots"] if name.startswith(short))
        wanted = {
            **{name: terms(store)[name] for name in ("store", "access_key", "secret_key")}, "client": "example", "name": "shop",
            "point": LATER, "create_bucket": True, "allow_shrunk": False, "manifest": make_manifest(LATER, snapshot, root="/srv/shop", dump=DUMP),
        }  # fmt: skip
        with pytest.raises(Unanswered, match="another snapshot than the one that was confirmed"):
            asked(told["control"], "manifest", wanted)
        said = confirmed(told["control"], snapshot)
        assert asked(told["control"], "manifest", wanted)["changed"]
        there = store.folder / BUCKET / PREFIX / "points" / f"{LATER}.json"
        assert json.loads(there.read_text()) == wanted["manifest"] | {"previous": POINT}
        assert not asked(told["control"], "manifest", wanted)["changed"]
        with pytest.raises(Unanswered, match="it is for site 'shop', not 'other'"):
            asked(told["control"], "manifest", {**wanted, "name": "other"})
        assert ask(gateway.control, "read", wanted | {"point": "newest"})["manifest"]["point"] == LATER
        with pytest.raises(Unanswered, match="it is for site 'shop', not 'other'"):
            ask(gateway.control, "read", {**wanted, "name": "other"})
        assert store.names("locks")
        assert "requests came" in store_gateway.ended(told["control"])["msg"]
        assert not store.names("locks")
    assert said["snapshot"] == snapshot
    assert said["packs"] >= 1
    assert abs(said["clock_off"]) < 60
    assert store.names("snapshots") == {repository.snapshot, snapshot}


def test_a_manifest_is_written_without_a_session_only_when_its_snapshot_is_in_the_store(repository: Repository) -> None:
    store = repository.store
    wanted = {
        **{name: terms(store)[name] for name in ("store", "access_key", "secret_key", "password")}, "client": "example",
        "name": "shop", "point": LATER, "create_bucket": True, "allow_shrunk": False,
        "manifest": make_manifest(LATER, repository.snapshot, root="/srv/shop", dump=DUMP),
    }  # fmt: skip
    lost = {**wanted, "manifest": make_manifest(LATER, "0" * 64, root="/srv/shop", dump=DUMP)}
    with running() as gateway:
        with pytest.raises(Unanswered, match="its snapshot 00000000 is not in the store"):
            ask(gateway.control, "write", lost)
        assert ask(gateway.control, "write", wanted)["changed"]


def test_what_is_over_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        confirmed("/nowhere/control/0123", "0" * 64)
    # What came before stands, so this is no failure.
    assert "over already" in store_gateway.ended("/nowhere/control/0123")["msg"]


# What a worker of Ansible does until the host has answered.
WORKER = """
import json, sys, time
from orchestrator.run.gateway_client import Opening
given = json.loads(sys.stdin.readline())
opening = Opening(lambda: given["control"], "repository", given["terms"])
print(opening.begun()["socket"], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_session_that_is_told_no_way_ends(repository: Repository, killed: bool) -> None:
    given = terms(repository.store)
    with running() as gateway:
        if killed:
            command = [sys.executable, "-c", WORKER]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
                assert worker.stdin is not None
                assert worker.stdout is not None
                worker.stdin.write(json.dumps({"control": gateway.control, "terms": given}) + "\n")
                worker.stdin.flush()
                place = Path(worker.stdout.readline().strip())
                assert place.is_socket()
                worker.kill()
        else:
            with Opening(lambda: gateway.control, "repository", given) as opening:
                place = Path(opening.begun()["socket"])
                assert place.is_socket()
        until(lambda: not place.exists())


def test_a_session_whose_host_allows_no_way_ends(repository: Repository, tmp_path: Path) -> None:
    program, _ = ssh(tmp_path, master=False, allowed=False)
    with running() as gateway:
        with pytest.raises(Unanswered, match="remote port forwarding failed"):
            gateway.open(terms(repository.store), {"ssh": [str(program)], "host": "shop"})
        until(lambda: [each.name for each in gateway.folder.iterdir()] == ["control"])


# ---- one for each call of Ansible -----------------------------------------------------------------------------------

FIND = """
import sys
from pathlib import Path
from orchestrator.run.gateway_client import found
sys.stdin.readline()
print(found(Path(sys.argv[1]), int(sys.argv[2])))
"""


def test_of_many_workers_that_need_it_first_one_starts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", FIND, str(tmp_path), str(os.getpid())]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    told = {worker.communicate(timeout=60)[0].strip() for worker in workers}
    gateway = Running(told.pop())
    try:
        assert told == set()
        assert list(tmp_path.glob("upkeep-gateway-*")) == [gateway.folder]
    finally:
        gateway.kill()


def test_one_that_was_killed_is_replaced(tmp_path: Path) -> None:
    first = Running(found(tmp_path, os.getpid()))
    first.kill(signal.SIGKILL)
    with running(tmp_path) as second:
        assert second.pid != first.pid
        assert found(tmp_path, os.getpid()) == second.control
    for each in first.folder.iterdir():
        each.unlink()
    first.folder.rmdir()


# ---- the way to the host --------------------------------------------------------------------------------------------


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
