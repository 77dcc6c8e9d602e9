"""What is read of a package that somebody hands in, and which archives no site could be given."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from orchestrator.errors import Refused, Usage
from orchestrator.run.archive import read_archive

PLUGIN = b"<?php\n/*\n * Plugin Name: Premium Forms\n * Version: 2.1\n * Author: Forms Ltd\n */\n"
THEME = b"/*\nTheme Name: Leaf\nVersion: 1.4\nAuthor: Tree Ltd\n*/\n"
FORMS = {
    "forms/forms.php": PLUGIN,
    "forms/inc/a.php": b"<?php\n/* Plugin Name: no main file */\n",
    "forms/readme.txt": b"x",
}
LEAF = {"leaf/style.css": THEME, "leaf/index.php": b"<?php\n"}


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    """Write an archive of these files."""
    path = folder / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_plugin_says_what_it_is(tmp_path: Path) -> None:
    path = packed(tmp_path, FORMS)

    found = read_archive(path)

    assert found.release == ("plugin", "forms", "2.1")
    assert (found.file, found.name, found.author) == ("forms/forms.php", "Premium Forms", "Forms Ltd")
    assert (found.sha256, found.bytes) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


def test_a_theme_says_what_it_is(tmp_path: Path) -> None:
    found = read_archive(packed(tmp_path, LEAF))

    assert (found.release, found.file, found.author) == (("theme", "leaf", "1.4"), "", "Tree Ltd")


def test_what_a_mac_adds_is_left_out(tmp_path: Path) -> None:
    assert read_archive(packed(tmp_path, {**LEAF, "__MACOSX/leaf/._style.css": b"x"})).slug == "leaf"


def test_of_several_plugins_in_a_folder_the_one_that_is_named_like_it_counts(tmp_path: Path) -> None:
    assert read_archive(packed(tmp_path, {"forms/a.php": PLUGIN, **FORMS})).file == "forms/forms.php"
    with pytest.raises(Refused, match=r"several plugins in one folder \(forms/a.php, forms/b.php\)"):
        read_archive(packed(tmp_path, {"forms/a.php": PLUGIN, "forms/b.php": PLUGIN}))


def test_what_could_be_both_has_to_be_named(tmp_path: Path) -> None:
    path = packed(tmp_path, {"leaf/leaf.php": PLUGIN, **LEAF})

    with pytest.raises(Refused, match="is a plugin and a theme at once") as refused:
        read_archive(path)
    assert refused.value.next_step.endswith("--kind plugin")
    assert read_archive(path, "plugin").file == "leaf/leaf.php"
    assert read_archive(path, "theme").version == "1.4"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "must hold one folder.*it holds nothing"),
        ({"forms.php": PLUGIN}, "no header"),
        ({**FORMS, "other/x.php": b""}, "must hold one folder.*'forms', 'other'"),
        ({**FORMS, "../up.php": b""}, r"must hold one folder.*'\.\.'"),
        ({**FORMS, "/etc/x": b""}, "must hold one folder"),
        ({**FORMS, "forms/../../up.php": b""}, r"outside of its folder forms: 'forms/\.\./\.\./up.php'"),
        ({"for ms/forms.php": PLUGIN}, "must hold one folder"),
        ({"forms/forms.php": b"<?php\n"}, "no header of a plugin or a theme in forms/"),
        ({"forms/sub/forms.php": PLUGIN}, "no header"),
        ({"forms/forms.php": b"<?php\n/* Plugin Name: X */"}, r"says no version that could be compared \(''\)"),
        ({"forms/forms.php": PLUGIN.replace(b"2.1", b"2.1 {{ x }}")}, "says no version that could be compared"),
    ],
)
def test_an_archive_that_no_site_could_be_given_is_refused(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        read_archive(packed(tmp_path, files))
    assert "nothing was stored" in refused.value.message


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, FORMS)
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo("forms/uploads")
        member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc")

    with pytest.raises(Refused, match="a symbolic link: 'forms/uploads'"):
        read_archive(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with pytest.raises(Usage, match="cannot be read: No such file"):
        read_archive(path)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(Refused, match="not a sound archive"):
        read_archive(path)
    data = packed(tmp_path, {**FORMS, "forms/long.txt": b"words\n" * 500}).read_bytes()
    path.write_bytes(data.replace(b"words\nwords\n", b"w0rds\nwords\n", 1))
    with pytest.raises(Refused, match=r"damaged at 'forms/long\.txt'"):
        read_archive(path)
