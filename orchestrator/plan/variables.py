"""Say which Ansible variables a contract gives to a place. Nothing else computes them.

The inventory plugin sets them, so a playbook that is started by hand gets the same ones as a planned run.
"""

from __future__ import annotations

from typing import TypeAlias

from orchestrator.contract.model import Contract, Database, Policy, Site, Step, UpdateDuty
from orchestrator.probe.functions import Probe, pictured, probes_of

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def place_variables(contract: Contract, site_name: str) -> dict[str, Json]:
    """Return the variables of the production place of a site, each under the prefix of the role that it is for."""
    site = contract.site(site_name)
    return {
        **{f"{role}_site": _site(contract, site) for role in ROLES},
        **{f"{role}_probes": _probes(site) for role in ROLES},
        "site_snapshot_store": _store(contract, site),
        "cms_update_store": _store(contract, site),
        "cms_update_policy": _policies(contract.scope.update),
        "cms_update_holds": _holds(contract.scope.update),
        **_spans(contract.scope.update),
        **_pictures(contract.scope.update, site),
    }


ROLES = ("site_probe", "site_lease", "site_snapshot", "site_staging", "cms_update")


def _site(contract: Contract, site: Site) -> dict[str, Json]:
    production = site.production
    return {
        "client": contract.client.id,
        "name": site.name,
        "cms": site.cms,
        "url": site.url,
        "root": production.root,
        "address": production.address,
        "port": production.port,
        "programs": {
            "php": production.programs.php,
            "mariadb": production.programs.mariadb,
            "mariadb_dump": production.programs.mariadb_dump,
            "psql": production.programs.psql,
            "pg_dump": production.programs.pg_dump,
            "restic": production.programs.restic,
        },
        "error_log": production.error_log,
        **({"database": _database(production.database)} if production.database else {}),
        "staging": {
            "port": site.staging.port,
            "database": site.staging.database,
            **({"host": site.staging.host} if site.staging.host else {}),
        },
    }


def _database(database: Database) -> dict[str, Json]:
    return {
        "engine": database.engine,
        "name": database.name,
        "user": database.user,
        "host": database.host,
        "file": database.file,
    }


def _probes(site: Site) -> list[Json]:
    return [_probe(probe) for probe in probes_of(site)]


def _probe(probe: Probe) -> dict[str, Json]:
    more: dict[str, Json] = {
        "absent": list(probe.absent),
        "selector": probe.selector,
        "max_seconds": probe.max_seconds,
        "min_bytes": probe.min_bytes,
        "max_bytes": probe.max_bytes,
        "steps": [_step(step) for step in probe.steps],
        "places": list(probe.places),
        "mail": {"to": probe.mail.to, "text": list(probe.mail.text)} if probe.mail else None,
    }
    return {
        "name": probe.name,
        "kind": probe.kind,
        "path": probe.path,
        "status": probe.status,
        "text": list(probe.text),
        # What was not said is left out: these stand in every plan.
        **{key: value for key, value in more.items() if value},
    }


def _step(step: Step) -> Json:
    return {
        "method": step.method,
        "path": step.path,
        "form": dict(step.form),
        "hidden": list(step.hidden),
        "text": list(step.text),
        "absent": list(step.absent),
        "selector": step.selector,
        "status": step.status,
    }


def _store(contract: Contract, site: Site) -> dict[str, Json]:
    store = contract.store
    return {
        "endpoint": store.endpoint,
        "bucket": store.bucket,
        "region": store.region,
        "prefix": f"{contract.client.id}/{site.name}",
        "lock_days": store.lock_days,
    }


def _policies(update: UpdateDuty | None) -> dict[str, Json]:
    # What was not promised is not touched: a playbook that is started by hand finds nothing that it may update.
    if update is None:
        return {"core": "none", "plugins": "none", "themes": "none"}
    return {
        "core": update.core,
        "plugins": _slugs(update.plugins),
        "themes": _slugs(update.themes),
        "cool_down_days": update.cool_down_days,
        "fast_lane": list(update.fast_lane),
        "hold_at": update.look_hold_at,
        # Left out where it was not promised: what stands here is in every plan.
        **({"translations": update.translations} if update.translations != "none" else {}),
    }


def _spans(update: UpdateDuty | None) -> dict[str, Json]:
    if update is None:
        return {}
    return {
        "cms_update_wait_minutes": update.wait_minutes,
        "cms_update_soak_minutes": update.soak_minutes,
        "cms_update_freeze_seconds": update.freeze_seconds,
    }


def _pictures(update: UpdateDuty | None, site: Site) -> dict[str, Json]:
    wish = update.pictures if update is not None else None
    pages: list[Json] = [{"name": page.name, "path": page.path} for page in pictured(wish, site)]
    if wish is None or not pages:
        return {}
    value: Json = {"pages": pages, "threshold": wish.threshold, "masks": list(wish.masks), "width": wish.width}
    return {"site_staging_pictures": value, "cms_update_pictures": value}


def _slugs(policy: Policy) -> Json:
    return list(policy) if isinstance(policy, tuple) else policy


def _holds(update: UpdateDuty | None) -> list[Json]:
    return [
        {
            "kind": hold.kind,
            "slug": hold.slug,
            "reason": hold.reason,
            **({"only": hold.only} if hold.only else {"version": hold.version}),
            **({"until": hold.until.isoformat()} if hold.until else {}),
        }
        for hold in (update.holds if update else ())
    ]
