# GPL-3.0-or-later
"""Production gets what staging tested, in one moment, and goes back to what it was when that is not healthy.

The way back needs neither PHP nor the controller: it exchanges the trees back and renames the tables back. A journal in
the run's folder says how far a promotion came, so that any later process can finish it or put it back.
"""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Iterator

from . import freeze, handed_over, packages, run_state, translations, tree, wordpress
from .arming import Armed, arm
from .baseline import at_hand, of_run, opened_site, probe_production, signed_in
from .database import Database
from .freeze_budget import BUDGET_SECONDS
from .interruption import interruptible
from .own_way_back import BEGUN
from .packages import Change
from .probe_round import PATIENCE_SECONDS
from .site import Site
from .tables_aside import TablesAside
from .task import Stop
from .tree import Entry
from .verdict import judge
from .way_back import go_back, told

# The host goes back by itself when a promotion has not ended after so many seconds, 10 minutes beyond what a freeze takes.
DEADLINE_SECONDS = 900
# See run_probes().
PROBES_AT_ONCE = 3
# Requests that compile: the command line migrates meanwhile, and hosts have two cores at least.
WARMED_AT_ONCE = 2


@dataclass
class Promotion:
    """One promotion: what it changes, its journal, and the clock of the freeze."""

    site: Site
    run: str
    prefix: str
    database: Database
    probes: list[dict[str, Any]]
    baseline: dict[str, Any]
    changes: list[Change]
    touched: list[str]
    aside: TablesAside
    token: str = field(default_factory=freeze.new_token)
    journal: dict[str, Any] = field(default_factory=dict)
    frozen_at: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    # What staging began with in the changes' units: see as_begun().
    begun_with: dict[str, Entry] | None = None
    # The paths of the next tree, where nobody but us writes; its new PHP files; and whether WordPress has to migrate for it.
    next: dict[str, Entry] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    migrates: bool = True

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
        written = {**self.journal, **more, "state": state}
        run_state.store(self.site, self.run, "promotion", written)
        self.journal = written

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a part of the promotion in seconds."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = round(time.monotonic() - started, 3)

    @property
    def base(self) -> str:
        """Production's files as they were staged."""
        return os.path.join(self.site.run_folder(self.run), "staging", "base")

    @property
    def begun(self) -> bool:
        """Whether the promotion has touched production and neither ended nor been put back."""
        return self.journal.get("state") in BEGUN

    def versions(self) -> dict[str, Any]:
        """Return the versions that production has now."""
        return wordpress.versions(self.site.root, self.database, self.prefix)

    def drift(self) -> list[str]:
        """Return the paths of the changes' own units in which production is no longer what was staged."""
        base, now = self.as_begun(), self._in_units(tree.scan(self.site.root))
        return [path for path in sorted({*base, *now}) if not _same(base.get(path), now.get(path))]

    def late_drift(self, now: dict[str, Entry]) -> list[str]:
        """Return the paths, of those that staging began with and those it made, at which production is `now` another one.

        Also those that are not replaced: what stays as it is was tested with the rest.
        """
        base = self.as_begun()
        return [path for path in sorted({*base, *self.touched}) if not _same(base.get(path), now.get(path))]

    def as_begun(self) -> dict[str, Entry]:
        """Return what staging began with in the changes' units."""
        if self.begun_with is None:
            self.begun_with = self._in_units(tree.scan(self.base))
        return self.begun_with

    def _in_units(self, paths: dict[str, Entry]) -> dict[str, Entry]:
        units = [path for change in self.changes for path in wordpress.unit(change.kind, change.slug, change.file)]
        return {path: seen for path, seen in paths.items() if tree.in_unit(path, units) and path not in tree.FROZEN}

    def prepare(self) -> None:
        """Build the next tree beside the live one. Production is only read."""
        tree.remove(self.tree)
        tree.link_farm(self.site.root, self.tree)
        there = tree.scan(self.site.root)
        tree.put_in(self.staged, self.tree, self.touched, there)
        for change in self.changes:
            other = packages.differences(change, self.tree)
            if other:
                raise tree.TreeError(f"the next tree is not what staging tested: {other[0]}")
        self.next = tree.scan(self.tree)
        self.new = [path for path in self.touched if path.endswith(".php") and path not in there]
        self.migrates = self._needs_migration()
        self.aside.lay_out()
        self.note(
            "prepared",
            token=self.token,
            new=os.stat(self.tree).st_ino,
            database=self.database.name,
            prefix=self.prefix,
            copies={},
            known=[],
            sums={},
            spares=[],
            staging=self.site.staging_database,
        )

    def arm(self, deadline: float) -> Armed:
        """Start the host's own way back."""
        return arm(
            self.site,
            self.run,
            self.database,
            prefix=self.prefix,
            tree=self.tree,
            token=self.token,
            changed=self.touched,
            web_server=self.baseline["web_server"],
            seconds=deadline,
        )

    def freeze(self) -> None:
        """Stop all writers."""
        self.note("frozen", frozen_at=time.time())
        self.frozen_at = time.monotonic()
        freeze.freeze(self.site.root, self.token)
        if not self.baseline["web_server"]["validate_timestamps"]:
            # What the opcode cache holds of another `.maintenance` must not stand for ours.
            freeze.refresh_opcodes(self.site, [freeze.MARKER])
        with self.timed("drain"):
            freeze.drain(self.database)

    def catch_up(self) -> None:
        """Bring over what writers wrote since prepare(), and copy the tables aside that staging saw change."""
        with ThreadPoolExecutor(1) as pool:
            # The server compares and copies tables while we go through the files.
            aside = pool.submit(self._put_aside)
            self._bring_up_to_date()
            seen = aside.result()
        self.note("aside", copies=self.aside.copies, **seen)

    def _bring_up_to_date(self) -> None:
        with self.timed("bring_up_to_date"):
            now = tree.scan(self.site.root)
            late = self.late_drift(now)
            if late:
                raise tree.TreeError(f"somebody changed {late[0]} at the last moment")
            touched = set(self.touched)
            tree.bring_up_to_date(self.site.root, self.tree, lambda path: path not in touched, now=now, there=self.next)
            freeze.freeze(self.tree, self.token)

    def _put_aside(self) -> dict[str, Any]:
        with self.timed("checksums"):
            seen = self.aside.look()
        with self.timed("put_aside"):
            self.aside.fill(seen.pop("again"))
        return seen

    def verify(self) -> tuple[list[str], list[str]]:
        """Return the tables that changed although staging saw no change: see TablesAside.changed()."""
        with self.timed("verify"):
            return self.aside.changed(self.journal)

    def exchange(self) -> None:
        """Exchange the trees, migrate the database and make PHP run the new files."""
        self.note("exchanged")
        with self.timed("exchange"):
            tree.exchange(self.site.root, self.tree)
        # The web server's PHP compiles what it will be asked for while the command line's migrates.
        with ThreadPoolExecutor(1) as pool:
            migrated = pool.submit(self._migrate)
            self._renew_opcodes()
            migrated.result()

    def _migrate(self) -> None:
        if self.migrates:
            with self.timed("migrate"):
                place = wordpress.production(self.site, self.site.run_folder(self.run), self.token)
                place.php("migrate", timeout=1800)

    def _renew_opcodes(self) -> None:
        with self.timed("refresh_opcodes"):
            said = freeze.refresh_opcodes(self.site, self.touched)
        wanted = [*said["was_cached"], *self.new]
        with self.timed("compile"), ThreadPoolExecutor(WARMED_AT_ONCE) as pool:
            for number in range(WARMED_AT_ONCE):
                pool.submit(freeze.warm_opcodes, self.site, wanted[number::WARMED_AT_ONCE])

    def look(self, cookies: str) -> dict[str, Any]:
        """Probe production through the freeze and compare with the baseline."""
        with self.timed("probe"):
            results = probe_production(
                self.site, self.probes, self.baseline["log"], cookies, token=self.token, patience=PATIENCE_SECONDS
            )
        return judge(results, self.baseline["verdict"]["probes"])

    def observe(self) -> tuple[dict[str, Any], list[str]]:
        """Return the versions that are there now, and for each change that is not there the reason why it counts."""
        now = self.versions()
        there = [
            (change, translations.version_there(change, now, self.site.root) or "(none)") for change in self.changes
        ]
        return now, [
            f"{change.named()}: version {version} is there" for change, version in there if version != change.to
        ]

    def thaw(self) -> float:
        """Let visitors in. Returns the seconds since the freeze began."""
        freeze.thaw(self.site.root)
        freeze.thaw(self.tree)
        return self.frozen_for()

    def frozen_for(self) -> float:
        """Return the seconds since the freeze began."""
        return round(time.monotonic() - self.frozen_at, 3) if self.frozen_at else 0.0

    def caches(self) -> bool:
        """Whether the site has a persistent object cache."""
        return os.path.exists(os.path.join(self.site.root, "wp-content", "object-cache.php"))

    def _needs_migration(self) -> bool:
        """Whether WordPress's database version will be behind its files, or an object cache must be emptied."""
        if self.caches():
            return True
        wanted = wordpress.wanted_db_version(self.tree)
        return not wanted or wordpress.db_version(self.database, self.prefix) != wanted


