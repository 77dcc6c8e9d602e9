"""(d) Restore points of a site of a common size: time, bytes sent, memory, and the ways back, beside tar, borg and restic by hand."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.big_site import FILES, change_a_hundredth, fill, update_core, upload
from bench.peers import BORG, RESTIC, SCRATCH, TAR, Peers
from bench.rows import Goal, Row
from bench.site import HERE, HOST, BenchError, Site, say
from orchestrator.contract.load import load_contract
from orchestrator.plan.variables import place_variables
from tests.lab.hosts import USERS

PART = "d"
OURS, DIRECT = "upkeep", "upkeep, direct"
Taken = dict[str, dict[str, list[float]]]


def measure(site: Site, repeat: int) -> list[Row]:
    """Take the site's restore points in four states with each of them, then bring back what there is."""
    if not shutil.which("borg"):
        raise BenchError("borg is missing. Type: apt-get install borgbackup")
    site.begin()
    site.lab.s3.clear()
    peers = Peers(site)
    peers.prepare()
    what = fill(site)
    say(f"d: {what}")
    ways = {
        OURS: lambda: _ours(site), DIRECT: lambda: _ours(site, **_directly(site)),
        TAR: peers.tar, BORG: peers.borg, RESTIC: peers.restic,
    }  # fmt: skip
    seconds: Taken = {}
    sent: Taken = {}
    memory: list[float] = []
    states: list[tuple[str, Callable[[], None], int]] = [
        ("first", lambda: None, 1),
        ("unchanged", lambda: None, repeat),
        ("1 % changed", lambda: None, repeat),
        ("core updated", lambda: update_core(site), 1),
    ]
    for state, prepare, times in states:
        prepare()
        for number in range(times):
            if state == "1 % changed":
                change_a_hundredth(site, number)
            for name, work in ways.items():
                # What the one before has written is on the disk: nobody waits for that of another.
                os.sync()
                with _memory(site) as peak, _sent(site) as bytes_sent:
                    began = time.monotonic()
                    work()
                    took = time.monotonic() - began
                seconds.setdefault(state, {}).setdefault(name, []).append(took)
                sent.setdefault(state, {}).setdefault(name, []).append(bytes_sent[0] / 1e6)
                if name == OURS:
                    memory.append(peak[0] / 1e6)
                say(
                    f"d, {state}, {number + 1} of {times}: {name}: {took:.1f} s, {bytes_sent[0] / 1e6:.1f} MB, {peak[0] / 1e6:.0f} MB of memory"
                )
    rows = [*_snapshot_rows(seconds, sent, memory, what), *_restore_rows(site, peers, what)]
    peers.clean()
    return rows


def _ours(site: Site, **variables: object) -> None:
    """Take a restore point as a person does; with other variables, into another store's folder."""
    site.playbooks("playbooks/snapshot.yml", "--extra-vars", json.dumps(variables))


def _directly(site: Site) -> dict[str, object]:
    """Return what makes the host speak to the store itself, in a bucket of its own."""
    variables: Mapping[str, Any] = place_variables(load_contract(site.inventory / "contract.yml"), "shop")
    return {
        "site_snapshot_transport": "direct",
        "site_snapshot_store": {**variables["site_snapshot_store"], "bucket": "bench-direct"},
    }


@contextlib.contextmanager
def _sent(site: Site) -> Iterator[list[float]]:
    """Count the bytes that leave the host, ssh's included."""
    host = site.lab.host(HOST)
    counter = Path("/sys/class/net") / host.instance.cable(host.number) / "statistics" / "rx_bytes"
    before, found = int(counter.read_text()), [0.0]
    yield found
    found[0] = int(counter.read_text()) - before


