"""Open the ledger, write into it, ask it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Select, create_engine, event, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.orm import Session

from orchestrator.errors import Refused
from orchestrator.ledger import tables
from orchestrator.ledger.address import ledger_file
from orchestrator.ledger.proofs import Proofs
from orchestrator.ledger.releases import Releases
from orchestrator.ledger.values import (
    ENDED,
    OPEN,
    RUNNING,
    SITE,
    HoldEntry,
    IncidentEntry,
    PointEntry,
    RunEntry,
    StepEntry,
)

# The newest migration, and all that came before it ("" is an empty database).
HEAD = "0003"
KNOWN = ("", "0001", "0002", HEAD)
# Outcomes of runs that left the site as they found it.
UNTOUCHED = ("refused", "busy", "unhealthy")


class SiteOccupied(Exception):
    """Another run that has not ended is on this site."""

    def __init__(self, run: RunEntry) -> None:
        super().__init__(run.id)
        self.run = run


def open_ledger(url: str) -> Ledger:
    """Open the ledger; the tables are made, or brought to this version, when they are not."""
    file = ledger_file(url)
    with _plainly(url):
        if file is not None and not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made here so that nobody else can ever have read it.
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _sqlite_manners)
        version = _version(engine)
    if version not in KNOWN:
        engine.dispose()
        raise Refused(
            f"the ledger was written by a newer upkeep (its tables are at {version}); nothing was touched.",
            "pip install --upgrade upkeep",
        )
    if version != HEAD:
        _migrate(engine)
    return Ledger(engine)


def open_for_reading(url: str) -> Ledger | None:
    """Open the ledger that `peek` has found, None unless its tables are of this version. Nothing is made or migrated."""
    with _plainly(url):
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _sqlite_reader)
        version = _version(engine)
    if version != HEAD:
        engine.dispose()
        return None
    return Ledger(engine)


@contextmanager
def _plainly(url: str) -> Iterator[None]:
    """Say in a sentence why a ledger cannot be opened. The password that a URL may hold is not repeated."""
    try:
        yield
    except (OSError, DBAPIError, ArgumentError, NoSuchModuleError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        name = ledger_file(url) or make_url(url).render_as_string(hide_password=True)
        raise Refused(f"the ledger {name} cannot be opened: {reason}; nothing was touched.", "upkeep status") from None


class Ledger(Proofs, Releases):
    """The memory of all runs."""

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def begin_run(self, run: RunEntry) -> None:
        """Write down that a run begins. Raises SiteOccupied while another one on the site has not ended."""
        values = {name: getattr(run, name) for name in RUN_COLUMNS}
        occupies = run.occupies
        try:
            with Session(self.engine) as session, session.begin():
                session.add(tables.Run(**_plain(values), occupies=occupies))
        except IntegrityError:
            self._say_who_occupies(occupies)
            raise

    def take_over(self, run: str, process: str) -> None:
        """Write down which process looks after a run from now on. Raises SiteOccupied, as begin_run does."""
        try:
            with Session(self.engine) as session, session.begin():
                row = session.get_one(tables.Run, run)
                occupies = _run(row).occupies
                row.process, row.state, row.occupies = process, RUNNING, occupies
        except IntegrityError:
            self._say_who_occupies(occupies)
            raise

    def end_run(self, run: str, *, outcome: str, message: str, ended: datetime) -> None:
        """Write down what a run came to. Without an outcome it stays open and keeps its site."""
        with Session(self.engine) as session, session.begin():
            row = session.get_one(tables.Run, run)
            row.state, row.outcome, row.message, row.ended = ENDED if outcome else OPEN, outcome, message, ended
            if outcome:
                row.occupies = None

    def begin_step(self, run: str, name: str, began: datetime) -> int:
        """Write down that a step begins and return its position."""
        with Session(self.engine) as session, session.begin():
            positions = session.scalars(select(tables.Step.position).where(tables.Step.run == run)).all()
            position = max(positions, default=0) + 1
            session.add(
                tables.Step(
                    run=run,
                    position=position,
                    name=name,
                    began=began,
                    ended=None,
                    ending="begun",
                    outcome="",
                    message="",
                    seconds=0.0,
                    evidence={},
                )
            )
        return position

    def end_step(self, run: str, step: StepEntry) -> None:
        """Write down how a step ended and what was observed."""
        with Session(self.engine) as session, session.begin():
            row = session.get_one(tables.Step, (run, step.position))
            row.ended, row.ending, row.outcome = step.ended, step.ending, step.outcome
            row.message, row.seconds, row.evidence = step.message, step.seconds, dict(step.evidence)

    def add_hold(self, hold: HoldEntry) -> bool:
        """Hold a release. One that is known, held or released by a person, stays as it is; returns whether it is new."""
        same = (
            select(tables.Hold)
            .where(tables.Hold.client == hold.client, tables.Hold.site == hold.site, tables.Hold.kind == hold.kind)
            .where(tables.Hold.slug == hold.slug, tables.Hold.version == hold.version)
        )
        with Session(self.engine) as session, session.begin():
            known = session.scalars(same).first()
            if known is None:
                values = {name: getattr(hold, name) for name in HOLD_COLUMNS if name != "id"}
                session.add(tables.Hold(**values))
                return True
            if known.released is None:
                return False
            # A person gave it another try and it broke the copy again.
            known.released, known.since, known.run = None, hold.since, hold.run
            known.reason, known.sha256 = hold.reason, hold.sha256
            return True

    def release_hold(self, hold: int, released: datetime) -> HoldEntry | None:
        """Let a release be tried again. Returns None when there is no such hold."""
        with Session(self.engine) as session, session.begin():
            row = session.get(tables.Hold, hold)
            if row is None:
                return None
            row.released = row.released or released
            return _hold(row)

    def holds(self, client: str, site: str = "") -> tuple[HoldEntry, ...]:
        """Return what is held now."""
        query = select(tables.Hold).where(tables.Hold.client == client, tables.Hold.released.is_(None))
        if site:
            query = query.where(tables.Hold.site == site)
        with Session(self.engine) as session:
            return tuple(_hold(row) for row in session.scalars(query.order_by(tables.Hold.id)))

    def released_holds(self, client: str, site: str) -> tuple[HoldEntry, ...]:
        """Return what was held and a person has let go."""
        query = select(tables.Hold).where(tables.Hold.client == client, tables.Hold.site == site)
        with Session(self.engine) as session:
            rows = session.scalars(query.where(tables.Hold.released.is_not(None)).order_by(tables.Hold.id))
            return tuple(_hold(row) for row in rows)

    def open_incident(self, incident: IncidentEntry) -> bool:
        """Open an incident, unless one about the same is open for the site already; returns whether it is new."""
        query = _open_incidents(incident.client, incident.site, incident.about)
        with Session(self.engine) as session, session.begin():
            if session.scalars(query).first() is not None:
                return False
            session.add(
                tables.Incident(
                    client=incident.client,
                    site=incident.site,
                    run=incident.run or None,
                    about=incident.about,
                    opened=incident.opened,
                    closed=None,
                    reasons=list(incident.reasons),
                )
            )
            return True

    def close_incidents(self, client: str, site: str, closed: datetime, *, about: str = SITE) -> int:
        """Close what is open for a site: it was seen well again. Returns how many were open."""
        with Session(self.engine) as session, session.begin():
            rows = session.scalars(_open_incidents(client, site, about)).all()
            for row in rows:
                row.closed = closed
            return len(rows)

    def incidents(self, client: str, *, open_only: bool = False) -> tuple[IncidentEntry, ...]:
        """Return a client's incidents, the oldest first."""
        query = select(tables.Incident).where(tables.Incident.client == client)
        if open_only:
            query = query.where(tables.Incident.closed.is_(None))
        with Session(self.engine) as session:
            return tuple(_incident(row) for row in session.scalars(query.order_by(tables.Incident.id)))

    def add_point(self, point: PointEntry) -> None:
        """Remember a restore point. Seen twice, it is still one."""
        with Session(self.engine) as session, session.begin():
            session.merge(tables.Point(**{name: getattr(point, name) for name in POINT_COLUMNS}))

    def points(self, client: str, site: str = "") -> tuple[PointEntry, ...]:
        """Return the restore points that runs have seen complete, the newest first."""
        query = select(tables.Point).where(tables.Point.client == client)
        if site:
            query = query.where(tables.Point.site == site)
        with Session(self.engine) as session:
            rows = session.scalars(query.order_by(tables.Point.taken.desc()))
            return tuple(PointEntry(**{name: getattr(row, name) for name in POINT_COLUMNS}) for row in rows)

    def run(self, run: str) -> RunEntry | None:
        """Return one run with its steps."""
        with Session(self.engine) as session:
            row = session.get(tables.Run, run)
            return None if row is None else _run(row)

    def runs(
        self, client: str = "", *, since: datetime | None = None, until: datetime | None = None, limit: int = 0
    ) -> tuple[RunEntry, ...]:
        """Return runs that began in a span of time, the newest first."""
        query: Select[Any] = select(tables.Run).order_by(tables.Run.began.desc(), tables.Run.id.desc())
        if client:
            query = query.where(tables.Run.client == client)
        if since is not None:
            query = query.where(tables.Run.began >= since)
        if until is not None:
            query = query.where(tables.Run.began < until)
        if limit:
            query = query.limit(limit)
        return self._runs(query)

    def unfinished(self, client: str = "") -> tuple[RunEntry, ...]:
        """Return the runs that have not ended, the oldest first."""
        query = select(tables.Run).where(tables.Run.state != ENDED).order_by(tables.Run.began)
        if client:
            query = query.where(tables.Run.client == client)
        return self._runs(query)

    def not_put_back(self, client: str) -> tuple[RunEntry, ...]:
        """Return, for each site, its last run if that could not be put back: it may be taken up again."""
        last: dict[str, RunEntry] = {}
        for run in reversed(self.runs(client)):
            if run.outcome not in UNTOUCHED:
                last[run.occupies] = run
        return tuple(run for run in last.values() if run.outcome == "not-put-back")

    def _say_who_occupies(self, site: str) -> None:
        with Session(self.engine) as session:
            other = session.scalars(select(tables.Run).where(tables.Run.occupies == site)).first()
            if other is not None:
                raise SiteOccupied(_run(other)) from None

    def _runs(self, query: Select[Any]) -> tuple[RunEntry, ...]:
        with Session(self.engine) as session:
            return tuple(_run(row) for row in session.scalars(query))


