"""restic as it is called: by fake programs that answer as restic 0.14 and 0.17 do."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path

import pytest

from plugins.module_utils import restic
from plugins.module_utils.command import Finished
from plugins.module_utils.points import Store
from plugins.module_utils.restic import Incomplete, Node, Repository, ResticError
from tests.front import front

FULL = "8ec2a5e21f9f1cd426c7350cec4b5848a8fb442479506b0fd8c03b0b5c6ab8e8"
SUMMARY = json.dumps({"message_type": "summary", "snapshot_id": FULL[:8]})
WHERE = "Is there a repository at the following location?\ns3:http://127.0.0.1/bucket/c/s/restic"
NO_KEY = "Fatal: unable to open config file: Stat: The specified key does not exist.\n" + WHERE
NO_BUCKET = "Fatal: unable to open config file: Stat: The specified bucket does not exist\n" + WHERE
AWAY = 'Fatal: unable to open config file: Stat: Get "http://127.0.0.1/": connect: connection refused\n' + WHERE
WRONG_KEY = (
    "Fatal: unable to open config file: Stat: The Access Key Id you provided does not exist in our records.\n" + WHERE
)
LOCK = "Fatal: unable to create lock in backend: repository is already locked by PID 7 on host by shop"
NEW_MISSING = json.dumps({"message_type": "exit_error", "code": 10, "message": "Fatal: repository does not exist"})


class Fake:
    """A program that answers call after call from a script, and keeps what it was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "restic"
        self.path.write_text(
            "#!/bin/sh\n"
            f'cd "{folder}"\n'
            "number=$(ls called.* 2>/dev/null | wc -l)\n"
            'printf "%s\\n" "$@" >called.$number\n'
            "env >environment\n"
            '. "./answer.$number"\n'
        )
        self.path.chmod(0o755)
        self.answers = 0

    def answer(self, code: int = 0, out: str = "", err: str = "", before: str = "") -> None:
        """Add the answer to one more call."""
        number = self.answers
        (self.folder / f"out.{number}").write_text(out)
        (self.folder / f"err.{number}").write_text(err)
        (self.folder / f"answer.{number}").write_text(
            f"{before}\ncat out.{number}; cat err.{number} >&2; exit {code}\n"
        )
        self.answers += 1

    @property
    def calls(self) -> list[list[str]]:
        """Return the arguments of every call."""
        return [path.read_text().splitlines() for path in sorted(self.folder.glob("called.*"))]

    def repository(
        self, *, make_bucket: bool = True, lock_days: int = 0, endpoint: str = "http://127.0.0.1"
    ) -> Repository:
        """Return a repository that this program stands for."""
        store = Store(endpoint, "bucket", "us-east-1", "c/s", lock_days)
        return restic.opened(
            str(self.path), store, access_key="THE-ACCESS", secret_key="THE-SECRET", password="THE-PASSWORD",
            cache=str(self.folder / "cache"), make_bucket=make_bucket,
        )  # fmt: skip


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def take(repository: Repository, timeout: float = 30) -> str:
    """Store a snapshot of a folder."""
    return repository.backup(
        ["/srv/shop"], host="c.s", tags=["point=p"], exclude=["/srv/shop/.maintenance"], timeout=timeout
    )[0]


def test_secrets_go_by_environment_and_never_by_argument(fake: Fake) -> None:
    fake.answer(out=SUMMARY)
    take(fake.repository())

    environment = dict(
        line.split("=", 1) for line in (fake.folder / "environment").read_text().splitlines() if "=" in line
    )
    assert environment["AWS_ACCESS_KEY_ID"] == "THE-ACCESS"
    assert environment["AWS_SECRET_ACCESS_KEY"] == "THE-SECRET"
    assert environment["RESTIC_PASSWORD"] == "THE-PASSWORD"
    assert environment["RESTIC_REPOSITORY"] == "s3:http://127.0.0.1/bucket/c/s/restic"
    assert environment["RESTIC_CACHE_DIR"] == str(fake.folder / "cache")
    assert not any("THE-" in word for word in fake.calls[0])
    assert "THE-" not in repr(fake.repository())
    assert fake.calls[0] == [
        "backup", "--json", "--host", "c.s", "--tag", "point=p", "--exclude", "/srv/shop/.maintenance", "--", "/srv/shop",
    ]  # fmt: skip


