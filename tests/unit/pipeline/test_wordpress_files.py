"""Versions as files and rows state them: a broken site must still be readable, without running WordPress."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import run_state, tree, wordpress
from plugins.module_utils.database import Database
from plugins.module_utils.wordpress import WordPressError

from .sites import RUN, build, file, folder, link, site_at


def header(name: str, version: str) -> bytes:
    """Return the head of a plugin."""
    return f"<?php\n/**\n * Plugin Name: {name}\n * Version:     {version}\n */\n".encode()


SITE = folder(
    {
        b"wp-includes": folder({b"version.php": file(b"<?php\n$wp_version = '6.2.6';\n$wp_db_version = 53496;\n")}),
        b"wp-content": folder(
            {
                b"plugins": folder(
                    {
                        b"good": folder({b"good.php": file(header("Good", "1.2")), b"other.php": file(b"<?php\n")}),
                        b"bundle": folder(
                            {b"addon.php": file(header("Add-on", "0.1")), b"bundle.php": file(header("Bundle", "3.0"))}
                        ),
                        b"hello.php": file(header("Hello", "1.7.2")),
                        b"\xff": folder({b"\xfe.php": file(header("Odd", "1"))}),
                        b"empty": folder(),
                        b"gone": link(b"nowhere"),
                        b"index.php": file(b"<?php // Silence is golden.\n"),
                        b"deep": folder({b"inside": folder({b"deep.php": file(header("Too deep", "1"))})}),
                    }
                ),
                b"themes": folder(
                    {
                        b"leaf": folder({b"style.css": file(b"/*\nTheme Name: Leaf\nVersion: 1.1\n*/")}),
                        b"child": folder(
                            {b"style.css": file(b"/*\nTheme Name: Child\nTemplate: leaf\nVersion: 0.2\n*/")}
                        ),
                        b"no-theme": folder(),
                    }
                ),
            }
        ),
    }
)


def database(folder: Path, **options: str) -> Database:
    """Return a database whose client answers with these options."""
    rows = "".join(f"{name}\t{value}\n" for name, value in options.items())
    (folder / "rows").write_text(rows)
    program = folder / "mariadb"
    program.write_text(
        f'#!/bin/sh\ncase "$(cat)" in *VERSION*) echo 10.11.14-MariaDB ;; *) cat {folder}/rows ;; esac\n'
    )
    program.chmod(0o755)
    return Database("shop", "/x.cnf", str(program), "mariadb-dump")


def test_versions_come_from_files_and_rows(tmp_path: Path) -> None:
    build(str(tmp_path / "htdocs"), SITE)
    active = 'a:2:{i:0;s:13:"good/good.php";i:1;s:17:"bundle/bundle.php";}'
    shop = database(tmp_path, active_plugins=active, db_version="53496", stylesheet="child", template="leaf")
    found = wordpress.versions(str(tmp_path / "htdocs"), shop, "wp_")

    assert found["core"] == "6.2.6"
    assert found["db_version"] == "53496"
    assert found["database"] == "10.11.14-MariaDB"
    assert {file: (one["version"], one["active"]) for file, one in found["plugins"].items()} == {
        "good/good.php": ("1.2", True),
        "bundle/addon.php": ("0.1", False),
        "bundle/bundle.php": ("3.0", True),
        "hello.php": ("1.7.2", False),
        os.fsdecode(b"\xff/\xfe.php"): ("1", False),
    }
    assert found["themes"] == {
        "leaf": {"version": "1.1", "active": True},
        "child": {"version": "0.2", "active": True},
    }
    assert wordpress.wanted_db_version(str(tmp_path / "htdocs")) == "53496"


def test_of_a_folder_with_two_plugins_the_one_that_was_updated_counts(tmp_path: Path) -> None:
    """The version of the first file in the folder made a good release look as if nothing had changed."""
    build(str(tmp_path / "htdocs"), SITE)
    found = wordpress.versions(str(tmp_path / "htdocs"), database(tmp_path), "wp_")

    assert wordpress.installed(found, "plugin", "bundle", "bundle/bundle.php") == "3.0"
    assert wordpress.installed(found, "plugin", "bundle", "bundle/gone.php") == ""
    assert wordpress.installed(found, "plugin", "hello") == "1.7.2"
    assert wordpress.installed(found, "theme", "leaf") == "1.1"
    assert wordpress.installed(found, "theme", "nothing") == ""
    assert wordpress.installed(found, "core", "wordpress") == "6.2.6"


def test_a_site_in_pieces_can_still_be_read(tmp_path: Path) -> None:
    (tmp_path / "htdocs").mkdir()
    found = wordpress.versions(str(tmp_path / "htdocs"), database(tmp_path), "wp_")

    assert (found["core"], found["plugins"], found["themes"], found["db_version"]) == ("", {}, {}, "")
    assert wordpress.wanted_db_version(str(tmp_path / "htdocs")) == ""


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (b"<?php\n/*\nPlugin Name: X\nVersion: 1.2.3\n*/", "1.2.3"),
        (b"<?php\r\n/*\r\n * Plugin Name: X\r\n * Version: 1.2.3\r\n */", "1.2.3"),
        (b"<?php /* Plugin Name: X */ // Version: 9", ""),
        (b"<?php\n# Plugin Name: X\n# Version: 1.2.3 */ more", "1.2.3"),
        (b"<?php\n// plugin name: X\n// VERSION:1.2.3?>", "1.2.3"),
        (b"<?php\n/* Plugin Name: X\n * Requires PHP Version: 7\n * Version: 2 */", "2"),
        (b"<?php\n/* Plugin Name: X\xff\n * Version: 2\xff */", "2\ufffd"),
        (b"x" * 8192 + b"\n/* Plugin Name: X\n Version: 1 */", None),
    ],
)
def test_headers_are_read_as_wordpress_reads_them(tmp_path: Path, text: bytes, version: str | None) -> None:
    build(str(tmp_path / "htdocs"), folder({b"wp-content": folder({b"plugins": folder({b"x.php": file(text)})})}))
    found = wordpress.versions(str(tmp_path / "htdocs"), database(tmp_path), "wp_")["plugins"]

    assert [one["version"] for one in found.values()] == ([] if version is None else [version])


def test_names_that_are_no_text_survive_between_the_steps_of_a_run(tmp_path: Path) -> None:
    site = site_at(tmp_path)
    os.makedirs(site.run_folder(RUN))
    run_state.store(site, RUN, "staged", {"touched": ["wp-content/plugins/\udcff.php", "ü"]})

    assert run_state.load(site, RUN, "staged") == {"touched": ["wp-content/plugins/\udcff.php", "ü"]}
    assert run_state.load(site, RUN, "baseline") == {}
    with pytest.raises(ValueError, match="no such state"):
        run_state.load(site, RUN, "../lease")


@pytest.mark.parametrize(
    ("path", "target", "refused"),
    [
        ("wp-content", "/srv/shared/wp-content", True),
        ("wp-content/plugins", "/srv/shared/plugins", True),
        ("wp-content/plugins/good", "../../../dev/good", True),
        ("wp-content/themes/leaf", "/srv/shop/htdocs/themes/leaf", True),
        ("wp-content/mu-plugins/x.php", "/opt/x.php", True),
        ("wp-config.php", "/etc/wordpress/config.php", True),
        ("wp-content/plugins/good/bin/x", "../lib/x", False),
        ("wp-content/uploads", "/srv/shared/uploads", False),
        ("wp-content/cache", "/var/cache/shop", False),
    ],
)
def test_a_copy_must_not_share_code_with_production(path: str, target: str, refused: bool) -> None:
    """WordPress's updater deletes through links: what it deletes in staging would be production's own files."""
    seen = tree.Entry("link", 0, 0, 0o777, 0, 0, 1, target)
    assert wordpress.code_links({path: seen, "wp-admin/x.php": replace(seen, kind="file", target="")}) == (
        [path] if refused else []
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"fatal": "Uncaught Error in x.php:3", "at": "updating plugin good", "said": ["Unpacking"]},
            "Uncaught Error in x.php:3",
        ),
        (
            {"at": "updating plugin good", "said": ["Unpacking…", "Installing…"]},
            "PHP was ended while updating plugin good, as exit()",
        ),
        ({"at": "", "said": []}, "PHP was ended, as exit()"),
        ({}, "PHP was ended, as exit()"),
    ],
)
def test_php_that_ends_too_early_is_told_apart_from_php_that_dies(
    tmp_path: Path, answer: dict[str, Any], said: str
) -> None:
    with pytest.raises(WordPressError) as failure:
        answered(tmp_path, "\nUPKEEP-ANSWER:" + json.dumps({"ok": False, **answer}))

    assert said in str(failure.value)
    assert len(str(failure.value)) < 500


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "\n",
        "Fatal error: x",
        "UPKEEP-ANSWER:",
        "UPKEEP-ANSWER:{",
        "UPKEEP-ANSWER:[]",
        "UPKEEP-ANSWER:null",
        "said: UPKEEP-ANSWER:{}",
    ],
)
def test_php_without_an_answer_is_an_error_of_wordpress(tmp_path: Path, printed: str) -> None:
    with pytest.raises(WordPressError, match=r"PHP gave no answer to 'migrate' \(exit code 255\): PHP Parse error"):
        answered(tmp_path, printed, code=255)


def test_the_answer_is_found_among_all_that_plugins_print(tmp_path: Path) -> None:
    noise = "<b>Notice</b>\n" * 1000 + 'UPKEEP-ANSWER:{"ok": false}\nno line end'
    assert answered(tmp_path, noise + '\nUPKEEP-ANSWER:{"ok": true, "from": 1}\nbye')["from"] == 1


def test_without_php_the_message_says_so(tmp_path: Path) -> None:
    site = site_at(tmp_path, programs={"php": "/nowhere/php8.9"})
    with pytest.raises(WordPressError, match=r"php8\.9 cannot be started: No such file"):
        wordpress.production(site, str(tmp_path)).php("migrate")


def answered(folder: Path, printed: str, code: int = 0) -> dict[str, Any]:
    """Ask a PHP that prints this, and ends with this code."""
    (folder / "printed").write_text(printed)
    program = folder / "php"
    program.write_text(f"#!/bin/sh\ncat >/dev/null\ncat {folder}/printed\necho 'PHP Parse error: x' >&2\nexit {code}\n")
    program.chmod(0o755)
    return wordpress.production(site_at(folder, programs={"php": str(program)}), str(folder)).php("migrate")
