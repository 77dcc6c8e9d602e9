"""Promise and ledger side by side: only what was observed is told, and nothing that a host says becomes markup."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator.ledger.values import DrillEntry, HoldEntry, IncidentEntry, PointEntry, RunEntry, VerificationEntry
from orchestrator.report.month import month_report, runs_report
from orchestrator.report.page import page
from orchestrator.report.story import run_story
from tests.unit.contract.samples import contract_with
from tests.unit.report.entries import (
    BEFORE,
    BEGAN,
    DELIVERED,
    HELD,
    ID,
    ILL,
    MANIFEST,
    WELL,
    good_evidence,
    put_back_evidence,
    run_entry,
)

BERLIN = ZoneInfo("Europe/Berlin")
CONTRACT = contract_with()
MADE = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOLD = HoldEntry(1, "example", "shop", "plugin", "lab-banner", "1.1", "a" * 64, "white page", ID, BEGAN)


def month(
    runs: list[RunEntry], points: list[PointEntry] | None = None, incidents: list[IncidentEntry] | None = None
) -> dict[str, Any]:
    return month_report(
        CONTRACT,
        runs,
        points=points or [],
        holds=[HOLD],
        incidents=incidents or [],
        begins=datetime(2026, 11, 1, tzinfo=BERLIN),
        ends=datetime(2026, 12, 1, tzinfo=BERLIN),
        made=MADE,
    )


class Text(HTMLParser):
    """Collects the words of a page and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self._style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._style = tag == "style"
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_a_language_pack_is_among_what_changed_although_no_list_of_versions_has_it() -> None:
    pack = {"kind": "translation", "slug": "plugin.forms.de_DE", "from": "none", "to": "2024-02-05.12-34-56"}
    evidence, back = good_evidence(), put_back_evidence()
    for each in (evidence, back):
        each["promote"]["delivered"] = [*DELIVERED, pack]

    assert run_story(run_entry(evidence))["changes"][-1] == {
        "kind": "translation", "name": "plugin.forms.de_DE", "before": "none", "after": "2024-02-05.12-34-56",
    }  # fmt: skip
    assert run_story(run_entry(back, "put-back"))["changes"] == []


def test_a_good_run_tells_what_changed_what_was_held_and_how_long_production_was_frozen() -> None:
    story = run_story(run_entry(good_evidence()))
    assert [(change["name"], change["before"], change["after"]) for change in story["changes"]] == [
        ("WordPress", "6.2.6", "6.5.5"),
        ("database schema", "53496", "57155"),
        ("newspack-blocks", "2.0.0", "4.33.0"),
        ("twentytwentythree", "1.1", "1.2"),
    ]
    assert story["delivered"] == DELIVERED
    assert story["held"] == HELD
    assert story["frozen_seconds"] == 1.8
    assert (story["broken"], story["put_back"], story["tried"]) == (None, None, [])
    assert story["point"] == {
        "id": ID, "taken": MANIFEST["taken"], "seconds": 2.4, "files": 3124, "bytes": 71_000_000, "tables": 2, "rows": 430,
    }  # fmt: skip
    assert [(each["where"], each["healthy"]) for each in story["verdicts"]] == [
        ("production, before", True),
        ("staging, before", True),
        ("staging, updated", True),
        ("production, updated", True),
    ]


def test_what_an_update_touches_and_the_way_back_are_told_and_the_freeze_beside_what_was_expected() -> None:
    run = run_entry(good_evidence())
    story = run_story(run)

    assert story["touches"]["class"] == "schema"
    assert [(each["slug"], each["class"]) for each in story["touches"]["releases"]] == [
        ("wordpress", "unknown"),
        ("newspack-blocks", "code-only"),
    ]
    assert story["touches"]["way_back"] == "the trees are exchanged back and 3 tables renamed back, together"
    assert (story["freeze"]["expected_seconds"], story["freeze"]["budget_seconds"]) == (1.6, 60)
    text = Text(page(runs_report(CONTRACT, [run], holds=[], made=MADE))).text
    for words in (
        "newspack-blocks plugin 4.33.0 code-only 100 files changed, 1 file added",
        "1400 files changed, 40 files added, its tables are known of all releases together only",
        "all together schema 1500 files changed, 41 files added, rows of wp_options, the definition of wp_posts",
        "The way back: the trees are exchanged back and 3 tables renamed back, together. Copied aside in the freeze: 2.4 MB",
        "frozen for 1.8 s, expected 1.6 s, allowed 1 min 0 s",
    ):
        assert words in text, text


