"""How the tests on hosts are dealt out to the lanes: file by file, but for those that share what is dear; the longest first."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

# A Ceph takes twenty seconds to start and 400 MB to run: one lane has one, the other has none.
CEPH = ("tests/host/test_store_ceph.py", "tests/failures/test_thief_on_the_host.py")
# They try bad releases in one staging copy that stays open between them.
TRIALS = (
    "tests/failures/test_critical_error_page_with_200.py::test_critical_error_page_with_200",
    "tests/failures/test_fatal_on_every_request.py::test_fatal_on_every_request_in_staging",
    "tests/failures/test_fatal_only_in_admin.py::test_fatal_only_in_admin",
    "tests/failures/test_log_only_fatal.py::test_log_only_fatal",
    "tests/failures/test_schema_moves_forward.py::test_schema_moves_forward_in_staging",
    "tests/failures/test_slow_after_update.py::test_slow_after_update",
    "tests/failures/test_white_page_with_200.py::test_white_page_with_200",
    "tests/failures/test_white_page_with_200.py::test_white_page_with_200_that_breaks_off",
)
# Files with one test of half a minute or so. Files with many tests begin first anyhow; at the end come short ones, so that no
# lane waits long for the other.
LONG = tuple(
    f"tests/failures/test_{name}.py"
    for name in (
        "killed_at_any_moment",
        "transient_503_during_migration",
        "one_bad_of_many",
        "rotating_content",
        "update_without_package",
        "two_controllers",
        "drift_between_stages",
        "host_gone_mid_update",
        "half_unpacked",
        "reinstalled_overnight",
        "two_bad_together",
    )
)


class Lanes(LoadFileScheduling):
    """xdist's `--dist loadfile`, but for what is shared."""

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return "Ceph" if scope in CEPH else "trials" if nodeid in TRIALS else scope


def when(nodeid: str) -> int:
    """Return what tests are sorted by, those with the same number stay in their order: xdist keeps it among files of one size."""
    file = nodeid.partition("::")[0]
    return LONG.index(file) if file in LONG else len(LONG)
