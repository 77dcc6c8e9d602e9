"""Real hosts for every kind of test: the lab's instance `test`, its site brought back to the template for each test."""

from __future__ import annotations

import os
import shutil
import string
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# Their asserts are told in full, as those of the tests are.
pytest.register_assert_rewrite("tests.pipeline", "tests.host.shop", "tests.trials")

from tests.host.shop import Shop, shop_of  # noqa: E402
from tests.lab import Lab  # noqa: E402
from tests.lanes import Lanes, when  # noqa: E402
from tests.pipeline import Site  # noqa: E402
from tests.trials import AsTemplate, Trials  # noqa: E402

HOST = "shop"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes | None:
    """Deal files out by tests/lanes.py where a whole file goes to one lane; otherwise by xdist's own ways."""
    return Lanes(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: when(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what a host's PHP was waiting for, when a test on it fails: a probe that got no answer says no more than that."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    for host in lab.hosts() if report.failed and isinstance(lab, Lab) else ():
        said = host.slow_requests() if host.pid else ""
        if said:
            report.sections.append((f"slow requests of {host.name}", said[-8000:]))
    return report


@pytest.fixture(scope="session")
def instance(request: pytest.FixtureRequest) -> str:
    """Return the name of the lab: `test`, and where tests run side by side (pytest -n) one for each of them.

    Two people on one machine name theirs: UPKEEP_LAB=mine, which molecule reads too.
    """
    worker = getattr(request.config, "workerinput", {}).get("workerid", "")
    base = os.environ.get("UPKEEP_LAB", "test")
    return f"{base}{string.ascii_lowercase[int(worker.removeprefix('gw'))]}" if worker else base


@pytest.fixture(scope="session")
def lab(instance: str) -> Iterator[Lab]:
    """Return the lab with one host. What is up already is used as it is, and left up."""
    if os.geteuid() != 0:
        pytest.fail("the lab needs root: type sudo, or leave these tests out with -m 'not root'")
    lab = Lab(instance)
    before = {host.name for host in lab.hosts() if host.pid}
    lab.up([HOST])
    yield lab
    if HOST not in before and not os.environ.get("UPKEEP_LAB_KEEP"):
        lab.down(*([HOST] if before else []))


@pytest.fixture(scope="session")
def sockets() -> Iterator[Path]:
    """Return a folder for Ansible's sockets: short, because the path of a socket is."""
    folder = Path(tempfile.mkdtemp(prefix="upk", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def as_template(lab: Lab, sockets: Path) -> Iterator[AsTemplate]:
    """Return the hosts whose site is known to be as its template has it."""
    hosts = AsTemplate()
    yield hosts
    hosts.end_trials()


@pytest.fixture
def trials(
    lab: Lab, sockets: Path, tmp_path_factory: pytest.TempPathFactory, as_template: AsTemplate
) -> Iterator[Trials]:
    """Return a staging copy of the shop in which bad releases are tried; tests that come one after the other share it."""
    trials = as_template.trials
    if trials is None:
        folder = tmp_path_factory.mktemp("trials")
        trials = Trials.begun(lab, HOST, sockets, folder, reset=HOST not in as_template)
        as_template.discard(HOST)
    yield trials
    as_template.trials = trials if trials.is_whole else None


@pytest.fixture
def shop(lab: Lab, tmp_path: Path, sockets: Path, as_template: AsTemplate) -> Shop:
    """Return the shop as the template has it, for a test that changes the site."""
    as_template.taken(HOST)
    return shop_of(lab, HOST, tmp_path / "inventories" / "example", sockets)


@pytest.fixture
def site(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """Return the shop with the steps of a run, and nothing on offer."""
    return _site(shop, monkeypatch, tmp_path)


@pytest.fixture
def untouched_site(
    lab: Lab, tmp_path: Path, sockets: Path, as_template: AsTemplate, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Return the shop for a test that shows that nothing happens to it: that saves the reset before the next such test."""
    as_template.end_trials()
    shop = shop_of(lab, HOST, tmp_path / "inventories" / "example", sockets, reset=HOST not in as_template)
    as_template.discard(HOST)
    site = _site(shop, monkeypatch, tmp_path)
    before = site.state()
    yield site
    assert before.differences(site.state()) == []
    if site.is_tidy:
        as_template.add(HOST)


def _site(shop: Shop, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Site:
    monkeypatch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(shop.sockets))
    shop.lab.mirror.offer()
    return Site(shop, folder)
