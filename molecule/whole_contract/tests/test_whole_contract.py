"""The contract is kept: what was on offer is there, what was bad is not."""

ROOT = "/srv/shop/htdocs"


def page(host, path):
    """Return a page as a visitor on the host sees it."""
    return host.check_output(f"curl -s -H 'Host: shop.example.test' http://127.0.0.1{path}")


def test_wordpress_and_its_database_moved(host):
    assert "6.5.5" in host.check_output(f"grep wp_version {ROOT}/wp-includes/version.php")


def test_plugin_and_theme_moved(host):
    assert host.file(f"{ROOT}/wp-content/plugins/newspack-blocks/newspack-blocks.php").contains("4.33.0")
    assert host.file(f"{ROOT}/wp-content/themes/twentytwentythree/style.css").contains("Version: 1.2")


def test_the_bad_release_is_not_there(host):
    assert not host.file(f"{ROOT}/wp-content/plugins/lab-banner/lab-banner.php").contains("2.12")


def test_every_function_of_the_client_works(host):
    assert "Example Bakery" in page(host, "/")
    assert "LAB-1" in page(host, "/lab-post-1/")


def test_the_site_is_open(host):
    assert not host.file(f"{ROOT}/.maintenance").exists
    assert not host.file("/srv/shop/.upkeep/lease.json").exists