def opened_promotion(site: Site, run: str, probes: list[dict[str, Any]]) -> Promotion:
    """Return the promotion of a run as its stored state says. One that has begun is opened without PHP."""
    staged, journal = run_state.load(site, run, "staged"), run_state.load(site, run, "promotion")
    if journal.get("state") in BEGUN:
        database, prefix = at_hand(site, run, journal["database"]), str(journal["prefix"])
    else:
        configuration, database = opened_site(site, run)
        prefix = configuration.prefix
    promotion = Promotion(
        site=site,
        run=run,
        prefix=prefix,
        database=database,
        probes=probes,
        baseline=of_run(site, run),
        changes=[Change(**values) for values in staged.get("delivered", [])],
        touched=staged.get("touched", []),
        aside=TablesAside(database, prefix, staged.get("tables", []), staged),
        journal=journal,
        begun_with=handed_over.entries(staged["base"]) if "base" in staged else None,
    )
    promotion.token = journal.get("token", promotion.token)
    return promotion


def promote(promotion: Promotion, deadline: float = DEADLINE_SECONDS, budget: float = BUDGET_SECONDS) -> dict[str, Any]:
    """Carry out the promotion. Returns the evidence of a healthy one; raises Stop when production was put back.

    It does not begin when the freeze would be longer than `budget` seconds.

    When this process dies before it confirmed, or has not ended after `deadline` seconds, the host goes back by itself.
    """
    _refuse(promotion)
    _plan(promotion, budget)
    before = promotion.versions()
    promotion.prepare()
    armed = promotion.arm(deadline)
    evidence: dict[str, Any] = {
        "before": before,
        "delivered": [change.evidence() for change in promotion.changes],
        "tables_aside": promotion.aside.tables,
        "expected": promotion.aside.expected.evidence(),
        "armed": {"kept_by": armed.kept_by, "deadline": deadline},
        "timings": promotion.timings,
    }
    reasons: list[str] = []
    with signed_in(wordpress.production(promotion.site, promotion.site.run_folder(promotion.run))) as cookies:
        # It has started while somebody was signed in: the freeze waits for nothing.
        armed.wait()
        try:
            with interruptible():
                promotion.freeze()
                promotion.catch_up()
                promotion.exchange()
                with ThreadPoolExecutor(1) as pool:
                    observed = pool.submit(promotion.observe)
                    evidence["verdict"] = promotion.look(cookies)
                    evidence["after"], reasons = observed.result()
                reasons += evidence["verdict"]["reasons"] or _strangers(promotion, evidence)
        except Exception as error:
            # Whatever it is, a mistake of ours included: production is not left like this.
            reasons.append(told(error))
        with interruptible(ignore=True):
            if not reasons:
                evidence["frozen_seconds"] = promotion.frozen_for()
                try:
                    # With all that was seen: when nobody hears our answer, the next who asks is told the same.
                    promotion.note("confirmed", evidence={**evidence, "put_back": False})
                except OSError as error:
                    # What is not written down, as on a full disk, is not so.
                    reasons.append(told(error))
            if reasons:
                evidence["broken"] = reasons[:20]
                go_back(promotion, contextlib.nullcontext(cookies), evidence)
            evidence["frozen_seconds"] = _let_in(promotion, evidence)
    return {**evidence, "put_back": False}


