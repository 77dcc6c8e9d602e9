# GPL-3.0-or-later
"""Production gets what staging tested, in one moment, and goes back to what it was when that is not healthy.

The way back needs neither PHP nor the controller: it exchanges the trees back and renames the tables back. A journal in
the run's folder says how far a promotion came, so that any later process can finish it or put it back.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Iterator

from . import freeze, packages, run_state, tree, wordpress
from .baseline import of_run, opened_site, probe_production, signed_in
from .database import PUT_ASIDE, Database, DatabaseError
from .freeze import FreezeError
from .packages import Change
from .site import RUN_ID, Site
from .staging import opened_staging, stop_server
from .task import KNOWN_ERRORS, Stop
from .verdict import judge
from .wordpress import Configuration

# A site may answer 502 or 503 for a moment while PHP starts anew; longer counts as broken (wpmgr issue 127).
PATIENCE_SECONDS = 5.0
BEGUN = ("frozen", "aside", "exchanged")


class Interrupted(Exception):
    """The module was told to stop."""


@dataclass
class Promotion:
    """One promotion: what it changes, its journal, and the clock of the freeze."""

    site: Site
    run: str
    configuration: Configuration
    database: Database
    probes: list[dict[str, Any]]
    baseline: dict[str, Any]
    changes: list[Change]
    touched: list[str]
    tables: list[str]
    token: str = field(default_factory=freeze.new_token)
    journal: dict[str, Any] = field(default_factory=dict)
    frozen_at: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def tree(self) -> str:
        """Where the next tree waits, and after the exchange the one before it."""
        return os.path.join(self.site.run_folder(self.run), "tree")

    @property
    def staged(self) -> str:
        """The staging copy that holds the tested files."""
        return os.path.join(self.site.run_folder(self.run), "staging", "htdocs")

    def note(self, state: str, **more: Any) -> None:
        """Write the journal: always before the thing that it announces."""
        self.journal.update(more, state=state)
        run_state.store(self.site, self.run, "promotion", self.journal)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a part of the promotion in seconds."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = round(time.monotonic() - started, 3)

    def units(self) -> list[str]:
        """Return the paths that the changes may touch."""
        return [path for change in self.changes for path in wordpress.unit(change.kind, change.slug, change.file)]

    def drift(self) -> list[str]:
        """Return the paths of the changes' own units in which production is no longer what was staged."""
        base = tree.scan(os.path.join(os.path.dirname(self.staged), "base"))
        now = tree.scan(self.site.root)
        units = self.units()
        return [
            path
            for path in sorted(set(base) | set(now))
            if tree.in_unit(path, units)
            and path not in tree.FROZEN
            and (path not in base or path not in now or not base[path].same_content(now[path]))
        ]

    def prepare(self) -> None:
        """Build the next tree beside the live one. Production is only read."""
        tree.remove(self.tree)
        tree.link_farm(self.site.root, self.tree)
        tree.put_in(self.staged, self.tree, self.touched, tree.scan(self.site.root))
        for change in self.changes:
            other = packages.differences(change, self.tree)
            if other:
                raise tree.TreeError(f"the next tree is not what staging tested: {other[0]}")
        stuck = self.database.cannot_put_aside(self.tables)
        if stuck:
            raise DatabaseError("tables with foreign keys or triggers cannot be put aside: {}".format(", ".join(stuck)))
        self.note(
            "prepared",
            token=self.token,
            old=os.stat(self.site.root).st_ino,
            new=os.stat(self.tree).st_ino,
            known=self.database.tables(),
            copies={},
        )

    def freeze(self) -> None:
        """Stop all writers and bring over what they wrote since prepare()."""
        self.note("frozen", frozen_at=time.time())
        self.frozen_at = time.monotonic()
        freeze.freeze(self.site.root, self.token)
        with self.timed("drain"):
            freeze.drain(self.database)
        with self.timed("bring_up_to_date"):
            touched = set(self.touched)
            tree.bring_up_to_date(self.site.root, self.tree, lambda path: path not in touched)
            freeze.freeze(self.tree, self.token)

    def put_aside(self) -> None:
        """Copy the tables that staging saw change."""
        with self.timed("put_aside"):
            self.database.drop(self.database.ours(PUT_ASIDE))
            self.note("aside", copies=self.database.put_aside(self.tables))

    def exchange(self) -> None:
        """Exchange the trees, migrate the database and make PHP run the new files."""
        self.note("exchanged")
        with self.timed("exchange"):
            tree.exchange(self.site.root, self.tree)
        with self.timed("refresh_opcodes"):
            freeze.refresh_opcodes(self.site)
        if self._needs_migration():
            with self.timed("migrate"):
                place = wordpress.production(self.site, self.site.run_folder(self.run), self.token)
                place.php("migrate", timeout=1800)

    def look(self, cookies: str) -> dict[str, Any]:
        """Probe production through the freeze and compare with the baseline."""
        with self.timed("probe"):
            results = probe_production(
                self.site, self.probes, self.baseline["log"], cookies, token=self.token, patience=PATIENCE_SECONDS
            )
        return judge(results, self.baseline["verdict"]["probes"])

    def observe(self) -> tuple[dict[str, Any], list[str]]:
        """Return the versions that are there now, and for each change that is not there the reason why it counts."""
        now = wordpress.versions(self.site.root, self.database, self.configuration.prefix)
        wrong = [
            "{}: version {} is there".format(
                change.named(), wordpress.installed(now, change.kind, change.slug) or "(none)"
            )
            for change in self.changes
            if wordpress.installed(now, change.kind, change.slug) != change.to
        ]
        return now, wrong

    def thaw(self) -> float:
        """Let visitors in. Returns the seconds since the freeze began."""
        freeze.thaw(self.site.root)
        freeze.thaw(self.tree)
        return round(time.monotonic() - self.frozen_at, 3) if self.frozen_at else 0.0

    def _needs_migration(self) -> bool:
        """Whether WordPress's database version is behind its files, or an object cache must be emptied."""
        if os.path.exists(os.path.join(self.site.root, "wp-content", "object-cache.php")):
            return True
        with open(
            os.path.join(self.site.root, "wp-includes", "version.php"), encoding="utf-8", errors="replace"
        ) as file:
            wanted = re.search(r"\$wp_db_version\s*=\s*(\d+)", file.read())
        now = wordpress.versions(self.site.root, self.database, self.configuration.prefix)
        return wanted is None or str(now["db_version"]) != wanted.group(1)


