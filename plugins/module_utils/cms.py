# GPL-3.0-or-later
"""What a site is asked for that depends on its CMS: WordPress answers by itself, for any other the contract does.

A site that is not WordPress is backed up, restored and tried; it is neither updated nor frozen.
"""

from __future__ import annotations

import contextlib
from typing import Any

from . import freeze, wordpress
from .database import Credentials, DatabaseError
from .engine import SQLITE, Engine
from .freeze import FreezeError
from .site import Site
from .wordpress import Configuration

WORDPRESS, OTHER = "wordpress", "other"


def configuration(site: Site, folder: str) -> Configuration:
    """Return how the site reaches its database. Raises WordPressError, DatabaseError."""
    if site.cms == WORDPRESS:
        return wordpress.configuration(site, folder)
    declared = site.database
    if not declared:
        raise DatabaseError("the contract does not say which database the site has: places.production.database")
    return Configuration(
        credentials=Credentials(
            str(declared.get("name") or ""),
            str(declared.get("user") or ""),
            site.database_password,
            str(declared.get("host") or "localhost"),
        ),
        # Nothing of the site's configuration lies outside of its tree, as far as anybody knows.
        path=site.root,
        prefix="",
        content=site.root,
        multisite=False,
        debug_log="",
        php="",
        sqlite=str(declared["file"]) if declared["engine"] == SQLITE else "",
        engine=str(declared["engine"]),
    )


def versions(site: Site, engine: Engine, prefix: str) -> dict[str, Any]:
    """Return what is installed, in the form of wordpress.versions(). Of another CMS only the database is known."""
    if site.cms == WORDPRESS:
        return wordpress.versions(site.root, engine, prefix)
    return {"core": "", "db_version": "", "database": engine.server_version(), "plugins": {}, "themes": {}}


def web_server(site: Site) -> dict[str, Any]:
    """Return what PHP inside the web server says of itself; a site that is not WordPress need not have any PHP."""
    try:
        return freeze.ask_web_server(site)
    except FreezeError:
        if site.cms == WORDPRESS:
            raise
    return {"error_log": "", "php": "", "opcache": False, "may_reset": True}


def refresh_opcodes(site: Site) -> dict[str, Any]:
    """Make the web server's PHP run what is on disk, where there is PHP. Raises FreezeError for WordPress."""
    if site.cms == WORDPRESS:
        return freeze.refresh_opcodes(site)
    with contextlib.suppress(FreezeError):
        return freeze.refresh_opcodes(site)
    return {}
