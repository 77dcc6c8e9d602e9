# GPL-3.0-or-later
"""Put a restore point in the place of production, in one moment, and put back what was there when that is not healthy.

Files and dump were brought to the host (fetch.py) and are proved before anything is touched: tables are loaded into the
staging database, so a statement that fails costs nothing. What is not a part of what was asked for is never touched. Then, in one freeze, tables are renamed and trees are exchanged. A
journal in the run's folder says how far that came, so that any later process can put it back.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from typing import Any

from . import cms, freeze, run_state, site_database, tree, tree_part, wordpress
from .baseline import of_run, probe_production, signed_in
from .database import DatabaseError
from .engine import Engine
from .fetch import RestoreError, restored_folder
from .freeze import FreezeError
from .interruption import Interrupted, interruptible
from .parts import Part
from .probe_round import PATIENCE_SECONDS
from .restic import Listing
from .site import RUN_ID, Site
from .task import KNOWN_ERRORS, Stop
from .verdict import judge
from .wordpress import Configuration, Place, WordPressError

STATE = "restoration"
BEGUN = ("frozen", "switching", "exchanged")


@dataclass
class Restoration:
    """One restoration: the restore point, where its parts wait, its journal."""

    site: Site
    run: str
    manifest: dict[str, Any]
    configuration: Configuration
    engine: Engine
    probes: list[dict[str, Any]]
    part: Part = field(default_factory=Part)
    token: str = field(default_factory=freeze.new_token)
    journal: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where restic puts the restore point."""
        return restored_folder(self.site, self.run)

    @property
    def tree(self) -> str:
        """Where the next tree waits, and after the exchange the one before it."""
        if self.part.paths:
            return os.path.join(self.site.run_folder(self.run), "restored-tree")
        return self.folder + self.site.root

    def database_version(self) -> str:
        """Return the version of WordPress's tables in production, or "" when they cannot be read."""
        try:
            seen = cms.versions(self.site, self.engine, self.configuration.prefix)
        except DatabaseError:
            return ""
        return str(seen["db_version"])

    def note(self, state: str, **more: Any) -> None:
        """Write the journal: always before the thing that it announces."""
        written = {**self.journal, **more, "state": state}
        run_state.store(self.site, self.run, STATE, written)
        self.journal = written


def opened_restoration(
    site: Site, run: str, manifest: dict[str, Any], probes: list[dict[str, Any]], part: Part | None = None
) -> Restoration:
    """Return the restoration of a run, with the database that wp-config.php names; without `part` as its journal says."""
    folder = site.run_folder(run)
    journal = run_state.load(site, run, STATE)
    part = part or Part.from_journal(journal.get("part", {}))
    try:
        configuration = cms.configuration(site, folder)
    except WordPressError:
        if not part.files:
            raise
        # The site may have lost its own: then the restored one says where the database is.
        configuration = _restored_configuration(site, run, restored_folder(site, run) + site.root)
    engine = site_database.opened(site, configuration, folder)
    restoration = Restoration(site, run, manifest, configuration, engine, probes, part, journal=journal)
    restoration.token = journal.get("token", restoration.token if site.cms == cms.WORDPRESS else "")
    return restoration


def prepare(
    restoration: Restoration, listing: Listing, *, timeout: float, accept_other_version: bool = False
) -> dict[str, Any]:
    """Prove the restore point: its tables load, all of them. Production is only read. Raises RestoreError, DatabaseError, …"""
    site, manifest, part = restoration.site, restoration.manifest, restoration.part
    if (
        part.tree
        and site.cms == cms.WORDPRESS
        and restoration.configuration.content != os.path.join(site.root, "wp-content")
    ):
        raise RestoreError(
            f"the site's content folder is {restoration.configuration.content}, outside of the usual place"
        )
    told = "" if accept_other_version else other_version(site, manifest, part, restoration.database_version())
    if told:
        raise RestoreError(told)
    evidence: dict[str, Any] = {"part": part.asked()}
    try:
        if part.database:
            site_database.of_the_same_kind(restoration.engine, manifest)
            restoration.engine.usable()
            rows = restoration.engine.load(manifest["dump"], restoration.folder, part.tables, timeout=timeout)
            evidence.update(tables=len(rows), rows=sum(rows.values()))
        if part.paths:
            stored = listing.below(site.root)
            tree_part.graft(site.root, restoration.tree, restoration.folder + site.root, part, stored)
            files = [node for path, node in stored.items() if part.covers(path) and node.kind == "file"]
            evidence["files"] = {"count": len(files), "bytes": sum(node.size for node in files)}
        elif part.files:
            evidence["files"] = dict(manifest["files"])
        _still_opens(restoration)
    except BaseException:
        if part.database:
            with contextlib.suppress(DatabaseError):
                restoration.engine.leave()
        raise
    if part.database:
        restoration.engine.forget()
    restoration.note(
        "prepared",
        point=manifest["point"],
        token=restoration.token,
        part=part.asked(),
        old=os.stat(site.root).st_ino,
        new=os.stat(restoration.tree).st_ino if part.tree else 0,
        switch={},
    )
    return evidence