def test_tables_that_changed_only_in_production_are_told() -> None:
    evidence = good_evidence()
    evidence["promote"]["tables_also_changed"] = ["wp_hits"]
    run = run_entry(evidence)
    assert run_story(run)["freeze"]["also_changed"] == ["wp_hits"]
    assert "no copy was made of them: wp_hits" in Text(page(runs_report(CONTRACT, [run], holds=[], made=MADE))).text


@pytest.mark.parametrize(
    "odd", [None, 7, [], {"class": "fine", "files": 3, "releases": [None, {}], "tables": {"rows": 1}}]
)
def test_touches_of_another_shape_are_told_as_far_as_they_can_be(odd: Any) -> None:
    evidence = good_evidence()
    evidence["rehearse"]["touches"] = odd
    told = run_story(run_entry(evidence))["touches"]
    assert told is None or told["class"] == "unknown"
    assert "The runs" in Text(page(runs_report(CONTRACT, [run_entry(evidence)], holds=[], made=MADE))).text


def test_a_run_that_was_put_back_delivers_nothing_and_tells_what_was_broken_for_how_long() -> None:
    story = run_story(run_entry(put_back_evidence(), "put-back", failing="promote"))
    assert story["delivered"] == []
    assert story["changes"] == []
    assert story["tried"] == DELIVERED
    assert story["broken"] == {"seconds": 2.9, "reasons": ["front page: the page ends before </html>"]}
    assert story["put_back"] is True
    assert [(each["where"], each["healthy"]) for each in story["verdicts"]][-2:] == [
        ("production, updated", False),
        ("production, put back", True),
    ]


def test_of_a_run_that_did_not_end_nothing_is_said_about_production() -> None:
    evidence = good_evidence()
    del evidence["release"]
    evidence["promote"] = {}
    run = run_entry(evidence, "", state="open", ended=None)
    story = run_story(run)
    assert (story["versions"]["unchanged"], story["changes"], story["put_back"]) == (False, [], None)
    text = Text(page(runs_report(CONTRACT, [run], holds=[], made=MADE))).text
    assert "Versions in production before the run" in text
    assert "unchanged" not in text


def test_each_probe_is_shown_with_its_seconds_and_whether_a_cache_answered() -> None:
    evidence = good_evidence()
    evidence["promote"]["verdict"] = {"healthy": True, "reasons": [], "probes": [
        {"name": "the <b>shop</b>", "ok": False, "status": 200, "seconds": 2.31, "max_seconds": 1.0, "bytes": 4711, "cached": True,
         "problems": ["the text 'A & B' is missing"]}]}  # fmt: skip
    run = run_entry(evidence, "")
    assert run_story(run)["verdicts"][-1]["seen"] == [
        {"name": "the <b>shop</b>", "ok": False, "status": 200, "seconds": 2.31, "max_seconds": 1.0, "bytes": 4711, "cached": True,
         "problems": ["the text 'A & B' is missing"]}]  # fmt: skip
    text = Text(page(runs_report(CONTRACT, [run], holds=[], made=MADE))).text
    for words in (
        "each probe: production, updated",
        "the <b>shop</b>",
        "2.3 s of 1",
        "4711 bytes",
        "from a cache",
        "'A & B'",
    ):
        assert words in text


def test_the_host_that_was_asked_has_the_last_word() -> None:
    evidence = good_evidence()
    evidence["promote"] = {}
    evidence["recover"] = {"state": "put-back", "broken": ["the run was interrupted"], "broken_seconds": 61.0,
                           "after": BEFORE, "back_verdict": WELL}  # fmt: skip
    story = run_story(run_entry(evidence, "put-back"))
    assert story["broken"] == {"seconds": 61.0, "reasons": ["the run was interrupted"]}
    assert story["put_back"] is True
    last = story["verdicts"][-1]
    assert len(last.pop("seen")) == 8
    assert last == {
        "where": "production, put back", "after": True, "healthy": True, "reasons": [], "probes": 8, "passed": 8,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "outcome", "seen_well"),
    [
        (good_evidence(), "done", True),
        ({**good_evidence(), "promote": {}, "recover": {"state": "finished"}}, "done", False),
        (put_back_evidence(), "put-back", True),
        ({**good_evidence(), "promote": {}, "recover": {"state": "put-back"}}, "put-back", False),
        ({"preflight": {"verdict": WELL}, "snapshot": {}}, "done", False),
    ],
)
def test_well_afterwards_is_said_only_when_it_was_seen(evidence: Any, outcome: str, seen_well: bool) -> None:
    assert ("seen well" in run_story(run_entry(evidence, outcome))["meaning"]) is seen_well


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"only": "all", "tables": [], "paths": []}, "The restore point is in the place of production."),
        ({"only": "files", "tables": [], "paths": []}, "production: the files. All else stayed as it was."),
        ({"only": "all", "tables": ["wp_posts"], "paths": ["a b"]}, "production: table wp_posts, a b. All else stayed"),
    ],
)
def test_a_restore_says_which_part_came_back(part: Any, said: str) -> None:
    evidence = {"preflight": {}, "restore": {"point": ID, "part": part}}

    assert said in run_story(run_entry(evidence, duty="restore", promised={}))["meaning"]


