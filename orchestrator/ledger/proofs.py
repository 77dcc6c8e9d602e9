"""What the ledger knows of proofs: verifications in the store, drills on a host."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.orm import Session

from orchestrator.ledger import tables
from orchestrator.ledger.values import DrillEntry, VerificationEntry


class Proofs:
    """The part of the ledger that remembers what was proved of restore points."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add_verification(self, seen: VerificationEntry) -> None:
        """Remember what a verification has seen."""
        with Session(self.engine) as session, session.begin():
            session.add(
                tables.Verification(
                    client=seen.client,
                    site=seen.site,
                    began=seen.began,
                    ended=seen.ended,
                    parts=list(seen.parts),
                    of=seen.of,
                    packs=seen.packs,
                    bytes=seen.bytes,
                    points={point: list(problems) for point, problems in seen.points.items()},
                    damage=[dict(each) for each in seen.damage],
                )
            )

    def verifications(self, client: str, site: str = "") -> tuple[VerificationEntry, ...]:
        """Return what verifications have seen, the newest first."""
        query = select(tables.Verification).where(tables.Verification.client == client)
        if site:
            query = query.where(tables.Verification.site == site)
        with Session(self.engine) as session:
            rows = session.scalars(query.order_by(tables.Verification.began.desc(), tables.Verification.id.desc()))
            return tuple(_verification(row) for row in rows)

    def drills(self, client: str, site: str = "") -> tuple[DrillEntry, ...]:
        """Return the drills that came to an end, and the recoveries on other hosts, the newest first.

        A recovery that was refused shows nothing about its restore point, and is left out.
        """
        query = (
            select(tables.Run, tables.Step)
            .join(tables.Step, tables.Step.run == tables.Run.id)
            .where(tables.Run.client == client, tables.Step.outcome != "")
            .where(
                or_(
                    tables.Step.name == "drill",
                    and_(tables.Step.name == "rebuild", tables.Step.outcome.in_(("done", "unhealthy"))),
                )
            )
        )
        if site:
            query = query.where(tables.Run.site == site)
        with Session(self.engine) as session:
            rows = session.execute(query.order_by(tables.Step.began.desc(), tables.Step.position.desc())).all()
            return tuple(_drill(run, step) for run, step in rows)


def _verification(row: tables.Verification) -> VerificationEntry:
    return VerificationEntry(
        id=row.id,
        client=row.client,
        site=row.site,
        began=row.began,
        ended=row.ended,
        parts=tuple(int(part) for part in row.parts),
        of=row.of,
        packs=row.packs,
        bytes=row.bytes,
        points={point: tuple(problems) for point, problems in row.points.items()},
        damage=tuple(row.damage),
    )


def _drill(run: tables.Run, step: tables.Step) -> DrillEntry:
    return DrillEntry(
        run=run.id,
        client=run.client,
        site=run.site,
        point=str(step.evidence.get("point") or run.point),
        began=step.began,
        outcome=step.outcome,
        message=step.message,
        seconds=_number(step.evidence.get("recovery_seconds")),
        age=_number(step.evidence.get("data_age_seconds")),
        host=str(run.variables.get("upkeep_to", "")),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
