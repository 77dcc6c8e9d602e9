"""What is due: by the days of the agreement's clock, and never what was not promised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.contract.model import Contract
from orchestrator.plan.due import Proved, due
from orchestrator.plan.rotation import Reading
from tests.unit.contract.samples import BACKUP, DELETED, contract_with

# Three o'clock in the night, in Berlin.
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
LAST_NIGHT = NOW - timedelta(days=1)
PROMISED = {"verify": {"every": "weekly", "all_within_days": 30}, "recovery": {"rto_hours": 4, "rpo_hours": 48}}


def ago(days: float, parts: tuple[int, ...] = (1,), of: int = 1) -> Reading:
    return Reading(NOW - timedelta(days=days), parts, of)


def proved(point: float | None = 0.1, readings: tuple[Reading, ...] = (ago(1),), drill: float | None = 1) -> Proved:
    def moment(days: float | None) -> datetime | None:
        return None if days is None else NOW - timedelta(days=days)

    return Proved("shop", moment(point), readings, moment(drill))


@pytest.fixture
def contract() -> Contract:
    return contract_with(BACKUP, PROMISED)


@pytest.mark.parametrize(
    ("seen", "duties"),
    [
        (proved(), []),
        (proved(point=None), ["backup"]),
        # At the same hour a day later, some seconds early or late.
        (proved(point=1), ["backup"]),
        (proved(point=0.999), ["backup"]),
        (proved(point=3), ["backup"]),
        (proved(readings=()), ["verify"]),
        (proved(readings=(ago(6),)), []),
        (proved(readings=(ago(6.999),)), ["verify"]),
        # All of it once, then a part of four each week: the other three parts are too old.
        (proved(readings=(ago(31), ago(1, (1,), 4))), ["read"]),
        (proved(readings=(ago(29), ago(1, (1,), 4))), []),
        # It never came to all of it.
        (proved(readings=(ago(31, (1,), 4), ago(1, (2,), 4))), ["read"]),
        (proved(drill=None), ["drill"]),
        (proved(drill=30), []),
        (proved(drill=31), ["drill"]),
        (proved(point=9, readings=(), drill=None), ["backup", "verify", "drill"]),
    ],
)
def test_what_is_due_is_what_was_promised_and_not_done(contract: Contract, seen: Proved, duties: list[str]) -> None:
    assert [each.duty for each in due(contract, [seen], NOW)] == duties


def test_each_says_since_when_why_and_what_to_type(contract: Contract) -> None:
    backup, read = due(contract, [proved(point=3, readings=(ago(31),))], NOW)
    assert (backup.since, backup.command) == (
        LAST_NIGHT, "upkeep run example --site shop --duty backup",
    )  # fmt: skip
    assert "older than the 48 hours" in backup.reason
    assert (read.since, read.command) == (LAST_NIGHT, "upkeep verify example --site shop --full")


def test_nothing_is_due_that_was_not_promised() -> None:
    nothing = proved(point=None, readings=(), drill=None)
    assert due(contract_with(BACKUP, DELETED), [nothing], NOW) == ()
    assert [each.duty for each in due(contract_with(BACKUP, {}), [proved(drill=None)], NOW)] == []


def test_how_often_a_recovery_is_tried_stands_in_the_contract() -> None:
    often = {**PROMISED, "recovery": {"rto_hours": 4, "rpo_hours": 48, "drill": "daily"}}
    assert [each.duty for each in due(contract_with(BACKUP, often), [proved(drill=1)], NOW)] == ["drill"]