def test_a_step_that_failed_gives_no_restore_point() -> None:
    evidence = {"preflight": {"versions": BEFORE}, "snapshot": {"point": ID}}
    assert run_story(run_entry(evidence, "refused", failing="snapshot"))["point"] is None


@pytest.mark.parametrize("odd", [None, "text", 7, [], {}, [None, 3], {"healthy": "yes", "probes": 3}])
def test_evidence_of_another_shape_is_told_as_nothing(odd: Any) -> None:
    names = ("verdict", "versions", "manifest", "held", "delivered", "before", "after", "broken", "frozen_seconds")
    steps = ("preflight", "snapshot", "rehearse", "promote")
    story = run_story(run_entry({step: dict.fromkeys(names, odd) for step in steps}))
    json.dumps(story)
    page(runs_report(CONTRACT, [run_entry({step: dict.fromkeys(names, odd) for step in steps})], holds=[], made=MADE))
    assert story["outcome"] == "done"


def test_a_month_says_of_each_duty_whether_it_was_kept() -> None:
    point = PointEntry(ID, "example", "shop", ID, BEGAN, MANIFEST)
    report = month([run_entry(good_evidence())], [point])
    verdicts = {duty["duty"]: duty["verdict"] for duty in report["duties"]}
    assert verdicts == {
        "backup": "kept",
        "update": "kept",
        "response_times": "not served yet",
        "report": "not served yet",
    }
    assert report["duties"][0]["days"] == 22
    assert len(report["duties"][0]["days_without"]) == 21
    assert report["summary"]["delivered"] == 2


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ((), "not kept"),
        (("done",), "kept"),
        (("put-back", "done"), "kept"),
        (("done", "put-back"), "partly kept"),
        (("refused",), "partly kept"),
        (("not-put-back", "done"), "not kept"),
    ],
)
def test_an_update_duty_is_as_good_as_its_last_run(outcomes: tuple[str, ...], verdict: str) -> None:
    runs = [run_entry({}, outcome, began=BEGAN + timedelta(days=day)) for day, outcome in enumerate(outcomes)]
    report = month(list(reversed(runs)))
    assert next(duty["verdict"] for duty in report["duties"] if duty["duty"] == "update") == verdict


def test_a_restore_point_belongs_to_the_month_of_the_agreements_clock() -> None:
    late = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)  # half past midnight on 1 November in Berlin
    assert month([], [PointEntry(ID, "example", "shop", ID, late, {})])["duties"][0]["verdict"] == "kept"
    assert (
        month([], [PointEntry(ID, "example", "shop", ID, late - timedelta(hours=1), {})])["duties"][0]["verdict"]
        == "not kept"
    )


DRILL = {"point": ID, "recovery_seconds": 95.0, "data_age_seconds": 100_000, "verdict": WELL}
PROMISED = {"rto_hours": 4, "rpo_hours": 24}


