"""The next tree: exactly the files that it should have, whatever they are called, and one moment of exchange."""

from __future__ import annotations

import errno
import os
import platform
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plugins.module_utils import tree, wordpress

from .sites import as_site_owner, build, file, folder, link, shape

NAMES = [b"a", b"b", "ü".encode(), b"\xff\xfe", b" ", b"-rf", b"new\nline", b"*", b"c.php", b"'\""]
FILES = st.builds(file, st.sampled_from([b"", b"1", b"2", b"\x00\xff"]), st.sampled_from([0o644, 0o600, 0o755, 0o444]))
LINKS = st.builds(link, st.sampled_from([b"a", b"../b", b"/nowhere", b"\xff"]))
TREES = st.recursive(
    FILES | LINKS,
    lambda inner: st.builds(
        folder,
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
        # A hardened site has folders that its own owner may not write to.
        st.sampled_from([0o755, 0o700, 0o555, 0o750]),
    ),
    max_leaves=12,
)
FOLDERS = st.builds(folder, st.dictionaries(st.sampled_from(NAMES), TREES, max_size=4), st.sampled_from([0o755, 0o555]))


def differing(one: str, other: str) -> list[str]:
    """Return the paths in which two trees differ, as a rehearsal finds them."""
    before, now = tree.scan(one), tree.scan(other)
    return [
        path
        for path in sorted({*before, *now})
        if path not in before or path not in now or not before[path].same_content(now[path])
    ]


@given(FOLDERS)
@settings(deadline=None, max_examples=60)
def test_a_link_farm_is_the_same_tree_of_the_same_files(production: tuple[Any, ...]) -> None:
    with tempfile.TemporaryDirectory() as place, as_site_owner(place):
        source, target = f"{place}/source", f"{place}/target"
        build(source, production)
        tree.link_farm(source, target)

        assert shape(target) == shape(source)
        assert stat.S_IMODE(os.stat(target).st_mode) == stat.S_IMODE(os.stat(source).st_mode)
        there = tree.scan(target)
        for path, entry in tree.scan(source).items():
            assert (there[path].inode == entry.inode) == (entry.kind != "folder")
        tree.remove(source)
        tree.remove(target)


@given(code=FOLDERS, released=FOLDERS, content=FOLDERS, written=FOLDERS, late=st.sampled_from([b"", b"late"]))
@example(  # a folder in the place of a file that happened to have its mode
    code=folder(),
    released=folder(),
    content=folder({b"a": file(mode=0o755)}),
    written=folder({b"a": folder()}),
    late=b"",
)
@example(  # a file that a link in the place of its folder leads to, under the name of one that was in that folder
    code=folder({b"b": folder({b"a": folder({b"c.php": file(b"2")})})}),
    released=folder({b"b": folder({b"a": link(b"../b"), b"c.php": file(b"1", mode=0o600)})}),
    content=folder(),
    written=folder(),
    late=b"",
)
@example(  # a protected folder, and another one that a link in its place leads to
    code=folder({b"a": folder({b"b": folder({b"c.php": file(b"1")}, 0o555)}), b"b": folder()}),
    released=folder({b"a": link(b"b"), b"b": folder({b"b": folder()})}),
    content=folder(),
    written=folder(),
    late=b"",
)
@settings(deadline=None, max_examples=80)
def test_the_next_tree_has_what_staging_tested_and_what_visitors_wrote(
    code: tuple[Any, ...], released: tuple[Any, ...], content: tuple[Any, ...], written: tuple[Any, ...], late: bytes
) -> None:
    with tempfile.TemporaryDirectory() as place, as_site_owner(place):
        production, base, staged, following = (f"{place}/{name}" for name in ("production", "base", "staged", "next"))
        build(production, folder({b"code": code, b"content": content}))
        tree.clone(production, base)
        tree.clone(base, staged)
        tree.remove(f"{staged}/code")
        build(f"{staged}/code", released)
        touched = differing(base, staged)

        tree.link_farm(production, following)
        tree.put_in(staged, following, touched, tree.scan(production))
        tree.remove(f"{production}/content")
        build(f"{production}/content", written)
        if late:
            with open(f"{production}/index.php", "wb") as handle:
                handle.write(late)
        own = set(touched)
        tree.bring_up_to_date(production, following, lambda path: path not in own)

        expected = {path: seen for path, seen in shape(production).items() if os.fsdecode(path) not in own}
        live, tested = shape(production), shape(staged)
        for path in own & set(map(os.fsdecode, tested)):
            name = os.fsencode(path)
            seen, old = tested[name], live.get(name, ("nothing",))
            # A path keeps the mode that it had in production, unless it was another kind of thing there.
            expected[name] = (seen[0], old[1], *seen[2:]) if seen[0] == old[0] != "link" else seen
        assert shape(following) == expected
        for name in ("production", "base", "staged", "next"):
            tree.remove(f"{place}/{name}")