def opened_promotion(site: Site, run: str, probes: list[dict[str, Any]]) -> Promotion:
    """Return the promotion of a run as its stored state says."""
    staged = run_state.load(site, run, "staged")
    configuration, database = opened_site(site, run)
    promotion = Promotion(
        site=site,
        run=run,
        configuration=configuration,
        database=database,
        probes=probes,
        baseline=of_run(site, run),
        changes=[Change(**values) for values in staged.get("delivered", [])],
        touched=staged.get("touched", []),
        tables=staged.get("tables", []),
        journal=run_state.load(site, run, "promotion"),
    )
    promotion.token = promotion.journal.get("token", promotion.token)
    return promotion


def promote(promotion: Promotion) -> dict[str, Any]:
    """Carry out the promotion. Returns the evidence of a healthy one; raises Stop when production was put back."""
    if not promotion.baseline:
        raise Stop("refused", "This run has no baseline. Production was not touched. Type: upkeep run CLIENT")
    before = wordpress.versions(promotion.site.root, promotion.database, promotion.configuration.prefix)
    drifted = promotion.drift()
    if drifted:
        raise Stop(
            "refused",
            "Production changed since it was staged (%s and %d more paths). It was not touched. Type: upkeep run CLIENT"
            % (drifted[0], len(drifted) - 1),
            {"drift": drifted[:20]},
        )
    promotion.prepare()
    others = sorted(set(promotion.database.tables()) - set(promotion.tables))
    evidence: dict[str, Any] = {
        "before": before,
        "delivered": [change.evidence() for change in promotion.changes],
        "tables_aside": promotion.tables,
        "timings": promotion.timings,
    }
    with signed_in(wordpress.production(promotion.site, promotion.site.run_folder(promotion.run))) as cookies:
        reasons: list[str] = []
        try:
            with interruptible():
                promotion.freeze()
                sums = promotion.database.checksums(others)
                promotion.put_aside()
                promotion.exchange()
                verdict = promotion.look(cookies)
                evidence["verdict"] = verdict
                evidence["after"], reasons = promotion.observe()
                reasons += verdict["reasons"]
                now = promotion.database.checksums(others)
                evidence["tables_unexpected"] = sorted(name for name in sums if sums[name] != now.get(name))
                if not reasons:
                    promotion.note("confirmed")
                    evidence["frozen_seconds"] = promotion.thaw()
        except (*KNOWN_ERRORS, Interrupted) as error:
            reasons.append(str(error))
        if reasons:
            evidence["broken"] = reasons[:20]
            go_back(promotion, cookies, evidence)
    return {**evidence, "put_back": False}


