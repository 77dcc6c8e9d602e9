"""A promotion, or its way back, that dies at any moment: the host goes back by itself, or the next who asks takes it up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.written import assert_written, write_meanwhile
from tests.lab import Lab
from tests.lab.hosts import USERS
from tests.lab.processes import wait_for
from tests.staged import Staged, staged
from tests.trials import AsTemplate

pytestmark = pytest.mark.root

SYSTEMD = f"/run/user/{USERS['shop']}/systemd/private"
# Good in staging, and dies in production, where PHP's memory is small.
BAD_IN_PRODUCTION = "2.12"

# Moments in which the process of a promotion may die, and what a visitor finds then.
MOMENTS = {
    "before Promotion.freeze": 200,
    "before freeze.freeze": 200,
    "after freeze.freeze": 503,
    "after tree.bring_up_to_date": 503,
    "after Database.put_aside": 503,
    "after Promotion.catch_up": 503,
    "before tree.exchange": 503,
    "after tree.exchange": 503,
    "after freeze.refresh_opcodes": 503,
    "after Promotion.look": 503,
}
MOMENTS_OF_A_WAY_BACK = (
    "before way_back.back",
    "before tree.exchange@2",
    "after tree.exchange@2",
    "before Database.put_back",
    "after Database.put_back",
    "after Promotion.look@2",
    "before Promotion.thaw",
    "after Promotion.thaw",
)


@pytest.fixture(scope="module")
def ready(
    lab: Lab, sockets: Path, tmp_path_factory: pytest.TempPathFactory, as_template: AsTemplate
) -> Iterator[Staged]:
    """Stage once a release that is bad in production only; each test begins from there."""
    folder = tmp_path_factory.mktemp("bad")
    with staged(lab, sockets, folder, as_template, lab_banner=BAD_IN_PRODUCTION, lab_alpha="1.1") as ready:
        yield ready


def test_a_promotion_that_dies_at_any_moment_is_put_back(ready: Staged, subtests: pytest.Subtests) -> None:
    for moment, status in MOMENTS.items():
        with subtests.test(moment):
            # The host's own way back dies with it: who asks next has to go back.
            ready.host.ask("promote", stop=moment)
            assert ready.site.get().status == status

            recovered = ready.host.ask("recover")

            assert recovered["outcome"] == "done"
            assert recovered["state"] == ("untouched" if moment == "before Promotion.freeze" else "put-back"), recovered
            ready.again()
            ready.site.serves("1.0")
            assert ready.site.host.sql("SHOW TABLES LIKE 'upkeep_aside%'") == ""


def test_a_promotion_that_dies_alone_is_put_back_by_the_host(ready: Staged, subtests: pytest.Subtests) -> None:
    for moment in ("after freeze.freeze", "after Database.put_aside", "after tree.exchange", "after Promotion.look"):
        with subtests.test(moment):
            ready.host.ask("promote", stop=moment, alone=True)
            ready.until_nothing_works()

            journal = ready.journal()
            assert journal["state"] == "back", (ready.folder / "own_way_back.log").read_text()
            assert ready.before.differences(ready.site.state()) == []
            ready.site.serves("1.0")
            if moment == "after tree.exchange":
                # Who asks next is told so, and adds a verdict.
                recovered = ready.host.ask("recover")
                assert (recovered["state"], recovered["host"]) == ("put-back", journal["host"])
                assert recovered["host"]["opcodes"] == "emptied"
                assert 0 < recovered["broken_seconds"] < 10
            ready.again()


def test_where_the_owner_may_linger_systemd_keeps_the_way_back(ready: Staged) -> None:
    host = ready.site.host
    host.run(["loginctl", "enable-linger", "shop"], check=True)
    try:
        wait_for("the owner's systemd", lambda: host.run(["test", "-S", SYSTEMD]).returncode == 0, 20)
        ready.host.ask("promote", stop="after tree.exchange", alone=True)
        ready.until_nothing_works()
        assert ready.journal()["state"] == "back", (ready.folder / "own_way_back.log").read_text()
        ready.again()
        assert ready.host.ask("promote")["armed"] == {"kept_by": "systemd", "deadline": 900}
    finally:
        host.run(["loginctl", "disable-linger", "shop"], check=True)
    ready.again()


def test_a_way_back_that_dies_at_any_moment_is_taken_up_again(ready: Staged, subtests: pytest.Subtests) -> None:
    for moment in MOMENTS_OF_A_WAY_BACK:
        with subtests.test(moment):
            ready.host.ask("promote", stop=moment)
            assert ready.site.get().status == (200 if moment == "after Promotion.thaw" else 503)

            assert ready.host.ask("recover")["state"] == "put-back"

            ready.again()
            ready.site.serves("1.0")


def test_what_was_written_meanwhile_survives_a_way_back(ready: Staged) -> None:
    site = ready.site
    write_meanwhile(site)
    ready.before = site.state()

    promoted = site.run("promote")["promote"]

    assert promoted.outcome == "put-back", promoted
    assert promoted.evidence["back_verdict"]["healthy"] is True
    assert promoted.evidence["tables_unexpected"] == []
    assert_written(site)
    # Asked again, as Ansible does when the connection broke, it does not try the bad release a second time.
    again = site.run("promote")["promote"]
    assert (again.outcome, again.evidence["verdict"]) == ("put-back", promoted.evidence["verdict"])
    ready.again()
    site.serves("1.0")
