"""Old removed, new not in place [wp-statistics 316]: never a moment without one of the two, and still active afterwards."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.pipeline import Site
from tests.staged import STAGED

pytestmark = pytest.mark.root


@contextmanager
def watched(site: Site) -> Iterator[Counter[str]]:
    """Read the plugin's file by its full name again and again; yields how often it had which version, or was not there."""
    seen: Counter[str] = Counter()
    over = threading.Event()
    path = f"/proc/{site.host.pid}/root{site.host.root}/wp-content/plugins/lab-banner/lab-banner.php"

    def look() -> None:
        while not over.wait(0.0002):
            try:
                with open(path, encoding="utf-8") as file:
                    seen[next((line.split()[1] for line in file if line.startswith("Version:")), "no plugin")] += 1
            except OSError as error:
                seen[type(error).__name__] += 1

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_vanished_plugin(site: Site) -> None:
    # Good in staging and bad in production: there and back again.
    site.offer(lab_banner="2.12")
    active = "SELECT option_value FROM wp_options WHERE option_name = 'active_plugins'"
    before = site.host.sql(active)
    assert site.run(*STAGED)["rehearse"].outcome == "done"

    with watched(site) as seen:
        promoted = site.run("promote")["promote"]

    assert promoted.outcome == "put-back", promoted
    assert set(seen) == {"1.0", "2.12"}, seen
    assert min(seen.values()) > 50
    assert "lab-banner/lab-banner.php" in before
    assert site.host.sql(active) == before
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()