@contextlib.contextmanager
def _memory(site: Site) -> Iterator[list[float]]:
    """Look ten times a second how much memory the programs of the site's owner have, web server's PHP left out."""
    owner, found, over = USERS["shop"], [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            found[0] = max(found[0], sum(_resident(folder, owner) for folder in Path("/proc").glob("[0-9]*")))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def _resident(process: Path, owner: int) -> int:
    try:
        if process.stat().st_uid != owner or (process / "comm").read_text().startswith("php-fpm"):
            return 0
        return int((process / "statm").read_text().split()[1]) * 4096
    except (OSError, IndexError, ValueError):
        return 0


def _snapshot_rows(seconds: Taken, sent: Taken, memory: list[float], what: str) -> list[Row]:
    how = (
        f"{what}; wall clock of `ansible-playbook playbooks/snapshot.yml` with the gateway, start of Ansible and manifest included; "
        "each of them in turn on the same state, with a warm cache after the first, and with nothing left to be written by the one before"
    )
    rows = []
    for state, found in seconds.items():
        bound = Goal(ratio_at_most=1.25) if state in ("unchanged", "1 % changed") else Goal()
        tenth = Goal(ratio_at_most=0.1) if state in ("unchanged", "1 % changed") else Goal()
        for peer, goal in ((RESTIC, bound), (TAR, tenth), (BORG, Goal())):
            rows.append(Row(PART, f"snapshot, {state}", "s", found[OURS], found[peer], peer, goal, how))
        rows.append(
            Row(PART, f"snapshot, {state}: gateway", "s", found[OURS], found[DIRECT], "ours, direct",
                Goal(ratio_at_most=1.3), how)
        )  # fmt: skip
        rows.append(
            Row(PART, f"snapshot, {state}: sent", "MB", sent[state][OURS], sent[state][RESTIC], RESTIC,
                Goal(ratio_at_most=1.1), "bytes that left the host's network card, ssh's included")
        )  # fmt: skip
    rows.append(
        Row(PART, "snapshot: memory on the host", "MB", memory, [250.0], "the limit", Goal(ours_at_most=250, always=True),
            "resident memory of all programs of the site's owner but php-fpm's, looked at ten times a second")
    )  # fmt: skip
    return rows


def _restore_rows(site: Site, peers: Peers, what: str) -> list[Row]:
    """Bring back all, the database and one file, and take the local way back of the database."""
    found = {name: _timed(work) for name, work in {
        "whole": lambda: _restored(site), "whole, direct": lambda: _restored(site, **_directly(site)),
        "whole, restic": lambda: _all_of_restic(peers), "whole, tar": lambda: _all_of_tar(peers),
        "database": lambda: _restored(site, site_snapshot_only="database"),
        "database, restic": lambda: _database_of_restic(peers),
        "file": lambda: _one_file(site), "file, restic": lambda: peers.restic_restores(what=_file_on_host()),
    }.items()}  # fmt: skip
    load = _timed(peers.load)
    back = _local_way_back(site)
    how = f"{what}; ours in place of the live site, probes and way back included (playbooks/restore.yml); the peer into an empty folder and database"
    local = f"{what}; all tables of the site put back by renaming what was put aside; the peer loads the dump that the host still has"
    return [
        Row(PART, "restore, whole", "s", [found["whole"]], [found["whole, restic"]], RESTIC, Goal(), how),
        Row(PART, "restore, whole", "s", [found["whole"]], [found["whole, tar"]], TAR, Goal(), how),
        Row(PART, "restore, whole: gateway", "s", [found["whole"]], [found["whole, direct"]], "ours, direct", Goal(ratio_at_most=1.3), how),
        Row(PART, "restore, database", "s", [found["database"]], [found["database, restic"]], RESTIC, Goal(), how),
        Row(PART, "restore, one file", "s", [found["file"]], [found["file, restic"]], RESTIC, Goal(), how),
        Row(PART, "database, local way back", "s", [back], [load], "loading the dump", Goal(ratio_at_most=0.1), local),
    ]  # fmt: skip


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    seconds = time.monotonic() - began
    say(f"    {seconds:.1f} s")
    return seconds


def _restored(site: Site, **variables: object) -> None:
    """Bring back the newest restore point as a person does."""
    change_a_hundredth(site, 99)
    given = {"upkeep_point": "newest", "site_snapshot_accept_other_version": True, **variables}
    site.playbooks("playbooks/restore.yml", "--extra-vars", json.dumps(given))


def _one_file(site: Site) -> None:
    path = upload(site, FILES - 1)
    before = path.read_bytes()
    path.write_bytes(b"broken")
    inside = str(path.relative_to(site.lab.host(HOST).disk / "htdocs"))
    site.playbooks(
        "playbooks/restore.yml", "--extra-vars", json.dumps({"upkeep_point": "newest", "site_snapshot_paths": [inside]})
    )
    if path.read_bytes() != before:
        raise BenchError(f"{inside} did not come back")


def _file_on_host() -> str:
    return f"/srv/shop/htdocs/wp-content/uploads/bench/{(FILES - 1) // 250:02d}/picture-{FILES - 1}.jpg"


def _all_of_restic(peers: Peers) -> None:
    peers.restic_restores(what="")
    peers.load()


def _database_of_restic(peers: Peers) -> None:
    peers.restic_restores(what=f"{SCRATCH}/dump")
    peers.load()


def _all_of_tar(peers: Peers) -> None:
    peers.tar_restores()
    peers.load()


def _local_way_back(site: Site) -> float:
    """Put every table aside, change them, and put them back; return the seconds of the last on the host."""
    host = site.lab.host(HOST)
    variables = place_variables(load_contract(site.inventory / "contract.yml"), "shop")
    place = host.disk / ".bench"
    shutil.copytree(HERE.parent / "plugins", place / "plugins", dirs_exist_ok=True)
    shutil.copy(HERE / "way_back.py", place)
    request = json.dumps({"site": variables["cms_update_site"], "folder": SCRATCH})
    done = host.run(
        ["env", f"PYTHONPATH={SCRATCH}", "PYTHONDONTWRITEBYTECODE=1", "python3", f"{SCRATCH}/way_back.py"],
        user=host.ssh_user, input=request, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"the way back ended with {done.returncode}: {done.stderr[-400:]}")
    return float(json.loads(done.stdout)["seconds"])
