"""The host's own way back and the promotion that it waits for: one of them wins, whatever dies and whenever."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from plugins.module_utils import freeze, own_way_back

# A promotion in the moment after its exchange: it has the lock, and some seconds later it confirms and lets visitors in.
MODULE = """
import fcntl, json, os, sys, time
sys.path.insert(0, sys.argv[1])
from plugins.module_utils import own_way_back as host
folder, seconds = sys.argv[2], float(sys.argv[3])
orders = json.load(open(folder + "/orders.json"))
lock = open(orders["lock"], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
orders.update(process=os.getpid(), started=host.started(os.getpid()))
host.write_whole(folder + "/orders.json", json.dumps(orders))
print("ready", flush=True)
time.sleep(seconds)
journal = json.load(open(folder + "/promotion.json"))
host.write_whole(folder + "/promotion.json", json.dumps({**journal, "state": "confirmed"}))
host.thaw(orders["root"])
"""
# A database client whose server has one table and nobody else, and may be away.
CLIENT = """#!/bin/sh
asked=$(cat)
if [ -e {away} ]; then echo "server away" >&2; exit 1; fi
case "$asked" in *PROCESSLIST*) echo 0 ;; *) echo wp_posts ;; esac
"""
REPOSITORY = str(Path(__file__).parents[3])


class Host:
    """A site half way through a promotion, in a folder: no web server, and a database without tables."""

    def __init__(self, folder: Path, state: str = "exchanged") -> None:
        self.run, self.root, self.tree = folder / "run", folder / "htdocs", folder / "run" / "tree"
        for path, version in ((self.root, "new"), (self.tree, "old")):
            path.mkdir(parents=True)
            (path / "version").write_text(version)
            freeze.freeze(str(path), "token")
        client = folder / "client"
        client.write_text(CLIENT.format(away=folder / "away"))
        client.chmod(0o755)
        self.away = folder / "away"
        self.note(state=state, new=self.root.stat().st_ino, copies={}, known=[], frozen_at=time.time())
        orders = {
            "root": str(self.root), "tree": str(self.tree), "lock": str(folder / "lock"), "client": str(client),
            "options": "", "database": "", "prefix": "wp_", "process": 0, "started": "gone", "web": {"opcache": False},
        }  # fmt: skip
        (self.run / "orders.json").write_text(json.dumps(orders))
        shutil.copy(own_way_back.__file__, self.run)

    def note(self, **journal: Any) -> None:
        """Write the journal."""
        (self.run / "promotion.json").write_text(json.dumps(journal))

    def journal(self) -> dict[str, Any]:
        """Read the journal."""
        value: dict[str, Any] = json.loads((self.run / "promotion.json").read_text())
        return value

    def way_back(self, *seconds: str) -> subprocess.Popen[str]:
        """Start the host's own way back."""
        command = [sys.executable, "-I", "-S", str(self.run / "own_way_back.py"), *seconds]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def module(self, seconds: float) -> subprocess.Popen[str]:
        """Start a promotion that confirms after some seconds; return when it has the lock."""
        command = [sys.executable, "-c", MODULE, REPOSITORY, str(self.run), str(seconds)]
        module = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert module.stdout is not None
        assert module.stdout.readline() == "ready\n"
        return module

    def armed(self, *seconds: str) -> subprocess.Popen[str]:
        """Start the host's own way back; return when it waits for the lock."""
        process = self.way_back(*seconds)
        while not (self.run / "armed.json").exists():
            assert process.poll() is None
            time.sleep(0.002)
        return process

    def serves(self) -> str:
        """Return the version that visitors get; "" when they are kept out."""
        return "" if (self.root / ".maintenance").exists() else (self.root / "version").read_text()


def ended(*processes: subprocess.Popen[str]) -> None:
    """Wait for the end of all of them."""
    for process in processes:
        process.communicate(timeout=30)


def test_a_promotion_that_confirms_stays(tmp_path: Path) -> None:
    host = Host(tmp_path)
    module = host.module(0.2)
    ended(module, host.armed("60"))
    assert (host.serves(), host.journal()["state"]) == ("new", "confirmed")


def test_the_host_goes_back_at_once_when_the_promotion_is_killed(tmp_path: Path) -> None:
    host = Host(tmp_path)
    module = host.module(60)
    waiting = host.armed("60")
    module.kill()
    began = time.monotonic()
    ended(module, waiting)
    assert time.monotonic() - began < 5
    assert (host.serves(), host.journal()["state"]) == ("old", "back")
    assert host.journal()["host"]["why"] == "the promotion ended without a word"
    assert host.journal()["host"]["broken_seconds"] >= 0