def test_a_drill_is_told_beside_what_was_promised() -> None:
    good = run_entry({"preflight": {}, "drill": DRILL}, duty="drill", promised={"rto_hours": 4, "rpo_hours": 48})
    story = run_story(good)
    assert story["drill"] == {
        "point": ID, "host": None, "recovery_seconds": 95.0, "data_age_seconds": 100_000, "rto_hours": 4, "rpo_hours": 48,
        "missed": [],
    }  # fmt: skip
    assert story["meaning"].endswith("made a healthy site. Production was not touched.")
    told = {"duty": "rebuild", "promised": {"rto_hours": 4}, "variables": {"upkeep_to": "fresh"}, "host": "fresh"}
    elsewhere = run_story(run_entry({"rebuild": DRILL}, **told))
    assert (elsewhere["drill"]["host"], elsewhere["verdicts"][0]["where"]) == ("fresh", "another host, recovered")
    refused = run_story(run_entry({"rebuild": {"point": ID}}, "refused", failing="rebuild", **told))
    assert (refused["drill"], refused["meaning"]) == (None, "Nothing was restored, and nothing was left on that host.")
    loaded = {
        **DRILL,
        "verdict": {"healthy": True, "reasons": [], "probes": [], "not_tried": "its functions were not tried"},
    }
    assert "Its functions were not tried" in run_story(run_entry({"drill": loaded}, duty="drill"))["meaning"]
    late = run_story(run_entry({"drill": DRILL}, duty="drill", promised=PROMISED))
    assert late["drill"]["missed"] == ["the age of its data was 27.8 hours, and 24 are promised"]
    bad = run_story(
        run_entry({"drill": {"point": ID, "verdict": ILL}}, "unhealthy", failing="drill", duty="drill", promised={})
    )
    assert "cannot be recovered from this restore point" in bad["meaning"]
    assert (bad["drill"]["recovery_seconds"], bad["drill"]["missed"]) == (None, [])


def test_the_month_shows_the_newest_verification_and_drill_of_each_site() -> None:
    (never,) = month([])["proofs"]
    assert (never["verified"], never["drilled"], never["rto_hours"]) == (None, None, 4)
    old = VerificationEntry(
        1, "example", "shop", BEGAN, BEGAN, (1,), 4, 3, 9, {ID: (), "b": ("torn",)}, ({"object": "x"},)
    )
    later = replace(old, id=2, began=BEGAN + timedelta(days=30))
    drill = DrillEntry("r", "example", "shop", ID, BEGAN, "unhealthy", "white <page>", None, 60.0)
    report = month_report(
        CONTRACT, [], points=[], holds=[], incidents=[], verifications=[later, old], drills=[drill],
        begins=datetime(2026, 11, 1, tzinfo=BERLIN), ends=datetime(2026, 12, 1, tzinfo=BERLIN), made=MADE,
    )  # fmt: skip
    (told,) = report["proofs"]
    assert (told["verified"], told["points"], told["incomplete"], told["damaged"]) == (BEGAN.isoformat(), 2, 1, 1)
    assert (told["drill_good"], told["drill_message"], told["recovery_seconds"]) == (False, "white <page>", None)
    words = " ".join(Text(page(report)).words)
    assert "1 of 2 complete, 1 damaged objects" in words
    assert "white <page> failed" in words


def test_what_the_client_has_to_do_is_told_as_it_was_seen_last() -> None:
    evidence = good_evidence()
    left_out = {"kind": "plugin", "slug": "dear", "to": "2.0", "reason": "not updated: no licence", "duty_of": "client"}
    evidence["rehearse"]["skipped"] = [left_out, {**left_out, "slug": "young", "duty_of": None, "reason": "waits"}]
    run = run_entry(evidence)
    report = runs_report(CONTRACT, [run], holds=[], made=MADE)
    assert [each["duty"] for each in report["client_duties"]] == ["plugin dear 2.0: not updated: no licence"]
    assert [each["reason"] for each in report["runs"][0]["skipped"]] == ["not updated: no licence", "waits"]
    assert "What the client has to do" in page(report)
    renewed = run_entry(good_evidence(), id="20261123T020000Z-1f0c9a2b", began=run.began + timedelta(days=1))
    assert runs_report(CONTRACT, [run, renewed], holds=[], made=MADE)["client_duties"] == []


def test_an_incident_that_was_open_in_the_month_is_told() -> None:
    before = IncidentEntry(1, "example", "shop", ID, BEGAN - timedelta(days=60), ("old",), BEGAN - timedelta(days=50))
    still = IncidentEntry(2, "example", "shop", ID, BEGAN - timedelta(days=60), ("still",), None)
    assert [each["reasons"] for each in month([], incidents=[before, still])["incidents"]] == [["still"]]


