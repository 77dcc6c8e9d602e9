"""Passwords in arguments, diffs, artifacts, -vvv, reports [ansible 33912, 38214]: seeded secrets are found nowhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from orchestrator.cli import main
from tests.pipeline import Site

pytestmark = pytest.mark.root

# It keeps what only the site itself ever sees: the session with which we look at its administration, and our token.
KEEPER = """<?php
$lab_seen = array_filter( $_COOKIE, fn( $name ) => 0 === strpos( $name, 'wordpress_' ), ARRAY_FILTER_USE_KEY );
$lab_seen['token'] = $_SERVER['HTTP_X_UPKEEP_TOKEN'] ?? '';
file_put_contents( '/dev/shm/lab-seen', implode( "\\n", array_filter( $lab_seen ) ) . "\\n", FILE_APPEND );
"""
# Where something of ours, or of the programs that we start, could be left on a host.
PLACES = ["/home", "/tmp", "/var/tmp", "/var/log", "/run", "/srv/shop/.upkeep", "/srv/shop/htdocs/wp-content"]


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Collect the command line of every process of the machine and of its hosts, every 50 ms."""
    over, seen = Event(), set[str]()

    def watch() -> None:
        while not over.wait(0.05):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((folder / "cmdline").read_text(errors="replace").replace("\0", " "))
                except OSError:
                    continue

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def seeds(site: Site) -> dict[str, str]:
    """Return name -> secret of everything that must not be found."""
    configuration = (site.root / "wp-config.php").read_text(encoding="utf-8")
    found = dict(re.findall(r"define\( '(DB_PASSWORD|\w+_(?:KEY|SALT))', '([^']+)' \)", configuration))
    assert len(found) == 9
    found |= site.shop.secrets
    found["an administrator's password"] = site.host.sql("SELECT user_pass FROM wp_users ORDER BY ID LIMIT 1").strip()
    return found


def sessions(site: Site) -> dict[str, str]:
    """Return the sessions and tokens that were used against the site, in the spellings that a log could have."""
    found: dict[str, str] = {}
    for line in site.host.run(["sort", "-u", "/dev/shm/lab-seen"], check=True).stdout.split():
        # name|expiry|token|signature
        parts = line.split("|") if "|" in line else [line]
        found |= {
            f"{hashlib.sha256(line.encode()).hexdigest()[:6]} {number}": part for number, part in enumerate(parts)
        }
    return {name: part for name, part in found.items() if len(part) >= 30}


def found_in(text: str, secrets: dict[str, str]) -> list[str]:
    """Return the names of the secrets that stand in a text."""
    return [name for name, secret in secrets.items() if secret in text]


def found_on_disk(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Return the files below a folder in which a secret stands."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 50_000_000]
    return [
        f"{path}: {name}" for path in files for name in found_in(path.read_bytes().decode(errors="replace"), secrets)
    ]


def found_on_host(site: Site, secrets: dict[str, str]) -> list[str]:
    """Return the files of the host in which a secret stands; wp-config.php and the database are where they belong."""
    command = ["grep", "-rlaF", "-D", "skip", "-f", "-", *PLACES]
    return site.host.run(command, input="\n".join(secrets.values())).stdout.splitlines()


@pytest.fixture
def seeded(site: Site) -> Site:
    """Return the shop with something to do, one release that breaks it, and a witness of every session."""
    site.put_file("wp-content/mu-plugins/keeper.php", KEEPER)
    site.shop.lab.mirror.offer(plugins={"lab-alpha": "1.1", "lab-banner": "2.12"})
    return site


def test_secrets_in_the_logs_of_a_run(seeded: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site, secrets = seeded, seeds(seeded)
    told = [site.upkeep("plan", "example", "--out", str(site.folder / "plan.json")).text]
    with watched_processes() as commands:
        # Good in staging, bad in production: the way there and the way back.
        ran = site.upkeep("run", "example", "--now")
    assert ran.code == 3, ran.text
    told += [ran.text, site.upkeep("points", "example").text, site.upkeep("status", "example").text]
    # What a person reads, and the page that a client gets.
    words = ["--inventories", str(site.shop.inventory.parent), "--ledger", str(site.folder / "state" / "ledger.sqlite")]
    assert main(["report", "example", "--last", "1", "--out", str(site.folder / "report.html"), *words]) == 0
    told += capfd.readouterr()

    used = sessions(site)
    assert len(used) >= 6
    secrets |= used
    assert found_in("\n".join(told), secrets) == []
    assert len(commands) > 50
    assert found_in("\n".join(commands), secrets) == []
    assert sorted(path.name for path in site.folder.iterdir()) == ["inventories", "plan.json", "report.html", "state"]
    for name in ("plan.json", "report.html"):
        assert found_in((site.folder / name).read_text(encoding="utf-8"), secrets) == []
    assert found_on_disk(site.folder / "state", secrets) == []
    assert found_on_disk(site.shop.store / "points", secrets) == []
    assert list((site.shop.store / "points").iterdir()) != []
    assert found_on_host(site, secrets) == []
    # The session that was used for the probes opens nothing any more: WordPress forgets it with its hash.
    assert site.host.sql("SELECT meta_value FROM wp_usermeta WHERE meta_key = 'session_tokens'").strip() in (
        "",
        "a:0:{}",
    )
    site.tidy()


def test_secrets_in_the_logs_of_ansible_at_its_most_talkative(seeded: Site) -> None:
    site, secrets = seeded, seeds(seeded)
    kept = site.fetched_here()
    with watched_processes() as commands:
        steps = ("preflight", "snapshot", "stage", "rehearse", "promote")
        run: dict[str, Any] = {"upkeep_run": site.begin(), "upkeep_keep_lease": True}
        played = site.shop.play("-vvv", "--diff", *steps, check=False, **run)
        freed = site.shop.play("-vvv", "--diff", "release", **run)

    assert "outcome: put-back" in played.text, played.text[-3000:]
    secrets |= sessions(site)
    assert found_in(played.text + freed.text, secrets) == []
    # The gateway led to the repository and to the packages, and the addresses that hold their secrets stand nowhere.
    assert len(list(kept.glob("*.zip"))) == 2
    for told in (played.text, *commands):
        assert re.search(r"\bupkeep:[\w-]{20,}@", told) is None
    assert found_in("\n".join(commands), secrets) == []
    assert found_on_host(site, secrets) == []
    site.tidy()
