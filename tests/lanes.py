"""How the tests on hosts are dealt out to the lanes: file by file, and all files that want a Ceph to one of them."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

# A Ceph takes twenty seconds to start and 400 MB to run: one lane has one, the other has none.
CEPH = ("tests/host/test_store_ceph.py", "tests/failures/test_thief_on_the_host.py")


class Lanes(LoadFileScheduling):
    """xdist's `--dist loadfile`, but for the files that share what is dear."""

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return "Ceph" if scope in CEPH else scope
