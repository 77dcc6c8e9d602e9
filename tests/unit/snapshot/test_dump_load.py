"""What is proved of a restored dump before anything is loaded, and which statements reach the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import dump_load
from plugins.module_utils.database import Database, DatabaseError
from plugins.module_utils.dump_files import overall
from plugins.module_utils.dump_stream import Reader, Writer
from plugins.module_utils.engine import LoadError
from tests.unit.snapshot.test_dump import HEAD, POSTS, SEQUENCES, TAIL, TRIGGER, VIEW

OPTIONS = POSTS.replace(b"wp_posts", b"wp_options")
FOLDER = "/srv/shop/.upkeep/dump"


def stored(restored: Path, text: bytes) -> dict[str, Any]:
    """Lay a dump by tables where restic would, and return what the manifest says about it."""
    folder = Path(f"{restored}{FOLDER}")
    folder.mkdir(parents=True)
    writer = Writer(str(folder))
    reader = Reader(writer.take)
    reader.feed(text)
    reader.finish()
    writer.finish()
    return {
        "folder": FOLDER,
        "tables": {name: {"rows": reader.rows[name], **each.evidence()} for name, each in writer.tables.items()},
        "others": {kind: each.evidence() for kind, each in writer.others.items()},
        "triggers": sorted(reader.triggers),
        "bytes": sum(each.bytes for each in writer.files()),
        "sha256": overall(writer.files()),
        "database": "shop",
    }


def in_one_file(restored: Path, text: bytes) -> dict[str, Any]:
    """Lay a dump in one file where restic would, as restore points of schema 1 have it."""
    wanted = stored(restored / "once", text)
    path = Path(f"{restored}{FOLDER}/shop.sql")
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    proof = dump_load.dump.read(str(path))
    tables = {name: {"rows": entry["rows"]} for name, entry in wanted["tables"].items()}
    return {"file": f"{FOLDER}/shop.sql", "tables": tables, "bytes": proof.bytes, "sha256": proof.sha256}


# Views, routines and events of production as they are now.
NOW = bytes

# A client that writes down what it is asked, and knows two tables of four rows; SANDBOX makes it an old one.
CLIENT = r"""#!/bin/sh
asked=$(cat)
case $asked in
'/*M!999999'*) echo "ERROR at line 1: Unknown command '\-'." >&2; exit 1 ;;
*BROKEN*) echo 'ERROR 1064 (42000) at line 9: You have an error' >&2; exit 1 ;;
*COUNT*wp_options*wp_posts*) printf 'wp_options\t4\nwp_posts\t4\n' ;;
*COUNT*wp_options*) printf 'wp_options\t4\n' ;;
*COUNT*wp_posts*) printf 'wp_posts\t4\n' ;;
*"TABLE_NAME, TABLE_TYPE"*) { cat "$0.tables" 2>/dev/null; echo upkeep_staging; } | sed 's/$/\tBASE TABLE/' ;;
*"BASE TABLE"*) cat "$0.tables" 2>/dev/null; echo upkeep_staging ;;
*VIEWS*) ;;
*TABLE_NAME*) echo upkeep_staging ;;
*"CREATE TABLE \`wp_"*) printf '%s\n' "$asked" | sed -n 's/^CREATE TABLE `\(wp_[a-z]*\)`.*/\1/p' >>"$0.tables" ;;
esac
"""


def database(folder: Path) -> Database:
    """Return a staging database, spoken for by a fake client."""
    client = folder / "mariadb"
    client.write_text(CLIENT)
    client.chmod(0o755)
    return Database("shop_staging", str(folder / "options"), str(client), "mariadb-dump")


@pytest.mark.parametrize("form", [stored, in_one_file])
@pytest.mark.parametrize(("asked", "loaded"), [((), ["wp_options", "wp_posts"]), (("wp_options",), ["wp_options"])])
def test_all_tables_or_those_that_were_asked_for_are_loaded(
    tmp_path: Path, form: Any, asked: tuple[str, ...], loaded: list[str]
) -> None:
    wanted = form(tmp_path / "restored", HEAD + POSTS + OPTIONS + TAIL)

    rows = dump_load.load(database(tmp_path), wanted, str(tmp_path / "restored"), tables=asked, present=NOW, timeout=9)

    assert rows == dict.fromkeys(loaded, 4)
    # Side by side, in any order.
    assert sorted((tmp_path / "mariadb.tables").read_text().split()) == loaded


@pytest.mark.parametrize("form", [stored, in_one_file])
@pytest.mark.parametrize(
    ("more", "asked", "said"),
    [
        (SEQUENCES, (), "has sequences"),
        (VIEW, (), "are others than those of today"),
        (VIEW, ("wp_options",), ""),
        (TRIGGER, (), "are others than those of today"),
        (TRIGGER, ("wp_options",), ""),
        (TRIGGER, ("wp_posts",), ""),
    ],
)
def test_what_is_more_than_tables_is_refused_before_anything_is_loaded(
    tmp_path: Path, form: Any, more: bytes, asked: tuple[str, ...], said: str
) -> None:
    text = HEAD + (more if more == SEQUENCES else b"") + POSTS + OPTIONS + (more if more != SEQUENCES else b"") + TAIL
    wanted = form(tmp_path / "restored", text)
    if not said:
        assert dump_load.load(
            database(tmp_path), wanted, str(tmp_path / "restored"), tables=asked, present=NOW, timeout=9
        )
        assert (tmp_path / "mariadb.tables").read_text().split() == list(asked)
        return

    with pytest.raises(LoadError, match=said):
        dump_load.load(database(tmp_path), wanted, str(tmp_path / "restored"), tables=asked, present=NOW, timeout=9)
    assert not (tmp_path / "mariadb.tables").exists()


@pytest.mark.parametrize("form", [stored, in_one_file])
def test_views_that_are_what_they_were_stay_and_the_tables_come_back(tmp_path: Path, form: Any) -> None:
    wanted = form(tmp_path / "restored", HEAD + POSTS + OPTIONS + VIEW + TAIL)

    now, restored = database(tmp_path), str(tmp_path / "restored")
    rows = dump_load.load(now, wanted, restored, present=lambda: VIEW, timeout=9)

    assert rows == {"wp_options": 4, "wp_posts": 4}


@pytest.mark.parametrize("form", [stored, in_one_file])
def test_a_dump_that_is_not_the_one_that_was_stored_is_never_loaded(tmp_path: Path, form: Any) -> None:
    wanted = form(tmp_path / "restored", HEAD + POSTS + OPTIONS + TAIL)
    for path in Path(f"{tmp_path}/restored{FOLDER}").rglob("*.sql"):
        path.write_bytes(path.read_bytes().replace(b"(2,'b')", b"(2,'c')"))

    with pytest.raises(LoadError, match="is not the one that was stored"):
        dump_load.load(database(tmp_path), wanted, str(tmp_path / "restored"), present=NOW, timeout=9)
    assert not (tmp_path / "mariadb.tables").exists()


def test_a_statement_that_fails_names_the_table(tmp_path: Path) -> None:
    wanted = stored(tmp_path / "restored", HEAD + POSTS + OPTIONS.replace(b"LOCK TABLES", b"BROKEN", 1) + TAIL)

    with pytest.raises(DatabaseError, match=r"loading wp_options\.sql failed: ERROR 1064 .* at line 9"):
        dump_load.load(database(tmp_path), wanted, str(tmp_path / "restored"), present=NOW, timeout=9)


def test_what_must_be_free_is_what_is_fetched_and_loaded(tmp_path: Path) -> None:
    text = HEAD + POSTS + OPTIONS + TAIL
    wanted, old = stored(tmp_path / "new", text), in_one_file(tmp_path / "old", text)

    assert dump_load.needed(wanted) == 2 * wanted["bytes"]
    assert dump_load.needed(wanted, ["wp_posts"]) == 2 * wanted["tables"]["wp_posts"]["bytes"]
    assert dump_load.needed(old) == 2 * old["bytes"]
    assert dump_load.needed(old, ["wp_posts"]) == 3 * old["bytes"]
    assert dump_load.paths(wanted) == [FOLDER]
    assert dump_load.paths(wanted, ["wp_posts"]) == [f"{FOLDER}/tables/wp_posts.sql"]
    assert dump_load.paths(old, ["wp_posts"]) == [f"{FOLDER}/shop.sql"]
