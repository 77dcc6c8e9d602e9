"""A site on PostgreSQL 15 that is not WordPress: restore points, all ways back, and what must not become a restore point."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import HOST
from tests.host.leaving_words import typed
from tests.host.shop import Shop, shop_of
from tests.lab import Lab
from tests.lab.postgresql import end_notes, serve_notes
from tests.trials import AsTemplate

pytestmark = pytest.mark.root

# Everything that is easily lost on the way through a text, and everything that hangs on tables.
ODD = r"""
CREATE TYPE mood AS ENUM ('calm', 'it''s');
CREATE TABLE writers (id int PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, writer int REFERENCES writers ON DELETE CASCADE,
    text text, raw bytea, data jsonb, amount numeric(30, 10), words text[], mood mood, written timestamptz, span interval,
    much double precision, length int GENERATED ALWAYS AS (length(text)) STORED);
CREATE TABLE "odd one/é" (t text, n int);
CREATE TABLE log (id serial PRIMARY KEY, what text);
CREATE SCHEMA more;
CREATE TABLE more.notes (k1 int, k2 text, PRIMARY KEY (k2, k1));
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log (what) VALUES (NEW.text); RETURN NEW; END $$;
CREATE FUNCTION seven() RETURNS int LANGUAGE sql RETURN 7;
CREATE TRIGGER watch AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION watch();
CREATE VIEW calm AS SELECT n.id, w.name FROM notes n JOIN writers w ON w.id = n.writer WHERE mood = 'calm';
CREATE SEQUENCE numbers START 40;
SELECT nextval('numbers');
INSERT INTO writers VALUES (1, 'Ada'), (2, 'Max');
INSERT INTO notes (writer, text, raw, data, amount, words, mood, written, span, much) VALUES
    (1, E'kept 🍵 tab\t line\n\\. \\N quote'' \\ \r\n--\n\\!upkeep end\n', '\x00ff0a5c', '{"a": ["\n", 1e-5]}', 0.1, '{NULL,"a,b","\"",""}',
        'it''s', '2026-03-29 02:30:00+01', '1 mon 2 days 03:04:05.000006', 1e-300),
    (NULL, '', '', 'null', 12345678901234567890.0123456789, '{}', 'calm', 'infinity', NULL, 'NaN'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -0.0);
INSERT INTO "odd one/é" VALUES (NULL, 1), ('b', NULL), ('b', NULL), ('a', 0);
INSERT INTO more.notes VALUES (2, 'x'), (1, 'x');
ALTER TABLE notes DISABLE TRIGGER watch;
ALTER TABLE notes ENABLE ALWAYS TRIGGER watch;
"""


@dataclass
class Notes:
    """The lab's shop as a site on PostgreSQL."""

    shop: Shop
    password: str

    def sql(self, statement: str) -> str:
        """Run SQL as the site's account."""
        command = [
            "env",
            f"PGPASSWORD={self.password}",
            "psql",
            "-X",
            "-q",
            "-At",
            "-h",
            "127.0.0.1",
            "-U",
            "notes",
            "-v",
            "ON_ERROR_STOP=1",
        ]
        return self.shop.host.run([*command, "notes"], input=statement, check=True).stdout

    def state(self) -> set[str]:
        """Return every line that pg_dump writes of the database, whatever their order: the order of rows is nobody's promise."""
        command = [
            "env",
            f"PGPASSWORD={self.password}",
            "pg_dump",
            "-h",
            "127.0.0.1",
            "-U",
            "notes",
            "-N",
            "upkeep*",
            "notes",
        ]
        lines = self.shop.host.run(command, check=True).stdout.split("\n")
        return {
            line for line in lines if not line.startswith(("\\restrict", "\\unrestrict", "-- Name", "-- Data for Name"))
        }

    def contract(self, **programs: str) -> None:
        """Let the client's folder tell of this site, with these programs."""
        path = self.shop.inventory / "contract.yml"
        contract = yaml.safe_load(path.read_text())
        site = contract["sites"]["shop"]
        site["cms"] = "other"
        site["functions"] = [{"name": "notes", "path": "/", "text": ["Example Bakery: notes", "kept"]}]
        site["places"]["production"]["database"] = {
            "engine": "postgresql",
            "name": "notes",
            "user": "notes",
            "host": "127.0.0.1",
        }
        site["places"]["production"]["programs"] = programs
        contract["scope"].pop("update", None)
        # Dates and times of day are words in a contract.
        path.write_text(yaml.safe_dump(contract).replace("'2026-", "2026-"))

    def wrapped(self, name: str, lines: str) -> None:
        """Let one program be a script on the host that may do something before or after the real one."""
        script = f"#!/bin/sh\n{lines}\n"
        self.contract(**{name: self.shop.install(f"/home/shop/{name}", script)})


