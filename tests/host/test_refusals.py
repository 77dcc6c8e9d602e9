"""Sites that cannot be updated safely are told so before anything is touched, and nothing of somebody else's is lost."""

from __future__ import annotations

import pytest

from tests.pipeline import WHOLE, Site

pytestmark = pytest.mark.root

PLUGIN = "wp-content/plugins/lab-alpha"
# A drop-in that opens production's database by its own name, whatever wp-config.php says.
OWN_DATABASE = (
    "<?php require_once ABSPATH . WPINC . '/class-wpdb.php'; $wpdb = new wpdb(DB_USER, DB_PASSWORD, 'shop', DB_HOST);"
)


def configured(site: Site, line: str) -> None:
    """Add a line to the site's wp-config.php, before it loads WordPress."""
    path = site.root / "wp-config.php"
    path.write_text(
        path.read_text(encoding="utf-8").replace("$table_prefix", f"{line}\n$table_prefix"), encoding="utf-8"
    )


def shell(site: Site, script: str) -> None:
    """Run a line as the site's owner, in the document root."""
    site.host.run(["sh", "-ec", f"cd {site.host.root}\n{script}"], user="shop", check=True)


@pytest.mark.parametrize(
    ("script", "line", "said"),
    [
        (
            f"mv {PLUGIN} /srv/shop/alpha; ln -s /srv/shop/alpha {PLUGIN}", "",
            "wp-content/plugins/lab-alpha is a link to a place that a staging copy would share with production",
        ),
        ("mv wp-content/plugins /srv/shop/plugins; ln -s ../../plugins wp-content/plugins", "", "wp-content/plugins is a link"),
        (
            "cp -a wp-content/plugins /srv/shop/plugins", "define('WP_PLUGIN_DIR', '/srv/shop/plugins');",
            "its plugin folder is /srv/shop/plugins, outside of the usual place",
        ),
        (
            "cp -a wp-content app", "define('WP_CONTENT_DIR', __DIR__ . '/app'); define('WP_CONTENT_URL', '/app');",
            "its content folder is /srv/shop/htdocs/app, outside of the usual place",
        ),
    ],
)  # fmt: skip
def test_a_site_of_an_unusual_build_is_refused_before_anything_is_touched(
    site: Site, script: str, line: str, said: str
) -> None:
    shell(site, script)
    if line:
        configured(site, line)
    before = site.state()

    refused = site.run("preflight")["preflight"]

    assert refused.outcome == "refused", refused
    assert said in refused.message
    assert before.differences(site.state()) == []
    assert site.run("release")["release"].outcome == "done"
    site.tidy()


def test_a_staging_database_with_somebody_elses_tables_is_not_emptied(untouched_site: Site) -> None:
    site = untouched_site
    site.host.sql("CREATE TABLE blog_posts (id INT); INSERT INTO blog_posts VALUES (1)", database="shop_staging")
    try:
        refused = site.run("preflight", "stage")["stage"]
        assert refused.outcome == "refused", refused
        assert "has 1 tables that are not a staging copy's, such as blog_posts" in refused.message
        site.run("release")
        site.shop.play("unstage")
        assert site.host.sql("SELECT id FROM blog_posts", database="shop_staging") == "1\n"
    finally:
        site.host.sql("DROP TABLE blog_posts", database="shop_staging")
    # The playbook by hand was a run of its own, and has overtaken the one before.
    site.begin()
    site.run("release")
    site.tidy()


def test_a_copy_that_would_use_productions_database_is_never_run(site: Site) -> None:
    site.put_file("wp-content/db.php", OWN_DATABASE)
    site.serves("1.0")
    before = site.state()

    refused = site.run("preflight", "stage")["stage"]

    assert refused.outcome == "refused", refused
    assert "the copy would use the database shop, not shop_staging" in refused.message
    assert before.differences(site.state()) == []
    site.run("release")
    site.tidy()


