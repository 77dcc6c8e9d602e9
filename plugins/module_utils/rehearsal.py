# GPL-3.0-or-later
"""Updates tried in staging: all together, then, if that is not healthy, the search for the largest set that is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Iterator, Mapping

from . import (
    freeze_budget,
    healthy_subset,
    package_source,
    packages,
    php_log,
    run_state,
    supply_chain,
    touched,
    translations,
    tree,
    wordpress,
)
from .baseline import signed_in
from .language_packs import TRANSLATION
from .packages import Change, PackageError
from .probe_round import PATIENCE_SECONDS
from .probe_steps import for_place
from .probes import run_probes
from .release_choice import Terms, as_hold, choose, lasting
from .site import Site
from .staging import Staging
from .task import Stop
from .verdict import judge
from .wordpress import Configuration, WordPressError

# Written by updates and visitors alike; no release's files.
NOT_CODE = ("wp-content/uploads", "wp-content/cache", "wp-content/upgrade", "wp-content/upgrade-temp-backup")


@dataclass
class Rehearsal:
    """One round after another on the staging copy of a run; `tried` is the set that the copy holds now."""

    site: Site
    staging: Staging
    configuration: Configuration
    probes: list[dict[str, Any]]
    baseline: list[dict[str, Any]]
    tried: list[Change] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)
    touches: touched.Touches = field(default_factory=touched.Touches)
    # What the last round ended with, and the seconds of its parts.
    after: touched.Tables | None = None
    timings: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    # What lies in the client's store, and the way to it and to what the controller has fetched: "" for none.
    artefacts: list[dict[str, Any]] = field(default_factory=list)
    gateway: str = ""

    def healthy(self, changes: list[Change]) -> bool:
        """Apply `changes` to the copy as it was staged, and say whether the site is healthy with them."""
        before = self.as_staged()
        self.tried = list(changes)
        reasons = self._apply(changes)
        results = probe_staging(self.staging, self.probes)
        self.verdict = judge(results, self.baseline)
        if reasons:
            self.verdict.update({"healthy": False, "reasons": reasons + self.verdict["reasons"]})
        self.after = self._look()
        self.touches.saw(changes, touched.compare(before, self.after))
        return bool(self.verdict["healthy"])

    def as_staged(self) -> touched.Tables:
        """Make the copy what it was when it was staged, and return a look at its tables."""
        now, self.after = self.after or self._look(), None
        with self.timed("reset"):
            put_back = self.staging.reset(now.sums)
        return self._look() if put_back else now

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a part of a round in seconds."""
        started = time.monotonic()
        yield
        self.timings[name] = round(time.monotonic() - started, 4)

    def _look(self) -> touched.Tables:
        with self.timed("look"):
            return touched.look(self.staging.database, self.configuration.prefix)

    def _apply(self, changes: list[Change]) -> list[str]:
        place = self.staging.place()
        reasons = []
        try:
            releases = [change for change in changes if change.kind != TRANSLATION]
            if releases:
                answer = place.php("apply", {"changes": [change.request() for change in releases]})
                self.said = answer["said"][-20:]
                reasons += ["{kind} {slug}: {error}".format(**each) for each in answer["results"] if each["error"]]
            reasons += self._install_packs([change for change in changes if change.kind == TRANSLATION])
            with self.timed("migrate"):
                place.php("migrate", timeout=1800)
        except WordPressError as error:
            reasons.append(str(error))
        observed = wordpress.versions(self.staging.root, self.staging.database, self.configuration.prefix)
        for change in changes:
            version = translations.version_there(change, observed, self.staging.root)
            if version != change.to:
                reasons.append(f"{change.named()}: WordPress ended the update, but {version or 'nothing'} is there")
                continue
            other = packages.differences(change, self.staging.root)
            if other:
                reasons.append(f"{change.named()}: {len(other)} files differ from the package: {other[0]}")
        if os.path.lexists(os.path.join(self.staging.root, ".maintenance")):
            reasons.append("the site was left in maintenance mode")
        return reasons

    def _install_packs(self, packs: list[Change]) -> list[str]:
        reasons = []
        for change in packs:
            try:
                translations.install(change, self.staging.root)
            except (PackageError, OSError) as error:
                reasons.append(f"{change.named()}: {error}")
        return reasons

    def touched(self) -> dict[str, list[str]]:
        """Return the paths that the tried changes touched inside their own units, and those outside.

        A file that came anew with the same bytes is not touched: production keeps its own, and what PHP has compiled of it.
        """
        base, now = tree.scan(self.staging.base), tree.scan(self.staging.root)
        units = [path for change in self.tried for path in wordpress.unit(change.kind, change.slug, change.file)]
        inside, outside = [], []
        for path in sorted(set(base) | set(now)):
            old, new = base.get(path), now.get(path)
            if old is not None and new is not None and old.same_content(new):
                continue
            if touched.same_bytes(
                old, new, os.path.join(self.staging.base, path), os.path.join(self.staging.root, path)
            ):
                continue
            if tree.in_unit(path, units):
                inside.append(path)
            elif not tree.in_unit(path, list(NOT_CODE)):
                outside.append(path)
        return {"inside": inside, "outside": outside}


