# GPL-3.0-or-later
"""What a run leaves on a host, and how it is removed when the run is over."""

from __future__ import annotations

import contextlib
import os

from . import freeze, scratch, tree
from .baseline import opened_site
from .database import PUT_ASIDE, PUT_AWAY
from .site import RUN_ID, Site
from .staging import opened_staging, stop_server
from .task import KNOWN_ERRORS


def clean_up(site: Site, run: str) -> list[str]:
    """Remove what this run and earlier ones left: trees, helpers, copies of tables, the staging database's tables.

    The database must be reachable only when there is something in it to remove. Returns what was removed.
    """
    # Whoever takes the lease has a folder; one with nothing in it was made for this call.
    had = bool(os.listdir(site.run_folder(run)))
    for name in os.listdir(site.workshop):
        folder = os.path.join(site.workshop, name, "staging")
        stop_server(folder)
        # A scratch place on a host without a site has its own way to its database.
        with contextlib.suppress(*KNOWN_ERRORS):
            if os.path.exists(os.path.join(folder, "database.json")):
                scratch.removed(site, folder)
    removed = []
    with contextlib.suppress(*KNOWN_ERRORS):
        configuration, database = opened_site(site, run)
        copies = [*database.ours(PUT_ASIDE), *database.ours(PUT_AWAY)]
        database.drop(copies)
        removed += ["table " + name for name in copies]
        staging = opened_staging(site, run, configuration)
        # What is shown there was asked for by a person, and stays until somebody needs the place.
        if not scratch.is_shown(site) and staging.database.leave():
            removed.append("staging database " + staging.database.name)
    if os.path.isdir(site.root):
        removed += freeze.sweep(site.root)
    # A snapshot that was killed may have left its dump: all of the database, in the clear.
    tree.remove(os.path.join(site.workshop, "dump"))
    for name in sorted(os.listdir(site.workshop)):
        if RUN_ID.match(name):
            tree.remove(os.path.join(site.workshop, name))
            if name != run or had:
                removed.append("folder of run " + name)
    return removed
