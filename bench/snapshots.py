"""(c) What a restore point takes: of a site that did not change, and for the first time, beside tar, gzip and a dump."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

from bench.peers import TAR, Peers
from bench.rows import Goal, Row
from bench.site import HOST, BenchError, Site, say
from tests.lab.hosts import USERS

PART = "c"
SEED = 1908
FILES = 5000
BYTES = 1_000_000_000
LEAST, PER_FOLDER = 2_000, 250


def measure(site: Site, repeat: int) -> list[Row]:
    """Take both once for the first time, then as often as asked of the unchanged site."""
    site.begin()
    size = _fill(site)
    site.lab.s3.clear()
    peers = Peers(site)
    peers.prepare()
    say(f"c: {FILES} uploads with {size / 1e6:.0f} MB in all; the first restore point")
    first, _ = _ours(site)
    first_peer = _peer(peers)
    say(f"c, first: ours {first:.1f} s, peer {first_peer:.1f} s")
    whole, host, peer = [], [], []
    for number in range(1, repeat + 1):
        seconds, on_host = _ours(site)
        whole.append(seconds)
        host.append(on_host)
        peer.append(_peer(peers))
        say(
            f"c, {number} of {repeat}, unchanged: ours {seconds:.1f} s ({on_host:.1f} s on the host), peer {peer[-1]:.1f} s"
        )
    data = f"WordPress and {FILES} generated uploads (seed {SEED}), {size / 1e9:.2f} GB that do not compress, as pictures do not"
    sent = "the peer's streams go over ssh to the controller, which uploads them with boto3 in parts (wall clock until both are stored)"
    tenth = Goal(ratio_at_most=0.1)
    return [
        Row(PART, "snapshot, unchanged: whole playbook", "s", whole, peer, TAR, tenth,
            f"playbooks/snapshot.yml by hand, start of Ansible and manifest included; {data}; {sent}"),
        Row(PART, "snapshot, unchanged: on the host", "s", host, peer, TAR, tenth,
            f"what the manifest says that the host took, dump and proof of completeness included; {data}; {sent}"),
        Row(PART, "snapshot, first: whole playbook", "s", [first], [first_peer], TAR, Goal(),
            f"for orientation: the same into an empty store, encryption included; {data}"),
    ]  # fmt: skip


def _fill(site: Site) -> int:
    """Write the uploads: always the same ones. Returns their bytes."""
    chance = random.Random(SEED)
    weights = [chance.lognormvariate(0, 1) for _ in range(FILES)]
    folder = site.lab.host(HOST).disk / "htdocs" / "wp-content" / "uploads" / "bench"
    owner = USERS[site.lab.host(HOST).ssh_user]
    total = 0
    for number, weight in enumerate(weights):
        place = folder / f"{number // PER_FOLDER:02d}"
        if number % PER_FOLDER == 0:
            place.mkdir(parents=True)
            os.chown(place, owner, owner)
        size = LEAST + int(weight / sum(weights) * (BYTES - FILES * LEAST))
        file = place / f"picture-{number}.jpg"
        file.write_bytes(chance.randbytes(size))
        os.chown(file, owner, owner)
        total += size
    os.chown(folder, owner, owner)
    return total


def _ours(site: Site) -> tuple[float, float]:
    """Take a restore point; return the seconds of the whole playbook, and those on the host."""
    known = _points(site)
    spent = site.playbooks("playbooks/snapshot.yml")
    made = _points(site) - known
    if len(made) != 1:
        raise BenchError(f"one new restore point was expected, not {len(made)}")
    manifest = json.loads(made.pop().read_text(encoding="utf-8"))
    if manifest["files"]["count"] < FILES:
        raise BenchError(f"the restore point lacks files: {manifest['files']}")
    return spent.seconds, float(manifest["seconds"])


def _points(site: Site) -> set[Path]:
    return set(site.lab.s3.data.glob("*/*/points/*.json"))


def _peer(peers: Peers) -> float:
    """Let the peer copy the site; return its seconds."""
    began = time.monotonic()
    peers.tar()
    return time.monotonic() - began
