"""The same probes against nginx itself, where it is installed: an ordinary user's nginx on a port of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.module_utils.probes import run_probes
from plugins.module_utils.web import Target, fetch

from .conftest import HOST

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIGURATION = """
{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off; gzip on; gzip_types *; gzip_min_length 1; types {{ text/html html; text/css css; }}
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port}; server_name {host}; root {folder}/site; absolute_redirect off;
    location /dead/ {{ fastcgi_pass unix:{folder}/nobody.sock; }}
  }}
  server {{ listen 127.0.0.1:{port} default_server; return 421; }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Target, Path]]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "site" / "sub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Started by root, its workers would be somebody who cannot enter the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, host=HOST, user=user))
    command = [str(NGINX), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    target = Target("127.0.0.1", port, HOST, "http")
    deadline = time.monotonic() + 10
    while fetch(target, "/").error and time.monotonic() < deadline:
        time.sleep(0.02)
    yield target, folder / "site"
    process.terminate()
    process.wait(timeout=10)


def test_pages_and_assets(nginx: tuple[Target, Path]) -> None:
    target, root = nginx
    names = ["good.css", "empty.css", "missing.css"]
    links = "".join(f'<link rel="stylesheet" href="/{name}">' for name in names)
    (root / "index.html").write_text(f"<html><head>{links}</head><body>Example Bakery{'x' * 100_000}</body></html>")
    (root / "good.css").write_text("a {}")
    (root / "empty.css").write_text("")
    page = {"name": "front page", "kind": "page", "path": "/", "status": 200, "text": ["Example Bakery"]}
    found = run_probes(target, [page, {"name": "assets", "kind": "assets", "path": "/"}])
    assert found[0]["problems"] == []
    assert found[0]["bytes"] > 100_000
    assert found[1]["problems"] == ["/empty.css: empty", "/missing.css: status 404"]


def test_a_folder_redirects_inside_the_site(nginx: tuple[Target, Path]) -> None:
    target, root = nginx
    (root / "sub" / "index.html").write_text("<html>here</html>")
    assert fetch(target, "/sub").status == 301
    assert fetch(target, "/sub", follow=1).body == b"<html>here</html>"


def test_php_that_is_away_is_502(nginx: tuple[Target, Path]) -> None:
    found = run_probes(nginx[0], [{"name": "x", "kind": "page", "path": "/dead/", "status": 200}])
    assert found[0]["problems"][0] == "status 502, expected 200"


def test_the_name_chooses_the_site(nginx: tuple[Target, Path]) -> None:
    target, _ = nginx
    assert fetch(Target("127.0.0.1", target.port, "another.example", "http"), "/good.css").status == 421
