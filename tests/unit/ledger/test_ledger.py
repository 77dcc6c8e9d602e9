"""The ledger: what is written is what is read, and one run at a time is on a site."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import StatementError

from orchestrator.errors import Refused, Usage
from orchestrator.ledger import ledger as module
from orchestrator.ledger.address import peek
from orchestrator.ledger.ledger import HEAD, Ledger, SiteOccupied, open_ledger
from orchestrator.ledger.tables import Base
from orchestrator.ledger.values import (
    POINTS,
    HoldEntry,
    IncidentEntry,
    PointEntry,
    RunEntry,
    StepEntry,
    VerificationEntry,
)

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)
ID = "20261122T020000Z-1f0c9a2b"


def run(**changes: object) -> RunEntry:
    entry = RunEntry(
        id=ID,
        client="example",
        site="shop",
        host="shop",
        duty="update",
        digest="d" * 64,
        point=ID,
        promised={"core": "minor"},
        variables={"upkeep_run": ID},
        began=NOW,
        process="machine:1:2",
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def hold(**changes: object) -> HoldEntry:
    entry = HoldEntry(0, "example", "shop", "plugin", "bad", "2.0", "a" * 64, "white page", ID, NOW)
    return replace(entry, **changes)  # type: ignore[arg-type]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/deep/ledger.sqlite"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    ledger = open_ledger(url)
    yield ledger
    ledger.close()


def test_a_run_is_read_as_it_was_written_with_its_steps_in_order(ledger: Ledger) -> None:
    ledger.begin_run(run())
    for name in ("preflight", "snapshot"):
        position = ledger.begin_step(ID, name, NOW)
        step = StepEntry(
            position, name, NOW, NOW, "reported", "done", "well", 1.5, {"step": name, "n": [1, {"a": None}]}
        )
        ledger.end_step(ID, step)
    ledger.begin_step(ID, "stage", NOW)
    read = ledger.run(ID)
    assert read is not None
    assert replace(read, steps=()) == run()
    assert [(step.position, step.name, step.ending) for step in read.steps] == [
        (1, "preflight", "reported"),
        (2, "snapshot", "reported"),
        (3, "stage", "begun"),
    ]
    assert read.steps[1].evidence == {"step": "snapshot", "n": [1, {"a": None}]}


def test_times_keep_their_zone_and_none_without_one_is_taken(ledger: Ledger) -> None:
    berlin = datetime(2026, 11, 22, 3, tzinfo=ZoneInfo("Europe/Berlin"))
    ledger.begin_run(run(began=berlin))
    read = ledger.run(ID)
    assert read is not None
    assert read.began == NOW
    assert read.began.tzinfo is UTC
    with pytest.raises(StatementError, match="without its zone"):
        ledger.begin_run(run(id="20261122T020000Z-00000000", site="b", began=datetime(2026, 11, 22)))  # noqa: DTZ001


def test_a_site_takes_one_run_at_a_time_until_it_has_ended(ledger: Ledger) -> None:
    second = run(id="20261122T020001Z-00000000")
    ledger.begin_run(run())
    ledger.begin_run(run(id="20261122T020002Z-00000000", site="other"))
    with pytest.raises(SiteOccupied) as occupied:
        ledger.begin_run(second)
    assert occupied.value.run.id == ID
    ledger.end_run(ID, outcome="", message="the host went away", ended=NOW)
    with pytest.raises(SiteOccupied):
        ledger.begin_run(second)
    assert [entry.state for entry in ledger.unfinished("example")] == ["open", "running"]
    ledger.end_run(ID, outcome="put-back", message="", ended=NOW)
    ledger.begin_run(second)


def test_two_controllers_on_one_ledger_see_each_other(url: str, ledger: Ledger) -> None:
    other = open_ledger(url)
    ledger.begin_run(run())
    with pytest.raises(SiteOccupied):
        other.begin_run(run(id="20261122T020001Z-00000000"))
    other.close()


def test_a_release_is_held_once_until_a_person_lets_it_go(ledger: Ledger) -> None:
    ledger.begin_run(run())
    assert ledger.add_hold(hold())
    assert not ledger.add_hold(hold(reason="again"))
    assert ledger.add_hold(hold(site="other"))
    assert ledger.add_hold(hold(version="2.1"))
    (first, _) = ledger.holds("example", "shop")
    assert first.reason == "white page"
    released = ledger.release_hold(first.id, NOW)
    assert released is not None
    assert [each.version for each in ledger.holds("example", "shop")] == ["2.1"]
    assert ledger.add_hold(hold(reason="still a white page"))
    assert [each.reason for each in ledger.holds("example", "shop")] == ["still a white page", "white page"]
    assert ledger.release_hold(99, NOW) is None


def test_an_incident_is_opened_once_and_closed_when_the_site_is_well(ledger: Ledger) -> None:
    ledger.begin_run(run())
    incident = IncidentEntry(0, "example", "shop", ID, NOW, ("/ answers 500",))
    assert ledger.open_incident(incident)
    assert not ledger.open_incident(incident)
    assert ledger.close_incidents("example", "shop", NOW) == 1
    assert ledger.incidents("example", open_only=True) == ()
    assert [each.closed for each in ledger.incidents("example")] == [NOW]
    assert ledger.open_incident(incident)


def test_incidents_about_the_site_and_about_its_restore_points_are_apart(ledger: Ledger) -> None:
    ledger.begin_run(run())
    assert ledger.open_incident(IncidentEntry(0, "example", "shop", ID, NOW, ("/ answers 500",)))
    damaged = IncidentEntry(0, "example", "shop", "", NOW, ("a pack is damaged",), about=POINTS)
    assert ledger.open_incident(damaged)
    assert not ledger.open_incident(damaged)
    assert ledger.close_incidents("example", "shop", NOW) == 1
    assert [(each.about, each.run) for each in ledger.incidents("example", open_only=True)] == [(POINTS, "")]
    assert ledger.close_incidents("example", "shop", NOW, about=POINTS) == 1


def test_what_a_verification_saw_is_read_as_it_was_written_the_newest_first(ledger: Ledger) -> None:
    seen = VerificationEntry(
        1, "example", "shop", NOW, NOW, (2, 3), 4, 17, 1 << 40, {ID: ("its tree is torn",)}, ({"object": "data/ab"},)
    )
    ledger.add_verification(seen)
    ledger.add_verification(replace(seen, began=NOW + timedelta(days=7), points={ID: ()}))
    ledger.add_verification(replace(seen, site="blog"))
    newest, oldest = ledger.verifications("example", "shop")
    assert oldest == seen
    assert newest.points == {ID: ()}
    assert len(ledger.verifications("example")) == 3
    assert ledger.verifications("other") == ()


def test_a_drill_is_found_by_what_its_step_has_seen(ledger: Ledger) -> None:
    ledger.begin_run(run(duty="drill", point="newest"))
    evidence = {"point": ID, "recovery_seconds": 61.5, "data_age_seconds": 7200}
    position = ledger.begin_step(ID, "drill", NOW)
    assert ledger.drills("example") == ()
    ledger.end_step(ID, StepEntry(position, "drill", NOW, NOW, "reported", "done", "", 62.0, evidence))
    (drill,) = ledger.drills("example", "shop")
    assert (drill.point, drill.outcome, drill.seconds, drill.age) == (ID, "done", 61.5, 7200.0)
    assert ledger.drills("example", "blog") == ()


def test_a_recovery_on_another_host_is_a_proof_and_needs_no_site_that_is_gone_for_ever(ledger: Ledger) -> None:
    ledger.begin_run(run())
    ledger.end_run(ID, outcome="", message="the host went away", ended=NOW)
    for number, outcome in enumerate(("refused", "done")):
        elsewhere = f"20261122T02000{number}Z-00000000"
        told = {"upkeep_site": "shop", "upkeep_to": "fresh"}
        ledger.begin_run(run(id=elsewhere, host="fresh", duty="rebuild", point="newest", variables=told))
        position = ledger.begin_step(elsewhere, "rebuild", NOW)
        ledger.end_step(
            elsewhere, StepEntry(position, "rebuild", NOW, NOW, "reported", outcome, "", 62.0, {"point": ID})
        )
        with pytest.raises(SiteOccupied):
            ledger.begin_run(run(id="20261122T020009Z-00000000", variables=told))
        ledger.end_run(elsewhere, outcome=outcome, message="", ended=NOW)
    (drill,) = ledger.drills("example", "shop")
    assert (drill.point, drill.outcome, drill.host) == (ID, "done", "fresh")


def test_a_ledger_of_before_is_brought_to_this_version_with_all_that_is_in_it(url: str) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    file.parent.mkdir()
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO run VALUES (?,'example','shop','shop','update','','','{}','{}','','ended','done','',?,NULL,NULL)",
            (ID, "2026-11-22 02:00:00"),
        )
        connection.exec_driver_sql(
            "INSERT INTO incident VALUES (7,'example','shop',?,?,NULL,?)",
            (ID, "2026-11-22 02:00:00", '["/ answers 500"]'),
        )
    engine.dispose()
    assert peek(url) is None
    ledger = open_ledger(url)
    assert [entry.id for entry in ledger.runs()] == [ID]
    assert ledger.incidents("example") == (IncidentEntry(7, "example", "shop", ID, NOW, ("/ answers 500",)),)
    ledger.close()


def test_restore_points_come_newest_first(ledger: Ledger) -> None:
    ledger.begin_run(run())
    for day in (1, 3, 2):
        ledger.add_point(PointEntry(f"point-{day}", "example", "shop", ID, NOW + timedelta(days=day), {"schema": 1}))
    ledger.add_point(PointEntry("point-3", "example", "shop", ID, NOW + timedelta(days=3), {"schema": 1}))
    assert [point.id for point in ledger.points("example", "shop")] == ["point-3", "point-2", "point-1"]


def test_runs_are_found_by_client_and_time(ledger: Ledger) -> None:
    for day in range(3):
        ledger.begin_run(run(id=f"2026112{day}T020000Z-00000000", site=str(day), began=NOW + timedelta(days=day)))
    ledger.begin_run(run(id="20261122T020000Z-11111111", client="other"))
    found = ledger.runs("example", since=NOW + timedelta(days=1), until=NOW + timedelta(days=2))
    assert [entry.site for entry in found] == ["1"]
    assert [entry.site for entry in ledger.runs("example", limit=2)] == ["2", "1"]
    assert len(ledger.runs()) == 4


def test_the_file_is_for_its_owner_only_and_survives_a_crash(url: str, ledger: Ledger) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_peeking_makes_nothing(url: str, tmp_path: Path) -> None:
    assert peek(url) is None
    assert list(tmp_path.iterdir()) == []
    open_ledger(url).close()
    seen = peek(url)
    assert seen is not None
    assert seen.runs() == ()
    seen.close()


def test_the_migrations_make_exactly_the_tables_that_the_code_has(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
    scripts = ScriptDirectory(str(Path(module.__file__).parent / "migrations"))
    assert scripts.get_current_head() == HEAD


def test_a_ledger_of_a_newer_version_is_left_alone(url: str, ledger: Ledger) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Refused, match="newer upkeep"):
        open_ledger(url)


def test_a_run_that_could_not_be_put_back_may_be_taken_up_until_a_later_one_changed_the_site(ledger: Ledger) -> None:
    ids = [f"2026112{day}T020000Z-00000000" for day in range(3)]
    for day, (name, outcome) in enumerate(zip(ids, ("not-put-back", "unhealthy", "done"), strict=True)):
        assert [entry.id for entry in ledger.not_put_back("example")] == ([ids[0]] if day else [])
        ledger.begin_run(run(id=name, began=NOW + timedelta(days=day)))
        ledger.end_run(name, outcome=outcome, message="", ended=NOW)
    assert ledger.not_put_back("example") == ()


def test_a_run_is_taken_up_only_while_nobody_else_is_on_the_site(ledger: Ledger) -> None:
    ledger.begin_run(run())
    ledger.end_run(ID, outcome="not-put-back", message="", ended=NOW)
    ledger.begin_run(run(id="20261123T020000Z-00000000"))
    with pytest.raises(SiteOccupied):
        ledger.take_over(ID, "machine:3:4")
    ledger.end_run("20261123T020000Z-00000000", outcome="done", message="", ended=NOW)
    ledger.take_over(ID, "machine:3:4")
    assert [(entry.id, entry.process) for entry in ledger.unfinished()] == [(ID, "machine:3:4")]


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/ledger.sqlite", "nosuch://user:seeded@host/ledger"])
def test_a_ledger_that_cannot_be_opened_is_said_in_a_sentence(url: str) -> None:
    with pytest.raises(Refused, match="cannot be opened") as refused:
        open_ledger(url)
    assert "seeded" not in refused.value.message


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but rather long " * 100)
    with pytest.raises(Refused, match="cannot be opened"):
        open_ledger(f"sqlite:///{file}")
    assert file.read_text().startswith("not a database")


def test_what_is_no_address_is_a_question_of_usage() -> None:
    with pytest.raises(Usage):
        open_ledger("://")
