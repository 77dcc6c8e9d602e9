"""Names and secrets on their way to the database's own programs: what is quoted, and what is refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils import database
from plugins.module_utils.database import Credentials, Database, DatabaseError, quoted

needs_client = pytest.mark.skipif(shutil.which("my_print_defaults") is None, reason="MariaDB's client is not installed")


def credentials(password: str = "", host: str = "localhost") -> Credentials:
    """Return an account."""
    return Credentials("shop", "shop", password, host)


def read_back(path: str) -> dict[str, str]:
    """Return what MariaDB's programs read out of an option file."""
    done = subprocess.run(["my_print_defaults", f"--defaults-file={path}", "client"], capture_output=True, check=True)
    # A value may have line ends of its own.
    found = [part.partition("=") for part in done.stdout.decode()[len("--") : -1].split("\n--")]
    return {name: value for name, _, value in found}


@pytest.mark.parametrize(
    "name",
    [
        "wp_posts",
        "wp_2_posts",
        "WP-Posts",
        "a$b",
        "with space",
        "dotted.name",
        "grün",
        "テーブル",
        "1",
        "a;b",
        "x" * 64,
        "-- x",
    ],
)
def test_a_name_that_a_database_may_have_is_quoted(name: str) -> None:
    assert quoted(name) == f"`{name}`"


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "a`b", "a'b", 'a"b', "a\\b", "a\nb", "a\n", "a\tb", "a\0b", "a\x7fb", "a\u2028b", "a\udcffb"],
)
def test_a_name_that_could_be_more_than_a_name_is_refused(name: str) -> None:
    with pytest.raises(DatabaseError, match="refusing the table name"):
        quoted(name)


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("localhost", {"host": "localhost"}),
        ("", {"host": "localhost"}),
        ("db.example.test", {"host": "db.example.test"}),
        ("127.0.0.1:3307", {"host": "127.0.0.1", "port": "3307"}),
        ("db.example.test:3307", {"host": "db.example.test", "port": "3307"}),
        ("localhost:3307", {"host": "localhost"}),
        ("localhost:/run/my sql.sock", {"host": "localhost", "socket": "/run/my sql.sock"}),
        (":/run/mysqld.sock", {"host": "localhost", "socket": "/run/mysqld.sock"}),
        ("p:db.example.test", {"host": "db.example.test"}),
        ("::1", {"host": "::1"}),
        ("[::1]", {"host": "::1"}),
        ("[2001:db8::7]:3307", {"host": "2001:db8::7", "port": "3307"}),
        ("127.0.0.1:", {"host": "127.0.0.1"}),
    ],
)
def test_db_host_is_read_as_wordpress_reads_it(host: str, reached: dict[str, str]) -> None:
    assert credentials(host=host).reached() == reached


@needs_client
@pytest.mark.parametrize(
    "password",
    [
        "",
        "plain",
        "with space ",
        " '",
        '"',
        "\\",
        "\\n",
        "a#b",
        "a;b",
        "%",
        "$(id)",
        "`id`",
        "pässwörd",
        "日本",
        "a\tb",
        "a\nuser=root",
        "[x]",
        "!include /x",
    ],
)
def test_a_password_arrives_as_it_is(tmp_path: Path, password: str) -> None:
    path = credentials(password).option_file(str(tmp_path / "database.cnf"))

    found = read_back(path)
    assert found["password"] == password
    assert found["user"] == "shop"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@needs_client
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
@settings(deadline=None, max_examples=60)
def test_any_password_arrives_as_it_is(password: str) -> None:
    with_ends = f"<{password}>"
    path = f"/tmp/upkeep-test-{os.getpid()}.cnf"
    try:
        credentials(with_ends).option_file(path)
        assert read_back(path)["password"] == with_ends
    finally:
        os.unlink(path)


@needs_client
def test_the_hosts_own_settings_come_first_and_those_of_the_user_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ~/.my.cnf is read after an extra file: the site's own account would not be the one that is used."""
    (tmp_path / "global.cnf").write_text("[client]\nsocket=/run/elsewhere.sock\nuser=nobody\n")
    (tmp_path / ".my.cnf").write_text("[client]\nuser=root\npassword=wrong\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(database, "GLOBAL_OPTIONS", (str(tmp_path / "global.cnf"), str(tmp_path / "missing.cnf")))
    path = credentials("right").option_file(str(tmp_path / "database.cnf"))

    found = read_back(path)
    assert (found["user"], found["password"], found["socket"]) == ("shop", "right", "/run/elsewhere.sock")


def fake_client(folder: Path, script: str) -> Database:
    """Return a database whose client is this program."""
    program = folder / "mariadb"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Database("shop", "/x.cnf", str(program), "mariadb-dump")


def test_no_secret_and_no_statement_is_an_argument(tmp_path: Path) -> None:
    shop = fake_client(tmp_path, f'echo "$@" >{tmp_path}/arguments; cat >{tmp_path}/statement')
    shop.query("SELECT 'x'")

    assert (tmp_path / "arguments").read_text() == "--defaults-file=/x.cnf --batch --skip-column-names --raw shop\n"
    assert (tmp_path / "statement").read_text() == "SELECT 'x'"


def test_rows_are_parted_by_line_ends_and_by_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("a\tb\u2028c\x0bd\ne\t\n\n")
    shop = fake_client(tmp_path, f"cat {tmp_path}/rows")

    assert shop.query("SELECT 1") == [["a", "b\u2028c\x0bd"], ["e", ""], [""]]


def test_a_statement_that_fails_says_what_the_server_said(tmp_path: Path) -> None:
    shop = fake_client(tmp_path, "echo \"ERROR 1045 (28000): Access denied for user 'shop'@'localhost'\" >&2; exit 1")
    with pytest.raises(DatabaseError, match="mariadb ended with exit code 1: ERROR 1045"):
        shop.tables()


def test_tables_of_ours_are_not_the_sites(tmp_path: Path) -> None:
    names = ["wp_posts", "upkeep_aside_0", "upkeep_away_3", "upkeep_staging", "wp_upkeep_x"]
    shop = fake_client(tmp_path, "\n".join(f"echo {name}" for name in names))

    assert shop.tables() == ["wp_posts", "wp_upkeep_x"]
    assert shop.ours(database.PUT_ASIDE) == ["upkeep_aside_0"]


def test_a_database_with_tables_of_somebody_else_is_never_emptied(tmp_path: Path) -> None:
    """A mistyped name in a contract must not cost a client another site."""
    shop = fake_client(
        tmp_path, f'statement=$(cat); echo "$statement" >>{tmp_path}/asked; printf "wp_posts\\tBASE TABLE\\n"'
    )
    with pytest.raises(DatabaseError, match="has 1 tables that are not a staging copy's, such as wp_posts"):
        shop.empty()

    assert "DROP" not in (tmp_path / "asked").read_text()
    assert not shop.leave()
    assert "DROP" not in (tmp_path / "asked").read_text()
