"""Which sites go side by side, and which never do."""

from __future__ import annotations

import pytest

from orchestrator.plan.plan import Duty, SiteRun, remade_run
from orchestrator.plan.waves import waves

SITES = ("shop", "blog", "forum", "intranet")


def run(site: str, duty: Duty = Duty.UPDATE, **variables: str) -> SiteRun:
    number = f"20261122T020000Z-{SITES.index(site):08x}"
    return remade_run(
        run=number, point=number, client="example", site=site, host=f"{site}-host", duty=duty, variables=variables
    )


def sites(runs: list[SiteRun], machines: dict[str, str] | None = None, most: int = 5) -> list[list[str]]:
    return [[each.site for each in wave] for wave in waves(runs, machines or {}, most)]


def test_sites_on_machines_of_their_own_go_side_by_side() -> None:
    assert sites([run("shop"), run("blog"), run("forum")]) == [["shop", "blog", "forum"]]


def test_no_more_go_side_by_side_than_were_asked_for() -> None:
    four = [run(site) for site in SITES]
    assert sites(four, most=3) == [["shop", "blog", "forum"], ["intranet"]]
    assert sites(four, most=1) == [["shop"], ["blog"], ["forum"], ["intranet"]]


def test_sites_of_one_machine_wait_for_each_other() -> None:
    machines = {"shop-host": "192.0.2.1", "blog-host": "192.0.2.1", "forum-host": "192.0.2.2"}
    assert sites([run("shop"), run("blog"), run("forum")], machines) == [["shop", "forum"], ["blog"]]


@pytest.mark.parametrize("duty", [Duty.RESTORE, Duty.DRILL, Duty.SHOW, Duty.UNSTAGE, Duty.REBUILD])
def test_what_a_person_asks_for_and_watches_goes_alone(duty: Duty) -> None:
    assert sites([run("shop", duty), run("blog", duty)]) == [["shop"], ["blog"]]


@pytest.mark.parametrize("duty", [Duty.BACKUP, Duty.REHEARSE])
def test_backups_and_rehearsals_go_side_by_side(duty: Duty) -> None:
    assert sites([run("shop", duty), run("blog", duty)]) == [["shop", "blog"]]


def test_sites_with_other_steps_do_not_share_a_call() -> None:
    assert sites([run("shop"), run("blog", Duty.BACKUP)]) == [["shop"], ["blog"]]


def test_a_site_with_a_staging_host_of_its_own_goes_alone() -> None:
    away = [run(site, upkeep_staging_host="yard") for site in ("shop", "blog")]
    assert sites([*away, run("forum"), run("intranet")]) == [["shop"], ["blog"], ["forum", "intranet"]]
