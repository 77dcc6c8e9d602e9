"""Files end up owned by another user or mode [oefenweb ansible-wordpress 16]: owner, group and mode of every file as before."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.hosts import USERS
from tests.pipeline import WHOLE, Site

pytestmark = pytest.mark.root

OWNER = USERS["shop"]
PLUGINS = "wp-content/plugins"
BANNER = f"{PLUGINS}/lab-banner"
BLOCKS = f"{PLUGINS}/newspack-blocks"
ODD = b"wp-content/uploads/odd \xff\xfe \n'name' $(x).txt"
ACL = "system.posix_acl_access"

# What clients' trees look like after ten years. `web` is a group that the owner is in as well.
LIVED_IN = """
set -eu
cd /srv/shop/htdocs
chmod 600 wp-config.php
chmod 640 wp-content/plugins/lab-banner/lab-banner.php
chgrp www-data wp-content/plugins/lab-banner/lab-banner.php
find wp-content/plugins/newspack-blocks -type d -exec chgrp www-data {} + -exec chmod 2775 {} +
chgrp -R www-data wp-content/uploads && find wp-content/uploads -type d -exec chmod 2770 {} +
chmod 664 wp-content/plugins/newspack-blocks/newspack-blocks.php
mkdir wp-content/empty wp-content/locked
chmod 700 wp-content/empty
echo kept >wp-content/locked/kept.txt
chmod 400 wp-content/locked/kept.txt
chmod 555 wp-content/locked
ln -s ../plugins/lab-banner wp-content/uploads/inside
ln -s /var/log/nowhere wp-content/uploads/dangling
chown -hR shop:shop wp-content/empty wp-content/locked wp-content/uploads/inside wp-content/uploads/dangling
"""


@pytest.fixture
def lived_in(site: Site) -> Iterator[Site]:
    """Return the shop with all kinds of owners, modes and names; `shop` is in the group www-data meanwhile."""
    site.host.run(["usermod", "-aG", "www-data", "shop"], check=True)
    forget_connections(site)
    site.host.run(["sh", "-c", LIVED_IN], check=True)
    odd = os.fsencode(site.root) + b"/" + ODD
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    os.chown(odd, OWNER, OWNER)
    Path(os.fsdecode(odd)).chmod(0o604)
    for path in (f"{BANNER}/lab-banner.php", "wp-content/uploads/.htaccess-kept"):
        (site.root / path).touch()
        os.chown(site.root / path, OWNER, -1)
        os.setxattr(site.root / path, ACL, access_list(www_data=4))
    yield site
    site.host.run(["gpasswd", "-d", "shop", "www-data"], check=True)
    forget_connections(site)


def forget_connections(site: Site) -> None:
    """End Ansible's open connections: whoever is logged in keeps the groups of that moment."""
    for socket in site.shop.sockets.iterdir():
        if socket.is_socket():
            subprocess.run(["ssh", "-O", "exit", "-S", str(socket), "shop"], capture_output=True, check=False)


def access_list(www_data: int) -> bytes:
    """Return a POSIX access list that lets www-data (number 33) in as well, as the kernel keeps it."""
    nobody = 0xFFFFFFFF
    entries = [(0x01, 6, nobody), (0x02, www_data, 33), (0x04, 0, nobody), (0x10, 4, nobody), (0x20, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def seen(site: Site) -> dict[bytes, tuple[int, int, str, bytes]]:
    """Return owner, group, mode and access list of every path, the document root itself included."""
    found = {}
    root = os.fsencode(site.root)
    for folder, folders, files in os.walk(root):
        for path in [folder, *(os.path.join(folder, name) for name in (*folders, *files))]:
            known = os.lstat(path)
            access = b""
            if not stat.S_ISLNK(known.st_mode) and ACL in os.listxattr(path):
                access = os.getxattr(path, ACL)
            found[os.path.relpath(path, root)] = (known.st_uid, known.st_gid, stat.filemode(known.st_mode), access)
    return found


def test_ownership_changes_not_in_an_update(lived_in: Site) -> None:
    site = lived_in
    before, state = seen(site), site.state()
    site.offer(newspack_blocks="4.33.0", lab_banner="1.1")

    steps = site.run(*WHOLE)

    assert [step.outcome for step in steps.values()] == ["done"] * 5, steps
    after = seen(site)
    assert {path: (before[path], after[path]) for path in before.keys() & after if before[path] != after[path]} == {}
    # What the release brought has the owner of everything and the group of its folder.
    new = sorted(after.keys() - before)
    assert len(new) > 50
    assert {after[path][0] for path in new} == {OWNER}
    assert [path for path in new if after[path][1] != after[os.path.dirname(path)][1]] == []
    assert {after[path][1] for path in new} == {33}
    assert {after[path][2] for path in new if after[path][2].startswith("d")} == {"drwxr-sr-x"}
    # And nothing else has changed, byte for byte.
    others = [
        path
        for path in state.differences(site.state())
        if not path.startswith((BLOCKS, BANNER, "table ", "definition "))
    ]
    assert others == []
    site.serves("1.1")


def test_ownership_changes_not_on_the_way_back(lived_in: Site) -> None:
    site = lived_in
    before = seen(site)
    site.offer(newspack_blocks="4.33.0", lab_banner="2.12")

    site.put_back_in_production(state=site.state())

    assert seen(site) == before
    site.serves("1.0")


def test_ownership_changes_would_be_needed_so_nothing_is_touched(untouched_site: Site) -> None:
    site = untouched_site
    stranger, folder = site.root / BANNER / "of-root.php", site.root / "wp-content" / "of-a-group"
    stranger.write_text("<?php\n", encoding="utf-8")
    folder.mkdir()
    os.chown(folder, OWNER, 33)
    site.offer(lab_banner="1.1")

    steps = site.run("preflight")

    assert steps["preflight"].outcome == "refused"
    assert f"1 files belong to somebody else, such as {BANNER}/of-root.php" in steps["preflight"].message
    assert "1 folders belong to a group in which the site's owner is not" in steps["preflight"].message
    assert site.run("release")["release"].outcome == "done"
    stranger.unlink()
    folder.rmdir()
    site.serves("1.0")
    site.tidy()
