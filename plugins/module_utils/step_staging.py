# GPL-3.0-or-later
"""The steps `stage`, `show` and `unstage`: a copy of production, or a restore point, that cannot talk to the world."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from . import baseline, fetch, php_log, recovery, restic, run_state, scratch, staging, staging_host, tree
from .points import PointError, Store, problems
from .rehearsal import probe_served, probe_staging
from .site import Site
from .snapshot import cache_folder
from .task import KNOWN_ERRORS, Asked, Stop
from .verdict import judge


def stage(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Make the copy, serve it on the host's loopback address, and show that it passes the baseline itself."""
    if asked.check_mode:
        return {"changed": True}
    started = time.monotonic()
    # The place is needed now: whoever looks at a restore point there has had his time.
    scratch.removed(site, scratch.shown_folder(site))
    if site.staging_host:
        copy, _, known = staging_host.opened(site, run)
        evidence = staging_host.made_of(copy, known)
    else:
        configuration, database = baseline.opened_site(site, run)
        copy = staging.opened_staging(site, run, configuration)
        evidence = staging.create(copy, configuration, database)
    # A staging host knows nothing of production but its restore point.
    before = baseline.of_run(site, run)
    results, old = probe_staging(copy, asked.options["probes"]), before["verdict"]["probes"] if before else None
    verdict = judge(results, old, times=False)
    run_state.store(site, run, "staging", {"probes": results})
    evidence.update({"verdict": verdict, "seconds": round(time.monotonic() - started, 3)})
    if not verdict["healthy"]:
        raise Stop(
            "unhealthy",
            f"The staging copy is not healthy before any update: {verdict['reasons'][0]}. Production was not touched.",
            evidence,
        )
    if asked.options["serve"]:
        serve_on(copy, run)
    return {"evidence": evidence}


def serve_on(copy: staging.Staging, run: str) -> None:
    """Leave the copy served for a browser's look from the controller. The step `looked` ends it."""
    copy.serve(outlive=True)
    known = run_state.load(copy.site, run, "look").get("known", [])
    run_state.store(copy.site, run, "look", {"log": php_log.position(copy.log), "known": known})


def looked(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """End the serving for a browser's look, and tell what is new in PHP's log since the look before.

    What a person has to look at first, `withheld`, is not to be promoted, and WordPress is not to bring it either.
    """
    if asked.check_mode:
        return {"changed": False}
    folder = os.path.join(site.run_folder(run), "staging")
    staging.stop_server(folder)
    withheld, staged = asked.options["withheld"], run_state.load(site, run, "staged")
    if withheld and staged:
        held = [{key: each[key] for key in ("kind", "slug", "version")} for each in withheld]
        run_state.store(site, run, "staged", {**staged, "delivered": [], "held": [*staged.get("held", []), *held]})
    look = run_state.load(site, run, "look")
    known = look.get("known", [])
    grown = php_log.growth(os.path.join(folder, "php.log"), look["log"]) if "log" in look else php_log.Growth()
    new = [fatal for fatal in grown.fatals if fatal.key not in known]
    run_state.store(site, run, "look", {"known": [*known, *(fatal.key for fatal in new)]})
    return {"evidence": {"fatals": [fatal.sample for fatal in new[: php_log.MAX_SAMPLES]], "warnings": grown.warnings}}


def show(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Put a restore point into the staging place and leave it served there, for a person to look at."""
    given = asked.options
    manifest = given["manifest"]
    folder = scratch.shown_folder(site)
    evidence: dict[str, Any] = {"point": str(manifest.get("point", "")), "taken": manifest.get("taken")}
    started = time.monotonic()
    try:
        store = Store.from_parameters(given["store"])
        found = problems(manifest, client=site.client, site=site.name) or recovery.refusals(site, manifest)
        if found:
            raise PointError("; ".join(found))
        if asked.check_mode:
            return {
                "changed": True,
                "msg": f"would show {evidence['point']} in the staging place",
                "evidence": evidence,
            }
        scratch.removed(site, folder)
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache_folder(site), make_bucket=False)
        try:
            copy, seen = scratch.made(site, run, given, repository, _account(site, run, given), folder)
            copy.serve(outlive=True)
            evidence.update(seen, verdict=judge(probe_served(copy, given["probes"]), times=False))
        except BaseException:
            with contextlib.suppress(*KNOWN_ERRORS):
                scratch.removed(site, folder)
            raise
    except (fetch.RestoreError, restic.ResticError, PointError, *KNOWN_ERRORS) as error:
        message = f"Nothing is shown: {str(error).rstrip('.')}. Production was not touched."
        raise Stop("refused", message, evidence) from error
    evidence.update(address=f"127.0.0.1:{site.staging_port}", seconds=round(time.monotonic() - started, 1))
    ill = f" It is not healthy there: {evidence['verdict']['reasons'][0]}." if evidence["verdict"]["reasons"] else ""
    return {
        "msg": f"{evidence['point']} is served at {evidence['address']} of the host, for {site.url} and nobody else.{ill}",
        "evidence": evidence,
    }


def _account(site: Site, run: str, given: dict[str, Any]) -> dict[str, str]:
    """Return how production reaches its database today: the account may have another password than it had then."""
    if site.staging_host:
        return staging_host.account(given)
    try:
        configuration, _ = baseline.opened_site(site, run)
    except KNOWN_ERRORS:
        return {}
    now = configuration.credentials
    return {"user": now.user, "password": now.password, "host": now.host}


def unstage(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Remove the copy's files and tables, and a restore point that is shown there."""
    if not asked.check_mode:
        if scratch.removed(site, scratch.shown_folder(site)):
            return {"changed": True, "msg": "the restore point that was shown in the staging place is removed"}
        if site.staging_host:
            # A copy of a run goes with the run.
            return {"changed": False}
        configuration, _ = baseline.opened_site(site, run)
        copy = staging.opened_staging(site, run, configuration)
        staging.stop_server(copy.folder)
        copy.database.leave()
        tree.remove(copy.folder)
    return {"changed": True}