@pytest.mark.parametrize(("code", "err"), [(1, NO_KEY), (10, NEW_MISSING), (1, NO_BUCKET)])
def test_a_missing_repository_is_made_once(fake: Fake, code: int, err: str) -> None:
    fake.answer(code, err=err)
    fake.answer(0)
    fake.answer(out=SUMMARY)

    assert take(fake.repository()) == FULL[:8]
    assert [call[0] for call in fake.calls] == ["backup", "init", "backup"]


@pytest.mark.parametrize("err", [AWAY, WRONG_KEY, "Fatal: wrong password or no key found"])
def test_a_store_that_is_away_or_refuses_is_not_taken_for_an_empty_one(fake: Fake, err: str) -> None:
    fake.answer(1, err=err)

    with pytest.raises(ResticError):
        take(fake.repository())
    assert [call[0] for call in fake.calls] == ["backup"]


def test_a_missing_bucket_is_not_made_when_that_is_not_wanted(fake: Fake) -> None:
    fake.answer(1, err=NO_BUCKET)

    with pytest.raises(ResticError, match="there is no bucket bucket: type upkeep store init c"):
        take(fake.repository(make_bucket=False))
    assert [call[0] for call in fake.calls] == ["backup"]


def test_a_bucket_that_is_to_lock_is_not_made_by_a_restic_that_knows_nothing_of_it(fake: Fake) -> None:
    fake.answer(1, err=NO_BUCKET)

    with pytest.raises(ResticError, match="the contract promises a lock of 30 days: type upkeep store init c"):
        take(fake.repository(lock_days=30))
    assert [call[0] for call in fake.calls] == ["backup"]


@pytest.mark.parametrize(("status", "calls"), [(404, ["backup"]), (403, ["backup", "init", "backup"])])
def test_a_bucket_that_is_to_lock_is_asked_for_where_restic_takes_it_for_an_empty_one(
    fake: Fake, status: int, calls: list[str]
) -> None:
    fake.answer(1, err=NO_KEY)
    fake.answer(0)
    fake.answer(out=SUMMARY)

    with front("http://127.0.0.1:9") as store, contextlib.suppress(ResticError):
        store.rule = lambda *_: status
        take(fake.repository(lock_days=30, endpoint=store.endpoint))
    assert [(method, path) for method, path, _ in store.seen] == [("HEAD", "/bucket")]
    assert [call[0] for call in fake.calls] == calls


def the_store(endpoint: str) -> Store:
    return Store(endpoint, "bucket", "us-east-1", "c/s")


def test_a_store_that_is_only_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic, "PAUSES", (0.01, 0.01))
    answers = [503, 503, 403]
    with front("http://127.0.0.1:9") as store:
        store.rule = lambda *_: answers.pop(0)
        restic.reach(the_store(store.endpoint))
    assert answers == []


def test_a_store_that_is_away_is_said_before_restic_tries_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(restic, "ASKED", 0.2)
    with front("http://127.0.0.1:9") as store:
        store.rule = lambda *_: 503
        with pytest.raises(ResticError, match=r"is away: it answers 503. Type: upkeep store check c") as refused:
            restic.reach(the_store(store.endpoint))
        assert refused.value.kind == restic.AWAY
        assert len(store.seen) == 3
    with pytest.raises(ResticError, match=r"is away: .*refused"):
        restic.reach(the_store(store.endpoint))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ResticError, match="no answer within"):
        restic.reach(the_store(f"http://127.0.0.1:{silent.getsockname()[1]}"))


def test_a_cache_that_is_spoilt_is_thrown_away_and_the_store_asked_once_more(fake: Fake) -> None:
    repository = fake.repository()
    spoilt = fake.folder / "cache" / "snapshots"
    spoilt.mkdir(parents=True)
    fake.answer(1, err="Fatal: unable to load index 0a1b: load <index/0a1b>: invalid data returned")
    fake.answer(out=SUMMARY)

    take(repository)

    assert [call[0] for call in fake.calls] == ["backup", "backup"]
    assert not spoilt.exists()


@pytest.mark.parametrize("code", [1, 11])
def test_a_stale_lock_is_removed_and_the_call_tried_once_more(fake: Fake, code: int) -> None:
    fake.answer(code, err=LOCK)
    fake.answer(0)
    fake.answer(out=SUMMARY)

    take(fake.repository())

    assert [call[0] for call in fake.calls] == ["backup", "unlock", "backup"]
    assert fake.calls[1] == ["unlock"]


