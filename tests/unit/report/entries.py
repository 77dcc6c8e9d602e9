"""Builders of what a ledger would hold, with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.ledger.values import RunEntry, StepEntry

BEGAN = datetime(2026, 11, 22, 2, tzinfo=UTC)
ID = "20261122T020000Z-1f0c9a2b"
WELL = {"healthy": True, "reasons": [], "probes": [{"name": "front page", "ok": True}] * 8}
ILL = {
    "healthy": False,
    "reasons": ["front page: the page ends before </html>"],
    "probes": [{"name": "front page", "ok": False}, {"name": "a post", "ok": True}],
}


def versions(core: str, blocks: str, theme: str) -> dict[str, Any]:
    return {
        "core": core,
        "db_version": {"6.2.6": "53496", "6.5.5": "57155"}[core],
        "php": "8.2.20",
        "database": "10.11.6-MariaDB",
        "plugins": {"newspack-blocks/newspack-blocks.php": {"name": "Blocks", "slug": "newspack-blocks",
                                                            "version": blocks, "active": True}},
        "themes": {"twentytwentythree": {"version": theme, "active": True}},
    }  # fmt: skip


BEFORE, AFTER = versions("6.2.6", "2.0.0", "1.1"), versions("6.5.5", "4.33.0", "1.2")
DELIVERED = [
    {"kind": "core", "slug": "wordpress", "from": "6.2.6", "to": "6.5.5", "sha256": "c" * 64, "bytes": 24_000_000},
    {
        "kind": "plugin",
        "slug": "newspack-blocks",
        "from": "2.0.0",
        "to": "4.33.0",
        "sha256": "b" * 64,
        "bytes": 9_000_000,
    },
]
HELD = [
    {"kind": "plugin", "slug": "lab-banner", "from": "1.0", "to": "1.1", "sha256": "a" * 64,
     "reason": "front page: the page ends before </html>"},
]  # fmt: skip
MANIFEST = {
    "schema": 1,
    "point": ID,
    "taken": "2026-11-22T02:00:07+00:00",
    "files": {"count": 3124, "bytes": 71_000_000},
    "dump": {"tables": {"wp_posts": {"rows": 120}, "wp_options": {"rows": 310}}},
}

TOUCHES = {
    "class": "schema",
    "files": {"added": 41, "changed": 1500, "removed": 0},
    "outside": [],
    "tables": {"rows": ["wp_options"], "schema": ["wp_posts"], "notes": ["wp_usermeta"]},
    "releases": [
        {"kind": "core", "slug": "wordpress", "to": "6.5.5", "class": "unknown", "tried_together": True,
         "files": {"added": 40, "changed": 1400, "removed": 0}, "tables": {}},
        {"kind": "plugin", "slug": "newspack-blocks", "to": "4.33.0", "class": "code-only",
         "files": {"added": 1, "changed": 100, "removed": 0}, "tables": {}},
    ],
    "way_back": "the trees are exchanged back and 3 tables renamed back, together",
    "bytes_aside": 2_400_000,
    "copy_seconds": 0.12,
}  # fmt: skip
EXPECTED = {"seconds": 1.6, "budget": 60, "bytes": 2_400_000, "tables": 3, "copied": "in the freeze", "parts": {}}


def good_evidence() -> dict[str, dict[str, Any]]:
    return {
        "preflight": {"versions": BEFORE, "verdict": WELL},
        "snapshot": {"point": ID, "manifest": MANIFEST, "seconds": 2.4},
        "stage": {"verdict": WELL, "seconds": 3.0},
        "rehearse": {"delivered": DELIVERED, "held": HELD, "skipped": [], "verdict": WELL, "touches": TOUCHES},
        "promote": {"before": BEFORE, "after": AFTER, "delivered": DELIVERED, "frozen_seconds": 1.8, "verdict": WELL,
                    "expected": EXPECTED, "put_back": False},
        "release": {},
    }  # fmt: skip


def put_back_evidence() -> dict[str, dict[str, Any]]:
    evidence = good_evidence()
    evidence["promote"] = {
        "before": BEFORE, "after": BEFORE, "delivered": DELIVERED, "frozen_seconds": 2.9, "verdict": ILL, "put_back": True,
        "broken": ["front page: the page ends before </html>"], "broken_seconds": 2.9, "back_verdict": WELL,
    }  # fmt: skip
    return evidence


def run_entry(
    evidence: Mapping[str, Mapping[str, Any]], outcome: str = "done", *, failing: str = "", **changes: Any
) -> RunEntry:
    """Build a run whose steps have this evidence; `failing` is the step with the outcome of the run."""
    steps = tuple(
        StepEntry(
            position=number,
            name=name,
            began=BEGAN + timedelta(seconds=3 * number),
            ended=BEGAN + timedelta(seconds=3 * number + 2),
            ending="reported",
            outcome=outcome if name == failing else "done",
            message=f"{name} said so",
            seconds=2.0 * number,
            evidence=kept,
        )
        for number, (name, kept) in enumerate(evidence.items(), 1)
    )
    values: dict[str, Any] = {
        "id": ID,
        "client": "example",
        "site": "shop",
        "host": "shop",
        "duty": "update",
        "digest": "d" * 64,
        "point": ID,
        "promised": {"core": "major", "plugins": "all", "themes": ["a", "b"], "holds": [], "window": "mon 02:00–05:00"},
        "variables": {},
        "began": BEGAN,
        "ended": BEGAN + timedelta(seconds=42),
        "state": "ended",
        "outcome": outcome,
        "message": "",
        "steps": steps,
        **changes,
    }
    return RunEntry(**values)
