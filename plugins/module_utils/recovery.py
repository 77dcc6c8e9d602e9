# GPL-3.0-or-later
"""Bring a restore point to a host that knows nothing of the site: its files, what its configuration says, its database.

Nothing of the host that the restore point was taken of is needed. In a restoration (restoration.py) tables and trees change
places with those that are there; here there is nothing to change places with, so all that the dump has can come back.
"""

from __future__ import annotations

import os
import time
from calendar import timegm
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Mapping

from . import cms, dump_load, fetch, tree, wordpress, wordpress_config
from .database import OURS, STAGING_MARK, Credentials, Database, DatabaseError, opened, quoted
from .dump import DumpError
from .engine import MARIADB, LoadError
from .fetch import RestoreError, restored_folder
from .restic import Node, Repository
from .site import Site
from .wordpress import Configuration
from .wordpress_config import CONSTANTS, ConfigError

CONFIGURATION = "wp-config.php"
_ANYWHERE = "information_schema"


@dataclass(frozen=True)
class Recovered:
    """A restore point's files as they wait on this host, beside the place where they are to be."""

    folder: str
    tree: str
    configuration: Configuration
    rewritten: list[str]
    others_files: int


def refusals(site: Site, manifest: Mapping[str, Any]) -> list[str]:
    """Return why this restore point cannot be brought to this host at all. Nothing is touched."""
    if site.cms != cms.WORDPRESS or manifest["dump"].get("engine", MARIADB) != MARIADB:
        return ["only a WordPress on MariaDB can be made anew elsewhere: docs/leaving.md says how others are by hand"]
    return fetch.no_room(site, int(manifest["files"]["bytes"]) + dump_load.needed(manifest["dump"]))


def credentials(
    site: Site, run: str, manifest: Mapping[str, Any], repository: Repository, declared: Mapping[str, str]
) -> Credentials:
    """Return how the database is reached here: as the restored wp-config.php says, but for what is declared.

    Only that one file is fetched: whoever has no database yet is to hear it before gigabytes come.
    """
    folder = restored_folder(site, run)
    tree.remove(folder)
    os.mkdir(folder, 0o700)
    root = str(manifest["root"])
    places = [os.path.join(place, CONFIGURATION) for place in (root, os.path.dirname(root))]
    repository.restore(manifest["restic"]["snapshot"], folder, include=fetch.patterns(places), timeout=600)
    return replace(_configuration(site, run, folder + root).credentials, **dict(declared))


def fetched(
    site: Site, run: str, manifest: Mapping[str, Any], repository: Repository, wanted: Credentials, *, timeout: float
) -> Recovered:
    """Bring everything here, compare it with what was stored, and let its wp-config.php name `wanted`.

    Raises RestoreError, ResticError, WordPressError, OSError.
    """
    folder, root = restored_folder(site, run), str(manifest["root"])
    tree.remove(folder)
    os.mkdir(folder, 0o700)
    snapshot = manifest["restic"]["snapshot"]
    stored = repository.listing(snapshot).below(root)
    repository.restore(snapshot, folder, timeout=timeout)
    wrong = fetch.differences(stored, folder + root, manifest["files"], owners=False)
    if wrong:
        raise RestoreError("what came back is not what was stored: " + "; ".join(wrong))
    found = _configuration(site, run, folder + root)
    changed = {
        constant: getattr(wanted, name)
        for name, constant in CONSTANTS.items()
        if getattr(wanted, name) != getattr(found.credentials, name)
    }
    if changed:
        try:
            wordpress_config.rewrite(found.path, changed)
        except ConfigError as error:
            raise RestoreError(str(error)) from error
        found = _configuration(site, run, folder + root)
        if found.credentials != wanted:
            raise RestoreError("its wp-config.php goes on naming another database than is declared for this host")
    return Recovered(folder, folder + root, found, sorted(changed), _of_others(stored, folder + root))


def opened_database(site: Site, run: str, wanted: Credentials, name: str = "") -> Database:
    """Return the database with the account that `wanted` names; `name` is another one than its own."""
    folder = os.path.join(site.run_folder(run), "recovered")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return opened(wanted, folder, site.programs, name)