def test_the_host_goes_back_at_its_deadline_from_a_promotion_that_hangs(tmp_path: Path) -> None:
    host = Host(tmp_path)
    module = host.module(60)
    # It hears no request to stop: only kill -9 ends it.
    module.send_signal(signal.SIGSTOP)
    ended(host.armed("0.3"), module)
    assert module.returncode == -signal.SIGKILL
    assert (host.serves(), host.journal()["state"]) == ("old", "back")
    assert host.journal()["host"]["why"] == "the promotion had not ended after 0.3 s"


def test_a_module_that_only_looks_on_after_it_confirmed_is_left_at_work(tmp_path: Path) -> None:
    host = Host(tmp_path)
    module = host.module(60)
    host.note(**{**host.journal(), "state": "confirmed"})
    ended(host.armed("0.2"))
    assert module.poll() is None
    assert (host.serves(), host.journal()["state"]) == ("new", "confirmed")
    module.kill()
    ended(module)


def test_of_a_confirmation_at_the_deadline_and_the_way_back_one_wins(tmp_path: Path) -> None:
    found = set()
    for number, seconds in enumerate((0.01, 0.08, 0.1, 0.12, 1.0)):
        host = Host(tmp_path / str(number))
        module = host.module(seconds)
        ended(module, host.armed("0.1"))
        ends = host.serves(), host.journal()["state"]
        assert ends in {("new", "confirmed"), ("old", "back")}, seconds
        found.add(ends)
    assert len(found) == 2


def test_a_promotion_that_dies_after_it_confirmed_is_thawed(tmp_path: Path) -> None:
    host = Host(tmp_path, state="confirmed")
    ended(host.way_back("1"))
    assert (host.serves(), host.journal()["state"]) == ("new", "confirmed")


def test_before_anything_is_touched_there_is_nothing_to_go_back_from(tmp_path: Path) -> None:
    host = Host(tmp_path, state="prepared")
    ended(host.way_back("1"))
    assert (host.serves(), host.journal()["state"]) == ("", "prepared")
    shutil.rmtree(host.run / "tree")
    (host.run / "promotion.json").unlink()
    ended(host.way_back("1"))


def test_a_way_back_that_was_killed_is_gone_again(tmp_path: Path) -> None:
    host = Host(tmp_path)
    own_way_back.exchange(str(host.root), str(host.tree))
    ended(host.way_back("1"))
    assert (host.serves(), host.journal()["state"]) == ("old", "back")


def test_a_database_that_is_away_is_waited_for_and_nobody_is_let_in(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (host.run / "own_way_back.py").write_text(
        (host.run / "own_way_back.py").read_text().replace("TRY_AGAIN_SECONDS = 5.0", "TRY_AGAIN_SECONDS = 0.2")
    )
    host.away.touch()
    process = host.way_back("1")
    time.sleep(0.6)
    assert (host.serves(), host.journal()["state"]) == ("", "exchanged")
    host.away.unlink()
    _, said = process.communicate(timeout=30)
    assert "server away" in said
    assert (host.serves(), host.journal()["state"]) == ("old", "back")


def test_what_staging_still_holds_is_put_in_the_place_of_what_changed() -> None:
    asked: list[str] = []

    def query(statement: str) -> list[list[str]]:
        asked.append(statement)
        if statement.startswith("CHECKSUM TABLE `copy`"):
            return [["copy.a", "1"], ["copy.b", "8"]]
        if statement.startswith("CHECKSUM"):
            return [["shop.a", "9"], ["shop.b", "9"], ["shop.c", "3"]]
        return [["a"], ["b"], ["c"], ["upkeep_away_0"]] if "information_schema" in statement else []

    journal = {"spares": ["a", "b", "c"], "sums": {"a": "1:d", "b": "2:d", "c": "3:d"}, "staging": "copy"}

    assert own_way_back.spares_back(query, journal) == ["a"]
    # Of b staging has other rows, and c is as it was.
    (renamed,) = [statement for statement in asked if "RENAME" in statement]
    assert renamed.endswith("RENAME TABLE `a` TO `upkeep_away_0`, `copy`.`a` TO `a`")
    assert own_way_back.spares_back(query, {"spares": []}) == []


def test_a_person_can_start_it_and_is_told_when_a_task_is_at_work(tmp_path: Path) -> None:
    host = Host(tmp_path)
    module = host.module(60)
    refused = host.way_back()
    assert "A task of Upkeep is at work on this site" in refused.communicate(timeout=30)[1]
    assert (refused.returncode, host.serves()) == (1, "")
    module.kill()
    ended(module)
    ended(host.way_back())
    assert (host.serves(), host.journal()["host"]["why"]) == ("old", "a person asked for it")
