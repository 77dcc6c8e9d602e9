"""A real SQLite file is dumped, loaded and exchanged: it comes back exactly, or nothing happens to it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.database import DatabaseError
from plugins.module_utils.dump import DumpError
from plugins.module_utils.engine import LoadError
from plugins.module_utils.engine_sqlite import Sqlite, carry
from plugins.module_utils.points import _file_problems

ODD = """
PRAGMA user_version = 7;
CREATE TABLE "odd one/é" (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, b BLOB, r REAL, any, made INT AS (id * 2) STORED,
    shown AS ('#' || id)); -- it's a remark; with a quote
CREATE TABLE words (word TEXT COLLATE NOCASE, lang TEXT, n INT DEFAULT (1 + 1), PRIMARY KEY (lang, word)) WITHOUT ROWID;
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent (id) ON DELETE CASCADE);
CREATE TABLE log (what TEXT);
CREATE INDEX by_word ON words (word, n DESC) WHERE n > 0;
CREATE VIEW seen AS SELECT word, 'a
b;' AS folded FROM words;
CREATE TRIGGER watch AFTER INSERT ON words BEGIN
    INSERT INTO log VALUES ('it''s ' || NEW.word); DELETE FROM log WHERE what = 'none';
END;
"""
ROWS: list[tuple[Any, ...]] = [
    (1, "🍵 tab\t line\n quote' \\ ; \n", b"\x00\xff\n'", 0.1, 1),
    (2, "a\x00b\r\n", b"", 1e-300, "1"),
    (5, "", None, float("inf"), 1.0),
    (7, None, None, -0.0, 2**63 - 1),
    (8, "line;\nINSERT INTO log VALUES ('x');\n", None, 1.7976931348623157e308, b"1"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a database with everything that is easily lost on the way through a text."""
    path = tmp_path / "site" / "database" / ".ht.sqlite"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(ODD)
        connection.executemany('INSERT INTO "odd one/é" (id, t, b, r, any) VALUES (?, ?, ?, ?, ?)', ROWS)
        connection.execute("INSERT INTO \"odd one/é\" (id, t) VALUES (9, CAST(X'ff41' AS TEXT))")
        connection.execute("INSERT INTO words VALUES ('bröd', 'sv', 3), ('tea', 'en', 2)")
        connection.execute("INSERT INTO parent VALUES (1)")
        connection.execute("INSERT INTO child VALUES (1, 1)")
    connection.close()
    return path


@pytest.fixture
def engine(file: Path, tmp_path: Path) -> Sqlite:
    """Return the engine of a run."""
    (tmp_path / "run").mkdir()
    return Sqlite(str(file), str(tmp_path / "run"))


