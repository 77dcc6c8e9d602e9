"""WordPress updates by itself at night: what is held stays out, and what is not held WordPress may bring as ever."""

from __future__ import annotations

import json

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root

BANNER, ALPHA = "lab-banner/lab-banner.php", "lab-alpha/lab-alpha.php"
NIGHT = r"""
$_SERVER["HTTP_HOST"] = "shop.example.test";
require "wp-load.php";
require_once ABSPATH . "wp-admin/includes/admin.php";
require_once ABSPATH . "wp-admin/includes/class-wp-upgrader.php";
delete_site_transient("update_plugins");
(new WP_Automatic_Updater())->run();
"""


def php(site: Site, code: str) -> str:
    """Run code of WordPress's in production, as the site's owner."""
    command = ["sh", "-c", 'cd "$1" && exec php -r "$2"', "sh", site.host.root, code]
    return site.host.run(command, user="shop", check=True).stdout


def listed(site: Site) -> list[str]:
    """Return the plugins that WordPress updates by itself."""
    said = php(
        site, '$_SERVER["HTTP_HOST"] = "x"; require "wp-load.php"; echo json_encode(get_option("auto_update_plugins"));'
    )
    found: list[str] = json.loads(said)
    return sorted(found)


def test_reinstalled_overnight(site: Site) -> None:
    php(site, f'require "wp-load.php"; update_option("auto_update_plugins", ["{BANNER}", "{ALPHA}"]);')
    site.offer(lab_banner="2.2", lab_alpha="1.1")
    ours = {"cms_update_policy": {"core": "none", "plugins": ["lab-banner"], "themes": "none"}}

    steps = site.run("preflight", "stage", "rehearse", "promote", **ours)

    assert list(steps["rehearse"].held) == ["lab-banner"]
    assert steps["promote"].outcome == "nothing-to-do"
    assert steps["promote"].evidence["auto_updates"]["turned_off"] == ["plugin lab-banner"]
    assert listed(site) == [ALPHA]
    php(site, NIGHT)
    assert site.version("lab-alpha") == "1.1", "WordPress's own updates did not work: nothing is shown"
    assert site.version("lab-banner") == "1.0"
    site.serves("1.0")

    # As the next night's run finds it, when nothing is on offer.
    site.offer()
    still = site.run(
        "rehearse", "promote", **ours, upkeep_holds=[{"kind": "plugin", "slug": "lab-banner", "version": "2.2"}]
    )

    assert "auto_updates" not in still["promote"].evidence
    assert listed(site) == [ALPHA]

    over = site.run("rehearse", "promote", "release", **ours)

    assert over["promote"].evidence["auto_updates"]["turned_on"] == ["plugin lab-banner"]
    assert listed(site) == [ALPHA, BANNER]
    site.tidy()
