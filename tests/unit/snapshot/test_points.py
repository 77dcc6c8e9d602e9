"""What a manifest must say before it stands for a restore point."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from plugins.module_utils.dump_files import DumpFile, file_name, overall
from plugins.module_utils.points import PointError, Store, problems, shrunk

POINT = "20261122T020000Z-1f0c9a2b"


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a manifest with which nothing is wrong but what is asked for: `dump__bytes=0` changes an inner value."""
    value: dict[str, Any] = {
        "schema": 1,
        "point": POINT,
        "run": POINT,
        "client": "example",
        "site": "shop",
        "root": "/srv/shop/htdocs",
        "restic": {"repository": "example/shop/restic", "snapshot": "a" * 64, "version": "0.14.0"},
        "files": {"count": 3000, "bytes": 50_000_000},
        "dump": {
            "file": "/srv/shop/.upkeep/dump/shop.sql",
            "exit_codes": {"mariadb-dump": 0},
            "end_marker": True,
            "tables": {"wp_options": {"rows": 120}, "wp_posts": {"rows": 21}},
            "bytes": 400_000,
            "sha256": "b" * 64,
        },
    }
    return changed(value, changes)


def changed(value: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change inner values, by their names with two underscores between."""
    for path, new in changes.items():
        *folders, name = path.split("__")
        inner = value
        for folder in folders:
            inner = inner[folder]
        inner[name] = new
    return value


def by_table(**changes: Any) -> dict[str, Any]:
    """Return a manifest of schema 2, where each table has a file of its own."""
    files = {
        name: DumpFile(file_name(name), 200_000, digit * 64) for name, digit in (("wp_options", "c"), ("wp_posts", "d"))
    }
    dump = {**manifest()["dump"], "folder": "/srv/shop/.upkeep/dump", "sha256": overall(files.values()), "others": {}}
    del dump["file"]
    dump["tables"] = {name: {"rows": 21, **each.evidence()} for name, each in files.items()}
    value = manifest(schema=2, dump=dump)
    return changed(value, changes)


@pytest.mark.parametrize("value", [manifest(), by_table()], ids=["schema-1", "schema-2"])
def test_a_whole_manifest_has_no_problems(value: dict[str, Any]) -> None:
    assert problems(value, client="example", site="shop", point=POINT) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dump__folder": "dump"}, "where the dump lay"),
        ({"dump__folder": "/srv/../../../etc"}, "where the dump lay"),
        ({"dump__tables__wp_posts__file": "../../../etc/passwd"}, "in which file wp_posts lies"),
        ({"dump__tables__wp_posts__file": "tables/../x.sql"}, "in which file wp_posts lies"),
        ({"dump__tables__wp_posts__file": "/x.sql"}, "in which file wp_posts lies"),
        ({"dump__tables__wp_posts": None}, "in which file wp_posts lies"),
        ({"dump__tables__wp_posts__file": "tables/wp_options.sql"}, "two of its tables lie in one file"),
        ({"dump__tables__wp_posts__bytes": 0}, "the file of wp_posts is empty"),
        ({"dump__tables__wp_posts__sha256": "d"}, "the file of wp_posts has no checksum"),
        ({"dump__tables__wp_posts__sha256": "e" * 64}, "does not go together"),
        ({"dump__tables__wp_posts__bytes": 200_001}, "does not go together"),
        ({"dump__others": {"definitions": {"file": "definitions.sql", "bytes": 1, "sha256": "e" * 64}}}, "go together"),
        ({"dump__end_marker": False}, "no end marker"),
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_prove_each_file_says_what(change: dict[str, Any], said: str) -> None:
    assert said in "; ".join(problems(by_table(**change), client="example", site="shop", point=POINT))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 3}, "schema 3"),
        ({"schema": True}, "schema True"),
        ({"schema": "2"}, "schema '2'"),
        ({"client": "other"}, "it is for client 'other'"),
        ({"site": "blog"}, "it is for site 'blog'"),
        ({"point": "20261122T020000Z-00000000"}, "it is for point"),
        ({"point": "../x"}, "it has no valid id"),
        ({"restic__snapshot": "latest"}, "by its full id"),
        ({"restic__snapshot": "a" * 8}, "by its full id"),
        ({"restic": "a" * 64}, "by its full id"),
        ({"files__count": 0}, "it counts no files"),
        ({"root": "htdocs"}, "where the files lay"),
        ({"dump": None}, "it has no dump"),
        ({"dump__exit_codes": {"mariadb-dump": 2}}, "exit code 0"),
        ({"dump__exit_codes": {}}, "exit code 0"),
        ({"dump__end_marker": False}, "no end marker"),
        ({"dump__tables": {}}, "no tables"),
        ({"dump__bytes": 0}, "is empty"),
        ({"dump__sha256": ""}, "no checksum"),
        ({"dump__file": "shop.sql"}, "where the dump lay"),
        ({"dump__file": "/../../etc/passwd"}, "where the dump lay"),
    ],
)
def test_a_manifest_that_lacks_something_says_what(change: dict[str, Any], said: str) -> None:
    found = problems(manifest(**change), client="example", site="shop", point=POINT)

    assert said in "; ".join(found)


@pytest.mark.parametrize("value", [None, [], "text", {}])
def test_what_is_no_manifest_is_refused(value: Any) -> None:
    assert problems(value, client="example", site="shop") != []


def test_half_the_size_is_still_a_restore_point_and_less_is_a_mistake() -> None:
    before = manifest()
    assert shrunk(manifest(dump__bytes=200_000, files__count=1500), before) == []
    assert shrunk(manifest(dump__bytes=199_999), before) == [
        "dump bytes: 199999, and 400000 in the restore point before"
    ]
    assert shrunk(manifest(files__count=10), before) == ["files count: 10, and 3000 in the restore point before"]
    less = deepcopy(before)
    del less["dump"]["tables"]["wp_posts"]
    assert shrunk(less, before) == []
    assert shrunk(manifest(dump__tables={}), before) != []
    assert shrunk(before, None) == []


def store(**changes: str) -> dict[str, str]:
    """Return the `store` option of a module."""
    return {
        "endpoint": "https://s3.example.test",
        "bucket": "upkeep-example",
        "region": "us-east-1",
        "prefix": "example/shop",
    } | changes


def test_a_site_has_its_own_repository_and_its_own_manifests() -> None:
    place = Store.from_parameters(store(endpoint="http://10.77.0.1:9000/"))

    assert place.repository == "s3:http://10.77.0.1:9000/upkeep-example/example/shop/restic"
    assert place.key(POINT) == f"example/shop/points/{POINT}.json"


def test_only_our_own_manifests_are_listed_oldest_first() -> None:
    keys = [
        f"example/shop/points/{POINT}.json",
        "example/shop/points/20251122T020000Z-1f0c9a2b.json",
        "example/shop/points/notes.json",
        "example/shop/points/sub/20251122T020000Z-1f0c9a2b.json",
        f"example/blog/points/{POINT}.json",
    ]

    assert Store.from_parameters(store()).listed(keys) == ["20251122T020000Z-1f0c9a2b", POINT]


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "file:///etc"},
        {"endpoint": "http://user:secret@host"},
        {"endpoint": "http://host/path"},
        {"bucket": "../other"},
        {"bucket": "Upper"},
        {"prefix": "example"},
        {"prefix": "../example/shop"},
        {"prefix": "example/shop/more"},
    ],
)
def test_a_store_that_cannot_be_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(PointError):
        Store.from_parameters(store(**change))


@pytest.mark.parametrize("point", ["", "newest", "../x", f"{POINT}\n", f"{POINT}.json"])
def test_a_key_is_made_of_an_id_only(point: str) -> None:
    with pytest.raises(PointError):
        Store.from_parameters(store()).key(point)
