"""A restore point on a host that has no site: what is refused there, and what is changed in wp-config.php."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from plugins.module_utils import dump_load, step_rebuild, wordpress_config
from plugins.module_utils.site import PROGRAMS, Site
from plugins.module_utils.wordpress_config import ConfigError

CONFIG = """<?php
// define('DB_NAME', 'commented');
define( 'DB_NAME', 'shop' );
define("DB_USER","shop");
define('DB_PASSWORD', 'it\\'s old'); # ours
define('DB_HOST', 'localhost');
$table_prefix = 'wp_';
require_once ABSPATH . 'wp-settings.php';
"""


def test_the_values_of_a_configuration_are_changed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "wp-config.php"
    path.write_bytes(CONFIG.encode() + b"// \xff")
    path.chmod(0o640)

    wordpress_config.rewrite(str(path), {"DB_NAME": "ne$w", "DB_PASSWORD": "a'b\\ü", "DB_USER": "me"})

    wanted = CONFIG.replace("'shop' )", "'ne$w' )").replace('"shop")', "'me')").replace("it\\'s old", "a\\'b\\\\ü")
    assert path.read_bytes() == wanted.encode() + b"// \xff"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("line", "often"),
    [
        ("define('DB_NAME', getenv('DB'));", "not in plain words"),
        ("define('DB_NAME', \"${db}\");", "not in plain words"),
        ("define('DB_NAME', 'a');\ndefine('DB_NAME', 'b');", "2 times"),
    ],
)
def test_a_configuration_that_is_not_plain_is_left_to_a_person(line: str, often: str) -> None:
    with pytest.raises(ConfigError, match=often):
        wordpress_config.rewritten(f"<?php\n{line}\n", {"DB_NAME": "new"})


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            b"/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER",
            b"DEFINER=CURRENT_USER*/ /*!50003 TRIGGER",
        ),
        (b"/*!50013 DEFINER=`a`@`b` SQL SECURITY DEFINER */", b"DEFINER=CURRENT_USER SQL SECURITY DEFINER */"),
        (b"CREATE DEFINER=`a`@`b` PROCEDURE x()", b"CREATE DEFINER=CURRENT_USER PROCEDURE x()"),
        (b"  SELECT 'DEFINER=`a`@`b`'", b"  SELECT 'DEFINER=`a`@`b`'"),
    ],
)
def test_what_runs_in_a_database_belongs_to_whoever_loads_it(tmp_path: Path, line: bytes, wanted: bytes) -> None:
    path = tmp_path / "definitions.sql"
    path.write_bytes(line + b"\n")
    dump_load._own(str(path))
    assert path.read_bytes().rstrip(b"\n").endswith(wanted)


class _Answers(http.server.BaseHTTPRequestHandler):
    """A web server that serves the folder of another site, or nobody's."""

    status = 200

    def do_GET(self) -> None:
        """Answer the same to everything."""
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(
            "acme", "shop", "http://shop.example.test", str(tmp_path / "htdocs"), "127.0.0.1", server.server_port,
            dict(PROGRAMS), "", 8081, "shop_staging",
        )  # fmt: skip
        server.shutdown()


def test_a_folder_with_a_site_or_anything_else_in_it_is_refused(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "htdocs"
    root.mkdir()
    (root / ".hidden").touch()
    assert "it is not empty (1 entries, such as .hidden)" in step_rebuild.obstacles(site)[0]
    (root / "wp-config.php").touch()
    assert "a site is there already" in step_rebuild.obstacles(site)[0]


def test_a_host_whose_web_server_answers_for_another_folder_or_not_at_all_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a running site is there" in step_rebuild.obstacles(site)[0]
    monkeypatch.setattr(_Answers, "status", 404)
    assert "does not run a PHP file of the document root" in step_rebuild.obstacles(site)[0]
    assert "no web server answers at 127.0.0.1:1:" in step_rebuild.obstacles(replace(site, port=1))[0]
    # The folder that was made for the question is gone again.
    assert list(tmp_path.iterdir()) == []
