"""What reading a dump shows, and when it may not stand for the database."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils import dump
from plugins.module_utils.database import Database
from plugins.module_utils.dump import DumpError, Proof, unproven

# As mariadb-dump 10.11 writes it: one row to a line, line ends in values escaped.
MARIADB = rb"""/*M!999999\- enable the sandbox mode */
-- MariaDB dump 10.19
DROP TABLE IF EXISTS `wp_posts`;
CREATE TABLE `wp_posts` (
  `id` int(11) NOT NULL COMMENT 'CREATE TABLE `fake` (',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;
LOCK TABLES `wp_posts` WRITE;
/*!40000 ALTER TABLE `wp_posts` DISABLE KEYS */;
INSERT INTO `wp_posts` VALUES
(1,'a\n(1,2),\nCREATE TABLE `x` ('),
(2,'b'),
(3,NULL);
INSERT INTO `wp_posts` VALUES
(4,'c');
/*!40000 ALTER TABLE `wp_posts` ENABLE KEYS */;
UNLOCK TABLES;
DELIMITER ;;
/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON wp_posts FOR EACH ROW BEGIN
(1);
INSERT INTO `log` VALUES
(1);
END */;;
CREATE TABLE `we``ird` (
  `id` int(11)
);
UNLOCK TABLES;
-- Dump completed
"""
MYSQL = b"""
CREATE TABLE `wp_posts` (
  `id` int
);
INSERT INTO `wp_posts` VALUES (1,'a'),(2,'b');
UNLOCK TABLES;
-- Dump completed on 2026-11-22  2:00:00
"""


def proof(**changes: object) -> Proof:
    """Return the proof of a whole dump of two tables."""
    values: dict[str, object] = {
        "bytes": 900,
        "sha256": "b" * 64,
        "end_marker": True,
        "tables": ["wp_options", "wp_posts"],
        "rows": {"wp_options": 120, "wp_posts": 1000},
    }
    return Proof(**{**values, **changes})  # type: ignore[arg-type]


def read(tmp_path: Path, content: bytes) -> Proof:
    """Read a dump with this content."""
    path = tmp_path / "shop.sql"
    path.write_bytes(content)
    return dump.read(str(path))


def test_tables_and_rows_are_found_and_values_are_not_taken_for_them(tmp_path: Path) -> None:
    found = read(tmp_path, MARIADB)

    assert found.tables == ["we`ird", "wp_posts"]
    assert found.rows == {"wp_posts": 4, "we`ird": 0}
    assert found.end_marker
    assert found.bytes == len(MARIADB)
    assert found.sha256 == hashlib.sha256(MARIADB).hexdigest()


def test_a_dump_with_many_rows_to_a_line_tells_no_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, MYSQL)

    assert found.tables == ["wp_posts"]
    assert found.rows == {}
    assert found.end_marker


@pytest.mark.parametrize("content", [MARIADB[:-17], MARIADB[:200], b"", MARIADB + b"mysqldump: Error 2013\n"])
def test_a_dump_without_its_last_line_is_not_whole(tmp_path: Path, content: bytes) -> None:
    assert not read(tmp_path, content).end_marker


@given(st.lists(st.integers(0, len(MARIADB)), max_size=30))
def test_it_does_not_matter_where_the_blocks_end(cuts: list[int]) -> None:
    reader = dump._Reader()
    edges = [0, *sorted(cuts), len(MARIADB)]
    for start, end in pairwise(edges):
        reader.feed(MARIADB[start:end])

    assert reader.finish()
    assert sorted(reader.tables) == ["we`ird", "wp_posts"]
    assert reader.rows == {"wp_posts": 4, "we`ird": 0}


@pytest.mark.parametrize(
    ("found", "counted", "said"),
    [
        (proof(), {"wp_options": 120, "wp_posts": 1000}, ""),
        (proof(), {"wp_options": 121, "wp_posts": 1100}, ""),
        (proof(rows={}), {"wp_options": 120, "wp_posts": 5000}, ""),
        (proof(bytes=0), {"wp_options": 120}, "it is empty"),
        (proof(end_marker=False), {"wp_options": 120}, "last line"),
        (proof(tables=["wp_posts"]), {"wp_options": 120, "wp_posts": 1000}, "1 of 2 tables are missing, such as wp_options"),
        (proof(rows={"wp_options": 0, "wp_posts": 0}), {"wp_options": 120, "wp_posts": 1000}, "wp_options has 120 rows and the dump 0"),
        (proof(rows={"wp_options": 120, "wp_posts": 400}), {"wp_options": 120, "wp_posts": 1000}, "wp_posts has 1000 rows and the dump 400"),
    ],
)  # fmt: skip
def test_a_dump_that_lacks_something_says_what(found: Proof, counted: dict[str, int], said: str) -> None:
    assert said in "; ".join(unproven(found, counted))
    assert bool(said) == bool(unproven(found, counted))


def database(folder: Path, dumping: str) -> Database:
    """Return a database of one table with two rows, spoken for by two fake programs."""
    client, program = folder / "mariadb", folder / "mariadb-dump"
    client.write_text(
        "#!/bin/sh\n"
        "case $(cat) in\n"
        "*COUNT*wp_posts*) printf 'wp_posts\\t2\\n' ;;\n"
        "*COUNT*information_schema*) echo 0 ;;\n"
        "*TABLE_NAME*) echo wp_posts ;;\n"
        "esac\n"
    )
    program.write_text("#!/bin/sh\n" + dumping)
    for path in (client, program):
        path.chmod(0o755)
    return Database("shop", str(folder / "options"), str(client), str(program))


WHOLE = r"""printf '%s\n' '' 'CREATE TABLE `wp_posts` (' ');' 'INSERT INTO `wp_posts` VALUES' '(1),' '(2);' '-- Dump completed'
"""


def test_a_dump_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    taken = dump.take(database(tmp_path, WHOLE), str(tmp_path / "dump"))

    assert taken.tables == {"wp_posts": {"rows": 2}}
    assert taken.exit_codes == {"mariadb-dump": 0}
    assert os.stat(taken.path).st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "dump").st_mode & 0o777 == 0o700
    assert taken.evidence()["end_marker"] is True


@pytest.mark.parametrize(
    ("dumping", "said"),
    [
        ("exit 0\n", "it is empty"),
        ("echo 'Got error: 2013' >&2; exit 3\n", "exit code 3: Got error: 2013"),
        (WHOLE + "exit 2\n", "exit code 2"),
        (WHOLE.replace("-- Dump completed", ""), "last line"),
        ("kill -9 $$\n", "exit code -9"),
    ],
)
def test_a_dump_program_that_fails_in_any_way_leaves_no_dump_to_lean_on(
    tmp_path: Path, dumping: str, said: str
) -> None:
    with pytest.raises(DumpError, match=said):
        dump.take(database(tmp_path, dumping), str(tmp_path / "dump"))


def test_a_dump_program_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match=r"did not end within 0\.5 s"):
        dump.take(database(tmp_path, "exec sleep 60\n"), str(tmp_path / "dump"), timeout=0.5)