def state(file: Path) -> list[str]:
    """Return all that a file holds, with the type of every value, read without any of our own code."""
    connection = sqlite3.connect(file)
    connection.text_factory = bytes
    found = [repr(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")]
    for table in ("odd one/é", "words", "log", "parent", "child", "sqlite_sequence"):
        columns = [row[1].decode() for row in connection.execute(f'PRAGMA table_xinfo("{table}")')]
        named = ", ".join(f'typeof("{column}"), "{column}"' for column in columns)
        found += [table + repr(row) for row in connection.execute(f'SELECT {named} FROM "{table}" ORDER BY 2')]  # noqa: S608
    found += [str(connection.execute("PRAGMA user_version").fetchone())]
    connection.close()
    return found


def stored(engine: Sqlite, folder: Path) -> dict[str, Any]:
    """Dump into a folder as if restic had brought it there, and return the manifest's word about it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "w").mkdir(parents=True)
    evidence = engine.take(str(folder / "w" / "dump"), timeout=60).evidence()
    wanted: dict[str, Any] = json.loads(json.dumps(evidence))
    wanted["folder"] = "/w/dump"
    assert _file_problems(wanted) == []
    return wanted


def test_all_of_a_file_comes_back_exactly_and_the_way_back_too(engine: Sqlite, file: Path, tmp_path: Path) -> None:
    before = state(file)
    wanted = stored(engine, tmp_path / "restored")
    with sqlite3.connect(file) as connection:
        connection.executescript("DROP TABLE child; DELETE FROM words; INSERT INTO words VALUES ('x', 'y', 1);")
        connection.execute("CREATE TABLE child (other)")
    connection.close()
    changed = state(file)

    rows = engine.load(wanted, str(tmp_path / "restored"), (), timeout=60)
    assert rows == engine.counted() == {"child": 1, "log": 2, "odd one/é": 6, "parent": 1, "words": 2}
    assert state(file) == changed
    planned = json.loads(json.dumps(engine.plan(())))
    engine.switch(planned)
    assert state(file) == before
    engine.switch_back(planned)
    assert state(file) == changed
    engine.switch_back(planned)
    assert state(file) == changed
    assert engine.tidy() == []
    assert sorted(os.listdir(file.parent)) == [".ht.sqlite"]


def test_one_table_comes_back_exactly_and_no_trigger_writes(engine: Sqlite, file: Path, tmp_path: Path) -> None:
    before = state(file)
    wanted = stored(engine, tmp_path / "restored")
    with sqlite3.connect(file) as connection:
        connection.executescript(
            'DELETE FROM words; INSERT INTO parent VALUES (2); DELETE FROM "odd one/é" WHERE id > 2'
        )
    connection.close()

    engine.load(wanted, str(tmp_path / "restored"), ("words", "odd one/é"), timeout=60)
    engine.switch(engine.plan(("words", "odd one/é")))

    after = state(file)
    assert sorted(set(after) ^ set(before)) == [line for line in after if line.startswith("parent") and "2" in line]


def test_a_table_that_is_made_otherwise_now_is_refused(engine: Sqlite, file: Path, tmp_path: Path) -> None:
    wanted = stored(engine, tmp_path / "restored")
    with sqlite3.connect(file) as connection:
        connection.execute("ALTER TABLE words ADD COLUMN more")
    connection.close()
    changed = state(file)

    with pytest.raises(LoadError, match="--only database"):
        engine.load(wanted, str(tmp_path / "restored"), ("words",), timeout=60)
    assert state(file) == changed


@pytest.mark.parametrize("name", ["tables/words.sql", "definitions.sql"])
def test_a_file_that_was_changed_or_cut_is_refused(engine: Sqlite, file: Path, tmp_path: Path, name: str) -> None:
    wanted = stored(engine, tmp_path / "restored")
    path = tmp_path / "restored" / "w" / "dump" / name
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(LoadError, match="is not the one that was stored"):
        engine.load(wanted, str(tmp_path / "restored"), (), timeout=60)


def test_a_site_that_writes_meanwhile_is_seen_and_its_journal_is_not_mixed_up(
    engine: Sqlite, file: Path, tmp_path: Path
) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("INSERT INTO parent VALUES (3)")
    wanted = stored(engine, tmp_path / "restored")
    assert wanted["tables"]["parent"]["rows"] == 2
    connection.execute("BEGIN IMMEDIATE")
    assert engine.other_connections() == 1
    connection.execute("ROLLBACK")
    assert engine.other_connections() == 0
    connection.execute("INSERT INTO parent VALUES (4)")
    connection.close()

    engine.load(wanted, str(tmp_path / "restored"), (), timeout=60)
    engine.switch(engine.plan(()))
    assert engine.query("SELECT id FROM parent") == [["1"], ["3"]]
    assert engine.query("PRAGMA journal_mode") == [["wal"]]


def test_a_damaged_file_makes_no_dump(engine: Sqlite, file: Path, tmp_path: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.executemany("INSERT INTO log VALUES (?)", [("x" * 900,)] * 500)
    connection.close()
    content = bytearray(file.read_bytes())
    content[12288:12388] = b"\x55" * 100
    file.write_bytes(content)

    with pytest.raises(DumpError, match=r"damaged|malformed"):
        engine.take(str(tmp_path / "dump"), timeout=60)


def test_no_file_is_an_error_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="unable to open"):
        Sqlite(str(tmp_path / "none"), str(tmp_path)).tables()
    assert not (tmp_path / "none").exists()


def test_the_live_file_goes_over_into_a_tree_that_waits(file: Path, tmp_path: Path) -> None:
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    carry(str(file), str(tmp_path / "site"), str(waiting))
    assert (waiting / "database" / ".ht.sqlite").samefile(file)


def test_the_files_load_with_sqlite_alone(engine: Sqlite, file: Path, tmp_path: Path) -> None:
    stored(engine, tmp_path / "restored")
    script = "cat tables/*.sql sequences.sql definitions.sql | sqlite3 ../new.sqlite"
    subprocess.run(["sh", "-c", script], cwd=tmp_path / "restored" / "w" / "dump", check=True)
    assert state(tmp_path / "restored" / "w" / "new.sqlite") == state(file)