def test_a_lock_that_is_alive_is_never_broken(fake: Fake) -> None:
    fake.answer(1, err=LOCK)
    fake.answer(0)
    fake.answer(1, err=LOCK)

    with pytest.raises(ResticError, match="locked by PID 7"):
        take(fake.repository())
    assert not any("--remove-all" in call for call in fake.calls)


def test_a_snapshot_that_lacks_files_is_told_apart(fake: Fake) -> None:
    error = {"message_type": "error", "error": {}, "during": "archival", "item": "/srv/shop/secret"}
    fake.answer(3, out=SUMMARY, err=json.dumps(error) + "\nWarning: at least one source file could not be read")

    with pytest.raises(Incomplete) as caught:
        take(fake.repository())
    assert caught.value.snapshot == FULL[:8]
    assert caught.value.unread == ["/srv/shop/secret"]


def test_an_unknown_exit_code_is_a_failure(fake: Fake) -> None:
    fake.answer(77, out=SUMMARY)

    with pytest.raises(ResticError):
        take(fake.repository())


def test_a_success_without_a_snapshot_is_a_failure(fake: Fake) -> None:
    fake.answer(0)

    with pytest.raises(ResticError, match="named no snapshot"):
        take(fake.repository())


def test_at_the_deadline_restic_is_interrupted_so_that_it_takes_its_lock_away(fake: Fake) -> None:
    fake.answer(before="trap 'touch interrupted; exit 130' INT; touch begun; sleep 60 & wait")
    began = time.monotonic()

    with pytest.raises(ResticError, match="did not end within 1 s"):
        take(fake.repository(), timeout=1)
    assert (fake.folder / "interrupted").exists()
    assert time.monotonic() - began < 8


def test_a_listing_has_the_full_id_and_every_path_with_its_mode(fake: Fake) -> None:
    fake.answer(
        out="\n".join(
            json.dumps(line)
            for line in (
                {"id": FULL, "tags": ["point=p"], "paths": ["/srv/shop"], "struct_type": "snapshot"},
                {"path": "/srv/shop", "type": "dir", "mode": 2147484141, "uid": 1, "gid": 2, "struct_type": "node"},
                {
                    "path": "/srv/shop/a",
                    "type": "file",
                    "mode": 416,
                    "size": 5,
                    "uid": 1,
                    "gid": 2,
                    "struct_type": "node",
                },
                {
                    "path": "/srv/shop/l",
                    "type": "symlink",
                    "mode": 134218239,
                    "uid": 1,
                    "gid": 2,
                    "struct_type": "node",
                },
                {"path": "/srv/shop/g", "type": "dir", "mode": 2151678461, "uid": 1, "gid": 2, "struct_type": "node"},
                {"path": "/srv/shop/0", "type": "file", "uid": 1, "gid": 2, "struct_type": "node"},
            )
        )
    )
    listing = fake.repository().listing(FULL[:8])

    assert listing.snapshot == FULL
    assert listing.below("/srv/shop") == {
        "a": Node("file", 5, 0o640, 1, 2),
        "l": Node("link", 0, 0o777, 1, 2),
        "g": Node("folder", 0, 0o2775, 1, 2),
        "0": Node("file", 0, 0, 1, 2),
    }


def test_an_unknown_snapshot_is_an_error_though_restic_ends_with_0(fake: Fake) -> None:
    fake.answer(0, err='Ignoring "deadbeef": no matching ID found for prefix "deadbeef"')

    with pytest.raises(ResticError, match="no snapshot deadbeef"):
        fake.repository().listing("deadbeef")


@pytest.mark.parametrize("snapshot", ["latest", "8ec2a5e2", "", "--all"])
def test_only_a_full_id_is_restored(fake: Fake, snapshot: str) -> None:
    with pytest.raises(ResticError, match="full id"):
        fake.repository().restore(snapshot, "/nowhere", timeout=5)
    assert fake.calls == []


def test_what_restic_says_is_told_in_one_line() -> None:
    assert restic.said(NO_KEY) == "Fatal: unable to open config file: Stat: The specified key does not exist."
    assert restic.said(NEW_MISSING) == "Fatal: repository does not exist"
    assert restic.said("first\nlast") == "last"
    assert restic.meaning(Finished(12, "", "")) == restic.WRONG_PASSWORD