def test_the_page_is_whole_and_fetches_nothing() -> None:
    runs = [
        run_entry(good_evidence()),
        run_entry(put_back_evidence(), "put-back", failing="promote"),
        run_entry({}, "", state="open", ended=None),
        run_entry({"preflight": {}, "drill": DRILL}, duty="drill", promised=PROMISED),
        run_entry({"preflight": {}}, "refused", failing="preflight", duty="drill", promised={}),
        run_entry({"preflight": {}, "restore": {"point": ID, "manifest": MANIFEST}}, duty="restore", promised={}),
        run_entry({"preflight": {}, "snapshot": {"point": ID, "manifest": MANIFEST}}, duty="backup", promised={}),
    ]
    html = page(runs_report(CONTRACT, runs, holds=[HOLD], made=MADE))
    seen = Text(html)
    assert html.startswith("<!doctype html>")
    assert html.rstrip().endswith("</html>")
    assert seen.links == []
    assert "url(" not in html
    assert "@import" not in html
    assert "script" not in seen.tags
    for words in (
        "Example Bakery",
        "Broken for 2.9 s , then put back",
        "6.2.6",
        "6.5.5",
        "lab-banner",
        "frozen for 1.8 s",
        "2026-11-22 03:00:00",  # by the agreement's clock
        "of these runs need a person",
    ):
        assert words in seen.text, words


def test_the_month_page_holds_promise_and_deed_side_by_side() -> None:
    text = Text(page(month([run_entry(good_evidence())]))).text
    assert "November 2026" in text
    assert "not served yet" in text
    assert "not kept" in text


def test_what_a_host_says_never_becomes_markup() -> None:
    evil = "<script>alert(1)</script>"
    evidence = good_evidence()
    evidence["rehearse"]["held"] = [
        {"kind": evil, "slug": evil, "from": evil, "to": evil, "sha256": evil, "reason": evil}
    ]
    evidence["promote"]["broken"] = [evil]
    evidence["preflight"]["verdict"] = {"healthy": False, "reasons": [evil], "probes": []}
    evidence["promote"]["after"] = {**BEFORE, "core": evil}
    runs = [run_entry(evidence, message=evil), run_entry(evidence, "refused", failing="promote", message=evil)]
    hold = replace(HOLD, slug=evil, reason=evil)
    html = page(runs_report(CONTRACT, runs, holds=[hold], made=MADE))
    assert evil not in html
    assert "&lt;script&gt;" in html


def test_a_rehearsal_tells_what_production_would_get_and_that_it_got_nothing() -> None:
    evidence = good_evidence()
    kept = {name: evidence[name] for name in ("preflight", "stage", "rehearse", "release")}
    rehearsed = run_entry(kept, duty="rehearse")
    story = run_story(rehearsed)
    assert [each["slug"] for each in story["passed"]] == [each["slug"] for each in DELIVERED]
    assert [each["slug"] for each in story["held"]] == [each["slug"] for each in HELD]
    assert (story["delivered"], story["tried"], story["changes"], story["point"]) == ([], [], [], None)
    assert story["versions"]["unchanged"] is True
    assert story["meaning"] == "Its copy proved what production would get. Production was not touched."
    shown = page(runs_report(CONTRACT, [rehearsed], holds=(), made=BEGAN))
    assert "Would be delivered" in shown
    assert run_story(run_entry(evidence))["passed"] == []


def test_an_update_that_left_something_undone_is_degraded_and_never_just_done() -> None:
    evidence = good_evidence()
    evidence["promote"]["degraded"] = ["event of WordPress's cron: migrate (01234567)"]
    degraded = run_entry(evidence)
    story = run_story(degraded)
    assert (story["outcome"], story["headline"]) == ("done", "Degraded")
    assert story["degraded"] == evidence["promote"]["degraded"]
    assert [each["slug"] for each in story["delivered"]] == [each["slug"] for each in DELIVERED]
    shown = page(runs_report(CONTRACT, [degraded], holds=(), made=BEGAN))
    assert "Not done yet, in the background" in shown
    assert run_story(run_entry(good_evidence()))["degraded"] == []


def test_a_site_that_is_ill_some_minutes_later_keeps_its_update_and_needs_a_person() -> None:
    evidence = good_evidence()
    evidence["promote"]["soak"] = {"minutes": 5, "verdict": ILL}
    story = run_story(run_entry(evidence, "not-put-back", failing="promote"))
    assert "Nothing that visitors wrote is thrown away" in story["meaning"]
    assert [each["slug"] for each in story["delivered"]] == [each["slug"] for each in DELIVERED]
    assert (story["tried"], story["changes"] != []) == ([], True)
