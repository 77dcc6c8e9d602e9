"""An opcode cache without timestamp checks serves old code after a swap or a way back [trellis 125]: what is served is on disk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pipeline import WHOLE, Site, php_settings

pytestmark = pytest.mark.root


@pytest.fixture(params=["validate_timestamps=0", "revalidate_freq=60"])
def forgetful(site: Site, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the host's PHP look at each file once and never again, or not for a minute."""
    with php_settings(site.host, f"opcache.enable=1\nopcache.{request.param}", "fpm"):
        yield


def master(site: Site) -> str:
    """Name the php-fpm that root started, by number and time."""
    return site.host.run(["sh", "-c", "ps -o pid=,lstart= -p $(pgrep -o php-fpm)"], check=True).stdout


def test_stale_opcode_cache(site: Site, forgetful: None) -> None:
    site.serves("1.0")
    plugin = site.root / "wp-content" / "plugins" / "lab-banner" / "lab-banner.php"
    good = plugin.read_text(encoding="utf-8")
    plugin.write_text(good.replace("Lab Banner 1.0", "Lab Banner by hand"), encoding="utf-8")
    site.serves("1.0")  # The cache is as stale as the test needs it.
    plugin.write_text(good, encoding="utf-8")
    started = master(site)

    site.offer(lab_banner="1.1", lab_alpha="1.1")
    assert site.run(*WHOLE)["promote"].outcome == "done"

    assert site.version() == "1.1"
    site.serves("1.1")
    assert "<!-- lab-alpha 1.1 -->" in site.get().body

    site.offer(lab_banner="2.12", lab_alpha="1.2")
    site.put_back_in_production(state=site.state())

    assert site.version() == "1.1"
    site.serves("1.1")
    assert "<!-- lab-alpha 1.1 -->" in site.get().body
    assert master(site) == started


def test_stale_opcode_cache_that_cannot_be_emptied(untouched_site: Site) -> None:
    site = untouched_site
    site.offer(lab_banner="1.1")
    with php_settings(site.host, "opcache.validate_timestamps=0\nopcache.restrict_api=/nowhere", "fpm"):
        steps = site.run("preflight")
        site.run("release")

    assert steps["preflight"].outcome == "refused"
    assert "cannot be emptied" in steps["preflight"].message
    site.serves("1.0")
    site.tidy()
