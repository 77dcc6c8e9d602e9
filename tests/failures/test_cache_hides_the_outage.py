"""A page cache answers 200 while PHP is dead [wpmgr 291]: probes go past it, and what comes from it is judged apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.hosts import Host
from tests.pipeline import Site

pytestmark = pytest.mark.root

ZONE = """
fastcgi_cache_path /var/cache/nginx-pages levels=1 keys_zone=pages:1m;
map $request_uri $page { "~^([^?]*)" $1; }
fastcgi_cache_valid 200 10m;
fastcgi_ignore_headers Cache-Control Expires Set-Cookie;
"""
SITE = "/etc/nginx/sites-available/shop"


@contextmanager
def page_cache(host: Host, key: str, headers: str = "") -> Iterator[None]:
    """Let nginx keep every page for ten minutes while the block lasts, whatever request and answer say of caching."""
    kept = f'fastcgi_cache pages; fastcgi_cache_key "{key}"; {headers}'
    host.run(["tee", "/etc/nginx/conf.d/pages.conf"], input=ZONE, check=True)
    host.run(["cp", SITE, f"{SITE}.before"], check=True)
    host.run(["sed", "-i", f"s|fastcgi_pass |{kept} fastcgi_pass |", SITE], check=True)
    try:
        host.run(["sh", "-c", "nginx -t && systemctl restart nginx"], check=True)
        yield
    finally:
        undo = f"mv {SITE}.before {SITE}; rm -rf /etc/nginx/conf.d/pages.conf /var/cache/nginx-pages; systemctl restart nginx"
        host.run(["sh", "-c", undo], check=True)


def looked_at(site: Site) -> tuple[str, dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what preflight says: outcome, verdict, and what each probe saw."""
    step = site.run("preflight")["preflight"]
    verdict = step.evidence["verdict"]
    assert site.run("release")["release"].outcome == "done"
    return step.outcome, verdict, {probe["name"]: probe for probe in verdict["probes"]}


def test_cache_hides_the_outage(site: Site) -> None:
    with page_cache(site.host, "$host$request_uri"):
        site.serves("1.0")
        assert looked_at(site)[0] == "done"
        site.put_release("lab-banner", "2.12")
        # PHP is dead, and no visitor sees it.
        site.serves("1.0")
        outcome, verdict, seen = looked_at(site)
        assert outcome == "unhealthy"
        assert "front page: status 500, expected 200" in verdict["reasons"]
        assert seen["front page"]["cached"] is False

    # This one ignores what stands behind the question mark: nothing goes past it, but it says so.
    site.put_release("lab-banner", "1.0")
    with page_cache(site.host, "$host$page", "add_header X-FastCGI-Cache $upstream_cache_status always;"):
        site.serves("1.0")
        site.get("/")
        site.put_release("lab-banner", "2.12")
        outcome, verdict, seen = looked_at(site)
        assert (seen["front page"]["status"], seen["front page"]["cached"]) == (200, True)
        assert {"front page", "a post"} <= set(verdict["cached"])
        assert outcome == "unhealthy"
        assert "wordpress: admin-ajax: status 500, expected 400" in verdict["reasons"]