def _refuse(promotion: Promotion) -> None:
    """Raise Stop when this promotion must not begin."""
    client = promotion.site.client
    if not promotion.baseline:
        raise Stop("refused", f"This run has no baseline. Production was not touched. Type: upkeep run {client}")
    if promotion.baseline.get("refusals"):
        why = "; ".join(promotion.baseline["refusals"])
        raise Stop("refused", f"This site cannot be updated safely: {why}. Production was not touched.")
    drifted = promotion.drift()
    if drifted:
        more = f" and {len(drifted) - 1} more paths" if len(drifted) > 1 else ""
        raise Stop(
            "refused",
            f"Production changed since it was staged ({drifted[0]}{more}). It was not touched. Type: upkeep run {client}",
            {"drift": drifted[:20]},
        )


def _plan(promotion: Promotion, budget: float) -> None:
    """Choose what is copied aside and when; raise Stop when the freeze would be too long."""
    seconds = [float(each.get("seconds") or 0.0) for each in promotion.baseline["verdict"]["probes"]]
    core = any(change.kind == "core" for change in promotion.changes)
    promotion.aside.plan(
        budget=budget,
        migrates=core or promotion.caches(),
        probe_seconds=sum(seconds[:1]) + sum(seconds[1:]) / PROBES_AT_ONCE,
        client=promotion.site.client,
    )


def _strangers(promotion: Promotion, evidence: dict[str, Any]) -> list[str]:
    """Return why production must go back although it is healthy: tables changed of which staging showed nothing."""
    strange, others = promotion.verify()
    if others:
        evidence["tables_also_changed"] = others
    if not strange:
        return []
    evidence["tables_only_here"] = strange
    return [f"tables changed in production that did not change in its copy: {', '.join(strange)}"]


def _let_in(promotion: Promotion, evidence: dict[str, Any]) -> float:
    try:
        return promotion.thaw()
    except OSError as error:
        raise Stop(
            "not-put-back",
            f"The update is in place and healthy, but visitors cannot be let in: {error}. A person is needed:"
            f" remove {freeze.MARKER} from {promotion.site.root}",
            evidence,
        ) from error


def _same(one: Entry | None, other: Entry | None) -> bool:
    return one is other if one is None or other is None else one.same_content(other)
