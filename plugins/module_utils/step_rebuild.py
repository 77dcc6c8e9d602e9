# GPL-3.0-or-later
"""The step `rebuild`: a restore point on a host that has no site yet, from nothing but the store.

Everything that can be refused is refused before the files come; what has come is removed again when it does not make a
site. The one moment that counts is the rename of the tree to the document root: from then on the site is there.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from . import freeze, recovery, restic, run_state, tree, wordpress
from .baseline import probe_production, signed_in
from .database import STAGING_MARK, Database
from .fetch import RestoreError, restored_folder
from .freeze import FreezeError
from .points import PointError, Store, problems
from .probe_round import PATIENCE_SECONDS
from .recovery import Recovered
from .restic import Repository, ResticError
from .site import Site
from .snapshot import cache_folder
from .task import KNOWN_ERRORS, Asked, Stop
from .verdict import judge
from .web import REFUSED, fetch
from .wordpress import WordPressError

STATE = "rebuild"
BEGUN, CONFIRMED = "begun", "confirmed"


def rebuild(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Make a site out of a restore point where there is none, and look whether it is well."""
    given = asked.options
    manifest = given["manifest"]
    evidence: dict[str, Any] = {"point": str(manifest.get("point", "")), "taken": manifest.get("taken")}
    started = time.monotonic()
    try:
        store = Store.from_parameters(given["store"])
        found = problems(manifest, client=site.client, site=site.name) or obstacles(site)
        found = found or recovery.refusals(site, manifest)
        if found:
            raise RestoreError("; ".join(found))
        if asked.check_mode:
            return {"changed": True, "msg": f"would put {evidence['point']} into {site.root}", "evidence": evidence}
        evidence["data_age_seconds"] = recovery.age(manifest)
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache_folder(site), make_bucket=False)
        recovered = _placed(site, run, given, repository, evidence)
    except (RestoreError, ResticError, PointError, *KNOWN_ERRORS) as error:
        message = f"Nothing was restored: {str(error).rstrip('.')}. Nothing of it is left on this host."
        raise Stop("refused", message, evidence) from error
    evidence.update(look(site, run, given["probes"], recovered.configuration.debug_log))
    evidence["recovery_seconds"] = round(time.monotonic() - started, 1)
    reasons = evidence["verdict"]["reasons"]
    if reasons:
        message = f"{evidence['point']} is in {site.root}, and the site is not healthy there: {reasons[0]}."
        raise Stop("unhealthy", f"{message} It was left there for a person to look at.", evidence)
    return {
        "msg": f"{evidence['point']} is a healthy site in {site.root} after {evidence['recovery_seconds']:.0f} s:"
        f" {evidence['files']['count']} files, {evidence['tables']} tables, {evidence['rows']} rows" + _said(evidence),
        "evidence": evidence,
    }


def obstacles(site: Site) -> list[str]:
    """Return why no site may be made here: there is one, or the web server would not serve it. Nothing is left behind."""
    root, parent = site.root, os.path.dirname(site.root)
    there = sorted(os.listdir(root)) if os.path.isdir(root) else []
    if os.path.lexists(root) and not os.path.isdir(root):
        return [f"{root} is no folder"]
    if there:
        what = "a site is there already" if "wp-config.php" in there or "wp-load.php" in there else "it is not empty"
        return [f"{root}: {what} ({len(there)} entries, such as {there[0]}). Move it away, or choose another host"]
    if os.path.isdir(root) and os.stat(root).st_dev != os.stat(parent).st_dev:
        return [f"{root} is a filesystem of its own, and a tree cannot be renamed to it: mount it one folder higher"]
    answer = fetch(site.production(), "/", timeout=20)
    where = f"{site.address}:{site.port}"
    if answer.error == REFUSED:
        return [
            f"no web server answers at {where}: set one up for {site.url}, or declare upkeep_target (docs/restore.md)"
        ]
    if 200 <= answer.status < 300:
        return [
            f"{where} answers for {site.url} though {root} is empty: a running site is there, or its web server serves another folder"
        ]
    return _not_served(site)


def look(site: Site, run: str, probes: list[dict[str, Any]], debug_log: str) -> dict[str, Any]:
    """Carry out the functions of the contract under the site's own name, at this host's own web server."""
    said: dict[str, Any] = {}
    reasons = []
    try:
        said = freeze.refresh_opcodes(site)
    except FreezeError as error:
        reasons.append(str(error))
    place = wordpress.production(site, site.run_folder(run))
    if os.path.exists(os.path.join(site.root, "wp-content", "object-cache.php")):
        # A cache that knows rows of another database; where it does not answer, the probes say what comes of it.
        with contextlib.suppress(WordPressError):
            place.php("migrate", timeout=1800)
    log = site.error_log or debug_log or str(said.get("error_log") or "")
    with signed_in(place) as cookies:
        verdict = judge(
            probe_production(site, probes, log if os.path.isabs(log) else "", cookies, patience=PATIENCE_SECONDS)
        )
    if reasons:
        verdict.update(healthy=False, reasons=[*reasons, *verdict["reasons"]])
    return {"verdict": verdict}


