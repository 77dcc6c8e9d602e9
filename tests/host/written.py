"""What visitors and editors write while an update is on its way."""

from __future__ import annotations

from tests.pipeline import Site


def write_meanwhile(site: Site) -> None:
    """Write what visitors and editors write: a file, rows, a comment."""
    uploads = f"{site.host.root}/wp-content/uploads/2024/07"
    site.host.run(["mkdir", "-p", uploads], user="shop", check=True)
    site.host.run(["tee", f"{uploads}/order.pdf"], user="shop", input="paid", check=True)
    site.host.sql(
        "INSERT INTO wp_options (option_name, option_value, autoload) VALUES ('lab_written', 'meanwhile', 'no')"
    )
    site.host.sql(
        "INSERT INTO wp_comments (comment_post_ID, comment_author, comment_content) VALUES (1, 'Bo', 'meanwhile')"
    )


def assert_written(site: Site) -> None:
    """Assert that all of it is there."""
    assert (site.root / "wp-content/uploads/2024/07/order.pdf").read_text() == "paid"
    assert site.host.sql("SELECT option_value FROM wp_options WHERE option_name = 'lab_written'") == "meanwhile\n"
    assert site.host.sql("SELECT COUNT(*) FROM wp_comments WHERE comment_content = 'meanwhile'") == "1\n"
