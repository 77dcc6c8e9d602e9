"""The files of a staging copy: copied once, put back path by path, and never half."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from plugins.module_utils import baseline, staging, staging_files, tree

from .sites import site_at

PICTURE, LOG = "wp-content/uploads/2026/a.jpg", "wp-content/uploads/app.log"
FILES = {
    "index.php": "<?php",
    "wp-content/index.php": "<?php // nothing",
    "wp-content/plugins/shop/shop.php": "1.0",
    "wp-content/plugins/shop/old.php": "goes with 1.1",
    "wp-content/object-cache.php": "shared with production",
    ".maintenance": "frozen",
    "uploads/from-before-wordpress.css": "no release changes it, and it is not of wp-content",
    "wp-content/wp-content/index.php": "moved here by mistake",
    PICTURE: "a picture",
    LOG: "line 1\n",
}


class Copy:
    """A site, and its copy as a run makes it."""

    def __init__(self, place: Path) -> None:
        self.production, self.folder = place / "htdocs", place / "run"
        self.root, self.base = self.folder / "htdocs", self.folder / "base"
        for path, text in FILES.items():
            (self.production / path).parent.mkdir(parents=True, exist_ok=True)
            (self.production / path).write_text(text)
            os.utime(self.production / path, (1_000_000, 1_000_000))
        (self.production / "wp-content/link").symlink_to("plugins/shop")
        (self.production / "wp-content/plugins/shop").chmod(0o2750)
        self.folder.mkdir()

    def made(self, *, links: bool = False) -> Copy:
        """Make the copy; the pictures in production are older than it."""
        self.evidence = staging_files.create(*self._paths(), links=links)
        self.began = self.state()
        return self

    def put_back(self) -> list[str]:
        """Put the copy back."""
        return staging_files.put_back(*self._paths())

    def state(self) -> dict[str, object]:
        """Return all of the copy that PHP could tell apart."""
        found: dict[str, object] = {}
        for path, seen in tree.scan(str(self.root)).items():
            content = (self.root / path).read_bytes() if seen.kind == "file" else b""
            found[path] = (seen.kind, seen.mode, seen.mtime, seen.owner, seen.group, seen.target, content)
        return found

    def _paths(self) -> tuple[str, str, str, str]:
        return str(self.production), str(self.root), str(self.base), str(self.folder)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Return a copy of a site whose files have not been touched for long."""
    monkeypatch.setattr(staging_files, "TICK_NS", 0)
    return Copy(tmp_path).made()


def test_pictures_are_copied_once_and_what_is_not_for_a_copy_is_left_out(copy: Copy) -> None:
    assert {*FILES} - {path for path in FILES if (copy.root / path).exists()} == {
        "wp-content/object-cache.php",
        ".maintenance",
    }
    assert not (copy.base / PICTURE).exists()
    assert set(tree.scan(str(copy.root))) - set(tree.scan(str(copy.base))) == {PICTURE}
    assert (copy.base / "wp-content/object-cache.php").exists()
    assert (copy.evidence["files"], copy.evidence["method"]) == (8, tree.COPY)
    inodes = {(copy.production / PICTURE).stat().st_ino, (copy.root / PICTURE).stat().st_ino}
    assert len(inodes) == 2


def test_without_a_change_nothing_is_put_back(copy: Copy) -> None:
    assert copy.put_back() == []


def test_whatever_a_round_did_is_undone_and_the_next_round_begins_with_the_same(copy: Copy) -> None:
    for _ in range(2):
        shop = copy.root / "wp-content/plugins/shop"
        tree.remove(str(shop))
        shop.mkdir()
        (shop / "shop.php").write_text("1.1")
        (shop / "new").mkdir()
        (shop / "new/file.php").write_text("came")
        (copy.root / "wp-content/object-cache.php").write_text("brought by a plugin")
        with (copy.root / LOG).open("a") as log:
            log.write("line 2\n")
        (copy.root / PICTURE).unlink()
        (copy.root / "wp-content/uploads/2026/b.jpg").write_text("another one")
        # The same bytes, size and time: only the kernel knows.
        index = copy.root / "index.php"
        index.write_text("<?PHP")
        os.utime(index, (1_000_000, 1_000_000))
        (copy.root / "wp-content/index.php").chmod(0o600)
        (copy.root / "wp-content/link").unlink()

        changed = copy.put_back()

        assert {"index.php", PICTURE, LOG, "wp-content/plugins/shop/new/file.php"} <= set(changed)
        assert copy.state() == copy.began
        assert copy.put_back() == []


