"""The ledger's tables. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# Constraints carry names, so that a later migration can alter them on SQLite too.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without its zone cannot be kept")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Put the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The base of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {str: Text(), datetime: Instant(), dict[str, Any]: JSON(), list[Any]: JSON()}  # noqa: RUF012


class Run(Base):
    """One row for each run."""

    __tablename__ = "run"

    id: Mapped[str] = mapped_column(primary_key=True)
    client: Mapped[str]
    site: Mapped[str]
    host: Mapped[str]
    duty: Mapped[str]
    digest: Mapped[str]
    point: Mapped[str]
    promised: Mapped[dict[str, Any]]
    variables: Mapped[dict[str, Any]]
    process: Mapped[str]
    state: Mapped[str]
    outcome: Mapped[str]
    message: Mapped[str]
    began: Mapped[datetime]
    ended: Mapped[datetime | None]
    # What RunEntry.occupies says, until the run has ended. Being unique, it lets one run at a time begin on a site.
    occupies: Mapped[str | None] = mapped_column(unique=True)
    steps: Mapped[list[Step]] = relationship(order_by="Step.position", lazy="selectin")

    __table_args__ = (Index(None, "client", "began"),)


class Step(Base):
    """One row for each step that began."""

    __tablename__ = "step"

    run: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    began: Mapped[datetime]
    ended: Mapped[datetime | None]
    ending: Mapped[str]
    outcome: Mapped[str]
    message: Mapped[str]
    seconds: Mapped[float] = mapped_column(Float)
    evidence: Mapped[dict[str, Any]]


class Hold(Base):
    """A release that a site does not get. The same release is held once."""

    __tablename__ = "hold"

    id: Mapped[int] = mapped_column(primary_key=True)
    client: Mapped[str]
    site: Mapped[str]
    kind: Mapped[str]
    slug: Mapped[str]
    version: Mapped[str]
    sha256: Mapped[str]
    reason: Mapped[str]
    run: Mapped[str] = mapped_column(ForeignKey("run.id"))
    since: Mapped[datetime]
    released: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("client", "site", "kind", "slug", "version"),)


class Incident(Base):
    """Something is wrong with a site."""

    __tablename__ = "incident"

    id: Mapped[int] = mapped_column(primary_key=True)
    client: Mapped[str]
    site: Mapped[str]
    # What a verification found belongs to no run.
    run: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    about: Mapped[str]
    opened: Mapped[datetime]
    closed: Mapped[datetime | None]
    reasons: Mapped[list[Any]]

    __table_args__ = (Index(None, "client", "opened"),)


class Point(Base):
    """A restore point that a run has seen complete."""

    __tablename__ = "point"

    id: Mapped[str] = mapped_column(primary_key=True)
    client: Mapped[str]
    site: Mapped[str]
    run: Mapped[str] = mapped_column(ForeignKey("run.id"))
    taken: Mapped[datetime]
    manifest: Mapped[dict[str, Any]]

    __table_args__ = (Index(None, "client", "site", "taken"),)


class Release(Base):
    """A release that was on offer to a site of a client: when that was first seen, and when last."""

    __tablename__ = "release"

    client: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    first: Mapped[datetime]
    last: Mapped[datetime]


class Verification(Base):
    """One look at a site's restore points in the store."""

    __tablename__ = "verification"

    id: Mapped[int] = mapped_column(primary_key=True)
    client: Mapped[str]
    site: Mapped[str]
    began: Mapped[datetime]
    ended: Mapped[datetime]
    parts: Mapped[list[Any]]
    of: Mapped[int]
    packs: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    points: Mapped[dict[str, Any]]
    damage: Mapped[list[Any]]

    __table_args__ = (Index(None, "client", "site", "began"),)
