"""Two sites of a client, each on a host of its own, updated at once: one call of Ansible, two fates."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import pytest
import yaml

from tests.host.second_host import HOST, know, second_host
from tests.lab import BAD, Lab
from tests.lab.hosts import Host
from tests.pipeline import RESTART_PHP, Site

pytestmark = pytest.mark.root

BROKEN = BAD["bad-only-in-production"]


@pytest.fixture(scope="module")
def other(lab: Lab) -> Iterator[Host]:
    """Return a second host with a site as the template has it, and more memory for PHP in the web server."""
    with second_host(lab) as host:
        lab.reset(HOST)
        _memory(host, "96M", "512M")
        yield host
        _memory(host, "512M", "96M")


def _memory(host: Host, before: str, after: str) -> None:
    pools = "/etc/php/*/fpm/pool.d/*.conf"
    host.run(
        ["sh", "-c", f"sed -i 's/memory_limit. = {before}/memory_limit] = {after}/' {pools}; {RESTART_PHP}"], check=True
    )


def _second_site(site: Site, host: Host) -> None:
    """Write the second site into the contract: as the shop, but on its own host."""
    know(site.shop, host)
    path = site.shop.inventory / "contract.yml"
    contract = yaml.safe_load(path.read_text())
    contract["sites"][HOST] = copy.deepcopy(contract["sites"]["shop"])
    contract["sites"][HOST]["places"]["production"]["host"] = HOST
    path.write_text(yaml.safe_dump(contract))


def _version(host: Host) -> str:
    main = (host.disk / "htdocs/wp-content/plugins/lab-banner/lab-banner.php").read_text()
    return next(line.split(":")[1].strip() for line in main.splitlines() if "Version:" in line)


def test_one_site_goes_back_and_the_other_one_gets_the_release(site: Site, other: Host) -> None:
    _second_site(site, other)
    site.offer(lab_banner=BROKEN)

    said = site.upkeep("run", "example", "--now")

    assert said.code == 3, said.text
    ended = {run["site"]: run for run in said.answer["runs"]}
    # It dies of the memory that php-fpm gives it on the one host, and not of that on the other.
    assert {name: run["outcome"] for name, run in ended.items()} == {"shop": "put-back", HOST: "done"}
    assert ended["shop"]["run"] != ended[HOST]["run"]
    site.serves("1.0")
    site.tidy()
    assert _version(site.host) == "1.0"
    assert _version(other) == BROKEN
    assert other.fetch("/lab-post-1/").status == 200
    # Both were at work at the same time.
    first, second = (site.recorded(ended[name]["run"]) for name in ("shop", HOST))
    assert first.ended is not None
    assert second.began < first.ended
    # Each has a restore point of its own in the client's store.
    points = {name: site.shop.store.parent / name / "points" / f"{run['run']}.json" for name, run in ended.items()}
    manifests = {name: json.loads(path.read_text()) for name, path in points.items()}
    assert {name: manifest["site"] for name, manifest in manifests.items()} == {"shop": "shop", HOST: HOST}
    # The next run offers it to neither: here it is held, there it is installed.
    assert [hold["site"] for hold in site.upkeep("status", "example").answer["holds"]] == ["shop"]
