# GPL-3.0-or-later
"""What a database engine does for a site, whichever it is. Snapshot, restore, drill and verification ask for nothing else.

One way for all: a dump is a folder with one file for each table; a restored dump is loaded beside the live database,
where a statement that fails costs nothing, and put in its place in one moment, with a way back that is as short.
"""

from __future__ import annotations

from typing import Any, Protocol, Sequence

from .database import DatabaseError
from .dump import Dump

MARIADB, POSTGRESQL, SQLITE = "mariadb", "postgresql", "sqlite"
ENGINES = (MARIADB, POSTGRESQL, SQLITE)


class LoadError(DatabaseError):
    """A dump cannot be put in the place of the live database. Nothing was touched."""


class Engine(Protocol):
    """One site's database. Every method raises DatabaseError for what the server or the file refuses."""

    kind: str
    name: str
    """As the manifest calls the database: its name on the server, or its file."""

    def server_version(self) -> str:
        """Return the version of what serves the database, such as 10.11.14-MariaDB."""

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        """Run one statement and return its rows as text."""

    def tables(self) -> list[str]:
        """Return the names of the site's tables, sorted."""

    def size(self) -> int:
        """Return the bytes that the database takes."""

    def other_connections(self) -> int:
        """Return how many requests are still at work in the database, 0 where nobody can say."""

    def files(self) -> list[str]:
        """Return the files that are the database, by absolute path; none where a server has them."""

    def take(self, folder: str, *, timeout: float) -> Dump:
        """Dump everything as of one moment into a new folder, and prove the dump. Raises DumpError."""

    def usable(self) -> None:
        """Raise an error with what to type when there is no place beside the live database to load into."""

    def load(self, wanted: dict[str, Any], restored: str, tables: Sequence[str], *, timeout: float) -> dict[str, int]:
        """Load a dump, or some tables of it, beside the live database, and return {table: rows}. Raises LoadError.

        `wanted` is the manifest's word about the dump, `restored` the folder into which restic has brought it.
        """

    def counted(self) -> dict[str, int]:
        """Return {table: rows} of what is loaded beside the live database, counted there."""

    def plan(self, tables: Sequence[str]) -> dict[str, Any]:
        """Return what switch() will do, as JSON: to be written down before it."""

    def switch(self, planned: dict[str, Any]) -> None:
        """Put what is loaded in the place of the live database, or of some of its tables, in one moment."""

    def switch_back(self, planned: dict[str, Any]) -> None:
        """Undo switch(), however far it came. Safe to repeat."""

    def left(self) -> list[str]:
        """Return the tables that were loaded and belong to others than this site, so that they were not put in place."""

    def leave(self) -> None:
        """Remove what was loaded and not put in place."""

    def forget(self) -> None:
        """Remove what an earlier switch() has put away: from then on there is no way back to it."""

    def tidy(self, *, keep_staging: bool = False) -> list[str]:
        """Remove everything of ours at the end of a run, and return what there was."""
