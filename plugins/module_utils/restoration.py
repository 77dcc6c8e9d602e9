# GPL-3.0-or-later
"""Put a restore point in the place of production, in one moment, and put back what was there when that is not healthy.

Files and dump are brought to the host and proved before anything is touched: the dump is loaded into the staging
database, so a statement that fails costs nothing. Then, in one freeze, tables are renamed and trees are exchanged. A
journal in the run's folder says how far that came, so that any later process can put it back.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from typing import Any

from . import dump, dump_load, freeze, run_state, table_switch, tree, wordpress
from .baseline import of_run, probe_production, signed_in
from .database import Database, DatabaseError, opened
from .dump_load import LoadError
from .freeze import FreezeError
from .interruption import Interrupted, interruptible
from .promotion import PATIENCE_SECONDS
from .restic import Listing, Repository
from .site import RUN_ID, Site
from .staging import can_use
from .task import KNOWN_ERRORS, Stop
from .verdict import judge
from .wordpress import Configuration, Place, WordPressError

STATE = "restoration"
BEGUN = ("frozen", "switching", "exchanged")


class RestoreError(Exception):
    """The restore point cannot be put in the place of production; nothing was touched."""


@dataclass
class Restoration:
    """One restoration: the restore point, where its parts wait, its journal."""

    site: Site
    run: str
    manifest: dict[str, Any]
    configuration: Configuration
    database: Database
    incoming: Database
    probes: list[dict[str, Any]]
    token: str = field(default_factory=freeze.new_token)
    journal: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where restic puts the restore point."""
        return restored_folder(self.site, self.run)

    @property
    def tree(self) -> str:
        """Where the restored tree waits, and after the exchange the one before it."""
        return self.folder + self.site.root

    def note(self, state: str, **more: Any) -> None:
        """Write the journal: always before the thing that it announces."""
        written = {**self.journal, **more, "state": state}
        run_state.store(self.site, self.run, STATE, written)
        self.journal = written


def restored_folder(site: Site, run: str) -> str:
    """Return where restic puts a restore point: on the site's own filesystem, so that trees can be exchanged."""
    return os.path.join(site.run_folder(run), "restore")


def refusals(site: Site, manifest: dict[str, Any]) -> list[str]:
    """Return why this restore point cannot be put here, each as one sentence. Nothing is touched."""
    found = []
    if manifest["root"] != site.root:
        found.append(f"it was taken of {manifest['root']}, and the site lies in {site.root}")
    if manifest["dump"].get("database") == site.staging_database:
        found.append(f"the staging database is production's own database {site.staging_database}")
    parent = os.path.dirname(site.root)
    if os.stat(parent).st_dev != os.stat(site.root).st_dev:
        found.append(f"{site.root} is a filesystem of its own, so its tree cannot be exchanged")
    needed = manifest["files"]["bytes"] + dump_load.needed(manifest["dump"]) + dump.SPARE_BYTES
    free = dump.free(parent)
    if free < needed:
        found.append(f"it needs {needed >> 20} MB beside {site.root} and {free >> 20} MB are free: make room there")
    return found


def fetch(site: Site, run: str, manifest: dict[str, Any], repository: Repository, *, timeout: float) -> None:
    """Bring the restore point's files here and compare them with what was stored. Raises RestoreError, ResticError."""
    found = refusals(site, manifest)
    if found:
        raise RestoreError("; ".join(found))
    reason = tree.can_exchange(site.run_folder(run))
    if reason:
        raise RestoreError(f"trees cannot be exchanged beside {site.root}: {reason}")
    folder = restored_folder(site, run)
    tree.remove(folder)
    os.mkdir(folder, 0o700)
    snapshot = manifest["restic"]["snapshot"]
    listing = repository.listing(snapshot)
    repository.restore(snapshot, folder, timeout=timeout)
    wrong = differences(listing, folder + site.root, site.root, manifest)
    if wrong:
        raise RestoreError("what came back is not what was stored: " + "; ".join(wrong))


def opened_restoration(site: Site, run: str, manifest: dict[str, Any], probes: list[dict[str, Any]]) -> Restoration:
    """Return the restoration of a run as its journal says, with the database that wp-config.php names."""
    folder = site.run_folder(run)
    journal = run_state.load(site, run, STATE)
    try:
        configuration = wordpress.configuration(site, folder)
    except WordPressError:
        # The site may have lost its own: then the restored one says where the database is.
        configuration = _restored_configuration(site, run)
    database = opened(configuration.credentials, folder, site.programs)
    incoming = opened(configuration.credentials, _made(folder, "incoming"), site.programs, site.staging_database)
    restoration = Restoration(site, run, manifest, configuration, database, incoming, probes, journal=journal)
    restoration.token = journal.get("token", restoration.token)
    return restoration


def prepare(restoration: Restoration, *, timeout: float) -> dict[str, Any]:
    """Prove the restore point: its dump loads, all of it. Production is only read. Raises RestoreError, DatabaseError, …"""
    site, manifest = restoration.site, restoration.manifest
    if restoration.incoming.name == restoration.database.name:
        raise RestoreError(f"the staging database is production's own database {restoration.database.name}")
    if restoration.configuration.content != os.path.join(site.root, "wp-content"):
        raise RestoreError(
            f"the site's content folder is {restoration.configuration.content}, outside of the usual place"
        )
    can_use(restoration.incoming, restoration.configuration)
    try:
        rows = _load(restoration, timeout)
        _still_opens(restoration)
    except BaseException:
        with contextlib.suppress(DatabaseError):
            restoration.incoming.leave()
        raise
    table_switch.forget(restoration.database)
    restoration.note(
        "prepared",
        point=manifest["point"],
        token=restoration.token,
        old=os.stat(site.root).st_ino,
        new=os.stat(restoration.tree).st_ino,
        switch={},
    )
    return {"files": dict(manifest["files"]), "tables": len(rows), "rows": sum(rows.values())}