def test_what_is_put_in_does_not_show_in_production(tmp_path: Path) -> None:
    build(str(tmp_path / "live"), folder({b"p": folder({b"x.php": file(b"old"), b"gone.php": file(b"gone")})}))
    build(str(tmp_path / "staged"), folder({b"p": folder({b"x.php": file(b"new"), b"more.php": file(b"more")})}))
    before = shape(str(tmp_path / "live"))
    tree.link_farm(str(tmp_path / "live"), str(tmp_path / "next"))
    tree.put_in(
        str(tmp_path / "staged"), str(tmp_path / "next"), ["p/gone.php", "p/more.php", "p/x.php"],
        tree.scan(str(tmp_path / "live")),
    )  # fmt: skip

    assert shape(str(tmp_path / "live")) == before
    assert (tmp_path / "next/p/x.php").read_bytes() == b"new"
    assert (tmp_path / "next/p/more.php").read_bytes() == b"more"
    assert not (tmp_path / "next/p/gone.php").exists()


def test_a_file_that_visitors_write_to_in_place_needs_no_bringing_over(tmp_path: Path) -> None:
    build(str(tmp_path / "live"), folder({b"log": file(b"1")}))
    tree.link_farm(str(tmp_path / "live"), str(tmp_path / "next"))
    with (tmp_path / "live/log").open("ab") as log:
        log.write(b"2")

    assert tree.bring_up_to_date(str(tmp_path / "live"), str(tmp_path / "next"), lambda _: True) == []
    assert (tmp_path / "next/log").read_bytes() == b"12"


def test_the_marks_of_a_freeze_are_not_brought_over(tmp_path: Path) -> None:
    build(str(tmp_path / "live"), folder({b"index.php": file()}))
    tree.link_farm(str(tmp_path / "live"), str(tmp_path / "next"))
    for name in tree.FROZEN:
        (tmp_path / "live" / name).touch()
    (tmp_path / "next" / tree.FROZEN[0]).touch()

    assert tree.bring_up_to_date(str(tmp_path / "live"), str(tmp_path / "next"), lambda _: True) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to groups at will")
def test_a_release_keeps_the_groups_of_the_site(tmp_path: Path) -> None:
    build(str(tmp_path / "live"), folder({b"p": folder({b"x.php": file(b"old", 0o640)}, 0o2770)}))
    os.chown(tmp_path / "live/p", -1, 4242)
    os.chmod(tmp_path / "live/p", 0o2770)  # noqa: S103 - a site has such folders
    os.chown(tmp_path / "live/p/x.php", -1, 4243)
    build(
        str(tmp_path / "staged"),
        folder({b"p": folder({b"x.php": file(b"new", 0o600), b"deep": folder({b"y.php": file(b"y")})}, 0o755)}),
    )
    paths = ["p", "p/deep", "p/deep/y.php", "p/x.php"]
    tree.link_farm(str(tmp_path / "live"), str(tmp_path / "next"))
    tree.put_in(str(tmp_path / "staged"), str(tmp_path / "next"), paths, tree.scan(str(tmp_path / "live")))

    seen = {path: os.stat(tmp_path / "next" / path) for path in paths}
    assert {path: one.st_gid for path, one in seen.items()} == {
        "p": 4242, "p/deep": 4242, "p/deep/y.php": 4242, "p/x.php": 4243,
    }  # fmt: skip
    assert stat.S_IMODE(seen["p"].st_mode) == 0o2770
    assert stat.S_IMODE(seen["p/x.php"].st_mode) == 0o640


