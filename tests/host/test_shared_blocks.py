"""Where the site's file system can share blocks, the staging copy does, and is a copy all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root

# Sparse: what is written takes room, and what nobody writes none. An update wants some hundred megabytes free.
SIZE = 4 << 30


@pytest.fixture
def site_on_xfs(site: Site, tmp_path: Path) -> Iterator[Site]:
    """Return the shop with its files on an XFS, which a file of this machine holds."""
    image = tmp_path / "xfs"
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    device = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
    ).stdout.strip()
    number = device.removeprefix("/dev/loop")
    try:
        script = (
            f"mknod /dev/upkeep-xfs b 7 {number} && mkdir -p /mnt/xfs && mount -t xfs /dev/upkeep-xfs /mnt/xfs && cp -a /srv/shop/. /mnt/xfs"
            " && chown --reference=/srv/shop /mnt/xfs && umount /mnt/xfs && mount -t xfs /dev/upkeep-xfs /srv/shop"
        )
        site.host.run(["sh", "-c", script], check=True)
        yield site
    finally:
        # Whoever stands in it is not waited for.
        site.host.run(["sh", "-c", "umount -l /srv/shop; umount /mnt/xfs; rm -f /dev/upkeep-xfs"])
        subprocess.run(["losetup", "--detach", device], check=True)


def test_a_copy_shares_blocks_with_production_and_is_a_copy_all_the_same(site_on_xfs: Site) -> None:
    site, name = site_on_xfs, "wp-includes/version.php"

    steps = site.run("preflight", "stage")

    assert steps["stage"].outcome == "done", steps["stage"].message
    clone = steps["stage"].evidence["clone"]
    assert (clone["method"], clone["linked"] > 0, "because" in clone) == ("reflink", True, False)
    production, copy = f"{site.host.root}/{name}", f"/srv/shop/.upkeep/{site.run_id}/staging/htdocs/{name}"
    for path in (production, copy):
        assert "shared" in site.host.run(["filefrag", "-v", path], check=True).stdout
    site.host.run(["sh", "-c", f"echo '// changed' >>{copy}"], user="shop", check=True)
    assert site.host.run(["cmp", "-s", production, copy]).returncode == 1
    assert "changed" not in site.host.run(["tail", "-n", "1", production], check=True).stdout
    assert site.run("release")["release"].outcome == "done"

    # Where the site's own PHP must not read outside of its folder, the copy's must not follow links.
    config = (site.root / "wp-config.php").read_text(encoding="utf-8")
    site.put_file("wp-config.php", config.replace("<?php", "<?php\nini_set('open_basedir', __DIR__ . ':/tmp');", 1))
    site.begin()
    steps = site.run("preflight", "stage")

    assert steps["stage"].outcome == "done", steps["stage"].message
    clone = steps["stage"].evidence["clone"]
    assert (clone["method"], clone.get("linked"), clone["because"]) == (
        "reflink",
        None,
        "the copy's PHP must not read there (open_basedir?)",
    )
    assert site.run("release")["release"].outcome == "done"
