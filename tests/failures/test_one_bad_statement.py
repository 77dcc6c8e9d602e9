"""One statement of the dump fails while it is loaded [ownpay 226]: the restore fails loudly, the live database is untouched."""

from __future__ import annotations

import re

import pytest

from tests.host.shop import Shop

pytestmark = pytest.mark.root

SUMS = "CHECKSUM TABLE wp_users, wp_terms, wp_comments, wp_links"


def test_one_bad_statement(shop: Shop) -> None:
    # The dump is whole and proved, as a server of another version may write it; this one refuses a statement of it.
    shop.programs(
        mariadb_dump=shop.install(
            "/home/shop/dump",
            "#!/bin/sh\nmariadb-dump \"$@\" | sed 's/^.*ALTER TABLE `wp_users` DISABLE KEYS.*$/SELECT no_such_function();/'\n",
        )
    )
    point = shop.snapshot()["point"]
    shop.host.sql("UPDATE wp_posts SET post_title = 'newer' WHERE post_name = 'lab-post-1'")
    before = shop.host.sql(SUMS)

    for part in ({}, {"site_snapshot_tables": ["wp_terms", "wp_users"]}):
        played = shop.play("restore", check=False, upkeep_point=point, **part)

        assert played.code != 0
        assert "outcome: refused" in played.text
        told = re.sub(r"\s+", " ", played.text)
        assert "loading wp_users.sql failed: ERROR 1305" in told
        assert "Production was not touched" in told
        assert shop.host.sql(SUMS) == before
        assert "newer" in shop.host.fetch("/lab-post-1/").body
        # What was loaded before it is gone again, and nothing of ours stands beside the site's tables.
        assert (
            shop.host.sql("SHOW TABLES LIKE 'upkeep%'") == shop.host.sql("SHOW TABLES", database="shop_staging") == ""
        )
