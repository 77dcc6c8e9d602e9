# GPL-3.0-or-later
"""What an update leaves to be done after it: migrations in the background, and whether the site is still well later.

Everything is read from tables and files. The site's own cron does the work, as it does for every visitor; we only look.
"""

from __future__ import annotations

import time
from typing import Any

from . import wordpress
from .baseline import probe_production, signed_in
from .database import Database, DatabaseError, quoted
from .probe_round import PATIENCE_SECONDS
from .promotion import Promotion
from .task import KNOWN_ERRORS, Stop
from .verdict import judge
from .web import fetch

LOOK_SECONDS = 2.0
# What comes due so soon after the deadline was left by the update as well; what a plugin plans for later was not.
SOON_SECONDS = 60
MOST = 10_000
UNKNOWN = "what the update left to be done in the background could not be asked for"
# Plugins that say in an option which version their tables have: the option, by the plugin's slug.
VERSIONED = {"woocommerce": "woocommerce_db_version"}


def pending(root: str, database: Database, prefix: str, until: float) -> set[str]:
    """Return what is due by `until` (a Unix time) or soon after and is not done, each in words. Raises DatabaseError.

    Actions of the Action Scheduler, single events of WordPress's cron, tables that are older than their plugin.
    """
    soon = until + SOON_SECONDS
    return _actions(database, prefix, soon) | _events(database, prefix, soon) | _old_tables(root, database, prefix)


def before(promotion: Promotion, minutes: float) -> set[str]:
    """Return what is pending before an update. What cannot be read does not keep it from going on: settled() tells."""
    try:
        return pending(promotion.site.root, promotion.database, promotion.prefix, time.time() + 60 * minutes)
    except KNOWN_ERRORS:
        return set()


def settled(promotion: Promotion, known: set[str], minutes: float) -> dict[str, Any]:
    """Wait up to so many minutes until what the update left to be done is done. Returns the evidence.

    `known` is what was pending before the update. What is left then stands under `degraded`.
    """
    began, until = time.monotonic(), time.time() + 60 * minutes
    seen: set[str] = set()
    try:
        while True:
            left = pending(promotion.site.root, promotion.database, promotion.prefix, until) - known
            if left - seen:
                seen |= left
                # Whoever asks after an interruption is told that it was not seen to be done.
                promotion.note("confirmed", evidence={**promotion.journal["evidence"], "degraded": sorted(left)[:20]})
            if not left or time.time() >= until:
                break
            # WordPress starts its cron when somebody visits; a query that nobody has asked before is in no cache.
            fetch(promotion.site.production(), f"/?upkeep={time.time():.3f}")
            time.sleep(max(0.0, min(LOOK_SECONDS, until - time.time())))
    except KNOWN_ERRORS as error:
        left = {f"{UNKNOWN}: {error}"}
    evidence: dict[str, Any] = {
        "background": {"seen": sorted(seen)[:20], "waited_seconds": round(time.monotonic() - began, 1)}
    }
    if left:
        evidence["degraded"] = sorted(left)[:20]
    return evidence


def soaked(promotion: Promotion, minutes: float, evidence: dict[str, Any]) -> dict[str, Any]:
    """Probe production again after so many minutes, as visitors reach it. Returns the evidence.

    Raises Stop when the site is not well any more: visitors have written meanwhile, so a person decides.
    """
    if not minutes:
        return {}
    time.sleep(60 * minutes)
    site = promotion.site
    with signed_in(wordpress.production(site, site.run_folder(promotion.run))) as cookies:
        results = probe_production(
            site, promotion.probes, promotion.baseline["log"], cookies, patience=PATIENCE_SECONDS
        )
    verdict = judge(results, promotion.baseline["verdict"]["probes"])
    seen = {"soak": {"minutes": minutes, "verdict": verdict}}
    if not verdict["healthy"]:
        raise Stop(
            "not-put-back",
            f"The update is in place and visitors were let in, but {minutes:g} minutes later the site is not healthy:"
            f" {verdict['reasons'][0]}. Nothing that visitors wrote is thrown away by a machine: a person is needed",
            {**evidence, **seen},
        )
    return seen


def _actions(database: Database, prefix: str, until: float) -> set[str]:
    table = prefix + "actionscheduler_actions"
    if table not in database.tables():
        return set()
    rows = database.query(
        f"SELECT action_id, HEX(hook) FROM {quoted(table)} WHERE status IN ('pending', 'in-progress')"  # noqa: S608 - a quoted name
        f" AND scheduled_date_gmt <= DATE_ADD('1970-01-01', INTERVAL {int(until)} SECOND) ORDER BY action_id DESC LIMIT {MOST}"
    )
    return {f"action {row[0]} of the Action Scheduler: {_text(bytes.fromhex(row[1]))}" for row in rows if len(row) > 1}


def _events(database: Database, prefix: str, until: float) -> set[str]:
    """Single events only: those with a schedule come again for ever."""
    events = unserialized(_option(database, prefix, "cron"))
    found = set()
    for moment, hooks in events.items() if isinstance(events, dict) else ():
        if not isinstance(moment, int) or moment > until or not isinstance(hooks, dict):
            continue
        for hook, each in hooks.items():
            for key, event in each.items() if isinstance(each, dict) else ():
                if isinstance(event, dict) and event.get(b"schedule") is False:
                    found.add(f"event of WordPress's cron: {_text(hook)} ({_text(key)[:8]})")
    return found


def _old_tables(root: str, database: Database, prefix: str) -> set[str]:
    found = set()
    for slug, option in VERSIONED.items():
        has = _text(_option(database, prefix, option))
        wants = wordpress.installed(wordpress.versions(root, database, prefix), "plugin", slug) if has else ""
        if has and wants and has != wants:
            found.add(f"the tables of {slug} have version {has}, its files {wants}")
    return found


def _option(database: Database, prefix: str, name: str) -> bytes:
    rows = database.query(
        f"SELECT HEX(option_value) FROM {quoted(prefix + 'options')} WHERE option_name = '{name}'"  # noqa: S608 - a word of ours
    )
    return bytes.fromhex(rows[0][0]) if rows and rows[0] else b""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace")[:100] if isinstance(value, bytes) else str(value)


def unserialized(data: bytes) -> Any:
    """Read what PHP's serialize() wrote: texts as bytes, arrays and objects as dict. Raises DatabaseError."""
    try:
        return _value(data, 0)[0] if data else {}
    except (ValueError, IndexError, TypeError, RecursionError) as error:
        raise DatabaseError(f"the list of WordPress's cron events cannot be read: {error}") from error


def _value(data: bytes, at: int) -> tuple[Any, int]:
    kind = data[at : at + 1]
    if kind == b"N":
        return None, at + 2
    end = data.index(b";" if kind in (b"i", b"d", b"b", b"r", b"R") else b":", at + 2)
    if kind in (b"i", b"r", b"R"):
        return int(data[at + 2 : end]), end + 1
    if kind == b"d":
        return float(data[at + 2 : end]), end + 1
    if kind == b"b":
        return data[at + 2 : end] == b"1", end + 1
    size = int(data[at + 2 : end])
    if kind == b"s":
        return data[end + 2 : end + 2 + size], end + 4 + size
    if kind == b"O":
        # O:8:"stdClass":1:{…}: as an array, after the name of its class.
        colon = data.index(b":", end + 4 + size)
        end, size = colon, int(data[end + 4 + size : colon])
    elif kind != b"a":
        raise ValueError(f"unknown type {kind!r}")
    at, found = end + 2, {}
    for _ in range(size):
        key, at = _value(data, at)
        found[key], at = _value(data, at)
    return found, at + 1