@pytest.fixture(scope="module")
def notes(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, sockets: Path, as_template: AsTemplate
) -> Iterator[Notes]:
    """Return the site with its first notes."""
    as_template.taken(HOST)
    shop = shop_of(lab, HOST, tmp_path_factory.mktemp("notes") / "inventories" / "example", sockets)
    notes = Notes(shop, serve_notes(shop.host))
    notes.sql(ODD)
    vault = shop.inventory / "group_vars" / "all" / "vault.yml"
    vault.write_text(vault.read_text() + f"upkeep_database_password: {notes.password}\n")
    notes.contract()
    yield notes
    end_notes(shop.host)


@pytest.fixture(scope="module")
def manifest(notes: Notes) -> dict[str, Any]:
    """Return the manifest of a restore point, taken while somebody looks at the list of processes."""
    notes.wrapped(
        "pg_dump", 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>/home/shop/seen 2>/dev/null; exec pg_dump "$@"'
    )
    manifest = notes.shop.snapshot()
    notes.contract()
    return manifest


def test_a_restore_point_tells_rows_of_each_table_and_no_password(notes: Notes, manifest: dict[str, Any]) -> None:
    dump = manifest["dump"]
    assert (dump["engine"], dump["database"]) == ("postgresql", "notes")
    assert {name: entry["rows"] for name, entry in dump["tables"].items()} == {
        "log": 3, "more.notes": 2, "notes": 3, "odd one/é": 4, "writers": 2,
    }  # fmt: skip
    assert manifest["versions"]["database"].startswith("PostgreSQL 15.")
    text = notes.shop.restic("dump", manifest["restic"]["snapshot"], f"{dump['folder']}/tables/more%2Enotes.sql")
    assert text.splitlines()[2:] == ["1\tx", "2\tx", "\\.", "-- Dump completed"]
    seen = notes.shop.host.run(["cat", "/home/shop/seen"], check=True).stdout
    assert "pg_export_snapshot" not in seen
    assert "--section=pre-data" in seen
    assert notes.password not in seen
    assert not list(notes.shop.workshop.rglob("*pgpass*"))
    assert not list(notes.shop.workshop.rglob("*.sql"))


def test_a_client_who_leaves_loads_it_with_psql_alone(notes: Notes, manifest: dict[str, Any]) -> None:
    host, where = notes.shop.host, "/srv/shop/left"
    notes.shop.restic("restore", manifest["restic"]["snapshot"], "--target", str(host.disk / "left"))
    host.run(["chmod", "-R", "a+rX", where], check=True)
    dump = where + manifest["dump"]["folder"]
    host.run(
        ["runuser", "-u", "postgres", "--", "bash", "-c", f"DUMP={dump} DATABASE=left\n{typed('PostgreSQL')}"],
        check=True,
    )
    texts = [
        host.run(["runuser", "-u", "postgres", "--", "pg_dump", "-N", "upkeep*", "--no-owner", name], check=True).stdout
        for name in ("notes", "left")
    ]
    one, other = ({line for line in text.split("\n") if not re.match(r"\\(un)?restrict|-- ", line)} for text in texts)
    assert one == other
    assert {"2\tMax", "CREATE SCHEMA more;"} <= other


def test_a_drill_loads_it_and_says_what_was_not_tried(notes: Notes, manifest: dict[str, Any]) -> None:
    before = notes.state()
    played = notes.shop.play("drill", site_snapshot_point=manifest["point"])
    assert "loads, row for row" in played.text
    assert "its functions were not tried" in played.text
    assert notes.state() == before


