"""The good release reached production, the bad ones did not, and nothing is left of the trying."""

PLUGINS = "/srv/shop/htdocs/wp-content/plugins"


def version(host, plugin):
    """Return the version that a plugin's header names."""
    return host.check_output(f"sed -n 's/^.*Version: *//p' {PLUGINS}/{plugin}/{plugin}.php")


def test_the_good_release_is_there(host):
    assert version(host, "lab-alpha") == "1.1"


def test_neither_bad_release_is_there(host):
    assert version(host, "lab-banner") == "1.0"


def test_what_came_together_with_a_bad_release_went_back_with_it(host):
    assert version(host, "lab-beta") == "1.0"


def test_the_site_is_open_and_whole(host):
    assert not host.file("/srv/shop/htdocs/.maintenance").exists
    page = host.check_output("curl -s -H 'Host: shop.example.test' http://127.0.0.1/")
    assert "Example Bakery" in page
    assert "</html>" in page


def test_every_file_is_still_the_owners(host):
    assert host.check_output("find /srv/shop/htdocs ! -user shop") == ""


def test_nothing_of_the_runs_is_left(host):
    assert not host.file("/srv/shop/.upkeep/lease.json").exists
    assert host.run("curl -s -m 5 http://127.0.0.1:8081/").rc != 0
