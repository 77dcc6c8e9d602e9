# GPL-3.0-or-later
"""Say whether a site is healthy, and why not, from what the probes saw. Values in, values out."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Sequence

SIZE_FLOOR = 0.5
SIZE_CEILING = 4.0
# A page that was slower than the contract allows already is blamed on what happened since when it got so many times slower.
SLOWER = 3.0
ALREADY = "already so before"
# What PHP answers to anybody, and a cache in its place; an administrator's pages are never cached.
FROM_THE_SITE = ("page", "rest", "feed", "sitemap", "search", "login", "ajax", "admin", "steps")
ONLY_CACHED = "every answer came from a cache: that says nothing about the site"

# The version behind an asset's name changes with every update: the same missing file has the same name.
_QUERY = re.compile(r"\?[^\s:]*")
_TIMES = re.compile(r" \(\d+ times\)$")


def judge(
    results: Sequence[Mapping[str, Any]],
    baseline: Sequence[Mapping[str, Any]] | None = None,
    *,
    size_floor: float = SIZE_FLOOR,
    size_ceiling: float = SIZE_CEILING,
    times: bool = True,
) -> dict[str, Any]:
    """Put the results together, compared with the baseline's results where there are some.

    What was wrong in the baseline already is not blamed on what happened since: it is listed under
    `already`. Whether a site that was unhealthy before may be touched at all is for the caller, who
    judges the baseline by itself. `times` is False where another server answers than visitors get: how long it took
    says nothing then.
    """
    reasons: list[str] = []
    already: list[str] = []
    olds = {_identity(result): result for result in baseline or []}
    if not results:
        reasons.append("nothing was probed: that says nothing about the site")
    for result in results:
        old = olds.pop(_identity(result), None)
        known = set(_keys(old)) if old is not None else set()
        for key, problem in _problems(result):
            if key in known:
                already.append(f"{result['name']}: {problem} ({ALREADY})")
            else:
                reasons.append(f"{result['name']}: {problem}")
        if old is not None:
            reasons += _size_reasons(result, old, size_floor, size_ceiling)
        slow = _slow(result) if times else ""
        if slow and old is not None:
            told = f"{slow} ({float(old['seconds']):.2f} s before)"
            is_old = bool(_slow(old)) and float(result["seconds"]) < SLOWER * float(old["seconds"])
            (already if is_old else reasons).append(f"{result['name']}: {told}")
        elif slow:
            reasons.append(f"{result['name']}: {slow}")
    cached = [str(result["name"]) for result in results if result.get("cached")]
    if cached and all(result.get("cached") or result["kind"] not in FROM_THE_SITE for result in results):
        reasons.append(ONLY_CACHED)
    reasons += [f"{old['name']}: was probed before, but not this time" for old in olds.values()]
    return {
        "healthy": not reasons,
        "reasons": reasons,
        "probes": [dict(result) for result in results],
        "already": already,
        "cached": cached,
    }


def _identity(result: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(result["name"]), str(result["kind"]), str(result["path"])


def _keys(result: Mapping[str, Any]) -> list[str]:
    return [key for key, _ in _problems(result)]


def _problems(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, each with a key that is equal when the same thing is wrong another time."""
    if result.get("fatals"):
        for fatal in result["fatals"]:
            times = f" ({fatal['count']} times)" if fatal["count"] > 1 else ""
            yield str(fatal["key"]), f"{fatal['sample']}{times}"
        return
    problems = list(result["problems"])
    if not problems and not result["ok"]:
        problems = ["failed without saying why"]
    for problem in problems:
        yield _TIMES.sub("", _QUERY.sub("", problem)), problem


def _slow(result: Mapping[str, Any]) -> str:
    """Say that the answer took longer than the contract allows, or nothing. A wrong answer is not also blamed for that."""
    allowed, seconds = float(result.get("max_seconds") or 0), float(result["seconds"])
    if not allowed or not result["ok"] or seconds <= allowed:
        return ""
    return f"took {seconds:.2f} s, and the contract allows {allowed:g} s"


def _size_reasons(
    result: Mapping[str, Any], old: Mapping[str, Any], size_floor: float, size_ceiling: float
) -> list[str]:
    """A page that lost most of itself, or is suddenly huge, is broken even when each promised text is there."""
    now, then = int(result["bytes"]), int(old["bytes"])
    if (
        result["kind"] != "page"
        or result.get("cached")
        or old.get("cached")
        or not result["ok"]
        or not old["ok"]
        or then <= 0
    ):
        return []
    if now < then * size_floor:
        return [f"{result['name']}: the page shrank from {then} to {now} bytes"]
    if now > then * size_ceiling:
        return [f"{result['name']}: the page grew from {then} to {now} bytes"]
    return []
