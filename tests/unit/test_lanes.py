"""Tests that share what is dear go to one lane."""

from __future__ import annotations

import re
from pathlib import Path

from tests.lanes import CEPH, LONG, TRIALS

TESTS = Path(__file__).resolve().parents[1]


def test_all_files_that_want_a_ceph_go_to_the_same_lane() -> None:
    wants = {
        path.relative_to(TESTS.parent).as_posix()
        for path in TESTS.rglob("test_*.py")
        if 'pytest_plugins = ["tests.ceph_fixtures"]' in path.read_text(encoding="utf-8").splitlines()
    }

    assert wants == set(CEPH)


def test_all_tests_that_share_a_staging_copy_go_to_the_same_lane() -> None:
    wants = {
        f"{path.relative_to(TESTS.parent).as_posix()}::{name}"
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"(?m)^def (test_\w+)\([^)]*\btrials: Trials\b", path.read_text(encoding="utf-8"))
    }

    assert wants == set(TRIALS)


def test_the_files_that_begin_first_are_there() -> None:
    assert [name for name in LONG if not (TESTS.parent / name).is_file()] == []