def test_a_picture_that_is_another_one_in_production_too_cannot_be_had_again(copy: Copy) -> None:
    (copy.root / PICTURE).write_text("made smaller")
    (copy.production / PICTURE).write_text("made better")

    with pytest.raises(tree.TreeError, match=r"a\.jpg was changed in the copy, and in production since"):
        copy.put_back()


def test_uploads_that_are_a_link_are_no_reason_to_follow_it(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (copy.production / "wp-content/uploads").rename(elsewhere)
    (copy.production / "wp-content/uploads").symlink_to(elsewhere)
    copy.made()

    (copy.root / "index.php").write_text("changed")
    assert copy.put_back() == ["index.php"]
    assert copy.state() == copy.began
    assert (copy.base / "wp-content/uploads").is_symlink()


def test_a_copy_leads_to_productions_pictures_and_never_touches_them(tmp_path: Path) -> None:
    copy = Copy(tmp_path).made(links=True)
    production = {path: os.lstat(copy.production / path) for path in tree.scan(str(copy.production))}
    assert (copy.root / PICTURE).is_symlink()
    assert (copy.root / PICTURE).resolve() == copy.production / PICTURE
    assert staging_files.a_link(str(copy.production), str(copy.root), str(copy.folder)) == str(copy.root / PICTURE)
    # Whatever the site's own path is: such a link takes no block of ext4.
    assert len(os.readlink(copy.root / PICTURE)) < 60 - len("uploaded-by-somebody.jpg")
    assert (copy.evidence["files"], copy.evidence["linked"], copy.evidence["linked_bytes"]) == (8, 1, len("a picture"))
    assert not os.path.lexists(copy.base / PICTURE)
    assert (copy.root / LOG).read_text() == "line 1\n"
    assert not (copy.root / LOG).is_symlink()
    assert staging_files.has_links(str(copy.folder))
    assert copy.put_back() == []

    year = copy.root / "wp-content/uploads/2026"
    for change in ("replaced", "removed", "a folder", "the whole folder leads away", "its time"):
        if change == "the whole folder leads away":
            tree.remove(str(year))
            year.symlink_to(copy.production / "wp-content/uploads/2026")
        elif change == "its time":
            os.utime(copy.root / PICTURE, (1, 1), follow_symlinks=False)
        else:
            (copy.root / PICTURE).unlink()
            if change == "replaced":
                (copy.root / PICTURE).write_text("another picture")
            elif change == "a folder":
                (copy.root / PICTURE).mkdir()
                (copy.root / PICTURE / "inside").write_text("x")
        assert PICTURE in copy.put_back(), change
        assert copy.state() == copy.began, change
        assert copy.put_back() == []
    # Production may remove it meanwhile: then the copy lacks it as production does.
    (copy.production / PICTURE).rename(tmp_path / "kept")
    (copy.root / PICTURE).unlink()
    assert copy.put_back() != []
    assert copy.state() == copy.began
    (tmp_path / "kept").rename(copy.production / PICTURE)

    tree.remove(str(copy.folder))
    now = {path: os.lstat(copy.production / path) for path in tree.scan(str(copy.production))}
    assert {
        path: (seen.st_ino, seen.st_mode, seen.st_mtime_ns)
        for path, seen in now.items()
        if path != "wp-content/uploads/2026"
    } == {
        path: (seen.st_ino, seen.st_mode, seen.st_mtime_ns)
        for path, seen in production.items()
        if path != "wp-content/uploads/2026"
    }
    assert (copy.production / PICTURE).read_text() == "a picture"


def test_what_a_copy_leads_to_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "htdocs/wp-content/uploads").mkdir(parents=True)
    (tmp_path / "htdocs/wp-content/uploads/film.mp4").write_bytes(b"f" * 5000)
    (tmp_path / "htdocs/index.php").write_bytes(b"i" * 100)
    rows = SimpleNamespace(size=lambda: 7)
    for why, copied in (("", 100), ("the kernel does not let production be read-only for the copy", 5100)):
        monkeypatch.setattr(staging, "why_copied", lambda _, why=why: why)
        room = baseline.headroom(site_at(tmp_path), rows)
        assert (room["bytes"], room["needed"]) == (5100, baseline.ROOM_FACTOR * copied + 2 * 7 + baseline.ROOM_LEAST)
