"""A dump that begins with MariaDB's sandbox line is loaded elsewhere [wp-cli db-command 258]: it restores."""

from __future__ import annotations

import pytest

from tests.host.shop import Shop

pytestmark = pytest.mark.root

# A client of before that line: what it does not know as a command of its own, it takes for a mistake.
OLDER_CLIENT = r"""#!/bin/sh
asked=$(mktemp)
trap 'rm -f "$asked"' EXIT
cat >"$asked"
if head -n 1 "$asked" | grep -q '\\-'; then
    echo "ERROR at line 1: Unknown command '\\-'." >&2
    exit 1
fi
mariadb "$@" <"$asked"
"""


def test_dump_from_newer_server(shop: Shop) -> None:
    manifest = shop.snapshot()
    entry = manifest["dump"]["tables"]["wp_options"]
    text = shop.restic("dump", manifest["restic"]["snapshot"], f"{manifest['dump']['folder']}/{entry['file']}")
    assert text.startswith("/*M!999999\\- enable the sandbox mode */")
    shop.host.sql("DELETE FROM wp_terms; UPDATE wp_posts SET post_title = 'newer'")
    client = shop.install("/home/shop/client", OLDER_CLIENT)
    refused = shop.host.run([client, "shop_staging"], input=text)
    assert "Unknown command" in refused.stderr
    shop.programs(mariadb=client)

    shop.play("restore", upkeep_point=manifest["point"], site_snapshot_only="database")

    assert shop.host.fetch("/lab-post-1/").status == 200
    assert "newer" not in shop.host.fetch("/lab-post-1/").body
    assert shop.host.sql("SELECT COUNT(*) > 0 FROM wp_terms").strip() == "1"
