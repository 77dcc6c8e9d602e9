"""A restore point on another host than its own, which is cut off meanwhile: nothing of it is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
import yaml

from tests.host.second_host import HOST, know, second_host
from tests.host.shop import Shop, shop_of
from tests.lab import Lab
from tests.lab.hosts import USERS, Host
from tests.pipeline import Site, kill_modules, without_program
from tests.trials import AsTemplate

pytestmark = pytest.mark.root

ACCOUNT = {"name": "newshop", "user": "newshop"}
PASSWORD = "it's a \\ new$one"
# What an update of tables by renaming could not bring back.
MORE = """
CREATE TABLE wp_orders (id INT PRIMARY KEY, note TEXT);
INSERT INTO wp_orders VALUES (1, 'tea'), (2, 'cake');
CREATE TABLE wp_told (note TEXT);
CREATE TRIGGER wp_told_of BEFORE INSERT ON wp_orders FOR EACH ROW INSERT INTO wp_told VALUES (NEW.note);
CREATE VIEW wp_cakes AS SELECT id FROM wp_orders WHERE note = 'cake';
"""


@pytest.fixture(scope="module")
def fresh(lab: Lab) -> Iterator[Host]:
    """Return a second host."""
    with second_host(lab) as host:
        yield host


@pytest.fixture(scope="module")
def gone(
    lab: Lab, fresh: Host, sockets: Path, tmp_path_factory: pytest.TempPathFactory, as_template: AsTemplate
) -> Iterator[Site]:
    """Return a site with one restore point, whose host cannot be reached any more."""
    as_template.taken("shop")
    folder = tmp_path_factory.mktemp("elsewhere")
    shop = shop_of(lab, "shop", folder / "inventories" / "example", sockets)
    know(shop, fresh)
    _has_its_own_database(shop)
    shop.host.run(["chmod", "0750", f"{shop.host.root}/wp-content/uploads"], check=True)
    shop.host.sql(MORE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(sockets))
        site = Site(shop, folder)
        shop.snapshot()
        shop.host.unplug()
        try:
            yield site
        finally:
            shop.host.plug()


def _has_its_own_database(shop: Shop) -> None:
    """Write into the client's inventory that the second host's account has another name and password."""
    more = shop.inventory / "host_vars" / HOST
    more.mkdir(parents=True)
    (more / "vars.yml").write_text(yaml.safe_dump({"upkeep_database": ACCOUNT}))
    (more / "vault.yml").write_text(yaml.safe_dump({"upkeep_database_password": PASSWORD}))


def _without_site(fresh: Host) -> None:
    """Take the site away; what stays is what a host has that was just set up: web server, PHP, an account."""
    # What an earlier test may have left: a recovered site.
    fresh.run(["sh", "-c", f"rm -rf {fresh.root} {Path(fresh.root).parent}/.upkeep"], check=True)
    written = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    fresh.sql(
        "DROP DATABASE IF EXISTS shop; DROP DATABASE IF EXISTS newshop; CREATE DATABASE newshop;"
        f" CREATE USER IF NOT EXISTS newshop@localhost IDENTIFIED BY '{written}';"
        " GRANT ALL ON newshop.* TO newshop@localhost; GRANT ALL ON shop_staging.* TO newshop@localhost",
        database="mysql",
    )


RESTORE = ("restore", "example", "--site", "shop", "--point", "newest", "--to", HOST)


def test_a_host_whose_database_is_not_empty_is_refused_and_an_empty_one_gets_the_site(gone: Site, fresh: Host) -> None:
    (point,) = gone.shop.points()

    _without_site(fresh)
    fresh.sql("CREATE TABLE theirs (id INT)", database="newshop")
    said = gone.upkeep(*RESTORE)
    assert said.code == 12, said.text
    assert "the database newshop is not empty here" in said.answer["runs"][0]["message"]
    assert not (fresh.disk / "htdocs").exists()
    fresh.sql("DROP TABLE theirs", database="newshop")

    said = gone.upkeep(*RESTORE)

    assert said.code == 0, said.text
    (run,) = said.answer["runs"]
    assert (run["outcome"], run["drill"]["point"], run["drill"]["host"]) == ("done", point, HOST)
    assert 0 < run["drill"]["recovery_seconds"] < 120
    assert (run["drill"]["rto_hours"], run["drill"]["missed"]) == (4, [])
    assert "wp-config.php says DB_NAME, DB_PASSWORD, DB_USER as declared for this host" in run["message"]
    (verdict,) = run["verdicts"]
    assert verdict["healthy"] is True
    assert verdict["probes"] >= 7
    page = fresh.fetch("/lab-post-1/")
    assert page.status == 200
    assert "LAB-1" in page.body
    # All that the dump has, not tables alone.
    assert fresh.sql("SELECT * FROM wp_cakes", database="newshop").split() == ["2"]
    fresh.sql("INSERT INTO wp_orders VALUES (3, 'more')", database="newshop")
    assert fresh.sql("SELECT note FROM wp_told", database="newshop").split() == ["more"]
    assert fresh.sql("SHOW TABLES LIKE 'upkeep%'", database="newshop") == ""
    # Byte for byte, but for the four values of wp-config.php.
    then, now = gone.root / "wp-config.php", fresh.disk / "htdocs" / "wp-config.php"
    changed = [
        line
        for line, other in zip(now.read_text().splitlines(), then.read_text().splitlines(), strict=True)
        if line != other
    ]
    assert [line.split("'")[1] for line in changed] == ["DB_NAME", "DB_USER", "DB_PASSWORD"]
    assert now.stat().st_mode == then.stat().st_mode
    assert (fresh.disk / "htdocs" / "wp-content" / "uploads").stat().st_mode & 0o777 == 0o750
    # The lease was had there, and is given back.
    assert sorted(path.name for path in (fresh.disk / ".upkeep").iterdir()) == ["cache", "lock", "token.json"]
    (listed,) = gone.upkeep("points", "example").answer["points"]
    assert (listed["point"], listed["drill"], listed["drilled_on"]) == (point, "done", HOST)
    assert PASSWORD not in said.text
    assert json.dumps(PASSWORD)[1:-1] not in said.text


def test_a_drill_on_a_host_without_the_site_needs_nothing_of_production_and_leaves_nothing(
    gone: Site, fresh: Host
) -> None:
    _without_site(fresh)

    # Nor is there a restic: the controller lends its own.
    with without_program(fresh, "restic"):
        said = gone.upkeep("drill", "example", "--on", HOST)

    assert said.code == 0, said.text
    (run,) = said.answer["runs"]
    assert [step["name"] for step in run["steps"]] == ["drill", "release"]
    assert (run["outcome"], run["drill"]["host"]) == ("done", HOST)
    assert 0 < run["drill"]["recovery_seconds"] < 120
    (verdict,) = run["verdicts"]
    assert (verdict["healthy"], verdict["where"]) == (True, "scratch place, recovered")
    assert fresh.sql("SHOW TABLES", database="shop_staging") == ""
    assert not (fresh.disk / "htdocs").exists()
    assert sorted(path.name for path in (fresh.disk / ".upkeep").iterdir()) == ["bin", "cache", "lock", "token.json"]
    lent = fresh.disk / ".upkeep" / "bin" / "restic"
    assert (lent.stat().st_uid, lent.stat().st_mode & 0o777) == (USERS["shop"], 0o700)
    assert fresh.run(["pgrep", "-a", "-u", "shop", "php$"]).stdout == ""


def test_a_recovery_that_is_killed_is_taken_back_and_leaves_the_host_as_empty_as_it_was(
    gone: Site, fresh: Host
) -> None:
    _without_site(fresh)
    killed: list[int] = []
    over = Event()

    def strike() -> None:
        # The files are there, and some of the tables.
        while not over.wait(0.05) and not killed:
            if fresh.sql("SHOW TABLES LIKE 'wp_%'", database="newshop"):
                killed.extend(kill_modules(fresh))

    watcher = Thread(target=strike)
    watcher.start()
    try:
        said = gone.upkeep(*RESTORE)
    finally:
        over.set()
        watcher.join()

    assert killed
    (run,) = said.answer["runs"]
    assert (said.code, run["outcome"]) == (3, "put-back"), said.text
    assert "What it had brought to that host was removed again" in run["meaning"]
    assert fresh.sql("SHOW TABLES", database="newshop") == ""
    assert not (fresh.disk / "htdocs").exists()
    assert sorted(path.name for path in (fresh.disk / ".upkeep").iterdir()) == ["cache", "lock", "token.json"]
