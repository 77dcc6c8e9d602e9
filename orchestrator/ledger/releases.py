"""What the ledger knows of releases: when each was first on offer to one of a client's sites, and when last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from orchestrator.ledger import tables
from orchestrator.ledger.values import ReleaseEntry

# kind, slug, version
Named = tuple[str, str, str]


class Releases:
    """The part of the ledger that remembers which releases were on offer."""

    engine: Engine

    def saw_releases(self, client: str, offered: Iterable[Named], seen: datetime) -> None:
        """Remember what was on offer. The day on which a release was first seen never moves forward."""
        with Session(self.engine) as session, session.begin():
            for kind, slug, version in sorted(set(offered)):
                row = session.get(tables.Release, (client, kind, slug, version))
                if row is None:
                    named = {"client": client, "kind": kind, "slug": slug, "version": version}
                    session.add(tables.Release(**named, first=seen, last=seen))
                else:
                    row.first, row.last = min(row.first, seen), max(row.last, seen)

    def releases(self, client: str, *, since: datetime) -> tuple[ReleaseEntry, ...]:
        """Return the releases that were on offer at `since` or later, by name."""
        query = select(tables.Release).where(tables.Release.client == client, tables.Release.last >= since)
        order = (tables.Release.kind, tables.Release.slug, tables.Release.version)
        with Session(self.engine) as session:
            return tuple(
                ReleaseEntry(row.kind, row.slug, row.version, row.first, row.last)
                for row in session.scalars(query.order_by(*order))
            )