def differences(listing: Listing, folder: str, root: str, manifest: dict[str, Any]) -> list[str]:
    """Compare a restored tree with the snapshot's own list and with the manifest. Returns what is not as it was."""
    stored, here = listing.below(root), tree.scan(folder)
    files = [entry for entry in here.values() if entry.kind == "file"]
    found = []
    counted = {"count": len(files), "bytes": sum(entry.size for entry in files)}
    if counted != manifest["files"]:
        found.append(f"{counted['count']} files and {counted['bytes']} bytes, not as the manifest says")
    for path, node in sorted(stored.items()):
        entry = here.get(path)
        if entry is None:
            if "\ufffd" not in path:  # restic cannot write a name in JSON that is no UTF-8
                found.append(f"{path} is missing")
        elif (node.kind, node.size if node.kind == "file" else 0) != (
            entry.kind,
            entry.size if node.kind == "file" else 0,
        ):
            found.append(f"{path} is another one")
        elif node.kind != "link" and node.mode != entry.mode:
            found.append(f"{path} has mode {entry.mode:o}, not {node.mode:o}")
        elif (node.owner, node.group) != (entry.owner, entry.group):
            found.append(f"{path} cannot be given back to its owner or group {node.owner}:{node.group} by this account")
    return [*found[:5], f"and {len(found) - 5} more"] if len(found) > 5 else found


def switch(restoration: Restoration, *, must_be_healthy: bool) -> dict[str, Any]:
    """Put the restore point in the place of production and probe it. Raises Stop when production was put back."""
    site, database, incoming = restoration.site, restoration.database, restoration.incoming
    evidence: dict[str, Any] = {}
    reasons: list[str] = []
    started = time.monotonic()
    try:
        with interruptible():
            restoration.note("frozen", frozen_at=time.time())
            freeze.freeze(site.root, restoration.token)
            freeze.freeze(restoration.tree, restoration.token)
            freeze.drain(database)
            restoration.note(
                "switching", switch=table_switch.plan(database, incoming, restoration.configuration.prefix)
            )
            table_switch.switch(database, incoming, restoration.journal["switch"])
            restoration.note("exchanged")
            tree.exchange(site.root, restoration.tree)
            said = freeze.refresh_opcodes(site)
            _flush_object_cache(restoration)
            evidence["verdict"] = _look(restoration, str(said.get("error_log") or ""))
            evidence["versions"] = wordpress.versions(site.root, database, restoration.configuration.prefix)
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
        freeze.thaw(restoration.tree)
        # What is left there belongs to others than this site: see table_switch.plan().
        evidence["tables_not_restored"] = incoming.tables()
        incoming.leave()
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
        if os.stat(site.root).st_ino == journal["new"]:
            freeze.freeze(restoration.tree, restoration.token)
            with contextlib.suppress(FreezeError):
                freeze.drain(restoration.database)
            tree.exchange(site.root, restoration.tree)
        if journal.get("switch"):
            table_switch.switch_back(restoration.database, restoration.incoming, journal["switch"])
        try:
            freeze.refresh_opcodes(site)
        except FreezeError as error:
            evidence["opcodes"] = str(error)
        with contextlib.suppress(WordPressError):
            _flush_object_cache(restoration)
        # What was there before may have been broken: that is told, and stays as it was.
        evidence["back_verdict"] = _look(restoration, "")
    freeze.thaw(site.root)
    freeze.thaw(restoration.tree)
    restoration.note("back")
    restoration.incoming.leave()
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


def _load(restoration: Restoration, timeout: float) -> dict[str, int]:
    """Load the dump into the staging database and compare every table with the dump and the manifest."""
    torn = table_switch.crossing(restoration.database, restoration.configuration.prefix)
    if torn:
        raise RestoreError(f"these foreign keys tie the site's tables to others: {', '.join(torn[:5])}")
    try:
        return dump_load.load(restoration.incoming, restoration.manifest["dump"], restoration.folder, timeout=timeout)
    except LoadError as error:
        raise RestoreError(str(error)) from error


def _still_opens(restoration: Restoration) -> None:
    """Raise RestoreError when the restored wp-config.php names a database that it cannot open any more."""
    site, now = restoration.site, restoration.configuration
    if not now.path.startswith(site.root + "/"):
        return
    then = _restored_configuration(site, restoration.run)
    if then.credentials.name != now.credentials.name or then.prefix != now.prefix:
        raise RestoreError("the restored wp-config.php names another database or table prefix than the site has now")
    if then.credentials != now.credentials:
        folder = _made(site.run_folder(restoration.run), "restored")
        try:
            opened(then.credentials, folder, site.programs).query("SELECT 1")
        except DatabaseError as error:
            raise RestoreError(
                "the restored wp-config.php cannot open the database: was its password changed?"
            ) from error


def _restored_configuration(site: Site, run: str) -> Configuration:
    """Read the restored wp-config.php, as if its tree were in its place already."""
    root = restored_folder(site, run) + site.root
    found = wordpress.configuration(replace(site, root=root), _made(site.run_folder(run), "restored"))
    return replace(
        found, path=found.path.replace(root, site.root, 1), content=found.content.replace(root, site.root, 1)
    )


def _made(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def _flush_object_cache(restoration: Restoration) -> None:
    """Empty a persistent object cache: it holds rows of the database that was there before (jetpack issue 52059)."""
    if os.path.exists(os.path.join(restoration.site.root, "wp-content", "object-cache.php")):
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
