"""Every bootstrap dies, and so does a way back that goes through the CMS [wpmgr 210]: ours needs neither PHP nor the CMS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pipeline import Site, php_settings, struck, without_program
from tests.trials import Trials

pytestmark = pytest.mark.root

# A hoster's agent, loaded before every script of production's PHP: it has a function of the same name as the release.
AGENT = """<?php
$lab_file = '/srv/shop/htdocs/wp-content/plugins/lab-banner/lab-banner.php';
if ( strpos( (string) @file_get_contents( $lab_file, false, null, 0, 400 ), 'Version: 1.1' ) ) {
    function lab_banner_total() { return null; }
}
"""


@pytest.fixture
def agent(site: Site) -> Iterator[None]:
    """Let production's PHP, web and command line alike, differ from staging's so that lab-banner 1.1 cannot be loaded."""
    site.host.run(["tee", "/etc/lab-agent.php"], input=AGENT, check=True)
    with php_settings(site.host, "auto_prepend_file=/etc/lab-agent.php", "fpm", "cli"):
        yield


def test_fatal_on_every_request_in_staging(trials: Trials) -> None:
    reason = trials.held("2.0")

    for function in ("front page", "dashboard", "assets"):
        assert function in reason


def test_fatal_on_every_request_in_production(site: Site, agent: None) -> None:
    site.offer(lab_banner="1.1")
    before = site.state()

    promoted = site.put_back_in_production(state=before)

    broken = str(promoted.evidence["broken"])
    for function in ("front page", "a post", "dashboard"):
        assert f"{function}: status 500, expected 200" in broken
    assert "Cannot redeclare lab_banner_total" in broken
    assert promoted.evidence["broken_seconds"] < 10
    site.serves("1.0")


def test_fatal_on_every_request_and_the_way_back_has_no_php(site: Site, agent: None) -> None:
    site.offer(lab_banner="1.1")
    before = site.state()
    site.run("preflight", "stage", "rehearse")

    # The module dies with the bad release in place, and PHP's command line is gone as well.
    with struck(site, "exchanged"):
        assert site.run("promote")["promote"].outcome == "silent"
    assert site.version() == "1.1"
    with without_program(site.host, "php"):
        recovered = site.run("recover")["recover"]
        assert before.differences(site.state()) == []
        site.serves("1.0")

    # Without PHP there is no session for the administrator's pages: that is all that is missing for a verdict.
    assert recovered.outcome == "not-put-back"
    assert {
        reason.partition(": ")[2].partition(": ")[2] for reason in recovered.evidence["back_verdict"]["reasons"]
    } == {"no session of an administrator was given"}
    assert site.run("recover")["recover"].outcome == "done"
    assert before.differences(site.state()) == []
    site.tidy()
