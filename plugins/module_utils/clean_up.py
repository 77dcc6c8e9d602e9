# GPL-3.0-or-later
"""What a run leaves on a host, and how it is removed when the run is over."""

from __future__ import annotations

import contextlib
import os

from . import cms, freeze, scratch, site_database, tree
from .site import RUN_ID, Site
from .staging import stop_server
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
        folder = site.run_folder(run)
        # What is shown there was asked for by a person, and stays until somebody needs the place.
        database = site_database.opened(site, cms.configuration(site, folder), folder)
        removed += database.tidy(keep_staging=scratch.is_shown(site))
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
