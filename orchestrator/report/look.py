"""Tell what a browser saw of a site's copy, before its update and after it, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.ledger.values import RunEntry


def look_first(run: RunEntry) -> list[str]:
    """Return what a browser saw that a person should look at before production gets it."""
    seen = _seen(run)
    if run.outcome != "nothing-to-do" or seen.get("let_go"):
        return []
    return _texts(seen.get("objections"))


def pictures_of(run: RunEntry) -> dict[str, Any] | None:
    """Tell what was seen of each page, and which files show it; None where nobody looked."""
    seen = _seen(run)
    if not seen:
        return None
    return {
        "folder": str(seen.get("folder", "")),
        "let_go": seen.get("let_go") is True,
        "pages": [_page(each) for each in _dicts(seen.get("pages"))],
    }


def _page(seen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(seen.get("name", "")),
        "verdict": str(seen.get("verdict", "")),
        **{key: _number(seen.get(key)) for key in ("unstable", "changed")},
        **{key: _texts(seen.get(key)) for key in ("objections", "notes")},
        "files": [
            {**{key: str(each.get(key, "")) for key in ("what", "file", "sha256")}, "bytes": _number(each.get("bytes"))}
            for each in _dicts(seen.get("files"))
        ],
    }


def _seen(run: RunEntry) -> Mapping[str, Any]:
    step = run.step("rehearse")
    found = step.evidence.get("pictures") if step is not None else None
    return found if isinstance(found, Mapping) else {}


def _dicts(value: Any) -> Iterable[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
