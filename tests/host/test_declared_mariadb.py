"""A site whose database the contract declares, because it says it nowhere itself: MariaDB, without a word of WordPress."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import HOST
from tests.host.shop import shop_of
from tests.lab import Lab
from tests.trials import AsTemplate

pytestmark = pytest.mark.root


def test_a_declared_database_comes_back_with_the_site(
    lab: Lab, tmp_path: Path, sockets: Path, as_template: AsTemplate
) -> None:
    as_template.taken(HOST)
    shop = shop_of(lab, HOST, tmp_path / "inventories" / "example", sockets)
    found = re.search(r"DB_PASSWORD', '(\w+)'", (shop.host.disk / "htdocs" / "wp-config.php").read_text())
    assert found
    vault = shop.inventory / "group_vars" / "all" / "vault.yml"
    vault.write_text(vault.read_text() + f"upkeep_database_password: {found[1]}\n")
    contract = yaml.safe_load((shop.inventory / "contract.yml").read_text())
    site = contract["sites"]["shop"]
    site["cms"] = "other"
    site["places"]["production"]["database"] = {"engine": "mariadb", "name": "shop", "user": "shop"}
    contract["scope"].pop("update")
    (shop.inventory / "contract.yml").write_text(yaml.safe_dump(contract).replace("'20", "20").replace("-31'", "-31"))
    shop.host.sql("CREATE TABLE unprefixed (id INT PRIMARY KEY); INSERT INTO unprefixed VALUES (1)")

    manifest = shop.snapshot()
    shop.host.sql("UPDATE unprefixed SET id = 2; UPDATE wp_posts SET post_content = 'gone'")
    (shop.host.disk / "htdocs" / "readme.html").unlink()
    shop.play("restore", site_snapshot_point=manifest["point"])

    assert (manifest["dump"]["engine"], manifest["versions"]["core"]) == ("mariadb", "")
    assert shop.host.sql("SELECT id FROM unprefixed") == "1\n"
    assert "LAB-1" in shop.host.fetch("/lab-post-1/").body
    assert (shop.host.disk / "htdocs" / "readme.html").exists()
    # Nothing of WordPress's own freeze was put into a site that is not WordPress.
    assert not (shop.host.disk / "htdocs" / ".maintenance").exists()
