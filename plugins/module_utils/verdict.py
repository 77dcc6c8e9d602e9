# GPL-3.0-or-later
"""Say whether a site is healthy, and why not, from what the probes saw. Values in, values out."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Sequence

SIZE_FLOOR = 0.5
SIZE_CEILING = 4.0
ALREADY = "already so before"

# The version behind an asset's name changes with every update: the same missing file has the same name.
_QUERY = re.compile(r"\?[^\s:]*")
_TIMES = re.compile(r" \(\d+ times\)$")


def judge(
    results: Sequence[Mapping[str, Any]],
    baseline: Sequence[Mapping[str, Any]] | None = None,
    *,
    size_floor: float = SIZE_FLOOR,
    size_ceiling: float = SIZE_CEILING,
) -> dict[str, Any]:
    """Put the results together, compared with the baseline's results where there are some.

    What was wrong in the baseline already is not blamed on what happened since: it is listed under
    `already`. Whether a site that was unhealthy before may be touched at all is for the caller, who
    judges the baseline by itself.
    """
    reasons: list[str] = []
    already: list[str] = []
    before = {_identity(result): result for result in baseline or []}
    if not results:
        reasons.append("nothing was probed: that says nothing about the site")
    for result in results:
        old = before.pop(_identity(result), None)
        known = set(_keys(old)) if old is not None else set()
        for key, problem in _problems(result):
            if key in known:
                already.append(f"{result['name']}: {problem} ({ALREADY})")
            else:
                reasons.append(f"{result['name']}: {problem}")
        if old is not None:
            reasons += _size_reasons(result, old, size_floor, size_ceiling)
    reasons += [f"{old['name']}: was probed before, but not this time" for old in before.values()]
    return {
        "healthy": not reasons,
        "reasons": reasons,
        "probes": [dict(result) for result in results],
        "already": already,
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


def _size_reasons(
    result: Mapping[str, Any], old: Mapping[str, Any], size_floor: float, size_ceiling: float
) -> list[str]:
    """A page that lost most of itself, or is suddenly huge, is broken even when each promised text is there."""
    now, then = int(result["bytes"]), int(old["bytes"])
    if result["kind"] != "page" or not result["ok"] or not old["ok"] or then <= 0:
        return []
    if now < then * size_floor:
        return [f"{result['name']}: the page shrank from {then} to {now} bytes"]
    if now > then * size_ceiling:
        return [f"{result['name']}: the page grew from {then} to {now} bytes"]
    return []
