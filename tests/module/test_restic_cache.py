"""restic's cache on a host has a bound, and restic goes on without what was taken from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.module_utils import restic_cache
from tests.depot import light_store, needs_restic, restic, restic_environment

OLD, NEWER, NEWEST = 1_000_000_000, 1_000_000_100, 1_000_000_200


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a cache of two repositories: ten bytes each, used at different times."""
    folder = tmp_path / "cache"
    for name, used in (
        ("one/data/ab/abc", OLD),
        ("two/index/cd/cde", NEWER),
        ("one/snapshots/ef/efg", NEWEST),
        ("one/version", OLD),
        ("CACHEDIR.TAG", OLD),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0123456789")
        os.utime(path, (used, used))
    return folder


@pytest.mark.parametrize(
    ("largest", "removed", "left"),
    [
        (30, 0, {"abc", "cde", "efg"}),
        (29, 10, {"cde", "efg"}),
        (10, 20, {"efg"}),
        (0, 30, set()),
    ],
)
def test_what_was_used_longest_ago_goes(cache: Path, largest: int, removed: int, left: set[str]) -> None:
    assert restic_cache.bound(str(cache), largest) == removed
    # What makes it a cache stays.
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {*left, "version", "CACHEDIR.TAG"}


def test_a_file_that_was_read_lately_counts_as_used(cache: Path) -> None:
    os.utime(cache / "one/data/ab/abc", (NEWEST + 1, OLD))
    assert restic_cache.bound(str(cache), 20) == 10
    assert not (cache / "two/index/cd/cde").exists()


def test_no_cache_is_fine(tmp_path: Path) -> None:
    assert restic_cache.bound(str(tmp_path / "none")) == 0


@needs_restic
def test_restic_goes_on_without_what_was_taken_from_its_cache(tmp_path: Path) -> None:
    site, cache = tmp_path / "site", tmp_path / "cache"
    site.mkdir()
    for number in range(20):
        (site / f"{number}.txt").write_text(f"page {number}")
    with light_store(tmp_path / "store") as endpoint:
        (tmp_path / "store" / "upkeep-test").mkdir(parents=True)
        environment = restic_environment(endpoint)
        restic(environment, cache, "init")
        restic(environment, cache, "backup", str(site))
        assert restic_cache.bound(str(cache), 0) > 0

        restic(environment, cache, "backup", str(site))
        restic(environment, cache, "restore", "latest", "--target", str(tmp_path / "back"))

    back = tmp_path / "back" / str(site).lstrip("/")
    assert {path.name: path.read_text() for path in back.iterdir()} == {
        path.name: path.read_text() for path in site.iterdir()
    }
