"""What a staging host tells production's host: it is believed in names and SHA-256, and brings not one byte of code."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import handed_over, tree
from plugins.module_utils.handed_over import HandedError
from plugins.module_utils.packages import Change, PackageError
from plugins.module_utils.promotion import Promotion
from tests.unit.pipeline.sites import RUN, site_at

OLD = {"good/good.php": b"<?php // 1.0\n", "good/old.php": b"<?php\n"}
NEW = {"good/good.php": b"<?php\n/*\n * Version: 2.0\n */\n", "good/inc/a.php": b"<?php\n"}
PLUGINS = "wp-content/plugins"


@pytest.fixture
def change(tmp_path: Path) -> Change:
    """Return a release whose package is here."""
    package = tmp_path / "good.zip"
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in NEW.items():
            archive.writestr(name, content)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    return Change("plugin", "good", "good/good.php", "1.0", "2.0", "http://x.test/good.zip", str(package), digest, 10)


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / PLUGINS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "wp-config.php").write_text("<?php // secret")
    return root


@pytest.fixture
def handed(tmp_path: Path, change: Change) -> str:
    """Return what a staging host tells of that release."""
    base, root = put(tmp_path / "base", OLD), put(tmp_path / "root", NEW)
    os.utime(root / PLUGINS / "good" / "good.php", ns=(7, 1_700_000_000_000_000_001))
    (root / PLUGINS / "good" / "good.php").chmod(0o4750)
    staged = {
        "delivered": [change.stored()],
        "touched": [f"{PLUGINS}/good/{name}" for name in ("good.php", "inc", "inc/a.php", "old.php")],
        "tables": ["wp_options"],
        "new_tables": ["wp_good"],
        "sums": {"wp_posts": "1:d"},
        "pace": {"migrate_seconds": 1.5},
        "held": [{"kind": "plugin", "slug": "bad", "version": "3.0", "reason": "x", "more": "y"}],
    }
    return handed_over.told(staged, {"point": "p"}, str(root), str(base))


def changed(handed: str, change: Callable[[Any], object]) -> str:
    """Return the same with something put in by a staging host that lies."""
    value = json.loads(zlib.decompress(base64.b64decode(handed)))
    change(value)
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()


def test_what_was_tested_is_laid_out_of_the_packages_as_it_was(tmp_path: Path, handed: str, change: Change) -> None:
    said = handed_over.read(handed)
    root = tmp_path / "there"

    handed_over.lay_out(said, [change], str(root))

    good = root / PLUGINS / "good" / "good.php"
    assert good.read_bytes() == NEW["good/good.php"]
    # As in the copy, but without the right to run as its owner.
    assert (good.stat().st_mtime_ns, good.stat().st_mode & 0o7777) == (1_700_000_000_000_000_001, 0o750)
    assert (root / PLUGINS / "good" / "inc" / "a.php").read_bytes() == b"<?php\n"
    assert said.touched[f"{PLUGINS}/good/old.php"] is None
    assert sorted(tree.scan(str(root))) == [
        "wp-content", PLUGINS, f"{PLUGINS}/good", f"{PLUGINS}/good/good.php", f"{PLUGINS}/good/inc",
        f"{PLUGINS}/good/inc/a.php",
    ]  # fmt: skip
    # The package's place on the staging host is nobody's business here.
    assert said.delivered == [replace(change, zip="")]
    assert said.held == [{"kind": "plugin", "slug": "bad", "version": "3.0", "reason": "x"}]
    assert (said.tables, said.new_tables, said.sums) == (["wp_options"], ["wp_good"], {"wp_posts": "1:d"})
    assert said.migrate_seconds == 1.5


def test_of_the_core_comes_whatever_the_copy_got_of_its_package(tmp_path: Path) -> None:
    # An update may bring it or leave it out.
    sample, package = b"<?php // a sample", tmp_path / "core.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("wordpress/wp-config-sample.php", sample)
    core = Change("core", "wordpress", "", "6.2.6", "6.5.5", "", str(package), "a" * 64)
    got = handed_over.Got("file", len(sample), 1, 0o644, hashlib.sha256(sample).hexdigest())

    handed_over.lay_out(
        handed_over.Handed("p", [], [core], {"wp-config-sample.php": got}), [core], str(tmp_path / "there")
    )

    assert (tmp_path / "there" / "wp-config-sample.php").read_bytes() == sample


def test_what_the_copy_began_with_is_compared_as_a_tree_is(tmp_path: Path, handed: str) -> None:
    then = handed_over.entries(handed_over.read(handed).base)
    now = tree.scan(str(tmp_path / "base"))
    # The units of the releases, and not one path more.
    assert sorted(then) == [f"{PLUGINS}/good", f"{PLUGINS}/good/good.php", f"{PLUGINS}/good/old.php"]
    assert all(seen.same_content(now[path]) for path, seen in then.items())
    (tmp_path / "base" / PLUGINS / "good" / "old.php").write_bytes(b"<?php // by hand")
    path = f"{PLUGINS}/good/old.php"
    assert not then[path].same_content(tree.scan(str(tmp_path / "base"))[path])


def test_drift_is_seen_against_what_the_restore_point_had(tmp_path: Path, handed: str, change: Change) -> None:
    said = handed_over.read(handed)
    there = site_at(tmp_path)
    for path in (tmp_path / "base").rglob("*.php"):
        to = Path(there.root) / path.relative_to(tmp_path / "base")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to)
    promotion = Promotion(
        there, RUN, "wp_", None, [], {}, [change], sorted(said.touched), None,  # type: ignore[arg-type]
        begun_with=handed_over.entries(said.base),
    )  # fmt: skip
    assert promotion.drift() == promotion.late_drift(tree.scan(there.root)) == []

    by_hand = Path(there.root) / PLUGINS / "good" / "by-hand.php"
    by_hand.write_text("<?php")
    (by_hand.parent / "good.php").write_text("<?php // by hand")

    assert promotion.drift() == [f"{PLUGINS}/good/by-hand.php", f"{PLUGINS}/good/good.php"]
    assert promotion.late_drift(tree.scan(there.root)) == [f"{PLUGINS}/good/good.php"]
    # What is not replaced was tested with the rest.
    promotion.touched = []
    assert promotion.late_drift(tree.scan(there.root)) == [f"{PLUGINS}/good/good.php"]


def test_nothing_to_deliver_is_told_with_what_is_held() -> None:
    packed = handed_over.told({"delivered": [], "held": []}, {"point": "p"}, "/nowhere", "/nowhere")
    assert handed_over.read(packed) == handed_over.Handed("p", [])


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "wp-content/plugins/good/../../../x.php",
        "wp-content/plugins/other/x.php",
        "wp-content/plugins/good/./x.php",
        "wp-content/plugins/good//x.php",
        "wp-content/plugins/good/a\0.php",
        "wp-config.php",
        "../x.php",
        "",
    ],
)
@pytest.mark.parametrize("where", ["touched", "base"])
def test_a_path_outside_of_the_releases_is_refused(handed: str, path: str, where: str) -> None:
    seen = None if where == "touched" else ["file", 1, 1, ""]
    with pytest.raises(HandedError, match="lies outside of what its releases may change"):
        handed_over.read(changed(handed, lambda value: value[where].update({path: seen})))


@pytest.mark.parametrize("path", ["wp-config.php", "shop.php", ".htaccess", "wp-content/uploads"])
def test_a_release_of_wordpress_removes_nothing_of_the_sites_own(handed: str, path: str) -> None:
    core = {"kind": "core", "slug": "wordpress", "file": "", "version": "6.2.6", "to": "6.5.5"}

    def lie(value: Any) -> None:
        value["delivered"] = [{**value["delivered"][0], **core}]
        value["base"], value["touched"] = {}, {path: None}

    with pytest.raises(HandedError, match="lies outside of what its releases may change"):
        handed_over.read(changed(handed, lie))


@pytest.mark.parametrize(
    "lie",
    [
        lambda value: value["delivered"][0].update(slug="../good"),
        lambda value: value["delivered"][0].update(file="../../good.php"),
        lambda value: value["delivered"][0].update(sha256="no"),
        lambda value: value["delivered"][0].update(kind="mu-plugin"),
        lambda value: value["delivered"][0].pop("package"),
        lambda value: value["held"][0].update(slug="a b"),
        lambda value: value["tables"].append("upkeep_aside_0"),
        lambda value: value["tables"].append("a`b"),
        lambda value: value.update(schema=2),
        lambda value: value.update(touched=[1]),
        lambda value: value["touched"].update({f"{PLUGINS}/good/x.php": ["file", 1, 1, 420, "x"]}),
        lambda value: value["base"].update({f"{PLUGINS}/good/x.php": ["file", "x", 1, ""]}),
    ],
)
def test_what_no_rehearsal_leaves_is_refused(handed: str, lie: Callable[[Any], object]) -> None:
    with pytest.raises(HandedError):
        handed_over.read(changed(handed, lie))


@pytest.mark.parametrize("text", ["", "%", "AAAA", base64.b64encode(zlib.compress(b"[]")).decode()])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(HandedError):
        handed_over.read(text)


def test_what_unpacks_to_more_than_any_site_has_is_refused(monkeypatch: pytest.MonkeyPatch, handed: str) -> None:
    monkeypatch.setattr(handed_over, "LARGEST", 100)
    with pytest.raises(HandedError, match="told too much"):
        handed_over.read(handed)


@pytest.mark.parametrize(
    ("path", "seen", "words"),
    [
        ("good.php", ["file", 3, 1, 420, "a" * 64], "is not what its package brought"),
        ("made.php", ["file", 3, 1, 420, "a" * 64], "no package brought it"),
        ("link", ["link", 3, 1, 511, ""], "no package brought it"),
    ],
)
def test_what_no_package_brought_does_not_come(
    tmp_path: Path, handed: str, change: Change, path: str, seen: list[Any], words: str
) -> None:
    lied = changed(handed, lambda value: value["touched"].update({f"{PLUGINS}/good/{path}": seen}))
    with pytest.raises(PackageError, match=words):
        handed_over.lay_out(handed_over.read(lied), [change], str(tmp_path / "there"))
