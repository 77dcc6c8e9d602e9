# GPL-3.0-or-later
"""The step `restore`: a restore point in the place of production, after everything was fetched and proved."""

from __future__ import annotations

import time
from typing import Any

from . import fetch, restic, restoration, run_state, way_back
from .fetch import RestoreError
from .parts import Part, PartError
from .points import PointError, Store, problems
from .restic import ResticError
from .site import Site
from .snapshot import cache_folder
from .task import KNOWN_ERRORS, Asked, Stop


def restore(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Fetch, prove, then switch; everything that can be refused is refused before production is touched."""
    given = asked.options
    manifest = given["manifest"]
    point = str(manifest.get("point", ""))
    started = time.monotonic()
    ended = {} if asked.check_mode else _ended(asked, site, run, point)
    if ended:
        return ended
    try:
        part = Part.from_parameters(given, site.root, given["site"]["root"])
        store = Store.from_parameters(given["store"])
        found = problems(manifest, client=site.client, site=site.name)
        begun = [*way_back.unfinished(site), *restoration.unfinished(site)]
        if begun:
            found.append(f"run {begun[0]} has neither ended nor been put back: type upkeep run --resume {site.client}")
        if found:
            raise RestoreError("; ".join(found))
        if asked.check_mode:
            told = "" if given["accept_other_version"] else restoration.other_version(site, manifest, part, "")
            found = fetch.refusals(site, manifest, part) or ([told] if told else [])
            if found:
                raise RestoreError("; ".join(found))
            return {
                "changed": True,
                "msg": f"would put {_words(part, point)} in the place of production",
                "evidence": {"point": point, "part": part.asked()},
            }
        repository = restic.chosen(site.programs["restic"], store, given, cache=cache_folder(site), make_bucket=False)
        listing = fetch.fetch(site, run, manifest, part, repository, timeout=given["timeout"])
        opened = restoration.opened_restoration(site, run, manifest, given["probes"], part)
        evidence = restoration.prepare(
            opened, listing, timeout=given["timeout"], accept_other_version=given["accept_other_version"]
        )
    except (RestoreError, ResticError, PointError, PartError, *KNOWN_ERRORS) as error:
        message = f"Nothing was restored: {str(error).rstrip('.')}. Production was not touched."
        raise Stop("refused", message, {"point": point}) from error
    evidence["point"] = point
    try:
        evidence.update(restoration.switch(opened, must_be_healthy=given["must_be_healthy"]))
    except Stop as stop:
        evidence.update(stop.evidence, seconds=round(time.monotonic() - started, 1))
        raise Stop(stop.outcome, str(stop), evidence) from stop
    evidence["seconds"] = round(time.monotonic() - started, 1)
    return {
        "msg": f"{_words(part, point)} is in the place of production; what was there before is kept until the release",
        "evidence": evidence,
    }


def _ended(asked: Asked, site: Site, run: str, point: str) -> dict[str, Any]:
    """Say what this very run came to, when Ansible asks again: the connection broke before it had heard the answer."""
    state = run_state.load(site, run, restoration.STATE).get("state")
    if state == "confirmed":
        return {"msg": f"{point} is in the place of production already", "changed": False, "evidence": {"point": point}}
    if state not in (*restoration.BEGUN, "back"):
        return {}
    # Whatever ended it: a second try would not be what anybody asked for.
    evidence = restoration.recover(restoration.opened_restoration(site, run, {}, asked.options["probes"]))
    raise Stop("put-back", f"The restore of {point} was interrupted and put back.", {**evidence, "point": point})


def _words(part: Part, point: str) -> str:
    return point if part.whole else f"{part.named()} of {point}"
