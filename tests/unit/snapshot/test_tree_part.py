"""The next tree when only some paths come back: everything else is the live tree, the same files and not copies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.module_utils import tree, tree_part
from plugins.module_utils.parts import Part
from plugins.module_utils.restic import Node
from plugins.module_utils.tree import TreeError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a live tree and an older one that restic has brought."""
    for name, word in (("live", "new"), ("restored", "old")):
        root = tmp_path / name
        (root / "a" / "deep").mkdir(parents=True)
        (root / "a" / "deep" / "x.php").write_text(word)
        (root / "a" / "y.php").write_text(word)
        (root / "top.php").write_text(word)
    (tmp_path / "restored" / "gone" / "inner").mkdir(parents=True)
    (tmp_path / "restored" / "gone" / "inner" / "z.php").write_text("old")
    (tmp_path / "restored" / "top.php").chmod(0o640)
    return tmp_path


def grafted(folder: Path, *paths: str) -> Path:
    """Build the next tree with these paths of the older one."""
    stored = {
        path: Node(seen.kind, seen.size, 0o750 if path == "gone" else seen.mode, seen.owner, seen.group)
        for path, seen in tree.scan(str(folder / "restored")).items()
    }
    tree_part.graft(str(folder / "live"), str(folder / "next"), str(folder / "restored"), Part(paths=paths), stored)
    return folder / "next"


def words(root: Path) -> dict[str, str]:
    """Return what every file says."""
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_only_what_was_asked_for_is_another_file(folder: Path) -> None:
    before = tree.scan(str(folder / "live"))

    built = grafted(folder, "a/deep", "a/deep/x.php", "top.php", "gone/inner/z.php")

    assert words(built) == {"a/deep/x.php": "old", "a/y.php": "new", "gone/inner/z.php": "old", "top.php": "old"}
    assert (built / "a" / "y.php").samefile(folder / "live" / "a" / "y.php")
    assert (built / "top.php").stat().st_mode & 0o777 == 0o640
    assert (built / "gone").stat().st_mode & 0o777 == 0o750
    now = tree.scan(str(folder / "live"))
    assert {path for path in before if before[path] != now.get(path)} == set()


def test_what_changed_meanwhile_is_followed_but_not_what_was_asked_for(folder: Path) -> None:
    built = grafted(folder, "a/deep", "gone/inner/z.php")
    live = folder / "live"
    (live / "a" / "deep" / "x.php").write_text("newer")
    (live / "a" / "deep" / "upload.jpg").write_text("newer")
    (live / "top.php").unlink()
    (live / "upload.jpg").write_text("newer")

    followed = tree_part.follow(str(live), str(built), Part(paths=("a/deep", "gone/inner/z.php")))

    assert followed == ["top.php", "upload.jpg"]
    assert words(built) == {
        "a/deep/x.php": "old", "a/y.php": "new", "gone/inner/z.php": "old", "upload.jpg": "newer"
    }  # fmt: skip


def test_a_protected_folder_comes_back_protected(folder: Path) -> None:
    (folder / "restored" / "a" / "deep").chmod(0o555)
    (folder / "live" / "a").chmod(0o555)

    built = grafted(folder, "a/deep")

    assert [(built / path).stat().st_mode & 0o777 for path in ("a", "a/deep")] == [0o555, 0o555]
    assert words(built)["a/deep/x.php"] == "old"
    (folder / "live" / "a").chmod(0o755)


@pytest.mark.parametrize("kind", ["link", "file"])
def test_nothing_is_put_behind_a_link_or_below_a_file(folder: Path, kind: str) -> None:
    live = folder / "live" / "a"
    live.rename(folder / "elsewhere")
    if kind == "link":
        live.symlink_to(folder / "elsewhere")
    else:
        live.write_text("x")

    with pytest.raises(TreeError, match=f"a/deep/x.php cannot be put back: a is a {kind} now"):
        grafted(folder, "a/deep/x.php")
    assert (folder / "elsewhere" / "deep" / "x.php").read_text() == "new"
    assert os.path.lexists(live)
