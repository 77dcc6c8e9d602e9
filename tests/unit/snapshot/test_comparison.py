"""Is every file in the snapshot, and did every file come back?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from plugins.module_utils import fetch, restoration, snapshot, tree
from plugins.module_utils.parts import Part
from plugins.module_utils.recovery import other_rows
from plugins.module_utils.restic import Listing, Node
from plugins.module_utils.site import Site

ROOT = "/srv/shop/htdocs"
DUMP = {"folder": "/srv/shop/.upkeep/dump", "bytes": 10, "database": "shop", "tables": {"wp_posts": {"bytes": 10}}}


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
    return fetch.differences(listing.below(ROOT), str(root), {"count": 2, "bytes": 6})


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
        ({"dump": {**DUMP, "bytes": 10**15}}, "MB are free: make room there"),
        ({"dump": {**DUMP, "database": "shop_staging"}}, "is production's own database"),
    ],
)
def test_a_restore_point_that_cannot_be_put_here_is_refused(folder: Path, change: dict[str, object], said: str) -> None:
    manifest = {
        "root": str(folder),
        "files": {"count": 2, "bytes": 6},
        "dump": {**DUMP, "bytes": 10},
        **change,
    }

    assert said in "; ".join(fetch.refusals(site(folder), manifest, Part()))
    assert bool(said) == bool(fetch.refusals(site(folder), manifest, Part()))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Part(), ["it needs"]),
        (Part(only="files"), ["it needs"]),
        (Part(only="database"), []),
        (Part(tables=("wp_posts",)), []),
        (Part(tables=("wp_huge",)), ["it needs"]),
        (Part(paths=("a/x.php",)), []),
        (Part(tables=("wp_pots",)), ["it has no table wp_pots. Did you mean wp_posts?"]),
    ],
)
def test_a_part_needs_room_for_itself_only(folder: Path, asked: Part, said: list[str]) -> None:
    huge = {"wp_posts": {"bytes": 10}, "wp_huge": {"bytes": 10**15}}
    manifest = {"root": str(folder), "files": {"count": 2, "bytes": 10**15}, "dump": {**DUMP, "tables": huge}}

    found = fetch.refusals(site(folder), manifest, asked)

    assert len(found) == len(said)
    assert all(sentence.startswith(start) for sentence, start in zip(found, said, strict=True))


def test_restic_is_asked_for_exact_names(folder: Path) -> None:
    manifest = {"dump": {**DUMP, "tables": {"wp_posts": {"file": "tables/wp_posts.sql"}}}}
    asked = Part(tables=("wp_posts",), paths=("a/x [1]*.php", "b\\c?"))

    assert fetch.wanted(site(folder), manifest, asked) == [
        f"{folder}/a/x \\[1\\]\\*.php", f"{folder}/b\\\\c\\?", "/srv/shop/.upkeep/dump/tables/wp_posts.sql"
    ]  # fmt: skip
    assert fetch.wanted(site(folder), manifest, Part(only="database")) == ["/srv/shop/.upkeep/dump"]
    assert fetch.wanted(site(folder), manifest, Part(only="files")) == [str(folder)]


THEN = {"versions": {"core": "6.2.6", "db_version": "53496", "database": "10.11.14-MariaDB"}}


@pytest.mark.parametrize(
    ("now", "asked", "rows", "said"),
    [
        ("6.4.5 56657", Part(), "56657", ""),
        ("6.2.6 53496", Part(only="database"), "53496", ""),
        ("6.4.5 56657", Part(only="database"), "56657", "which wants database version 56657, and the restore point's is 53496"),
        ("6.1.0 53000", Part(tables=("wp_posts",)), "53000", "WordPress 6.1.0 now, which wants database version 53000"),
        ("6.4.5 56657", Part(only="files"), "56657", "the site's database has version 56657 now"),
        ("6.4.5 56657", Part(only="files"), "53496", ""),
        ("6.4.5 56657", Part(only="files"), "", ""),
        ("6.4.5 56657", Part(paths=("wp-content/uploads/x.jpg",)), "56657", ""),
        ("6.4.5 56657", Part(paths=("wp-includes/load.php",)), "56657", "the site has WordPress 6.4.5 now"),
        ("", Part(only="database"), "", ""),
    ],
)  # fmt: skip
def test_a_part_of_another_version_is_refused_with_what_to_type(
    folder: Path, now: str, asked: Part, rows: str, said: str
) -> None:
    if now:
        core, wants = now.split()
        (folder / "wp-includes").mkdir()
        text = f"<?php\n$wp_version = '{core}';\n$wp_db_version = {wants};\n"
        (folder / "wp-includes" / "version.php").write_text(text)

    told = restoration.other_version(site(folder), dict(THEN), asked, rows)

    assert said in told
    assert bool(told) == bool(said)
    assert not told or "-e site_snapshot_accept_other_version=true" in told


def test_a_table_that_lost_rows_or_did_not_come_back_fails_a_drill() -> None:
    wanted = {"wp_posts": {"rows": 3}, "wp_users": {"rows": 1}, "wp_log": {}}

    assert other_rows(wanted, {"wp_posts": 3, "wp_users": 1, "wp_log": 9}) == []
    assert other_rows(wanted, {"wp_posts": 2, "wp_users": 1}) == [
        "wp_log did not come back",
        "wp_posts has 2 rows, not 3",
    ]