def recover(site: Site, run: str, probes: list[dict[str, Any]]) -> dict[str, Any]:
    """Say how far an interrupted rebuild came. What has not become a site is removed; one that has is looked at."""
    journal = run_state.load(site, run, STATE)
    if journal.get("state") == CONFIRMED:
        evidence = {"state": "finished", **look(site, run, probes, "")}
        if evidence["verdict"]["reasons"]:
            raise Stop("unhealthy", f"The site is not healthy: {evidence['verdict']['reasons'][0]}.", evidence)
        return evidence
    _removed(site, run, journal)
    return {"state": "put-back"}


def _placed(site: Site, run: str, given: dict[str, Any], repository: Repository, evidence: dict[str, Any]) -> Recovered:
    """Bring files and tables and put the tree to its place; whatever goes wrong before that leaves nothing behind."""
    manifest, timeout, started = given["manifest"], given["timeout"], time.monotonic()
    wanted = recovery.credentials(site, run, manifest, repository, declared(given))
    database = recovery.opened_database(site, run, wanted)
    made = recovery.make_empty(database, wanted)
    journal = {"state": BEGUN, "made": made, "database": database.name, "root": 0}
    run_state.store(site, run, STATE, journal)
    try:
        recovered = recovery.fetched(site, run, manifest, repository, wanted, timeout=timeout)
        evidence["fetch_seconds"] = round(time.monotonic() - started, 1)
        outside = _outside(site, recovered)
        rows = recovery.loaded(database, manifest, recovered, timeout=timeout)
        evidence["load_seconds"] = round(time.monotonic() - started - evidence["fetch_seconds"], 1)
        evidence["versions"] = wordpress.versions(recovered.tree, database, recovered.configuration.prefix)
        journal["root"] = os.stat(recovered.tree).st_ino
        run_state.store(site, run, STATE, journal)
        if outside:
            os.rename(recovered.configuration.path, outside)
        os.rename(recovered.tree, site.root)
        run_state.store(site, run, STATE, {**journal, "state": CONFIRMED})
    except BaseException:
        with contextlib.suppress(*KNOWN_ERRORS):
            _removed(site, run, journal)
        raise
    database.drop([STAGING_MARK])
    tree.remove(recovered.folder)
    evidence.update(
        files=dict(manifest["files"]),
        tables=len(rows),
        rows=sum(rows.values()),
        database_made=made,
        rewritten=recovered.rewritten,
        others_files=recovered.others_files,
    )
    return recovered


def declared(given: dict[str, Any]) -> dict[str, str]:
    """Return what is declared of the database on this host: name, user, host, password."""
    told = {name: str(value) for name, value in (given["database"] or {}).items() if value}
    return {**told, **({"password": given["database_password"]} if given["database_password"] else {})}


def _outside(site: Site, recovered: Recovered) -> str:
    """Return where a wp-config.php goes that lay beside the document root, or "". Raises RestoreError when one is there."""
    if recovered.configuration.path.startswith(recovered.tree + "/"):
        return ""
    path = os.path.join(os.path.dirname(site.root), os.path.basename(recovered.configuration.path))
    if os.path.lexists(path):
        raise RestoreError(f"{path} is there already, and the site brings its own: move it away")
    return path


def _not_served(site: Site) -> list[str]:
    """Ask whether the web server runs PHP of the document root, which is made for that question where it is missing."""
    made = not os.path.isdir(site.root)
    try:
        if made:
            os.mkdir(site.root, 0o755)
        freeze.ask_web_server(site)
    except (FreezeError, OSError) as error:
        return [f"{site.root} cannot become the site: {error}"]
    finally:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(site.root)
    return []


def _removed(site: Site, run: str, journal: dict[str, Any]) -> None:
    """Remove what an unconfirmed rebuild has brought: the tree if it was put in place, the files beside it, the tables."""
    if journal.get("root") and os.path.isdir(site.root) and os.stat(site.root).st_ino == journal["root"]:
        os.rename(site.root, os.path.join(site.run_folder(run), "taken-back"))
        os.mkdir(site.root, 0o755)
    tree.remove(restored_folder(site, run))
    options = os.path.join(site.run_folder(run), "recovered", "database.cnf")
    if journal.get("database") and os.path.exists(options):
        database = Database(str(journal["database"]), options, site.programs["mariadb"], site.programs["mariadb_dump"])
        recovery.cleared(database)
        if journal.get("made"):
            recovery.unmade(database)


def _said(evidence: dict[str, Any]) -> str:
    """Say what is other than it was."""
    told = ""
    if evidence["rewritten"]:
        told += f"; wp-config.php says {', '.join(evidence['rewritten'])} as declared for this host"
    if evidence["others_files"]:
        told += f"; {evidence['others_files']} files of other accounts belong to this one now"
    return told
