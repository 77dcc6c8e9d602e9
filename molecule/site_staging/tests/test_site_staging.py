"""Of the copy nothing is left, and production never noticed."""


def test_the_copy_does_not_answer(host):
    assert host.run("curl -s -m 5 http://127.0.0.1:8081/").rc != 0


def test_no_process_of_ours_is_left(host):
    assert host.run("pgrep -u shop -f 'php.*8081'").stdout == ""


def test_no_lease_is_left(host):
    assert not host.file("/srv/shop/.upkeep/lease.json").exists


def test_production_serves(host):
    assert "Example Bakery" in host.check_output("curl -s -H 'Host: shop.example.test' http://127.0.0.1/")
