"""The host becomes unreachable after the swap [ansible 13870]: it goes back by itself, and the truth is learnt later."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest

from tests.pipeline import Site, kill_modules, php_asleep

pytestmark = pytest.mark.root

DEADLINE = 6
# What a visitor gets who needs no network to the host.
VISIT = (
    "import urllib.request as ask; request = ask.Request('http://127.0.0.1/lab-post-1/', headers={'Host': 'shop.example.test'});"
    " print(ask.urlopen(request, timeout=20).read().decode())"
)


@contextmanager
def gone_after_the_exchange(site: Site) -> Iterator[None]:
    """Let the module hang as soon as the new release is in place, and cut the cable."""
    before = site.root.stat().st_ino
    over = Event()
    stopped: list[int] = []

    def reached(what: Callable[[], bool]) -> bool:
        while not over.wait(0.01):
            # Between the two names of an exchange there is none for a moment.
            with suppress(FileNotFoundError):
                if what():
                    return True
        return False

    def watch() -> None:
        if not reached((site.root / ".maintenance").exists):
            return
        with php_asleep(site):
            if reached(lambda: site.root.stat().st_ino != before):
                stopped.extend(kill_modules(site.host, alone=True, number=signal.SIGSTOP))
                site.host.unplug()

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        assert stopped, "the promotion did not come to its exchange"


def test_host_gone_mid_update(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # The controller finds out in seconds; by default it gives the host a minute.
    manners = "ControlMaster=auto ControlPersist=60s ServerAliveInterval=1 ServerAliveCountMax=3 ConnectTimeout=3"
    monkeypatch.setenv("ANSIBLE_SSH_ARGS", " ".join(f"-o {word}" for word in manners.split()))
    # No connection of an earlier test is taken up.
    monkeypatch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(site.shop.sockets / "gone"))
    group = site.shop.inventory / "group_vars" / "all" / "deadline.yml"
    group.write_text(f"cms_update_deadline: {DEADLINE}\n")
    site.offer(lab_banner="1.1", lab_alpha="1.1")
    before = site.state()

    with gone_after_the_exchange(site):
        ran = site.upkeep("run", "example", "--now")

    assert ran.answer["runs"][0]["unfinished"] is True, ran.text
    until = time.monotonic() + DEADLINE + 30
    while (site.root / ".maintenance").exists() and time.monotonic() < until:
        time.sleep(0.1)
    visited = site.host.run(["python3", "-c", VISIT], check=True).stdout
    assert "Lab Banner 1.0: 1 orders" in visited
    assert "</html>" in visited
    assert before.differences(site.state()) == []

    site.host.plug()
    resumed = site.upkeep("run", "example", "--resume")

    assert resumed.code == 3, resumed.text
    site.serves("1.0")
    site.tidy()
    run = site.recorded(ran.answer["runs"][0]["run"])
    assert (run.outcome, run.steps[-1].name) == ("put-back", "recover")
    told = run.steps[-1].evidence
    assert told["host"]["why"] == f"the promotion had not ended after {DEADLINE} s"
    assert told["host"]["tree_back"] is True
    assert DEADLINE - 3 < told["broken_seconds"] == told["host"]["broken_seconds"] < DEADLINE + 10
    assert told["back_verdict"]["healthy"] is True
