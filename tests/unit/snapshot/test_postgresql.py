"""What psql prints is taken apart at our marks and nowhere else, and names and values are quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.module_utils.database import Credentials
from plugins.module_utils.dump_postgresql import Rows, Stream
from plugins.module_utils.postgresql import Table, literal, quoted, said, server

TABLES = [
    Table("public", "notes", "id, text", "id integer, text text", "id"),
    Table("more", "odd one", "t", "t text", ""),
]
PRINTED = (
    b"\\!upkeep 0\n1\tkept\\\\!upkeep 1\n2\t\\N\n\\!upkeep 1\n\\!upkeep sequences\nSELECT 1;\n"
    b"\\!upkeep counts\n0\x1f2\n1\x1f0\n\\!upkeep end\n"
)


@pytest.mark.parametrize("length", [1, 3, 7, 1000])
def test_rows_go_into_their_tables_files_however_they_arrive(tmp_path: Path, length: int) -> None:
    (tmp_path / "tables").mkdir()
    rows = Rows(TABLES, str(tmp_path))
    stream = Stream(rows.take)
    for start in range(0, len(PRINTED), length):
        stream.feed(PRINTED[start : start + length])
    assert stream.finish()
    rows.close()

    assert rows.rows == {"notes": 2, "more.odd one": 0}
    assert rows.more["sequences"] == b"SELECT 1;\n"
    assert (tmp_path / "tables" / "notes.sql").read_text() == (
        '-- Table "public"."notes" (id integer, text text)\nCOPY "public"."notes" (id, text) FROM stdin;\n'
        "1\tkept\\\\!upkeep 1\n2\t\\N\n\\.\n-- Dump completed\n"
    )
    assert rows.files["notes"].bytes == (tmp_path / "tables" / "notes.sql").stat().st_size


@pytest.mark.parametrize("cut", [5, 30, len(PRINTED) - 1, len(PRINTED) - 14])
def test_what_breaks_off_has_no_end(cut: int) -> None:
    rows = Rows(TABLES)
    stream = Stream(rows.take)
    stream.feed(PRINTED[:cut])
    assert not stream.finish()


def test_names_and_texts_are_quoted() -> None:
    assert quoted('a"b; DROP') == '"a""b; DROP"'
    assert literal("it's") == "'it''s'"
    assert literal("a\\'b") == "E'a\\\\''b'"


@pytest.mark.parametrize(
    ("host", "environment"),
    [
        ("localhost", ("localhost", "5432")),
        ("db.example.test:5433", ("db.example.test", "5433")),
        ("/var/run/postgresql", ("/var/run/postgresql", "5432")),
    ],
)
def test_the_password_is_in_a_file_for_the_owner_alone(tmp_path: Path, host: str, environment: tuple[str, str]) -> None:
    found = server(Credentials("notes", "site", "a:b\\c", host), str(tmp_path), {"psql": "psql", "pg_dump": "pg_dump"})
    file = Path(found.environment["PGPASSFILE"])
    assert file.read_text() == "*:*:*:*:a\\:b\\\\c\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (found.environment["PGHOST"], found.environment["PGPORT"]) == environment
    assert "a:b" not in " ".join(found.environment.values())


def test_an_error_is_told_without_the_row_that_it_quotes() -> None:
    err = "psql:x.sql:3: ERROR:  duplicate key\nDETAIL:  Key (mail)=(ada@example.test) already exists.\nCONTEXT:  COPY notes\n"
    assert said(err) == "ERROR:  duplicate key"
