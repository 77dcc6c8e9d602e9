"""What reading a dump shows, and when it may not stand for the database."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils import dump
from plugins.module_utils.database import Database
from plugins.module_utils.dump import DumpError, Proof, unproven
from plugins.module_utils.dump_files import file_name
from plugins.module_utils.dump_stream import Reader, Writer
from plugins.module_utils.points import dump_files

# As mariadb-dump 10.11 writes it: one row to a line, line ends in values escaped.
HEAD = rb"""/*M!999999\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version	10.11.14-MariaDB-0+deb12u2

/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;

"""
SEQUENCES = rb"""--
-- Sequence structure for `numbers`
--

DROP SEQUENCE IF EXISTS `numbers`;
CREATE SEQUENCE `numbers` start with 1 minvalue 1;
DO SETVAL(`numbers`, 7, 0);

"""
POSTS = rb"""--
-- Table structure for table `wp_posts`
--

DROP TABLE IF EXISTS `wp_posts`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `wp_posts` (
  `id` int(11) NOT NULL COMMENT 'CREATE TABLE `fake` (',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;

--
-- Dumping data for table `wp_posts`
--

LOCK TABLES `wp_posts` WRITE;
/*!40000 ALTER TABLE `wp_posts` DISABLE KEYS */;
INSERT INTO `wp_posts` VALUES
(1,'a\n(1,2),\n--\n-- Table structure for table `x`\n--\nCREATE TABLE `x` ('),
(2,'b'),
(3,NULL);
INSERT INTO `wp_posts` VALUES
(4,'c');
/*!40000 ALTER TABLE `wp_posts` ENABLE KEYS */;
UNLOCK TABLES;
"""
TRIGGER = rb"""/*!50003 SET @saved_cs_client      = @@character_set_client */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON wp_posts FOR EACH ROW BEGIN
(1);
INSERT INTO `log` VALUES
(1);

--
-- Table structure for table `in_a_comment`
--

