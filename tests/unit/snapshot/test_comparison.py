"""Is every file in the snapshot, and did every file come back?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from plugins.module_utils import restoration, snapshot, tree
from plugins.module_utils.restic import Listing, Node
from plugins.module_utils.site import Site
from plugins.module_utils.step_drill import other_rows

ROOT = "/srv/shop/htdocs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a small tree."""
    root = tmp_path / "htdocs"
    (root / "a").mkdir(parents=True)
    (root / "a" / "x.php").write_text("12345")
    (root / "b").mkdir()
    (root / "b" / "x.php").write_text("1")
    (root / "link").symlink_to("a/x.php")
    (root / "uploads").symlink_to("/mnt/uploads")
    (root / "up").symlink_to("../../etc")
    return root


def nodes(root: Path) -> dict[str, Node]:
    """Return a tree as restic would list it."""
    return {
        path: Node(entry.kind, entry.size if entry.kind == "file" else 0, entry.mode, entry.owner, entry.group)
        for path, entry in tree.scan(str(root)).items()
    }


def compared(root: Path, stored: dict[str, Node]) -> list[str]:
    """Compare a restored tree with a snapshot of these nodes."""
    listing = Listing("a" * 64, [], [], {f"{ROOT}/{path}": node for path, node in stored.items()})
    return restoration.differences(listing, str(root), ROOT, {"files": {"count": 2, "bytes": 6}})


def test_a_file_that_is_in_no_snapshot_is_missed(folder: Path) -> None:
    before, stored = tree.scan(str(folder)), nodes(folder)
    assert snapshot.lost(before, stored) == []

    del stored["a/x.php"]
    stored["b"] = replace(stored["b"], kind="file")
    assert snapshot.lost(before, stored) == ["a/x.php", "b"]


def test_a_name_that_is_no_utf_8_is_not_called_lost(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/not-\xff")).write_text("x")

    assert snapshot.lost(tree.scan(str(folder)), {**nodes(folder), "not-\ufffd": Node("file", 1, 0o644, 0, 0)}) == []


def test_links_that_lead_out_of_the_tree_are_named(folder: Path) -> None:
    assert snapshot.links_outside(str(folder), tree.scan(str(folder))) == ["up", "uploads"]


def test_the_same_tree_has_no_differences(folder: Path) -> None:
    assert compared(folder, nodes(folder)) == []


def test_every_difference_of_a_restored_tree_is_told(folder: Path) -> None:
    stored = nodes(folder)
    (folder / "a" / "x.php").write_text("1234")
    (folder / "b" / "x.php").unlink()
    (folder / "b").chmod(0o700)
    stored["link"] = replace(stored["link"], owner=4711)

    assert compared(folder, stored) == [
        "1 files and 4 bytes, not as the manifest says",
        "a/x.php is another one",
        "b has mode 700, not 755",
        "b/x.php is missing",
        f"link cannot be given back to its owner or group 4711:{stored['link'].group} by this account",
    ]


def site(root: Path) -> Site:
    """Return a site that lies in this folder."""
    return Site.from_parameters(
        {
            "client": "example",
            "name": "shop",
            "cms": "wordpress",
            "url": "http://shop.example.test",
            "root": str(root),
            "address": "127.0.0.1",
            "port": 80,
            "staging": {"port": 8081, "database": "shop_staging"},
        }
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"root": "/srv/other/htdocs"}, "it was taken of /srv/other/htdocs"),
        ({"files": {"count": 2, "bytes": 10**15}}, "MB are free: make room there"),
        ({"dump": {"bytes": 10**15, "database": "shop"}}, "MB are free: make room there"),
        ({"dump": {"bytes": 10, "database": "shop_staging"}}, "is production's own database"),
    ],
)
def test_a_restore_point_that_cannot_be_put_here_is_refused(folder: Path, change: dict[str, object], said: str) -> None:
    manifest = {
        "root": str(folder),
        "files": {"count": 2, "bytes": 6},
        "dump": {"bytes": 10, "database": "shop"},
        **change,
    }

    assert said in "; ".join(restoration.refusals(site(folder), manifest))
    assert bool(said) == bool(restoration.refusals(site(folder), manifest))


def test_a_table_that_lost_rows_or_did_not_come_back_fails_a_drill() -> None:
    wanted = {"wp_posts": {"rows": 3}, "wp_users": {"rows": 1}, "wp_log": {}}

    assert other_rows(wanted, {"wp_posts": 3, "wp_users": 1, "wp_log": 9}) == []
    assert other_rows(wanted, {"wp_posts": 2, "wp_users": 1}) == [
        "wp_log did not come back",
        "wp_posts has 2 rows, not 3",
    ]
