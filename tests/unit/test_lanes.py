"""Files that share what is dear go to one lane."""

from __future__ import annotations

from pathlib import Path

from tests.lanes import CEPH

TESTS = Path(__file__).resolve().parents[1]


def test_all_files_that_want_a_ceph_go_to_the_same_lane() -> None:
    wants = {
        path.relative_to(TESTS.parent).as_posix()
        for path in TESTS.rglob("test_*.py")
        if 'pytest_plugins = ["tests.ceph_fixtures"]' in path.read_text(encoding="utf-8").splitlines()
    }

    assert wants == set(CEPH)
