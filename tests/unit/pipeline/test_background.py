"""What an update leaves to be done later is read out of tables, whatever plugins have put there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import background
from plugins.module_utils.database import DatabaseError

NOW = 1_700_000_000.0
WRITE = """
$event = fn($schedule) => ['schedule' => $schedule, 'args' => [1.5, null, true, 'ü;}"', (object) ['a' => [1]]]];
echo serialize([
    1699999000 => ['migrate' => ['0123456789abcdef' => $event(false)], 'daily' => ['fe' => $event('daily')]],
    1700009000 => ['tomorrow' => ['ab' => $event(false)]],
    'version' => 2,
]);
"""


class Tables:
    """A database with these options."""

    def __init__(self, **options: bytes) -> None:
        self.options = options

    def tables(self) -> list[str]:
        return ["wp_options"]

    def query(self, statement: str) -> list[list[str]]:
        name = statement.rpartition(" = ")[2].strip("'")
        return [[self.options[name].hex()]] if name in self.options else []


def pending(database: Any) -> set[str]:
    return background.pending("/nowhere", database, "wp_", NOW)


@pytest.mark.skipif(shutil.which("php") is None, reason="php is not installed")
def test_due_single_events_count_and_those_that_come_again_or_later_do_not() -> None:
    cron = subprocess.run(["php", "-r", WRITE], capture_output=True, check=True).stdout
    assert pending(Tables(cron=cron)) == {"event of WordPress's cron: migrate (01234567)"}


def test_a_site_without_events_has_nothing_pending() -> None:
    assert pending(Tables()) == set()
    assert pending(Tables(cron=b"a:0:{}")) == set()
    assert pending(Tables(cron=b"b:0;")) == set()


@pytest.mark.parametrize("cron", [b"x", b"a:1:{i:1;", b"a:9:{}", b'C:1:"A":0:{}', b"a:1:{a:0:{}N;}"])
def test_a_list_that_cannot_be_read_is_not_taken_for_an_empty_one(cron: bytes) -> None:
    with pytest.raises(DatabaseError, match="cannot be read"):
        pending(Tables(cron=cron))


def test_tables_that_are_older_than_their_plugin_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    versions = {"plugins": {"woocommerce/woocommerce.php": {"slug": "woocommerce", "version": "9.1.0"}}}
    monkeypatch.setattr(background.wordpress, "versions", lambda *_: versions)
    assert pending(Tables(woocommerce_db_version=b"9.1.0")) == set()
    assert pending(Tables(woocommerce_db_version=b"8.0.0")) == {
        "the tables of woocommerce have version 8.0.0, its files 9.1.0"
    }