def test_an_exchange_has_no_moment_without_a_tree(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    build(str(one), folder({b"version": file(b"1")}))
    build(str(other), folder({b"version": file(b"2")}))
    missing: list[str] = []
    seen: set[bytes] = set()
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            try:
                seen.add((one / "version").read_bytes())
            except FileNotFoundError as error:
                missing.append(str(error))

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        for _ in range(2001):
            tree.exchange(str(one), str(other))
    finally:
        stop.set()
        visitor.join()

    assert missing == []
    assert seen <= {b"1", b"2"}
    assert (one / "version").read_bytes() == b"2"
    assert (other / "version").read_bytes() == b"1"


def test_an_exchange_works_with_names_that_are_no_text(tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    build(odd, folder())
    build(str(tmp_path / "other"), folder({b"x": file()}))
    tree.exchange(odd, str(tmp_path / "other"))

    assert os.listdir(odd) == ["x"]


def test_an_exchange_with_nothing_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    build(str(tmp_path / "one"), folder({b"x": file()}))
    with pytest.raises(tree.TreeError, match="cannot be exchanged: No such file"):
        tree.exchange(str(tmp_path / "one"), str(tmp_path / "other"))

    assert (tmp_path / "one/x").exists()


def test_where_no_exchange_is_known_it_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tree.can_exchange(str(tmp_path)) == ""
    monkeypatch.setattr(platform, "machine", lambda: "vax")

    assert tree.can_exchange(str(tmp_path)) == "no atomic exchange is known for a vax machine"
    assert list(tmp_path.iterdir()) == []


def test_a_healthy_site_has_no_obstacle(tmp_path: Path) -> None:
    build(str(tmp_path / "htdocs"), folder({b"index.php": file()}))

    assert tree.obstacles(str(tmp_path / "htdocs"), tree.scan(str(tmp_path / "htdocs"))) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_what_belongs_to_somebody_else_is_an_obstacle() -> None:
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as mine:
        root = f"{place}/htdocs"
        build(root, folder({b"index.php": file()}))
        os.chmod(place, 0o755)  # noqa: S103 - a site has such folders
        with as_site_owner(mine):
            found = tree.obstacles(root, tree.scan(root))

    assert found == [
        f"{place} cannot be written by the site's owner",
        f"{root} cannot be written by the site's owner",
        f"2 files belong to somebody else, such as {root}",
    ]


def test_another_filesystem_is_an_obstacle() -> None:
    assert "/proc is a filesystem of its own" in tree.obstacles("/proc", {})


def test_files_of_another_filesystem_are_not_copied_in_secret(tmp_path: Path) -> None:
    if os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs a second filesystem")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        Path(place, "x").touch()
        with pytest.raises(tree.TreeError, match="x cannot be linked"):
            tree.link_farm(place, str(tmp_path / "next"))


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        ("wp-content/plugins/x", "../y", False),
        ("wp-content/plugins/x", "../../../y", True),
        ("x", "..", True),
        ("x", "..y", False),
        ("x", "/srv/shop/htdocs/y", True),
        ("a/b", "../c/../d", False),
    ],
)
def test_a_link_that_leads_out_of_its_tree(path: str, target: str, out: bool) -> None:
    assert tree.leads_out(path, tree.Entry("link", 0, 0, 0o777, 0, 0, 1, target)) is out
    assert not tree.leads_out(path, tree.Entry("file", 0, 0, 0o777, 0, 0, 1, ""))


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("wp-admin", True),
        ("wp-admin/x/y.php", True),
        ("wp-administrator/x", False),
        ("wp-login.php", True),
        ("wp-content/x.php", False),
        ("wp-content/plugins/good/x", True),
        ("wp-content/plugins/goodness/x", False),
        ("wp-content/plugins/good", True),
    ],
)
def test_paths_belong_to_units(path: str, inside: bool) -> None:
    assert tree.in_unit(path, ["wp-admin", "*.php", "wp-content/plugins/good"]) is inside


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        *((name, True) for name in ("index.php", "xmlrpc.php", "wp-login.php", "wp-cron.php", "wp-comments-post.php")),
        *(
            (name, True)
            for name in ("wp-config-sample.php", "wp-commentsrss2.php", "wp-rss2.php", "wp-admin", "readme.html")
        ),
        *(
            (name, False)
            for name in ("wp-config.php", "shop.php", "wp-content/object-cache.php", ".htaccess", "wp-content")
        ),
    ],
)
def test_a_release_of_wordpress_may_change_its_own_files_and_not_the_sites(path: str, inside: bool) -> None:
    assert tree.in_unit(path, wordpress.unit("core", "wordpress")) is inside


