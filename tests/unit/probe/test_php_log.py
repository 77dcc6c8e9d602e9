"""What is read out of a PHP error log, and that nothing more than needed leaves it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.module_utils import php_log

UNCAUGHT = """\
[22-Nov-2026 02:00:01 UTC] PHP Fatal error:  Uncaught Error: Call to undefined function shop() in /srv/a/p.php:12
Stack trace:
#0 /srv/a/b.php(3): login('admin', 'hunter2')
#1 {main}
  thrown in /srv/a/p.php on line 12
"""
SHOWN = "PHP Fatal error: Uncaught Error: Call to undefined function shop() in /srv/a/p.php:12"

LINES = {
    "uncaught": (UNCAUGHT, [SHOWN], 0),
    "memory": (
        "[22-Nov-2026 02:00:01 UTC] PHP Fatal error:  Allowed memory size of 1 bytes exhausted in /a.php on line 1\n",
        ["PHP Fatal error: Allowed memory size of 1 bytes exhausted in /a.php on line 1"],
        0,
    ),
    "parse-error": (
        'PHP Parse error:  syntax error, unexpected token "}" in /a.php on line 3\n',
        ['PHP Parse error: syntax error, unexpected token "}" in /a.php on line 3'],
        0,
    ),
    "recoverable": (
        "PHP Recoverable fatal error:  Object of class X could not be converted in /a.php on line 3\n",
        ["PHP Recoverable fatal error: Object of class X could not be converted in /a.php on line 3"],
        0,
    ),
    "in-one-line-of-nginx": (
        'sent in stderr: "PHP message: PHP Fatal error:  Uncaught Exception: no in /a:1 Stack trace: #0 x(hunter2)"\n',
        ["PHP Fatal error: Uncaught Exception: no in /a:1"],
        0,
    ),
    "written-by-a-plugin": (
        "[22-Nov-2026 02:00:01 UTC] Uncaught Shop\\Broken\\PaymentException: no #0 /b.php(1): x('hunter2')\n",
        ["Uncaught Shop\\Broken\\PaymentException: no"],
        0,
    ),
    "warnings": (
        (
            "PHP Warning:  Undefined variable $a in /a.php on line 3\n"
            "PHP Notice:  only a notice in /a.php on line 3\n"
            "PHP Deprecated:  old in /a.php on line 3\n"
            "WordPress database error Table 'shop.wp_x' doesn't exist for query SELECT 1\n"
        ),
        [],
        2,
    ),
    "nothing-of-php": ("NOTICE: fpm is running, pid 1\n[22-Nov-2026] a fatal thing happened on the way\n", [], 0),
    "not-utf-8": (b"PHP Fatal error:  caf\xe9 in /a.php:1\n", ["PHP Fatal error: caf\ufffd in /a.php:1"], 0),
}


@pytest.mark.parametrize(("text", "samples", "warnings"), LINES.values(), ids=LINES.keys())
def test_each_kind_of_line(tmp_path: Path, text: str | bytes, samples: list[str], warnings: int) -> None:
    log = tmp_path / "php.log"
    log.write_text("PHP Fatal error:  of yesterday in /old.php on line 1\n")
    since = php_log.position(str(log))
    with log.open("ab") as more:
        more.write(text if isinstance(text, bytes) else text.encode())
    found = php_log.growth(str(log), since)
    assert [fatal.sample for fatal in found.fatals] == samples
    assert (found.warnings, found.note) == (warnings, "")
    assert "hunter2" not in repr(found)


def test_a_sample_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    since = php_log.position(str(log))
    log.write_text(f"PHP Fatal error:  {'x' * 1000}\n")
    assert len(php_log.growth(str(log), since).fatals[0].sample) == 200


def test_the_same_fault_at_another_time_line_and_copy_has_one_key(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    since = php_log.position(str(log))
    moved = (
        UNCAUGHT.replace("02:00:01", "09:30:59").replace("p.php:12", "p.php:977").replace("/srv/a/", "/srv/staging/x/")
    )
    log.write_text(UNCAUGHT + moved + UNCAUGHT.replace("shop()", "cart()"))
    found = php_log.growth(str(log), since)
    assert [fatal.count for fatal in found.fatals] == [2, 1]
    assert found.fatals[0].sample == SHOWN


def test_a_log_that_did_not_grow_says_nothing(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    log.write_text(UNCAUGHT)
    assert php_log.growth(str(log), php_log.position(str(log))) == php_log.Growth()


def test_a_log_that_php_makes_only_now_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    since = php_log.position(str(log))
    assert since == {"inode": 0, "size": 0}
    assert php_log.growth(str(log), since) == php_log.Growth()
    log.write_text(UNCAUGHT)
    assert len(php_log.growth(str(log), since).fatals) == 1


def test_a_rotation_hides_nothing(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    log.write_text("PHP Fatal error:  of yesterday in /old.php on line 1\n")
    since = php_log.position(str(log))
    with log.open("a") as more:
        more.write(UNCAUGHT)
    log.rename(tmp_path / "php.log.1")
    assert [fatal.sample for fatal in php_log.growth(str(log), since).fatals] == [SHOWN]
    log.write_text(UNCAUGHT.replace("shop()", "cart()"))
    found = php_log.growth(str(log), since)
    assert [fatal.count for fatal in found.fatals] == [1, 1]
    assert found.note == ""


def test_a_rotation_that_threw_the_old_log_away_is_noted(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    log.write_text("old\n")
    since = {**php_log.position(str(log)), "inode": 1}
    log.write_text(UNCAUGHT)
    found = php_log.growth(str(log), since)
    assert len(found.fatals) == 1
    assert "replaced" in found.note


def test_a_shortened_log_is_read_from_its_start_and_noted(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    log.write_text("x" * 10_000)
    since = php_log.position(str(log))
    log.write_text(UNCAUGHT)
    found = php_log.growth(str(log), since)
    assert len(found.fatals) == 1
    assert "shortened" in found.note


def test_a_log_that_floods_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(php_log, "MAX_GROWTH", 1000)
    log = tmp_path / "php.log"
    since = php_log.position(str(log))
    log.write_text(UNCAUGHT * 1000)
    found = php_log.growth(str(log), since)
    assert found.fatals[0].count >= 3
    assert found.size == 1000
    assert "more than 1000 bytes" in found.note


@pytest.mark.parametrize("path", ["", "no/such/folder/php.log", "."])
def test_what_is_no_log_is_not_readable(path: str) -> None:
    since = php_log.position(path)
    assert since["size"] == -1
    assert php_log.growth(path, since).note == php_log.NOT_READABLE


def test_a_log_of_somebody_else_is_not_readable(tmp_path: Path) -> None:
    log = tmp_path / "php.log"
    log.write_text(UNCAUGHT)
    log.chmod(0)
    ordinary = os.geteuid() != 0
    try:
        if not ordinary:
            os.seteuid(65534)
        since = php_log.position(str(log))
        assert php_log.growth(str(log), since).note == php_log.NOT_READABLE
        assert php_log.growth(str(log), {"inode": 1, "size": 0}).note == php_log.NOT_READABLE
    finally:
        if not ordinary:
            os.seteuid(0)
