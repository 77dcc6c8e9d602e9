"""The verdict as a table: results in, decision and reasons out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from plugins.module_utils.verdict import judge


def result(
    name: str = "front page", *problems: str, kind: str = "page", size: int = 10_000, **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "path": more.pop("path", "/"),
        "status": 200,
        "bytes": size,
        "seconds": more.pop("seconds", 0.1),
        "ok": not problems,
        "problems": list(problems),
        "notes": [],
        **more,
    }


def log(*keys: str, count: int = 1) -> dict[str, Any]:
    fatals = [{"key": key, "sample": f"{key} line 7", "count": count} for key in keys]
    return result("error log", *(f"{key} line 7" for key in keys), kind="log", size=0, fatals=fatals, warnings=0)


FATAL = "PHP Fatal error: x in p.php:N"
OTHER = "PHP Fatal error: y in p.php:N"
MARKER = "the text 'LAB-1' is missing"

ROWS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None, list[str], int]] = {
    # name: results, baseline, reasons, how many were already so before
    "all-well": ([result(), log()], [result(), log()], [], 0),
    "all-well-without-baseline": ([result(), log()], None, [], 0),
    "nothing-probed": ([], None, ["nothing was probed: that says nothing about the site"], 0),
    "one-problem": ([result("post", MARKER)], None, [f"post: {MARKER}"], 0),
    "every-problem-is-a-reason": (
        [result("post", MARKER, "the page breaks off"), result("rest", "status 500, expected 200", kind="rest")],
        [result("post"), result("rest", kind="rest")],
        [f"post: {MARKER}", "post: the page breaks off", "rest: status 500, expected 200"],
        0,
    ),
    "not-ok-without-a-word": ([{**result(), "ok": False}], None, ["front page: failed without saying why"], 0),
    "marker-already-missing": ([result("post", MARKER)], [result("post", MARKER)], [], 1),
    "marker-already-missing-and-something-new": (
        [result("post", MARKER, "status 500, expected 200")],
        [result("post", MARKER)],
        ["post: status 500, expected 200"],
        1,
    ),
    "another-status-than-before-is-new": (
        [result("post", "status 500, expected 200")],
        [result("post", "status 404, expected 200")],
        ["post: status 500, expected 200"],
        0,
    ),
    "the-same-problem-of-another-probe-is-new": (
        [result("post", MARKER), result("page")],
        [result("post"), result("page", MARKER)],
        [f"post: {MARKER}"],
        0,
    ),
    "the-same-asset-of-another-version": (
        [result("assets", "/a.js?ver=2.0: status 404", kind="assets")],
        [result("assets", "/a.js?ver=1.0: status 404", kind="assets")],
        [],
        1,
    ),
    "another-asset": (
        [result("assets", "/b.js?ver=2.0: status 404", kind="assets")],
        [result("assets", "/a.js?ver=1.0: status 404", kind="assets")],
        ["assets: /b.js?ver=2.0: status 404"],
        0,
    ),
    "log-only-fatal": ([result(), log(FATAL)], [result(), log()], [f"error log: {FATAL} line 7"], 0),
    "fatal-that-the-baseline-saw-too": ([log(FATAL, count=3)], [log(FATAL)], [], 1),
    "new-fatal-beside-an-old-one": ([log(FATAL, OTHER)], [log(FATAL)], [f"error log: {OTHER} line 7"], 1),
    "many-times": ([log(FATAL, count=12)], None, [f"error log: {FATAL} line 7 (12 times)"], 0),
    "half-of-the-page": ([result(size=5_000)], [result(size=10_000)], [], 0),
    "less-than-half": (
        [result(size=4_999)],
        [result(size=10_000)],
        ["front page: the page shrank from 10000 to 4999 bytes"],
        0,
    ),
    "four-times-the-page": ([result(size=40_000)], [result(size=10_000)], [], 0),
    "more-than-four-times": (
        [result(size=40_001)],
        [result(size=10_000)],
        ["front page: the page grew from 10000 to 40001 bytes"],
        0,
    ),
    "size-of-a-list-may-change": ([result(kind="rest", size=1)], [result(kind="rest", size=10_000)], [], 0),
    "size-of-a-page-that-was-broken": (
        [result(size=10_000)],
        [result("front page", "the page breaks off", size=10)],
        [],
        0,
    ),
    "one-reason-is-enough": (
        [result("front page", "the page is empty", size=0)],
        [result()],
        ["front page: the page is empty"],
        0,
    ),
    "baseline-was-an-empty-page": ([result(size=10)], [result(size=0)], [], 0),
    "a-probe-that-was-left-out": (
        [result()],
        [result(), result("cart", path="/cart/")],
        ["cart: was probed before, but not this time"],
        0,
    ),
    "a-probe-that-is-new": ([result(), result("cart", path="/cart/")], [result()], [], 0),
    "a-note-is-no-reason": ([{**log(), "notes": ["log not readable"]}], [log()], [], 0),
    "repaired-meanwhile": ([result()], [result("front page", MARKER)], [], 0),
}


@pytest.mark.parametrize(("results", "baseline", "reasons", "already"), ROWS.values(), ids=ROWS.keys())
def test_verdict(
    results: list[dict[str, Any]], baseline: list[dict[str, Any]] | None, reasons: list[str], already: int
) -> None:
    given = copy.deepcopy((results, baseline))
    verdict = judge(results, baseline)
    assert verdict["reasons"] == reasons
    assert verdict["healthy"] is (not reasons)
    assert len(verdict["already"]) == already
    assert all("already so before" in text for text in verdict["already"])
    assert verdict["probes"] == results
    assert (results, baseline) == given, "a verdict changes nothing that it was given"


def test_a_site_that_was_broken_before_is_unhealthy_by_itself() -> None:
    broken = [result("post", MARKER)]
    assert judge(broken)["healthy"] is False
    assert judge(broken, broken)["healthy"] is True


def test_the_floor_can_be_set() -> None:
    assert judge([result(size=4_000)], [result(size=10_000)], size_floor=0.3)["healthy"] is True


TIMES: dict[str, tuple[float, float | None, bool, int]] = {
    # seconds now, seconds before, healthy, how many were already so before; the contract allows one second
    "quick": (0.9, 0.1, True, 0),
    "slow-after-update": (1.1, 0.3, False, 0),
    "slow-without-baseline": (1.1, None, False, 0),
    "slow-as-before": (2.0, 1.5, True, 1),
    "three-times-slower-than-slow": (4.6, 1.5, False, 0),
}


@pytest.mark.parametrize(("now", "then", "healthy", "already"), TIMES.values(), ids=TIMES.keys())
def test_response_times(now: float, then: float | None, healthy: bool, already: int) -> None:
    old = None if then is None else [result(seconds=then, max_seconds=1.0)]
    found = judge([result(seconds=now, max_seconds=1.0)], old)
    assert found["healthy"] is healthy
    assert len(found["already"]) == already
