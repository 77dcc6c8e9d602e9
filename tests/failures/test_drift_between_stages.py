"""Production changes between the staging verdict and the promotion: noticed before anything is touched; staged again."""

from __future__ import annotations

import pytest

from tests.pipeline import Site
from tests.staged import STAGED

pytestmark = pytest.mark.root

# A database client that is slow enough for somebody to save a file after the site was found to be as it was staged.
SAVES_A_FILE = """#!/bin/sh
if [ -e /srv/shop/htdocs/.maintenance ] && [ ! -e /home/shop/saved ]; then
    touch /home/shop/saved
    echo '/* saved by hand */' >>{path}
fi
exec mariadb "$@"
"""


def test_drift_between_stages(site: Site) -> None:
    site.offer(lab_banner="1.1", lab_alpha="1.1")
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    site.put_release("lab-alpha", "1.1")
    before = site.state()

    refused = site.run("promote")["promote"]

    assert refused.outcome == "refused"
    assert "Production changed since it was staged (wp-content/plugins/lab-alpha/lab-alpha.php and " in refused.message
    assert {path.rpartition("/")[0] for path in refused.evidence["drift"]} == {"wp-content/plugins/lab-alpha"}
    assert before.differences(site.state()) == []
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()

    # Staged again, what is left to do arrives; unless somebody saves a file in the last moment before it.
    path = "wp-content/plugins/lab-banner/lab-banner.php"
    script = SAVES_A_FILE.format(path=f"{site.host.root}/{path}")
    site.shop.programs(mariadb=site.shop.install("/home/shop/slow-mariadb", script))
    staged = site.run(*STAGED)["rehearse"]
    assert staged.delivered == ["lab-banner"]

    refused = site.run("promote")["promote"]

    assert refused.outcome == "put-back"
    assert f"somebody changed {path} at the last moment" in refused.message
    assert (site.root / path).read_text().endswith("/* saved by hand */\n")
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()
