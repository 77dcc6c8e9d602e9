"""A network split lets two controllers believe that they own the site: never two changes at once, the host refuses the older."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root

STOP_SECONDS = 90


@dataclass
class Ended:
    """How a controller ended."""

    code: int = -1
    out: str = ""
    err: str = ""


@contextmanager
def cut_off_before_the_promotion(site: Site) -> Iterator[Ended]:
    """Carry out a run by a controller of its own with a ledger of its own, and stop all of it once staging is through.

    When the block ends it goes on where it was; what it said is there afterwards.
    """
    ended = Ended()
    command = [str(Path(sys.executable).parent / "upkeep"), "run", "example", "--now", "--json"]
    command += [
        "--inventories",
        str(site.shop.inventory.parent),
        "--ledger",
        str(site.folder / "first" / "ledger.sqlite"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), start_new_session=True
    ) as controller:
        try:
            until = time.monotonic() + STOP_SECONDS
            while not list(site.workshop.glob("*/staged.json")):
                assert controller.poll() is None, controller.communicate()
                assert time.monotonic() < until
                time.sleep(0.005)
            for process in family(controller.pid):
                os.kill(process, signal.SIGSTOP)
            yield ended
        finally:
            for process in family(controller.pid):
                os.kill(process, signal.SIGCONT)
            try:
                ended.out, ended.err = controller.communicate(timeout=60)
                ended.code = controller.returncode
            finally:
                controller.kill()


def family(process: int) -> list[int]:
    """Return a process and all that it started, itself first."""
    found = [process]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(number) for number in task.read_text().split()]
    return found


def test_two_controllers(site: Site) -> None:
    site.offer(lab_banner="1.1")
    with cut_off_before_the_promotion(site) as first:
        (staged,) = site.workshop.glob("*/staged.json")
        older = staged.parent.name
        lease = site.workshop / "lease.json"
        held = json.loads(lease.read_text())
        assert (held["run"], held["token"]) == (older, 1)

        # The older one has the site until its lease ends.
        busy = site.upkeep("run", "example", "--now")
        assert busy.code == 11, busy.text
        assert f"run {older} has this site until" in busy.text

        # Nobody can wait for two hours here: it ends now.
        lease.write_text(json.dumps({**held, "expires": time.time() - 1}))
        site.offer(lab_alpha="1.1")
        ran = site.upkeep("run", "example", "--now")
        assert ran.code == 0, ran.text
        assert (site.version("lab-alpha"), site.version("lab-banner")) == ("1.1", "1.0")
        after = site.state()

    assert first.code == 11, first
    (told,) = json.loads(first.out)["runs"]
    newer = ran.answer["runs"][0]["run"]
    assert told["outcome"] == "busy"
    assert f"run {newer} took this site at" in told["message"]
    assert after.differences(site.state()) == []
    site.serves("1.0")
    site.tidy()
    assert json.loads((site.workshop / "token.json").read_text())["last"] == 2
