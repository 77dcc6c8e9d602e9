"""A second host beside the site's own: for staging, for a drill, for a site that has to be put up elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from tests.host.shop import Shop
from tests.lab import Lab
from tests.lab.hosts import Host

HOST = "fresh"


@contextmanager
def second_host(lab: Lab) -> Iterator[Host]:
    """Yield a second host. It goes at the end if it was not there before."""
    known = {host.name for host in lab.hosts() if host.pid}
    lab.up(["shop", HOST])
    yield lab.host(HOST)
    if HOST not in known and not os.environ.get("UPKEEP_LAB_KEEP"):
        lab.down(HOST)


def know(shop: Shop, host: Host, **more: object) -> None:
    """Write the second host into the client's inventory, reached as the site's own is, but for what `more` says."""
    path = shop.inventory / "hosts.yml"
    hosts = yaml.safe_load(path.read_text())
    hosts["all"]["hosts"][HOST] = {**hosts["all"]["hosts"]["shop"], "ansible_host": host.address, **more}
    path.write_text(yaml.safe_dump(hosts))
