"""kill -9 inside any step: afterwards, without a person, a promotion is either finished or put back; each effect once.

What is killed here is what works on the host, and the connection to it; tests/unit/run kills the controller.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from plugins.module_utils.own_way_back import BEGUN
from tests.host.interrupted import Interrupted
from tests.pipeline import OWN_WAY_BACK, processes_of_ours
from tests.staged import Staged, whole

pytestmark = pytest.mark.root

POINTS = int(os.environ.get("UPKEEP_KILLS", "40"))
SEED = os.environ.get("UPKEEP_SEED", f"{datetime.now(tz=UTC):%Y-%m-%d}")
# The module alone, with all that it started, or with the host's own way back; that way back alone; the connection.
VICTIMS = ("module", "children", "everything", "way back", "connection")


def begin(host: Interrupted) -> subprocess.Popen[bytes]:
    """Promote through a connection of its own, as Ansible does; return when the program is at work."""
    command = f"PYTHONPATH={host.home} python3 {host.home}/at_the_host.py"
    process = subprocess.Popen(
        host.site.host.ssh(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(host.request("promote")).encode())
    process.stdin.close()
    while not any("at_the_host" in words for _, words in processes_of_ours(host.site.host)):
        assert process.poll() is None, "the program did not begin"
        time.sleep(0.02)
    return process


def strike(ready: Staged, connection: subprocess.Popen[bytes], victim: str) -> int:
    """Kill -9 what this point is about; return how many programs that were."""
    if victim == "connection":
        gone = connection.poll() is None
        connection.kill()
        return int(gone)
    killed = 0
    # The way back first, or it would begin.
    for number, words in sorted(processes_of_ours(ready.site.host), key=lambda each: OWN_WAY_BACK not in each[1]):
        own = OWN_WAY_BACK in words
        module = "at_the_host" in words
        wanted = {"module": module, "children": not own and not module, "everything": True, "way back": own}[victim]
        if wanted:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
                killed += 1
    return killed


def test_killed_at_any_moment(ready: Staged) -> None:
    first = begin(ready.host)
    began = time.monotonic()
    assert first.wait(60) == 0
    length = time.monotonic() - began
    ready.site.serves("1.1")
    after = whole(ready.site.state())
    ready.again()

    print(f"UPKEEP_SEED={SEED} UPKEEP_KILLS={POINTS}: a promotion takes {length:.2f} s")
    chance = random.Random(SEED)
    seen: Counter[tuple[str, str]] = Counter()
    struck = 0
    for number in range(POINTS):
        moment, victim = (number + chance.random()) / POINTS * length * 0.95, chance.choice(VICTIMS)
        connection = begin(ready.host)
        time.sleep(moment)
        # Not every program is there at every moment: then it is the module, or whatever there is.
        for victim in (victim, "module", "everything"):  # noqa: B020
            killed = strike(ready, connection, victim)
            if killed:
                break
        connection.wait(60)
        ready.until_nothing_works()
        told = f"point {number}: {victim} ({killed}) after {moment:.3f} s, then {ready.journal().get('state')}"
        if victim == "everything" and ready.journal().get("state") in (*BEGUN, "confirmed"):
            # The host's own way back died as well: the next who asks puts it right.
            ready.host.ask("recover")
        state = whole(ready.site.state())
        version = "1.0" if ready.before.differences(state) == [] else "1.1"
        assert version == "1.0" or after.differences(state) == [], (told, after.differences(state))
        assert not (ready.site.root / ".maintenance").exists(), told
        ready.site.serves(version)
        seen[victim, version] += 1
        struck += killed > 0
        if not killed:
            # It was over already: this machine is quicker now than when it was measured.
            length = min(length, moment)
        if version == "1.0":
            ready.forget()
        else:
            ready.again()
    print(*sorted(seen.items()), sep="\n")
    assert struck > POINTS * 0.6, struck
    assert len({version for _, version in seen}) == 2, seen