def make_empty(database: Database, wanted: Credentials) -> bool:
    """See that there is a database with nothing in it, or only what a recovery of ours has left; make a missing one.

    Returns whether it was made. Raises RestoreError with what to type.
    """
    name = database.name
    server = replace(database, name=_ANYWHERE)
    asked = (
        f"Ask for: CREATE DATABASE {quoted(name)}; CREATE USER {_shown(wanted.user)}@localhost IDENTIFIED BY"
        f" '(the password of wp-config.php)'; GRANT ALL ON {quoted(name)}.* TO {_shown(wanted.user)}@localhost."
        " Or declare another one for this host: upkeep_database (docs/restore.md)"
    )
    try:
        there = server.query(f"SELECT 1 FROM SCHEMATA WHERE SCHEMA_NAME = '{name}'")  # noqa: S608 - checked by quoted()
    except DatabaseError as error:
        raise RestoreError(f"the database server does not know the site's account here: {error}. {asked}") from error
    if not there:
        try:
            server.query(f"CREATE DATABASE {quoted(name)}")
        except DatabaseError as error:
            raise RestoreError(
                f"there is no database {name} here, and the site's account may not make one. {asked}"
            ) from error
        return True
    rows = server.query(
        f"SELECT TABLE_NAME FROM TABLES WHERE TABLE_SCHEMA = '{name}' ORDER BY TABLE_NAME"  # noqa: S608 - as above
    )
    names = [row[0] for row in rows]
    if STAGING_MARK not in names and [each for each in names if not each.startswith(OURS)]:
        raise RestoreError(
            f"the database {name} is not empty here: it has {len(names)} tables, such as {names[0]}. Empty it, or declare"
            " another one for this host: upkeep_database (docs/restore.md)"
        )
    return False


def loaded(database: Database, manifest: Mapping[str, Any], recovered: Recovered, *, timeout: float) -> dict[str, int]:
    """Load all of the dump and compare the rows of every table with the manifest; the database keeps its mark.

    Raises RestoreError, DatabaseError.
    """
    try:
        rows = dump_load.load_everything(database, manifest["dump"], recovered.folder, timeout=timeout)
    except (LoadError, DumpError) as error:
        raise RestoreError(str(error)) from error
    prefix = recovered.configuration.prefix
    other = other_rows(manifest["dump"]["tables"], rows)
    if not any(table.startswith(prefix) for table in rows):
        other.append(f"none of its tables begins with {prefix}, as its wp-config.php says")
    if other:
        raise RestoreError("; ".join(other[:5]))
    return rows


def cleared(database: Database) -> None:
    """Take out of a database all that a recovery has put there. Without the mark of one it is left alone."""
    if not database.ours(STAGING_MARK):
        return
    for statement in _drops(database):
        database.query(statement)
    database.leave()


def unmade(database: Database) -> None:
    """Remove a database that a recovery made and has emptied."""
    database.query(f"DROP DATABASE IF EXISTS {quoted(database.name)}")


def other_rows(wanted: Mapping[str, Any], counted: Mapping[str, int]) -> list[str]:
    """Return the tables that have not as many rows as a manifest says; one whose rows it does not count has to be there."""
    found = []
    for table, told in sorted(wanted.items()):
        rows = told.get("rows") if isinstance(told, dict) else None
        if table not in counted:
            found.append(f"{table} did not come back")
        elif rows is not None and counted[table] != rows:
            found.append(f"{table} has {counted[table]} rows, not {rows}")
    return found


def age(manifest: Mapping[str, Any]) -> int:
    """Return how many seconds old the data of a restore point are."""
    # In UTC, and whole seconds are enough.
    return round(time.time() - timegm(time.strptime(str(manifest["taken"])[:19], "%Y-%m-%dT%H:%M:%S")))


def _configuration(site: Site, run: str, root: str) -> Configuration:
    folder = os.path.join(site.run_folder(run), "recovered")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return wordpress.configuration(replace(site, root=root), folder)


def _of_others(stored: Mapping[str, Node], folder: str) -> int:
    """Count the paths that belonged to others than the site's owner, and that this account cannot give back to them."""
    owners = Counter((node.owner, node.group) for node in stored.values())
    usual = owners.most_common(1)[0][0] if owners else (0, 0)
    lost = 0
    for path, node in stored.items():
        if (node.owner, node.group) != usual and node.kind != "link":
            seen = os.lstat(os.path.join(folder, path))
            lost += (seen.st_uid, seen.st_gid) != (node.owner, node.group)
    return lost


def _drops(database: Database) -> list[str]:
    """Return the statements that remove what is neither table nor view: sequences, routines, events."""
    rows = database.query(
        "SELECT 'SEQUENCE', TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        " AND TABLE_TYPE = 'SEQUENCE' UNION SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES"
        " WHERE ROUTINE_SCHEMA = DATABASE() UNION SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS"
        " WHERE EVENT_SCHEMA = DATABASE()"
    )
    return [f"DROP {kind} IF EXISTS {quoted(name)}" for kind, name in rows]


def _shown(user: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_.-" else "?" for letter in user)
