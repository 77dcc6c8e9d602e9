# GPL-3.0-or-later
"""The steps `rehearse`, `promote` and `back`: updates through staging into production, and out of it again."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from . import auto_updates, background, baseline, promotion, rehearsal, run_state, staging, staging_host, way_back
from .own_way_back import BEGUN
from .release_choice import Terms, as_hold
from .site import Site
from .staging import Staging
from .step_staging import serve_on
from .task import Asked, Stop
from .wordpress import Configuration


def rehearse(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Ask for releases, try those that the contract takes in staging, find and hold the bad ones."""
    if asked.check_mode:
        return {**_would(site, run), "changed": True}
    copy, configuration, sizes, old = _copy(site, run)
    options = asked.options
    trial = rehearsal.Rehearsal(
        site,
        copy,
        configuration,
        options["probes"],
        old,
        artefacts=options["artefacts"],
        gateway=options["package_gateway"],
    )
    if run_state.load(site, run, "staged"):
        # Whoever asks twice in one run has a copy that was updated already.
        trial.as_staged()
    today = datetime.now(timezone.utc).date()
    terms = Terms(options["policy"], options["holds"], today, options["first_seen"], options["released"])
    evidence = rehearsal.rehearse(trial, run, terms, sizes)
    if evidence["delivered"] and options["serve"]:
        serve_on(copy, run)
    return {"evidence": evidence, "outcome": "done" if evidence["delivered"] else "nothing-to-do"}


def _copy(site: Site, run: str) -> tuple[Staging, Configuration, rehearsal.Sizes, list[dict[str, Any]]]:
    """Return the copy, its configuration, the sizes of production's tables, and what the copy is judged beside."""
    # An updated copy is judged beside the same copy before: production has another web server.
    old = run_state.load(site, run, "staging").get("probes")
    if site.staging_host:
        copy, configuration, known = staging_host.opened(site, run)
        if not old:
            raise Stop("refused", "No copy was seen well in this run: run stage.yml first. Nothing was touched.")
        return copy, configuration, lambda: known["sizes"], old
    before = baseline.of_run(site, run)
    if not before:
        raise Stop("refused", "This run has no baseline: run preflight.yml and stage.yml first. Nothing was touched.")
    if before.get("refusals"):
        told = "; ".join(before["refusals"])
        raise Stop("refused", f"This site cannot be updated safely: {told}. Nothing was touched.")
    configuration, database = baseline.opened_site(site, run)
    copy = staging.opened_staging(site, run, configuration)
    return copy, configuration, database.sizes, old or before["verdict"]["probes"]


def promote(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Give production what staging tested, in one exchange, and put it back when that is not healthy."""
    if asked.check_mode:
        return _would(site, run)
    staged = run_state.load(site, run, "staged")
    if not staged.get("delivered"):
        told = auto_updates.settle(site, run, staged["held"]) if "held" in staged else {}
        return {"outcome": "nothing-to-do", "evidence": {"delivered": [], **told}}
    journal, minutes = run_state.load(site, run, "promotion"), asked.options["wait_minutes"]
    # Ansible asks again when the connection broke before it had heard the answer: the second one is told the same.
    if journal.get("state") == "confirmed":
        return {"evidence": journal["evidence"], "changed": False, "msg": "this run was promoted already"}
    opened = promotion.opened_promotion(site, run, asked.options["probes"])
    if journal.get("state") in (*BEGUN, "back"):
        # Whatever ended it: a second try would not be what anybody asked for.
        evidence = way_back.recover(opened)
        raise Stop("put-back", f"This promotion was put back: {'; '.join(evidence['broken'])[:300]}", evidence)
    before = background.before(opened, minutes)
    evidence = _promoted(asked, opened, staged)
    evidence.update(background.settled(opened, before, minutes))
    opened.note("confirmed", evidence=evidence)
    evidence.update(background.soaked(opened, asked.options["soak_minutes"], evidence))
    return {"evidence": evidence, "diff": {"before": evidence["before"], "after": evidence["after"]}}


def _promoted(asked: Asked, opened: promotion.Promotion, staged: dict[str, Any]) -> dict[str, Any]:
    """Promote, and keep WordPress's own updates from bringing what is held. Returns the evidence."""
    held = staged.get("held", [])
    try:
        evidence = promotion.promote(opened, asked.options["deadline"], asked.options["freeze_seconds"])
    except Stop as stop:
        # What production did not bear will be held, and WordPress must not bring it back before the next run.
        broke = [as_hold(each) for each in staged["delivered"]] if stop.outcome == "put-back" else []
        stop.evidence.update(auto_updates.settle(opened.site, opened.run, [*held, *broke]))
        raise
    evidence.update(auto_updates.settle(opened.site, opened.run, held))
    return evidence


def back(asked: Asked, site: Site, run: str) -> dict[str, Any]:
    """Put production back as it was before the promotion of this run, if that was not confirmed."""
    if asked.check_mode:
        return _would(site, run)
    state = run_state.load(site, run, "promotion").get("state")
    if state == "confirmed":
        raise Stop(
            "refused",
            "This promotion was confirmed and visitors have written since: nothing they wrote is thrown away by a"
            f" machine. Type: upkeep points {site.client}, then upkeep restore {site.client}",
        )
    if state not in BEGUN:
        return {"outcome": "nothing-to-do", "evidence": {"put_back": False}}
    return {"evidence": way_back.recover(promotion.opened_promotion(site, run, asked.options["probes"]))}


def _would(site: Site, run: str) -> dict[str, Any]:
    changes = run_state.load(site, run, "staged").get("delivered", [])
    named = {"{kind} {slug}".format(**change): change for change in changes}
    diff = {
        "before": {name: change["version"] for name, change in named.items()},
        "after": {name: change["to"] for name, change in named.items()},
    }
    return {"changed": bool(changes), "diff": diff}
