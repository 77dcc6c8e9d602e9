"""A customer orders between snapshot and verdict [elementor 12212]: the order is there afterwards, whatever the verdict."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.pipeline import Site
from tests.staged import STAGED

pytestmark = pytest.mark.root


@contextmanager
def customers(site: Site) -> Iterator[Counter[int]]:
    """Order again and again while the block lasts; yields how often each status came. 200: the order was taken."""
    seen: Counter[int] = Counter()
    over = threading.Event()

    def order() -> None:
        while not over.wait(0.05):
            connection = http.client.HTTPConnection(site.host.address, 80, timeout=30)
            body = json.dumps({"customer": "Ada", "amount": 1})
            headers = {"Host": "shop.example.test", "Content-Type": "application/json"}
            try:
                connection.request("POST", "/wp-json/lab/v1/orders", body, headers)
                seen[connection.getresponse().status] += 1
            finally:
                connection.close()

    threads = [threading.Thread(target=order) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def orders(site: Site) -> int:
    """Count the orders of these customers."""
    return int(site.host.sql("SELECT COUNT(*) FROM wp_lab_orders WHERE customer = 'Ada'"))


@pytest.mark.parametrize(
    ("version", "outcome"),
    # The second changes the table that the orders are in, and is bad in production only.
    [("1.1", "done"), ("2.17", "put-back")],
)
def test_order_during_update(site: Site, version: str, outcome: str) -> None:
    site.offer(lab_banner=version)
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    with customers(site) as seen:
        promoted = site.run("promote")["promote"]

    assert promoted.outcome == outcome, promoted
    assert set(seen) <= {200, 503}, seen
    assert seen[200] > 5
    assert seen[503] > 0
    assert orders(site) == seen[200]
    assert site.run("release")["release"].outcome == "done"
    site.tidy()
