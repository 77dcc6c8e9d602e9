"""An opcode cache without timestamp checks serves old code after a swap or a way back [trellis 125]: what is served is on disk."""

from __future__ import annotations

import os

import pytest

from tests.pipeline import Site, php_settings
from tests.staged import Staged

pytestmark = pytest.mark.root


def master(site: Site) -> str:
    """Name the php-fpm that root started, by number and time."""
    return site.host.run(["sh", "-c", "ps -o pid=,lstart= -p $(pgrep -o php-fpm)"], check=True).stdout


def serves(site: Site, version: str) -> None:
    """Assert that a visitor gets what both plugins' files of this version make."""
    assert [site.version(slug) for slug in ("lab-banner", "lab-alpha")] == [version] * 2
    site.serves(version)
    assert f"<!-- lab-alpha {version} -->" in site.get().body


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


@pytest.mark.parametrize("setting", ["validate_timestamps=0", "revalidate_freq=60"])
def test_stale_opcode_cache(ready: Staged, setting: str) -> None:
    """The host's PHP looks at each file once and never again, or not for a minute."""
    site = ready.site
    with php_settings(site.host, f"opcache.enable=1\nopcache.{setting}", "fpm"):
        serves(site, "1.0")
        plugin = site.root / "wp-content" / "plugins" / "lab-banner" / "lab-banner.php"
        good, seen = plugin.read_text(encoding="utf-8"), plugin.stat()
        plugin.write_text(good.replace("Lab Banner 1.0", "Lab Banner by hand"), encoding="utf-8")
        site.serves("1.0")  # The cache is as stale as the test needs it.
        plugin.write_text(good, encoding="utf-8")
        os.utime(plugin, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        started = master(site)

        # The new release was probed, so it is in the cache, when the disk turns out to be full.
        ended = ready.host.ask("promote", stop="full Promotion.note@5")
        assert (ended["outcome"], ended["verdict"]["healthy"]) == ("put-back", True), ended
        serves(site, "1.0")
        ready.again()

        assert site.run("promote")["promote"].outcome == "done"
        serves(site, "1.1")
        assert master(site) == started
        ready.again()