def test_removing_follows_no_link_and_minds_no_mode(tmp_path: Path) -> None:
    build(str(tmp_path / "kept"), folder({b"x": file()}))
    with tempfile.TemporaryDirectory() as place, as_site_owner(place):
        build(
            f"{place}/t",
            folder({b"locked": folder({b"x": file(), b"l": link(os.fsencode(tmp_path / "kept"))}, 0o000)}, 0o500),
        )
        tree.remove(f"{place}/t")
        assert os.listdir(place) == []

    assert (tmp_path / "kept/x").exists()
    tree.remove(str(tmp_path / "nothing"))
    tree.remove(str(tmp_path / "kept/x/below-a-file"))


def test_a_copy_minds_no_file_that_goes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site at work removes its own temporary files; a copy that failed for that would never come to its end."""
    build(str(tmp_path / "live"), folder({b"x": file(b"x")}))
    programs = tmp_path / "programs"
    programs.mkdir()
    said = "cp: cannot stat '/srv/cache/1': No such file or directory"
    (programs / "cp").write_text(
        f'#!/bin/sh\n/bin/cp "$@"\necho "{said}" >&2\n[ -z "$(cat {programs}/more)" ] || cat {programs}/more >&2\nexit 1\n'
    )
    (programs / "cp").chmod(0o755)
    (programs / "more").touch()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    tree.clone(str(tmp_path / "live"), str(tmp_path / "copy"))
    assert shape(str(tmp_path / "copy")) == shape(str(tmp_path / "live"))

    (programs / "more").write_text("cp: error writing 'x': No space left on device\n")
    with pytest.raises(tree.command.CommandFailed, match="No space left on device"):
        tree.clone(str(tmp_path / "live"), str(tmp_path / "second"))


def test_looking_at_one_path_sees_what_a_scan_sees(tmp_path: Path) -> None:
    build(str(tmp_path / "t"), folder({b"a": folder({b"\xff": file(b"1"), b"l": link(b"nowhere")})}))
    root = str(tmp_path / "t")
    for path, entry in tree.scan(root).items():
        assert tree.entry(root, path) == entry

    assert tree.entry(root, "b") is None
    assert tree.entry(root, os.fsdecode(b"a/\xff/below")) is None


def test_a_path_that_cannot_be_looked_at_is_an_error_and_not_an_empty_tree(tmp_path: Path) -> None:
    with pytest.raises(OSError) as failure:
        tree.scan(str(tmp_path / "nothing"))
    assert failure.value.errno == errno.ENOENT
