"""Looking leaves no trace."""

ROOT = "/srv/shop/htdocs"


def test_the_site_serves(host):
    assert "Example Bakery" in host.check_output("curl -s -H 'Host: shop.example.test' http://127.0.0.1/")


def test_no_lease_is_left(host):
    assert not host.file("/srv/shop/.upkeep/lease.json").exists


def test_nothing_of_ours_lies_in_the_document_root(host):
    assert host.check_output(f"find {ROOT} -newer {ROOT}/wp-config.php -name '*upkeep*'") == ""
