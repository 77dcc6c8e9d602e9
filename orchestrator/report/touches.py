"""Tell what an update touches, which way back follows from that, and how long the freeze was thought to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.report.shape import listed, mapping, number

Story = dict[str, Any]

CLASSES = ("code-only", "data", "schema", "unknown")
FILES = ("changed", "added", "removed")
# How the evidence calls a list of tables, and what is said of it.
TABLES = {
    "rows": "rows of {}",
    "schema": "the definition of {}",
    "new": "the new {}",
    "gone": "{}, which is gone",
    "not_compared": "{}, which could not be compared",
}


def touches(rehearse: Mapping[str, Any]) -> Story | None:
    """Tell what staging saw the delivered releases touch; None where nothing was delivered or nobody looked."""
    told = mapping(rehearse.get("touches"))
    if not told:
        return None
    return {
        **_touch(told),
        "way_back": str(told.get("way_back", "")),
        "outside": [str(folder) for folder in listed(told.get("outside"))],
        "bytes_aside": number(told.get("bytes_aside")),
        "copy_seconds": number(told.get("copy_seconds")),
        "releases": [
            {
                **{key: str(each.get(key, "")) for key in ("kind", "slug", "to")},
                **_touch(each),
                "tried_together": each.get("tried_together") is True,
            }
            for each in map(mapping, listed(told.get("releases")))
        ],
    }


def freeze(promote: Mapping[str, Any]) -> Story | None:
    """Tell how long visitors were thought to be kept out, and what was copied meanwhile; None where nobody said."""
    expected = mapping(promote.get("expected"))
    if not expected:
        return None
    return {
        "expected_seconds": number(expected.get("seconds")),
        "budget_seconds": number(expected.get("budget")),
        "tables": number(expected.get("tables")),
        "bytes": number(expected.get("bytes")),
        "copied": str(expected.get("copied", "")),
        "only_in_production": [str(table) for table in listed(promote.get("tables_only_here"))],
        "also_changed": [str(table) for table in listed(promote.get("tables_also_changed"))],
    }


def words(touch: Mapping[str, Any]) -> str:
    """Say in a line what one release, or all of them together, touch."""
    files, tables = touch["files"], touch["tables"]
    said = [f"{files[key]} file{'' if files[key] == 1 else 's'} {key}" for key in FILES if files[key]]
    said += [form.format(", ".join(tables[key])) for key, form in TABLES.items() if tables[key]]
    if touch.get("tried_together"):
        said.append("its tables are known of all releases together only")
    if touch.get("outside"):
        said.append(f"outside of its own folder: {', '.join(touch['outside'])}")
    return ", ".join(said) or "nothing"


def _touch(told: Mapping[str, Any]) -> Story:
    kind, files, tables = told.get("class"), mapping(told.get("files")), mapping(told.get("tables"))
    return {
        "class": kind if kind in CLASSES else "unknown",
        "files": {key: int(number(files.get(key)) or 0) for key in FILES},
        "tables": {key: [str(table) for table in listed(tables.get(key))] for key in TABLES},
    }