def probe_staging(staging: Staging, probes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Serve the copy and probe it."""
    with staging.served(wait=False) as server:
        return probe_served(staging, probes, server)


def probe_served(
    staging: Staging, probes: list[dict[str, Any]], server: subprocess.Popen[bytes] | None = None
) -> list[dict[str, Any]]:
    """Probe a copy that is served already, or by a `server` that begins while somebody signs in."""
    with signed_in(staging.place()) as cookies:
        if server:
            staging.answers(server)
        log = {"path": staging.log, "position": php_log.position(staging.log)}
        return run_probes(
            staging.site.staging(),
            for_place(probes, "staging"),
            log=log,
            cookies_admin=cookies,
            patience=PATIENCE_SECONDS,
            mail=staging.mail,
        )


Sizes = Callable[[], Mapping[str, int]]


def rehearse(rehearsal: Rehearsal, run: str, terms: Terms, production: Sizes) -> dict[str, Any]:
    """Find out what is on offer, try it, and store what production may get. Returns the evidence.

    `production` says which tables production has, and their bytes.
    """
    site, staging = rehearsal.site, rehearsal.staging
    answer = offers(staging, rehearsal.gateway)
    on_offer, changes, skipped = _chosen(rehearsal, answer, terms)
    fetched = _fetch(rehearsal, run, changes, terms)
    ready, held = fetched.ready, fetched.held
    skipped += fetched.skipped
    rounds, delivered = 0, []
    if ready:
        seen: dict[str, list[str]] = {}

        def healthy(candidates: list[Change]) -> bool:
            good = rehearsal.healthy(candidates)
            seen[_key(candidates)] = list(rehearsal.verdict["reasons"])
            return good

        found = healthy_subset.search(ready, healthy)
        rounds, delivered = found.rounds, list(found.delivered)
        for change in found.held:
            reasons = seen.get(_key([change])) or _reasons_with(change, seen, ready)
            held.append({**change.evidence(), "reason": "; ".join(reasons)[:500]})
        if delivered and rehearsal.tried != delivered:
            rounds += 1
            if not rehearsal.healthy(delivered):
                held += [
                    {**change.evidence(), "reason": "; ".join(rehearsal.verdict["reasons"])} for change in delivered
                ]
                delivered = []
    staged = _staged(rehearsal, production, delivered)
    told = staged.pop("told")
    run_state.store(
        site,
        run,
        "staged",
        {
            "delivered": [change.stored() for change in delivered],
            **staged,
            # What WordPress's own updates must not bring either.
            "held": [*lasting(terms.holds, terms.today), *map(as_hold, held)],
        },
    )
    return {
        "offers": [{key: offer[key] for key in ("kind", "slug", "from", "to", "package")} for offer in on_offer],
        "delivered": [change.evidence() for change in delivered],
        "held": held,
        "skipped": skipped,
        "rounds": rounds,
        "tables_changed": staged["tables"],
        **told,
        "verdict": rehearsal.verdict if delivered else {},
        "looked_at": fetched.looked_at,
        "packages": fetched.packages,
        "asked": sorted({*answer["asked"], *fetched.asked}),
        "catalogue": answer["catalogue"],
    }


def _chosen(
    rehearsal: Rehearsal, answer: dict[str, Any], terms: Terms
) -> tuple[list[dict[str, Any]], list[Change], list[dict[str, Any]]]:
    """Return what is on offer, what of it the contract takes, and what it does not. Packs follow from the releases taken."""
    on_offer, staging = answer["offers"], rehearsal.staging
    packs = terms.policy.get("translations", "none") != "none"
    if rehearsal.artefacts or packs:
        observed = wordpress.versions(staging.root, staging.database, rehearsal.configuration.prefix)
    if rehearsal.artefacts:
        on_offer = package_source.with_artefacts(on_offer, rehearsal.artefacts, observed)
    changes, skipped = choose(on_offer, terms)
    if packs:
        found = translations.on_offer(staging.root, observed, changes, rehearsal.gateway)
        more, left_out = choose(found.offers, terms)
        on_offer, changes = [*on_offer, *found.offers], [*changes, *more]
        skipped += [*found.skipped, *left_out]
        answer["catalogue"] += found.asked
    return on_offer, changes, skipped


def _staged(rehearsal: Rehearsal, production: Sizes, delivered: list[Change]) -> dict[str, Any]:
    """Return what the promotion has to know of the last round, and under `told` what that touched."""
    effect = rehearsal.touches.of(delivered)
    if not delivered or effect is None or rehearsal.after is None:
        return {"touched": [], "tables": [], "told": {"files_touched": 0, "outside": []}}
    staging, paths, sizes = rehearsal.staging, rehearsal.touched(), production()
    tables = sorted(effect.all & set(sizes))
    copied, seconds = freeze_budget.measured(staging.database, tables, sizes)
    pace = freeze_budget.Pace(
        copied_bytes=copied,
        copy_seconds=seconds,
        looked_bytes=sum(sizes.values()),
        look_seconds=rehearsal.timings["look"],
        migrate_seconds=rehearsal.timings.get("migrate", 0.0),
    )
    return {
        "touched": paths["inside"],
        "tables": tables,
        "new_tables": sorted(effect.new),
        # Of what staging did not change it still holds the rows that production had.
        "sums": {name: value for name, value in rehearsal.after.sums.items() if name not in effect.all},
        "pace": asdict(pace),
        "told": {
            "touches": {
                **touched.told(delivered, rehearsal.touches, paths, staging.base, staging.root),
                "bytes_aside": sum(sizes[name] for name in tables),
                "copy_seconds": round(pace.copy(sum(sizes[name] for name in tables)), 3),
            },
            "files_touched": len(paths["inside"]),
            "outside": paths["outside"][:20],
        },
    }


@dataclass
class Fetched:
    """What became of the packages: those that may be tried, and for each of the others the reason why not."""

    ready: list[Change] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    looked_at: list[dict[str, Any]] = field(default_factory=list)
    packages: list[dict[str, Any]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)


def _fetch(rehearsal: Rehearsal, run: str, changes: list[Change], terms: Terms) -> Fetched:
    """Bring the packages here and look into them, before anything of them is unpacked."""
    done = Fetched()
    folder = os.path.join(rehearsal.site.run_folder(run), "packages")
    for change in changes:
        try:
            source = package_source.fetch(change, folder, rehearsal.gateway)
        except PackageError as error:
            left_out = {"kind": change.kind, "slug": change.slug, "from": change.version, "to": change.to}
            done.skipped.append({**left_out, "reason": str(error)})
            continue
        fetched = source.change
        done.packages.append(source.evidence())
        done.asked |= {source.asked} - {""}
        try:
            packages.inspect(fetched)
        except PackageError as error:
            done.held.append({**fetched.evidence(), "reason": str(error)})
            continue
        if translations.installs_nothing(fetched, rehearsal.staging.base):
            left_out = {"kind": change.kind, "slug": change.slug, "from": change.version, "to": change.to}
            done.skipped.append({**left_out, "reason": "these very files are installed already"})
            continue
        findings = supply_chain.look(fetched, rehearsal.staging.base)
        if findings:
            done.looked_at.append(supply_chain.evidence(fetched, findings))
        objection = supply_chain.objection(findings, str(terms.policy.get("hold_at") or supply_chain.HIGH))
        if objection and not terms.cleared(fetched):
            done.held.append({**fetched.evidence(), "reason": objection})
        else:
            done.ready.append(fetched)
    return done


def offers(staging: Staging, gateway: str = "") -> dict[str, Any]:
    """Ask, as WordPress does, which releases there are: the controller's catalogue through its gateway, else WordPress.org.

    Raises Stop when nobody answered: that is not "up to date".
    """
    wanted = {"may_ask": list(wordpress.ASKED_FOR_RELEASES), "catalogue": gateway}
    answer = staging.place().php("offers", wanted)
    answer["catalogue"] = list(dict(answer.get("catalogue") or {}).values())
    if answer["unanswered"]:
        said = [f"{address}: {text}" for address, text in dict(answer.get("answered", {})).items()]
        said += sorted({each["note"] for each in answer["catalogue"] if each.get("note")})
        told = "; ".join(said)[:500] or "no request was made"
        raise Stop(
            "refused",
            f"Which releases there are of {', '.join(answer['unanswered'])} could not be asked ({told}). Production was not"
            f" touched. Can the host reach api.wordpress.org? Then type: upkeep run {staging.site.client}",
        )
    return answer


def _key(changes: list[Change]) -> str:
    return "|".join(sorted(change.named() for change in changes))


def _reasons_with(change: Change, seen: dict[str, list[str]], ready: list[Change]) -> list[str]:
    """Return the reasons of the smallest tried set with this change in it that was not healthy."""
    sets = [key for key, reasons in seen.items() if reasons and change.named() in key.split("|")]
    return seen[min(sets, key=len)] if sets else seen.get(_key(ready), [])