def test_all_of_it_comes_back_exactly(notes: Notes, manifest: dict[str, Any]) -> None:
    before = notes.state()
    notes.sql(
        "DELETE FROM writers; DROP VIEW calm; DROP TABLE more.notes; ALTER TABLE log ADD more int; SELECT nextval('numbers');"
        " CREATE SCHEMA later CREATE TABLE later.x (id int); INSERT INTO notes (text) VALUES ('newer')"
    )
    (notes.shop.host.disk / "htdocs" / "files" / "readme.txt").write_text("newer")

    notes.shop.play("restore", site_snapshot_point=manifest["point"])

    assert notes.state() == before
    assert "A file of the site" in (notes.shop.host.disk / "htdocs" / "files" / "readme.txt").read_text()
    assert "kept" in notes.shop.host.fetch("/").body
    assert notes.sql("INSERT INTO notes (text) VALUES ('after') RETURNING id, (SELECT seven())") == "4|7\n"
    notes.sql("DELETE FROM notes WHERE id = 4; DELETE FROM log WHERE what = 'after'")


def test_one_table_comes_back_alone_and_no_trigger_writes(notes: Notes, manifest: dict[str, Any]) -> None:
    before = notes.state()
    notes.sql(
        "UPDATE notes SET text = 'kept, but newer', words = NULL; DELETE FROM notes WHERE id = 2; UPDATE writers SET name = 'Eve' WHERE id = 1"
    )

    notes.shop.play("restore", site_snapshot_point=manifest["point"], site_snapshot_tables=["notes"])

    assert sorted(line for line in before ^ notes.state() if not line.startswith("SELECT pg_catalog.setval")) == [
        "1\tAda",
        "1\tEve",
    ]
    notes.sql("DELETE FROM notes WHERE writer = 2; DELETE FROM writers WHERE id = 2")
    refused = notes.shop.play(
        "restore", check=False, site_snapshot_point=manifest["point"], site_snapshot_tables=["notes"]
    )
    # The row of a writer that is gone: nothing half-way.
    assert "violates foreign key" in refused.text
    assert notes.sql("SELECT count(*) FROM notes") == "2\n"
    notes.shop.play("restore", site_snapshot_point=manifest["point"], site_snapshot_only="database")
    assert notes.state() >= {"1\tAda", "2\tMax"}


def test_a_restore_that_breaks_the_site_gives_way(notes: Notes, manifest: dict[str, Any]) -> None:
    notes.sql("UPDATE notes SET text = 'not what was promised'")
    bad = notes.shop.snapshot()["point"]
    notes.shop.play("restore", site_snapshot_point=manifest["point"], site_snapshot_only="database")
    notes.sql("INSERT INTO notes (text) VALUES ('an order')")
    before = notes.state()

    played = notes.shop.play("restore", check=False, site_snapshot_point=bad)

    assert "What was there before the restoration is back" in played.text
    assert notes.state() == before
    assert notes.sql("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'upkeep'") == "0\n"


def test_one_bad_statement_on_postgresql(notes: Notes, manifest: dict[str, Any]) -> None:
    before = notes.state()
    notes.wrapped(
        "psql",
        'for last; do :; done; if grep -q "upkeep_in_0" "$last"; then sed -i "s/^COMMIT;/SELECT 1 \\/ 0; COMMIT;/" "$last"; fi; exec psql "$@"',
    )
    played = notes.shop.play("restore", check=False, site_snapshot_point=manifest["point"])
    notes.contract()
    assert "division by zero" in played.text
    assert "Production was not touched" in played.text
    assert notes.state() == before


@pytest.mark.parametrize(
    ("program", "lines"),
    [
        (
            "psql",
            'for last; do :; done; [ "$last" != - ] && grep -q COPY "$last" || exec psql "$@"; psql "$@" | head -c 300',
        ),
        ("psql", 'for last; do :; done; [ "$last" != - ] && grep -q COPY "$last" || exec psql "$@"'),
        ("pg_dump", 'pg_dump "$@" | head -n 40'),
    ],
)
def test_dump_dies_in_the_pipe_on_postgresql(notes: Notes, manifest: dict[str, Any], program: str, lines: str) -> None:
    points = notes.shop.points()
    notes.wrapped(program, lines)
    played = notes.shop.play("snapshot", check=False)
    notes.contract()
    assert played.code != 0
    assert "No restore point" in played.text
    assert notes.shop.points() == points
    assert not (notes.shop.workshop / "dump").exists()
