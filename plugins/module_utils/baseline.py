# GPL-3.0-or-later
"""How a site is before anything is touched: versions, headroom, what the web server's PHP says, and every probe."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any, Iterator

from . import cms, freeze, php_log, run_state, site_database, staging, staging_files, tree, wordpress
from .database import Database, DatabaseError, opened
from .dump import Sized
from .probe_steps import for_place
from .probes import run_probes
from .site import Site
from .verdict import judge
from .wordpress import SIGN_IN_SECONDS, Configuration, Place, WordPressError

# Room for the staging copy, the next tree's changed files, packages and a dump beside what is there.
ROOM_FACTOR = 3
ROOM_LEAST = 200 * 1024 * 1024


@contextlib.contextmanager
def signed_in(place: Place) -> Iterator[str]:
    """Have a session of an administrator while the block lasts; yields the Cookie header, "" when none can be had.

    Plugins are left out when the session is made, so that a broken one cannot stop the probes.
    """
    answer: dict[str, Any] = {}
    if place.site.cms != cms.WORDPRESS:
        yield ""
        return
    with contextlib.suppress(WordPressError):
        answer = place.php("sign-in", {"seconds": SIGN_IN_SECONDS, "without_plugins": True}, timeout=60)
    try:
        yield wordpress.cookies(answer) if answer else ""
    finally:
        if answer:
            request = {"user": answer["user"], "token": answer["token"], "without_plugins": True}
            with contextlib.suppress(WordPressError):
                place.php("sign-out", request, timeout=60)


def opened_site(site: Site, run: str) -> tuple[Configuration, Database]:
    """Read the site's configuration and open its database with the site's own account, as an update needs it.

    Raises DatabaseError for an engine that updates do not know yet.
    """
    folder = site.run_folder(run)
    configuration = cms.configuration(site, folder)
    if site.cms != cms.WORDPRESS:
        raise DatabaseError(
            "this site is no WordPress, and no other is updated: take `update` out of the contract's scope"
        )
    if configuration.sqlite:
        raise DatabaseError(
            "this site's database is an SQLite file, and updates are only tried where it is MariaDB or MySQL."
            " Backup, restore and drill work: take `update` out of the contract's scope"
        )
    return configuration, opened(configuration.credentials, folder, site.programs)


def at_hand(site: Site, run: str, name: str) -> Database:
    """Return the database that this run has opened before, by the option file that it left: that needs no PHP."""
    options = os.path.join(site.run_folder(run), "database.cnf")
    return Database(name, options, site.programs["mariadb"], site.programs["mariadb_dump"])


def probe_production(
    site: Site, probes: list[dict[str, Any]], log: str, cookies: str, *, token: str = "", patience: float = 0.0
) -> list[dict[str, Any]]:
    """Probe production through its own web server."""
    return run_probes(
        site.production(token),
        for_place(probes, "production"),
        log={"path": log} if log else None,
        cookies_admin=cookies,
        patience=patience,
        first_alone=True,
        # Through a freeze nobody else plans anything, and visitors wait: what is lost there is planned by the next visit.
        admin_in_turn=not token,
    )


def take(site: Site, run: str, probes: list[dict[str, Any]], *, as_visitor: bool = False) -> dict[str, Any]:
    """Look at everything and return the baseline; nothing is judged but the probes.

    With `as_visitor` nobody signs in, and what only an administrator sees is left out: his session, and a draft that
    his dashboard makes, would be traces.
    """
    folder = site.run_folder(run)
    configuration = cms.configuration(site, folder)
    database = site_database.opened(site, configuration, folder)
    server = cms.web_server(site)
    # PHP's own setting may be "syslog" or a name without a folder: nothing that can be read.
    log = site.error_log or configuration.debug_log or server["error_log"]
    log = log if os.path.isabs(log) else ""
    if as_visitor:
        results = probe_production(site, [probe for probe in probes if probe["kind"] != "admin"], log, "")
    else:
        with signed_in(wordpress.production(site, site.run_folder(run))) as cookies:
            results = probe_production(site, probes, log, cookies)
    versions = cms.versions(site, database, configuration.prefix)
    versions["php"] = server["php"]
    return {
        "versions": versions,
        "verdict": judge(results),
        "log": log,
        "log_readable": php_log.position(log)["size"] >= 0 if log else False,
        "web_server": server,
        "headroom": headroom(site, database),
    }


def headroom(site: Site, database: Sized) -> dict[str, int]:
    """Return free bytes on the site's filesystem and how many an update needs."""
    paths = tree.scan(site.root)
    files = sum(entry.size for entry in paths.values() if entry.kind == "file")
    rows = database.size()
    if site.staging_host:
        # No copy is made here: a dump, the tables that are put aside, packages, and twice what they unpack to.
        return _room(site, 2 * rows + 2 * ROOM_LEAST, paths, files, rows)
    # What the staging copy leads to takes no room.
    linked = staging_files.copied_once(site.root) if not staging.why_copied(site) else {}
    copied = files - sum(entry.size for entry in linked.values())
    return _room(site, ROOM_FACTOR * copied + 2 * rows + ROOM_LEAST, paths, files, rows)


def _room(site: Site, needed: int, paths: dict[str, tree.Entry], files: int, rows: int) -> dict[str, int]:
    return {
        "free": shutil.disk_usage(os.path.dirname(site.root)).free,
        "needed": needed,
        "files": len(paths),
        "bytes": files,
        "database": rows,
    }


def refusals(site: Site, run: str, taken: dict[str, Any]) -> list[str]:
    """Return why an update of this site cannot be carried out safely, each as one sentence."""
    if site.cms != cms.WORDPRESS:
        return []
    configuration = wordpress.configuration(site, site.run_folder(run))
    paths = tree.scan(site.root)
    found = tree.obstacles(site.root, paths)
    links = wordpress.code_links(paths)
    if links:
        found.append(f"{links[0]} is a link to a place that a staging copy would share with production")
    stale = freeze.stale_opcodes(taken["web_server"])
    if stale:
        found.append(stale)
    reason = tree.can_exchange(site.run_folder(run))
    if reason:
        found.append(f"trees cannot be exchanged beside {site.root}: {reason}")
    if configuration.multisite:
        found.append("it is a multisite network, which this version does not update")
    usual = os.path.join(site.root, "wp-content")
    for kind, folder, place in (
        ("content", configuration.content, usual),
        ("plugin", configuration.plugins, os.path.join(usual, "plugins")),
    ):
        if folder and os.path.realpath(folder) != place:
            found.append(f"its {kind} folder is {folder}, outside of the usual place")
    room = taken["headroom"]
    if room["free"] < room["needed"]:
        found.append(f"it has {room['free'] >> 20} MB free and an update needs {room['needed'] >> 20} MB")
    return found


def of_run(site: Site, run: str) -> dict[str, Any]:
    """Return the baseline that this run stored, or {} when there is none."""
    return run_state.load(site, run, "baseline")
