"""A lease is given back, and nobody but the owner can look into our folder."""

WORKSHOP = "/srv/shop/.upkeep"


def test_no_lease_is_left(host):
    assert not host.file(f"{WORKSHOP}/lease.json").exists


def test_our_folder_is_the_owners_alone(host):
    folder = host.file(WORKSHOP)
    assert folder.is_directory
    assert folder.mode == 0o700
    assert folder.user == "shop"


def test_no_run_left_its_folder(host):
    assert host.check_output(f"find {WORKSHOP} -mindepth 1 -maxdepth 1 -name '2*-*'") == ""