def _names(entry: type, *left_out: str) -> tuple[str, ...]:
    return tuple(name for name in entry.__dataclass_fields__ if name not in left_out)  # type: ignore[attr-defined]


RUN_COLUMNS = _names(RunEntry, "steps")
STEP_COLUMNS = _names(StepEntry)
HOLD_COLUMNS = _names(HoldEntry)
POINT_COLUMNS = _names(PointEntry)


def _run(row: tables.Run) -> RunEntry:
    run = RunEntry(**{name: getattr(row, name) for name in RUN_COLUMNS})
    steps = (StepEntry(**{name: getattr(step, name) for name in STEP_COLUMNS}) for step in row.steps)
    return replace(run, steps=tuple(steps))


def _hold(row: tables.Hold) -> HoldEntry:
    return HoldEntry(**{name: getattr(row, name) for name in HOLD_COLUMNS})


def _incident(row: tables.Incident) -> IncidentEntry:
    reasons: Sequence[Any] = row.reasons
    return IncidentEntry(
        id=row.id,
        client=row.client,
        site=row.site,
        run=row.run or "",
        opened=row.opened,
        closed=row.closed,
        reasons=tuple(str(reason) for reason in reasons),
        about=row.about,
    )


def _open_incidents(client: str, site: str, about: str) -> Select[Any]:
    return select(tables.Incident).where(
        tables.Incident.client == client,
        tables.Incident.site == site,
        tables.Incident.about == about,
        tables.Incident.closed.is_(None),
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if name in ("promised", "variables") else value for name, value in values.items()}


def _sqlite_manners(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=wal", "synchronous=full", "busy_timeout=10000", "foreign_keys=on"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_reader(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=on")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _version(engine: Engine) -> str:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _migrate(engine: Engine) -> None:
    from alembic import command  # noqa: PLC0415  # slow to import, and needed once
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