def other_version(site: Site, manifest: dict[str, Any], part: Part, database_version: str) -> str:
    """Return why a part of this restore point does not go with the rest of the site as it is now, or ""."""
    if part.whole:
        return ""
    then = manifest.get("versions") or {}
    core, had, has = wordpress.core_version(site.root), str(then.get("db_version", "")), database_version
    told = ""
    if part.database:
        has = wordpress.wanted_db_version(site.root)
        told = (
            f"the site has WordPress {core} now, which wants database version {has}, and the restore point's is {had}"
        )
    elif part.files:
        told = f"the site's database has version {has} now, and the restore point's WordPress {then.get('core')} wants {had}"
    elif any(tree.in_unit(path, wordpress.unit("core", "")) for path in part.paths):
        has, had = core, str(then.get("core", ""))
        told = f"the site has WordPress {has} now, and these paths are a part of WordPress {had}"
    # What cannot be read says nothing: a broken site is what a restore is for.
    if not told or not has or not had or has == had:
        return ""
    return f"{told}. If that is what is wanted: --accept-other-version, or -e site_snapshot_accept_other_version=true"


def switch(restoration: Restoration, *, must_be_healthy: bool) -> dict[str, Any]:
    """Put the restore point in the place of production and probe it. Raises Stop when production was put back."""
    site, engine, part = restoration.site, restoration.engine, restoration.part
    evidence: dict[str, Any] = {}
    reasons: list[str] = []
    started = time.monotonic()
    try:
        with interruptible():
            restoration.note("frozen", frozen_at=time.time())
            freeze.freeze(site.root, restoration.token)
            if part.tree:
                freeze.freeze(restoration.tree, restoration.token)
            freeze.drain(engine)
            if part.paths:
                tree_part.follow(site.root, restoration.tree, part)
            planned = engine.plan(part.tables) if part.database else {}
            restoration.note("switching", switch=planned)
            if part.database:
                engine.switch(planned)
            restoration.note("exchanged")
            if part.tree:
                site_database.carry_over(engine, site, restoration.tree)
                tree.exchange(site.root, restoration.tree)
            said = cms.refresh_opcodes(site)
            _flush_object_cache(restoration)
            evidence["verdict"] = _look(restoration, str(said.get("error_log") or ""))
            evidence["versions"] = cms.versions(site, engine, restoration.configuration.prefix)
            if must_be_healthy:
                reasons += evidence["verdict"]["reasons"]
            if not reasons:
                restoration.note("confirmed")
    except (*KNOWN_ERRORS, Interrupted) as error:
        reasons.append(str(error))
    if restoration.journal["state"] != "confirmed":
        evidence["frozen_seconds"] = round(time.monotonic() - started, 3)
        evidence["broken"] = reasons[:20]
        go_back(restoration, evidence)
    # From here on the restored site is what counts: tidying up may fail, and the release does it again.
    freeze.thaw(site.root)
    evidence["frozen_seconds"] = round(time.monotonic() - started, 3)
    with contextlib.suppress(*KNOWN_ERRORS):
        if part.tree:
            freeze.thaw(restoration.tree)
        if part.database:
            evidence["tables_not_restored"] = engine.left()
            engine.leave()
    return evidence


def go_back(restoration: Restoration, evidence: dict[str, Any]) -> None:
    """Put back what was there before the restoration, and raise Stop with what became of it."""
    told = "; ".join(evidence.get("broken", []))[:300]
    try:
        with interruptible(ignore=True):
            evidence.update(back(restoration))
    except KNOWN_ERRORS as error:
        raise Stop(
            "not-put-back",
            f"Putting back what was there before failed: {str(error).rstrip('.')}. The site may still be frozen."
            f" A person is needed. Type: upkeep run --resume {restoration.site.client}",
            evidence,
        ) from error
    raise Stop("put-back", f"What was there before the restoration is back. What was wrong: {told}", evidence)