def go_back(promotion: Promotion, cookies: str, evidence: dict[str, Any]) -> None:
    """Put production back and raise Stop with what became of it."""
    started = time.monotonic()
    try:
        evidence.update(back(promotion, cookies))
    except KNOWN_ERRORS as error:
        raise Stop(
            "not-put-back",
            "The way back failed: {}. The site may still be frozen. A person is needed. Type: upkeep run --resume CLIENT".format(
                str(error).rstrip(".")
            ),
            evidence,
        ) from error
    evidence["way_back_seconds"] = round(time.monotonic() - started, 3)
    if promotion.frozen_at:
        evidence["frozen_seconds"] = evidence["broken_seconds"] = round(time.monotonic() - promotion.frozen_at, 3)
    told = "; ".join(evidence.get("broken", []))[:300]
    verdict = evidence["back_verdict"]
    if verdict["healthy"] and not evidence.get("tables_unexpected"):
        raise Stop("put-back", f"Production is back as it was and healthy. What was wrong: {told}", evidence)
    why = "; ".join(verdict["reasons"]) or "tables changed that were not put aside: " + ", ".join(
        evidence["tables_unexpected"]
    )
    raise Stop(
        "not-put-back",
        f"The files and tables of before are back, but the site is not as it was: {why[:300]}. A person is needed;"
        " the restore point of this run is whole. Type: upkeep points CLIENT",
        evidence,
    )


def back(promotion: Promotion, cookies: str) -> dict[str, Any]:
    """Exchange the trees back, rename the tables back, refresh, probe, thaw. Safe to repeat at any point.

    Which tree is live is read from the disk (its inode), not from the journal: the journal may be one step ahead.
    """
    site, journal = promotion.site, promotion.journal
    evidence: dict[str, Any] = {"put_back": True}
    if journal.get("state") in BEGUN:
        freeze.freeze(site.root, promotion.token)
        if os.stat(site.root).st_ino == journal["new"]:
            freeze.freeze(promotion.tree, promotion.token)
            with contextlib.suppress(FreezeError):
                freeze.drain(promotion.database)
            tree.exchange(site.root, promotion.tree)
        if journal.get("copies"):
            evidence["tables_back"] = promotion.database.put_back(journal["copies"], journal["known"])
        try:
            freeze.refresh_opcodes(site)
        except FreezeError as error:
            evidence["opcodes"] = str(error)
    with interruptible(ignore=True):
        verdict = promotion.look(cookies)
    promotion.thaw()
    promotion.database.drop(promotion.database.ours(PUT_ASIDE))
    promotion.note("back")
    evidence["back_verdict"] = verdict
    evidence["after"] = wordpress.versions(site.root, promotion.database, promotion.configuration.prefix)
    return evidence


def recover(promotion: Promotion) -> dict[str, Any]:
    """Find out how far this run came and finish it or put it back.

    Returns {state: untouched | finished | put-back, ...}; raises Stop("not-put-back") when a person is needed.
    """
    state = promotion.journal.get("state")
    if state in ("confirmed", "back"):
        freeze.thaw(promotion.site.root)
        return {"state": "finished" if state == "confirmed" else "put-back"}
    if state not in BEGUN:
        if freeze.thaw(promotion.site.root):
            return {"state": "put-back"}
        return {"state": "untouched"}
    since = promotion.journal.get("frozen_at", time.time())
    evidence: dict[str, Any] = {"broken": ["the run was interrupted"]}
    place = wordpress.production(promotion.site, promotion.site.run_folder(promotion.run), promotion.token)
    with signed_in(place) as cookies:
        try:
            go_back(promotion, cookies, evidence)
        except Stop as stop:
            if stop.outcome != "put-back":
                raise
    evidence["frozen_seconds"] = evidence["broken_seconds"] = round(time.time() - since, 3)
    return {**evidence, "state": "put-back"}


def unfinished(site: Site) -> list[str]:
    """Return the runs whose promotion began on this site and was neither confirmed nor put back."""
    try:
        names = sorted(name for name in os.listdir(site.workshop) if RUN_ID.match(name))
    except FileNotFoundError:
        return []
    return [run for run in names if run_state.load(site, run, "promotion").get("state") in BEGUN]


def clean_up(site: Site, run: str) -> list[str]:
    """Remove what this run and earlier ones left on the host: trees, copies of tables, the staging database's tables.

    The database must be reachable only when there is something in it to remove. Returns what was removed.
    """
    removed = []
    with contextlib.suppress(*KNOWN_ERRORS):
        configuration, database = opened_site(site, run)
        copies = database.ours(PUT_ASIDE)
        database.drop(copies)
        removed += ["table " + name for name in copies]
        staging = opened_staging(site, run, configuration)
        stop_server(staging.folder)
        if staging.database.name != database.name and staging.database.tables():
            staging.database.empty()
            removed.append("staging database " + staging.database.name)
    for name in sorted(os.listdir(site.workshop)):
        if RUN_ID.match(name):
            stop_server(os.path.join(site.workshop, name, "staging"))
            tree.remove(os.path.join(site.workshop, name))
            removed.append("folder of run " + name)
    return removed


@contextlib.contextmanager
def interruptible(*, ignore: bool = False) -> Iterator[None]:
    """Turn a request to stop into Interrupted, so that the way back runs; or, on the way back, do not listen to it."""

    def stop(number: int, frame: object) -> None:
        if not ignore:
            raise Interrupted("the run was told to stop")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
