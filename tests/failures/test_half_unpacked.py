"""The disk fills while unpacking: refused before by a headroom check; if it still fills, the old tree is whole and serving."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.hosts import Host
from tests.pipeline import Site
from tests.staged import STAGED

pytestmark = pytest.mark.root

PLACE = "/srv/shop"
LEFT = 64 * 1024


@contextmanager
def disk_of(site: Site, megabytes: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the site and our workshop lie on a disk of that size while the block lasts."""
    script = f"""set -e
        mkdir -p /mnt/small && mount -t tmpfs -o size={megabytes}m tmpfs /mnt/small
        cp -a {PLACE}/. /mnt/small/ && chown --reference={PLACE} /mnt/small && chmod --reference={PLACE} /mnt/small
        mount --move /mnt/small {PLACE} || mount --bind /mnt/small {PLACE}"""
    site.host.run(["sh", "-c", script], check=True)
    monkeypatch.setattr(Host, "disk", property(lambda host: Path(f"/proc/{host.pid}/root{PLACE}")))
    try:
        yield
    finally:
        monkeypatch.undo()
        site.host.run(["sh", "-c", f"umount -l {PLACE}; umount -l /mnt/small 2>/dev/null; true"], check=True)


def fill(site: Site) -> None:
    """Let a file of somebody's take all room but a little."""
    free = int(site.host.run(["stat", "-f", "-c", "%a %S", PLACE], check=True).stdout.split()[0]) * 4096
    site.host.run(["fallocate", "-l", str(free - LEFT), f"{PLACE}/full"], user="shop", check=True)


def test_half_unpacked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.offer(newspack_blocks="4.33.0")
    with disk_of(site, 300, monkeypatch):
        refused = site.run("preflight")["preflight"]
        assert refused.outcome == "refused"
        assert "MB free and an update needs" in refused.message
        assert site.run("release")["release"].outcome == "done"
        site.tidy()

    with disk_of(site, 900, monkeypatch):
        before = site.state()
        assert site.run(*STAGED)["rehearse"].outcome == "done"
        fill(site)

        refused = site.run("promote")["promote"]

        assert refused.outcome == "refused", refused
        assert "No space left on device" in refused.message
        assert "Production was not touched." in refused.message
        assert before.differences(site.state()) == []
        site.serves("1.0")

        # It is found and removed, and the same run goes on.
        site.host.run(["rm", f"{PLACE}/full"], check=True)
        promoted = site.run("promote")["promote"]
        assert promoted.outcome == "done", promoted
        assert site.version("newspack-blocks") == "4.33.0"
        assert site.run("release")["release"].outcome == "done"
        site.serves("1.0")
        site.tidy()
