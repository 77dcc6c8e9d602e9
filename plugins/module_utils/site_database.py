# GPL-3.0-or-later
"""Open the database that a site's configuration names, whichever engine that is."""

from __future__ import annotations

import os
from typing import Any

from . import database, postgresql
from .engine import MARIADB, POSTGRESQL, Engine, LoadError
from .engine_mariadb import MariaDb
from .engine_postgresql import PostgreSql
from .engine_sqlite import Sqlite, carry
from .site import Site
from .wordpress import Configuration


def opened(site: Site, configuration: Configuration, folder: str) -> Engine:
    """Return the site's database. What is needed to reach it lies in `folder`, which only the owner reads."""
    if configuration.sqlite:
        return Sqlite(configuration.sqlite, folder)
    if configuration.engine == POSTGRESQL:
        return PostgreSql(postgresql.server(configuration.credentials, folder, site.programs), folder)
    live = database.opened(configuration.credentials, folder, site.programs)
    beside = os.path.join(folder, "incoming")
    os.makedirs(beside, mode=0o700, exist_ok=True)
    incoming = database.opened(configuration.credentials, beside, site.programs, site.staging_database)
    return MariaDb(live, incoming, configuration)


def carry_over(engine: Engine, site: Site, waiting: str) -> None:
    """Give a tree that waits to be exchanged the live database, where that is a file of the tree."""
    if engine.files():
        carry(engine.files()[0], site.root, waiting)


def of_the_same_kind(engine: Engine, manifest: dict[str, Any]) -> None:
    """Raise LoadError when a restore point was taken of another kind of database than the site has now."""
    then = manifest["dump"].get("engine", MARIADB)
    if then != engine.kind:
        raise LoadError(f"its database is one of {then}, and the site's is one of {engine.kind} now")
