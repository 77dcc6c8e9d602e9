"""What was lost is there again."""

ROOT = "/srv/shop/htdocs"


def page(host, path):
    """Return a page as a visitor on the host sees it."""
    return host.check_output(f"curl -s -H 'Host: shop.example.test' http://127.0.0.1{path}")


def test_the_files_are_back(host):
    assert int(host.check_output(f"find {ROOT}/wp-content/uploads -type f | wc -l")) > 0
    assert host.file(f"{ROOT}/wp-content/uploads").user == "shop"


def test_the_posts_are_back(host):
    assert "LAB-1" in page(host, "/lab-post-1/")


def test_nothing_of_the_restore_is_left(host):
    assert not host.file("/srv/shop/.upkeep/lease.json").exists
    assert host.check_output("find /srv/shop -mindepth 1 -maxdepth 1 ! -name htdocs ! -name .upkeep") == ""


def test_no_secret_of_the_store_stays_on_the_host(host):
    secrets = host.ansible.get_variables()
    for name in ("site_snapshot_secret_key", "site_snapshot_password"):
        assert host.run(f"grep -rlF -- '{secrets[name]}' /srv/shop /tmp 2>/dev/null").stdout == ""