CREATE TABLE `in_a_comment` (
UNLOCK TABLES;
END */;;
DELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;

"""
WEIRD = rb"""--
-- Table structure for table `we``ird/../t`
--

DROP TABLE IF EXISTS `we``ird/../t`;
CREATE TABLE `we``ird/../t` (
  `id` int(11),
  `twice` int(11) GENERATED ALWAYS AS (`id` * 2) STORED
);

--
-- Dumping data for table `we``ird/../t`
--

INSERT INTO `we``ird/../t` (`id`) VALUES
(1),
(1);
UNLOCK TABLES;

"""
VIEW = rb"""--
-- Final view structure for view `v`
--

/*!50001 DROP VIEW IF EXISTS `v`*/;
/*!50001 VIEW `v` AS select 1 AS `1` */;

"""
TAIL = rb"""/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;

/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
-- Dump completed
"""
MARIADB = HEAD + SEQUENCES + POSTS + TRIGGER + WEIRD + VIEW + TAIL
ROWS = {"wp_posts": 4, "we`ird/../t": 2}
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

    assert found.tables == ["we`ird/../t", "wp_posts"]
    assert found.rows == ROWS
    assert found.triggers == ["wp_posts"]
    assert found.end_marker
    assert found.bytes == len(MARIADB)
    assert found.sha256 == hashlib.sha256(MARIADB).hexdigest()


def test_a_table_with_its_history_tells_no_number() -> None:
    reader = Reader()
    reader.feed(
        b"--\n-- Table structure for table `wp_prices`\n--\n\nCREATE TABLE `wp_prices` (\n) WITH SYSTEM VERSIONING;\n"
        b"--\n-- Dumping data for table `wp_prices`\n--\n\n"
        b"/*M!101100 SET @old_system_versioning_insert_history=@@session.system_versioning_insert_history */;\n"
        b"INSERT INTO `wp_prices` (`id`, row_start, row_end) VALUES (1,'a','b'),\n(1,'b','c');\n"
        b"--\n-- Table structure for table `wp_posts`\n--\n\nCREATE TABLE `wp_posts` (\n);\n"
        b"INSERT INTO `wp_posts` VALUES\n(1),\n(2);\n-- Dump completed\n"
    )
    assert reader.finish()
    assert (reader.tables, reader.rows) == ({"wp_prices", "wp_posts"}, {"wp_posts": 2})


def test_a_dump_with_many_rows_to_a_line_tells_no_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, MYSQL)

    assert found.tables == ["wp_posts"]
    assert found.rows == {}
    assert found.end_marker


@pytest.mark.parametrize("content", [MARIADB[:-17], MARIADB[:200], b"", MARIADB + b"mysqldump: Error 2013\n"])
def test_a_dump_without_its_last_line_is_not_whole(tmp_path: Path, content: bytes) -> None:
    assert not read(tmp_path, content).end_marker


def taken_apart(folder: Path, blocks: list[bytes]) -> dict[str, bytes]:
    """Return the files into which a dump is taken apart that comes in these blocks."""
    writer = Writer(str(folder))
    reader = Reader(writer.take)
    for block in blocks:
        reader.feed(block)
    assert reader.finish()
    writer.finish()
    assert reader.rows == ROWS
    assert reader.strays == set()
    for made in writer.files():
        content = (folder / made.file).read_bytes()
        assert (made.bytes, made.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return {made.file: (folder / made.file).read_bytes() for made in writer.files()}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(MARIADB)), max_size=30))
def test_each_table_gets_a_file_of_its_own_wherever_the_blocks_end(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(MARIADB)]
    with tempfile.TemporaryDirectory() as folder:
        files = taken_apart(Path(folder), [MARIADB[start:end] for start, end in pairwise(edges)])

    assert files == {
        "tables/wp_posts.sql": HEAD + POSTS + TAIL,
        "tables/we%60ird%2F%2E%2E%2Ft.sql": HEAD + WEIRD + TAIL,
        "sequences.sql": HEAD + SEQUENCES + TAIL,
        "definitions.sql": HEAD + TRIGGER + VIEW + TAIL,
    }


def test_long_lines_and_many_blocks_lose_no_byte(tmp_path: Path) -> None:
    rows = b",\n".join(b"(%d,'%s')" % (number, b"x" * 70_000 * (number % 3)) for number in range(90))
    text = HEAD + POSTS.replace(b"(4,'c')", rows) + TAIL
    reader, writer = Reader(), Writer(str(tmp_path))
    reader = Reader(writer.take)
    for start in range(0, len(text), 4096):
        reader.feed(text[start : start + 4096])

    assert reader.finish()
    writer.finish()
    assert reader.rows == {"wp_posts": 3 + 90}
    assert (tmp_path / "tables" / "wp_posts.sql").read_bytes() == text


@pytest.mark.parametrize("table", ["a" * 64, "ü" * 64, "." * 64, "../../etc/passwd", "A", "a", "wp_$ -x"])
def test_every_name_of_a_table_makes_the_name_of_a_file(table: str) -> None:
    folder, _, name = file_name(table).partition("/")

    assert folder == "tables"
    assert re.fullmatch(r"[A-Za-z0-9_$%-]{1,200}\.sql", name)
    assert len({file_name(each) for each in (table, table + "%", table[:-1] + "\u00fc\u00fc")}) == 3


def test_a_table_in_an_unknown_form_is_no_part_of_a_dump_to_lean_on(tmp_path: Path) -> None:
    reader = Reader()
    reader.feed(MARIADB.replace(b"-- Table structure for table `we``ird/../t`", b"-- Something else"))

    assert reader.finish()
    assert reader.strays == {"we`ird/../t"}


@pytest.mark.parametrize(
    ("found", "counted", "said"),
    [
        (proof(), {"wp_options": 120, "wp_posts": 1000}, ""),
        (proof(), {"wp_options": 121, "wp_posts": 1100}, ""),
        (proof(rows={}), {"wp_options": 120, "wp_posts": 5000}, ""),
        (proof(strays=["x"]), {"wp_options": 120}, "the table x in a form"),
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
        "*COUNT*information_schema*) printf '0\\t0\\n' ;;\n"
        "*TABLE_NAME*) printf 'wp_posts\\tBASE TABLE\\tNO\\n' ;;\n"
        "esac\n"
    )
    program.write_text("#!/bin/sh\n" + dumping)
    for path in (client, program):
        path.chmod(0o755)
    return Database("shop", str(folder / "options"), str(client), str(program))


WHOLE = r"""printf '%s\n' '-- a dump' '--' '-- Table structure for table `wp_posts`' '--' 'CREATE TABLE `wp_posts` (' ');' \
    'INSERT INTO `wp_posts` VALUES' '(1),' '(2);' '/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;' '-- Dump completed'
"""


def test_a_dump_is_files_that_only_their_owner_reads(tmp_path: Path) -> None:
    taken = dump.take(database(tmp_path, WHOLE), str(tmp_path / "dump"))

    path = tmp_path / "dump" / "tables" / "wp_posts.sql"
    assert taken.rows == {"wp_posts": 2}
    assert taken.exit_codes == {"mariadb-dump": 0}
    assert taken.not_transactional == ["wp_posts"]
    assert taken.sizes() == {str(path): path.stat().st_size}
    assert [os.stat(each).st_mode & 0o777 for each in (path, path.parent, path.parents[1])] == [0o600, 0o700, 0o700]
    listed = subprocess.run(
        ["sha256sum", "tables/wp_posts.sql"], cwd=tmp_path / "dump", capture_output=True, check=True
    )
    assert taken.evidence()["sha256"] == hashlib.sha256(listed.stdout).hexdigest()
    assert dump_files(taken.evidence()) == [taken.files["wp_posts"]]


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
