# GPL-3.0-or-later
"""The way back of a promotion, gone by a step of a run: production as it was, probed, and thawed.

It needs neither PHP nor the controller. own_way_back.py goes the same way when no step does.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, ContextManager

from . import freeze, run_state, tree, wordpress
from .baseline import signed_in
from .database import PUT_ASIDE, Database
from .freeze import FreezeError
from .interruption import Interrupted, interruptible
from .own_way_back import BEGUN
from .site import RUN_ID, Site
from .tables_aside import from_staging
from .task import KNOWN_ERRORS, Stop

if TYPE_CHECKING:
    from .promotion import Promotion


def go_back(promotion: Promotion, session: ContextManager[str], evidence: dict[str, Any]) -> None:
    """Put production back and raise Stop with what became of it."""
    started = time.monotonic()
    try:
        with interruptible(ignore=True):
            evidence.update(back(promotion, session))
    except Exception as error:
        raise Stop(
            "not-put-back",
            f"The way back failed: {told(error)}. The site may still be frozen. A person is needed."
            f" Type: upkeep run --resume {promotion.site.client}",
            evidence,
        ) from error
    evidence["way_back_seconds"] = round(time.monotonic() - started, 3)
    if promotion.frozen_at:
        evidence["frozen_seconds"] = evidence["broken_seconds"] = promotion.frozen_for()
    with contextlib.suppress(OSError):
        # When nobody hears our answer, the next who asks is told the same.
        promotion.note("back", evidence=evidence)
    wrong = "; ".join(evidence.get("broken", []))[:300]
    verdict, unexpected = evidence["back_verdict"], evidence.get("tables_unexpected")
    if verdict["healthy"] and not unexpected:
        raise Stop("put-back", f"Production is back as it was and healthy. What was wrong: {wrong}", evidence)
    why = "; ".join(verdict["reasons"]) or "tables changed that were not put aside: " + ", ".join(unexpected or [])
    raise Stop(
        "not-put-back",
        f"The files and tables of before are back, but the site is not as it was: {why[:300]}. A person is needed;"
        f" the restore point of this run is whole. Type: upkeep points {promotion.site.client}",
        evidence,
    )


def back(promotion: Promotion, session: ContextManager[str]) -> dict[str, Any]:
    """Exchange the trees back, rename the tables back, refresh, probe, thaw. Safe to repeat at any point.

    Which tree is live is read from the disk (its inode), not from the journal: the journal may be one step ahead.
    A session for the probes begins after the tables were compared: it is a change of one of them itself.
    """
    site, journal, database = promotion.site, promotion.journal, promotion.database
    evidence: dict[str, Any] = {"put_back": True}
    if promotion.begun:
        freeze.freeze(site.root, promotion.token)
        if os.stat(site.root).st_ino == journal["new"]:
            freeze.freeze(promotion.tree, promotion.token)
            with contextlib.suppress(FreezeError):
                # This process has kept everybody out since its own drain; another one cannot know since when.
                freeze.drain(database, quiet=0.0 if promotion.frozen_at else freeze.QUIET_SECONDS)
            tree.exchange(site.root, promotion.tree)
        if journal["copies"]:
            evidence["tables_back"] = database.put_back(journal["copies"], journal["known"], promotion.prefix)
        if journal["sums"]:
            changed = _changed(database, journal["sums"])
            held = from_staging(database, journal, changed)
            if held:
                evidence["tables_from_staging"] = held
                changed = _changed(database, journal["sums"])
            evidence["tables_unexpected"] = changed
        try:
            freeze.refresh_opcodes(site, promotion.touched)
        except FreezeError as error:
            evidence["opcodes"] = str(error)
    with session as cookies:
        verdict = promotion.look(cookies)
    promotion.thaw()
    database.drop(database.ours(PUT_ASIDE))
    promotion.note("back")
    evidence["back_verdict"] = verdict
    evidence["after"] = promotion.versions()
    return evidence


def _changed(database: Database, sums: dict[str, str]) -> list[str]:
    now = database.checksums([table for table in database.tables() if table in sums])
    return sorted(name for name in sums if now.get(name) != sums[name])


def recover(promotion: Promotion) -> dict[str, Any]:
    """Find out how far this run came and finish it or put it back.

    Returns {state: untouched | finished | put-back, ...}; raises Stop("not-put-back") when a person is needed.
    """
    journal = promotion.journal
    state = journal.get("state")
    if state == "confirmed":
        freeze.thaw(promotion.site.root)
        return {**journal.get("evidence", {}), "state": "finished"}
    if not promotion.begun and state != "back":
        promotion.database.drop(promotion.database.ours(PUT_ASIDE))
        if freeze.thaw(promotion.site.root):
            return {"state": "put-back"}
        return {"state": "untouched"}
    was_frozen, host = promotion.begun, journal.get("host")
    evidence: dict[str, Any] = {"broken": ["the run was interrupted"], **journal.get("evidence", {})}
    if host:
        evidence.update(host=host, broken=[host["why"]])
        evidence["frozen_seconds"] = evidence["broken_seconds"] = host["broken_seconds"]
    place = wordpress.production(promotion.site, promotion.site.run_folder(promotion.run), promotion.token)
    try:
        go_back(promotion, signed_in(place), evidence)
    except Stop as stop:
        if stop.outcome != "put-back":
            raise
    if was_frozen:
        since = journal.get("frozen_at", time.time())
        evidence["frozen_seconds"] = evidence["broken_seconds"] = round(time.time() - since, 3)
    return {**evidence, "state": "put-back"}


def unfinished(site: Site) -> list[str]:
    """Return the runs whose promotion began on this site and was neither confirmed nor put back."""
    try:
        names = sorted(name for name in os.listdir(site.workshop) if RUN_ID.match(name))
    except FileNotFoundError:
        return []
    return [run for run in names if run_state.load(site, run, "promotion").get("state") in BEGUN]


def host_reports(site: Site) -> list[dict[str, Any]]:
    """Return what the host did by itself in runs that nobody has asked about since, each with its run."""
    try:
        names = sorted(name for name in os.listdir(site.workshop) if RUN_ID.match(name))
    except FileNotFoundError:
        return []
    told_of = [(run, run_state.load(site, run, "promotion")) for run in names]
    return [{"run": run, **journal["host"]} for run, journal in told_of if "host" in journal]


def told(error: Exception) -> str:
    """Write an error down as a reason; of a mistake of ours the name says more than the text."""
    text = str(error).rstrip(".")
    return text if isinstance(error, (*KNOWN_ERRORS, Interrupted)) else f"{type(error).__name__}: {text}"