def test_a_document_root_that_is_a_link_is_updated_where_it_leads(site: Site) -> None:
    shell(site, "cd /srv/shop; mkdir releases; mv htdocs releases/7; ln -s releases/7 htdocs")
    site.serves("1.0")
    site.offer(lab_banner="1.1")

    steps = site.run(*WHOLE)

    assert [step.outcome for step in steps.values()] == ["done"] * 5, steps
    listed = site.host.run(["sh", "-c", "readlink /srv/shop/htdocs; ls -A /srv/shop /srv/shop/releases"]).stdout.split()
    assert listed == ["releases/7", "/srv/shop:", "htdocs", "releases", "/srv/shop/releases:", ".upkeep", "7"]
    site.serves("1.1")


def test_odd_names_protected_folders_and_folders_named_in_full_take_part(site: Site) -> None:
    # Named by their full path, these would be production's own in the staging copy too.
    configured(
        site,
        "define('WP_CONTENT_DIR', '/srv/shop/htdocs/wp-content'); define('WP_PLUGIN_DIR', '/srv/shop/htdocs/wp-content/plugins');",
    )
    shell(
        site,
        f"""touch "$(printf '{PLUGIN}/caf\\351.txt')" "$(printf 'wp-content/plugins/\\377.php')"
        printf '<?php\\n/* Plugin Name: Odd\\nVersion: 1\\n*/' >"$(printf 'wp-content/plugins/\\376.php')"
        mkdir -p wp-content/sealed/deep; touch wp-content/sealed/deep/x; chmod 555 wp-content/sealed/deep wp-content/sealed""",
    )
    site.offer(lab_banner="1.1")
    before = site.state()

    steps = site.run("preflight", "stage", "rehearse")

    assert steps["rehearse"].delivered == ["lab-banner"], steps["rehearse"]
    assert before.differences(site.state()) == []

    steps = site.run("promote", "release")

    assert [step.outcome for step in steps.values()] == ["done"] * 2, steps
    assert "\\udcfe.php" in steps["promote"].evidence["after"]["plugins"]
    changed = [path for path in before.differences(site.state()) if not path.startswith("table ")]
    assert {path.rpartition("/")[0] for path in changed} == {"wp-content/plugins/lab-banner"}
    site.serves("1.1")
    site.tidy()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("exit;", "PHP was ended while running wp-config.php"),
        ("define('DB_NAME', 'shop'", "wp-config.php cannot be run: ParseError in line"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_told_without_its_secrets(site: Site, line: str, said: str) -> None:
    text = (site.root / "wp-config.php").read_text(encoding="utf-8")
    (site.root / "wp-config.php").write_text(text.replace("<?php", f"<?php\n{line}", 1), encoding="utf-8")

    refused = site.run("preflight")["preflight"]

    assert refused.outcome == "refused", refused
    assert said in refused.message
    assert "Production was not touched" in refused.message
    secret = next(line for line in text.splitlines() if "DB_PASSWORD" in line).split("'")[3]
    assert secret not in str(refused)


def test_without_php_the_site_is_left_alone(untouched_site: Site) -> None:
    site = untouched_site
    site.shop.programs(php="/usr/bin/php-that-is-not-there")

    refused = site.run("preflight")["preflight"]

    assert refused.outcome == "refused"
    assert (
        "php-that-is-not-there cannot be started: No such file or directory. Production was not touched."
        in refused.message
    )
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()


def test_releases_that_cannot_be_asked_for_are_not_taken_for_none(untouched_site: Site) -> None:
    mirror = untouched_site.shop.lab.mirror
    untouched_site.fetched_here()
    untouched_site.offer(lab_alpha="1.1")
    mirror.stop()
    try:
        steps = untouched_site.run("preflight", "stage", "rehearse")
    finally:
        mirror.start()

    refused = steps["rehearse"]
    assert refused.outcome == "refused", refused
    assert "Which releases there are of core, plugins, themes could not be asked" in refused.message
    # The controller was asked, and then WordPress.org itself.
    assert "api.wordpress.org/core/version-check/1.7/" in refused.message
    assert "not by the controller: <urlopen error" in refused.message
    assert "upkeep run example" in refused.message
    assert untouched_site.run("release")["release"].outcome == "done"
    untouched_site.tidy()
