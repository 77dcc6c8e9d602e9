# GPL-3.0-or-later
"""MariaDB and MySQL: a dump is loaded into the staging database, and its tables are renamed into the live one."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from . import dump, dump_load, table_switch
from .database import PUT_ASIDE, PUT_AWAY, Database
from .dump import Dump, DumpError
from .engine import MARIADB, LoadError
from .staging import can_use
from .wordpress import Configuration


class MariaDb:
    """The site's tables in one database, with the staging database on the same server as the place beside it."""

    kind = MARIADB

    def __init__(self, database: Database, incoming: Database, configuration: Configuration) -> None:
        self.database = database
        self.incoming = incoming
        self.name = database.name
        self._configuration = configuration
        self._prefix = configuration.prefix

    def server_version(self) -> str:
        """Return the server's version."""
        return self.database.server_version()

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        """Run SQL in the live database."""
        return self.database.query(statement, timeout=timeout)

    def tables(self) -> list[str]:
        """Return the base tables that are not ours."""
        return self.database.tables()

    def size(self) -> int:
        """Return the bytes of data and indexes."""
        return self.database.size()

    def other_connections(self) -> int:
        """Return the site's other connections."""
        return self.database.other_connections()

    def files(self) -> list[str]:
        """Return nothing: the server has the files."""
        return []

    def take(self, folder: str, *, timeout: float) -> Dump:
        """Dump by one transaction of mariadb-dump."""
        return dump.take(self.database, folder, timeout=timeout)

    def usable(self) -> None:
        """Raise an error when the site's account cannot use the staging database, or when that is production's own."""
        if self.incoming.name.lower() == self.database.name.lower():
            raise LoadError(f"the staging database is production's own database {self.database.name}")
        can_use(self.incoming, self._configuration)

    def load(self, wanted: dict[str, Any], restored: str, tables: Sequence[str], *, timeout: float) -> dict[str, int]:
        """Load into the staging database."""
        strange = [table for table in tables if not table.startswith(self._prefix)]
        if strange:
            raise LoadError(f"table {strange[0]} is not one of this site, whose tables begin with {self._prefix}")
        self._refuse_ties(self.database, tables)
        self._refuse_triggers(wanted, tables)
        try:
            rows = dump_load.load(
                self.incoming,
                wanted,
                restored,
                tables=tables,
                present=lambda: dump.definitions(self.database),
                timeout=timeout,
            )
        except DumpError as error:
            raise LoadError(str(error)) from error
        if not any(table.startswith(self._prefix) for table in rows):
            raise LoadError(f"none of its tables begins with {self._prefix}, as the site's tables do")
        if tables:
            self._refuse_ties(self.incoming, tables)
        return rows

    def counted(self) -> dict[str, int]:
        """Count the rows in the staging database."""
        return dump.count_rows(self.incoming, self.incoming.tables())

    def plan(self, tables: Sequence[str]) -> dict[str, Any]:
        """Return the names to put away and to bring, and the foreign keys between."""
        return table_switch.plan(self.database, self.incoming, self._prefix, tables)

    def switch(self, planned: dict[str, Any]) -> None:
        """Rename tables, all by one statement."""
        table_switch.switch(self.database, self.incoming, planned)

    def switch_back(self, planned: dict[str, Any]) -> None:
        """Rename them back."""
        table_switch.switch_back(self.database, self.incoming, planned)

    def leave(self) -> None:
        """Empty the staging database."""
        self.incoming.leave()

    def forget(self) -> None:
        """Drop the tables of before."""
        table_switch.forget(self.database)

    def tidy(self, *, keep_staging: bool = False) -> list[str]:
        """Drop copies of tables, and empty the staging database."""
        copies = [*self.database.ours(PUT_ASIDE), *self.database.ours(PUT_AWAY)]
        self.database.drop(copies)
        removed = ["table " + name for name in copies]
        other = self.incoming.name.lower() != self.database.name.lower()
        if other and not keep_staging and self.incoming.leave():
            removed.append("staging database " + self.incoming.name)
        return removed

    def left(self) -> list[str]:
        """Return the tables that are loaded and were not put in place, because they are not this site's."""
        return self.incoming.tables()

    def _refuse_triggers(self, wanted: Mapping[str, Any], tables: Sequence[str]) -> None:
        """Raise LoadError when a trigger of today could not be made again on the table that comes, or one of then is lost."""
        there = self.database.tables()
        gone = [table for table in tables if table not in there and table in wanted.get("triggers", ())]
        if gone:
            raise LoadError(f"table {gone[0]} is gone today and had a trigger, which would not come back with it")
        held = table_switch.triggers(self.database, list(tables) or there)
        account = self.database.query("SELECT CURRENT_USER()")[0][0]
        foreign = [each for each in held if each["definer"] != account]
        if foreign:
            raise LoadError(
                f"the trigger {foreign[0]['name']} was made by {foreign[0]['definer']}, and {account} cannot make it again"
            )
        foreign = [each for each in held if not (each["characters"].startswith("utf8") or each["statement"].isascii())]
        if foreign:
            raise LoadError(
                f"the trigger {foreign[0]['name']} is written in {foreign[0]['characters']}: make it again in utf8mb4"
            )
        if held:
            table_switch.try_trigger(self.incoming)

    def _refuse_ties(self, database: Database, asked: Sequence[str]) -> None:
        """Raise LoadError when foreign keys tie what is switched to what stays."""
        if asked:
            torn = table_switch.crossing(database, lambda table: table in asked)
            others = sorted({name for _, one, other in torn for name in (one, other)} - set(asked))
            if torn:
                raise LoadError(f"the foreign key {torn[0][0]} ties these tables to others: add {', '.join(others)}")
            return
        torn = table_switch.crossing(database, lambda table: table.startswith(self._prefix))
        if torn:
            keys = ", ".join(key for key, _, _ in torn[:5])
            raise LoadError(f"these foreign keys tie the site's tables to others: {keys}")