def back(restoration: Restoration) -> dict[str, Any]:
    """Exchange the trees back, rename the tables back, refresh, thaw. Safe to repeat at any point.

    Which tree is live is read from the disk (its inode), not from the journal: the journal may be one step ahead.
    """
    site, journal = restoration.site, restoration.journal
    evidence: dict[str, Any] = {"put_back": True}
    if journal.get("state") in BEGUN:
        freeze.freeze(site.root, restoration.token)
        if restoration.part.tree and os.stat(site.root).st_ino == journal["new"]:
            freeze.freeze(restoration.tree, restoration.token)
            with contextlib.suppress(FreezeError):
                freeze.drain(restoration.engine)
            tree.exchange(site.root, restoration.tree)
        if journal.get("switch"):
            restoration.engine.switch_back(journal["switch"])
        try:
            cms.refresh_opcodes(site)
        except FreezeError as error:
            evidence["opcodes"] = str(error)
        with contextlib.suppress(WordPressError):
            _flush_object_cache(restoration)
        # What was there before may have been broken: that is told, and stays as it was.
        evidence["back_verdict"] = _look(restoration, "")
    freeze.thaw(site.root)
    if restoration.part.tree:
        freeze.thaw(restoration.tree)
    restoration.note("back")
    if restoration.part.database:
        restoration.engine.leave()
    return evidence


def unfinished(site: Site) -> list[str]:
    """Return the runs whose restoration began on this site and was neither confirmed nor put back."""
    try:
        names = sorted(name for name in os.listdir(site.workshop) if RUN_ID.match(name))
    except FileNotFoundError:
        return []
    return [run for run in names if run_state.load(site, run, STATE).get("state") in BEGUN]


def recover(restoration: Restoration) -> dict[str, Any]:
    """Find out how far this run's restoration came and put it back unless it was confirmed."""
    state = restoration.journal.get("state")
    if state in BEGUN:
        evidence: dict[str, Any] = {"broken": ["the run was interrupted"]}
        try:
            go_back(restoration, evidence)
        except Stop as stop:
            if stop.outcome != "put-back":
                raise
        return {**evidence, "state": "put-back"}
    freeze.thaw(restoration.site.root)
    return {"state": {"confirmed": "finished", "back": "put-back"}.get(str(state), "untouched")}


def _still_opens(restoration: Restoration) -> None:
    """Raise RestoreError when a restored wp-config.php names a database that it cannot open any more."""
    site, now, part = restoration.site, restoration.configuration, restoration.part
    inside = now.path.startswith(site.root + "/")
    if not inside or not (part.files or part.covers(os.path.relpath(now.path, site.root))):
        return
    then = _restored_configuration(site, restoration.run, restoration.tree)
    if (then.credentials.name, then.sqlite, then.prefix) != (now.credentials.name, now.sqlite, now.prefix):
        raise RestoreError("the restored wp-config.php names another database or table prefix than the site has now")
    if then.credentials != now.credentials:
        folder = _made(site.run_folder(restoration.run), "restored")
        try:
            site_database.opened(site, then, folder).query("SELECT 1")
        except DatabaseError as error:
            raise RestoreError(
                "the restored wp-config.php cannot open the database: was its password changed?"
            ) from error


def _restored_configuration(site: Site, run: str, root: str) -> Configuration:
    """Read the wp-config.php of a tree that waits, as if it were in its place already."""
    found = wordpress.configuration(replace(site, root=root), _made(site.run_folder(run), "restored"))
    return replace(
        found,
        path=found.path.replace(root, site.root, 1),
        content=found.content.replace(root, site.root, 1),
        sqlite=found.sqlite.replace(root, site.root, 1),
    )


def _made(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def _flush_object_cache(restoration: Restoration) -> None:
    """Empty a persistent object cache: it holds rows of the database that was there before (jetpack issue 52059)."""
    if restoration.part.database and os.path.exists(
        os.path.join(restoration.site.root, "wp-content", "object-cache.php")
    ):
        _place(restoration).php("migrate", timeout=1800)


def _look(restoration: Restoration, log: str) -> dict[str, Any]:
    site = restoration.site
    log = site.error_log or restoration.configuration.debug_log or log or of_run(site, restoration.run).get("log", "")
    with signed_in(_place(restoration)) as cookies:
        results = probe_production(
            site, restoration.probes, log, cookies, token=restoration.token, patience=PATIENCE_SECONDS
        )
    return judge(results)


def _place(restoration: Restoration) -> Place:
    folder = restoration.site.run_folder(restoration.run)
    return wordpress.production(restoration.site, folder, restoration.token)
