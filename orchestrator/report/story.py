"""Tell one run as plain values: what was promised, what was done, what was seen. Only what was observed is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from orchestrator.ledger.values import ENDED, RUNNING, RunEntry
from orchestrator.report.look import look_first, pictures_of
from orchestrator.report.shape import listed as _list
from orchestrator.report.shape import mapping as _mapping
from orchestrator.report.shape import number as _number
from orchestrator.report.touches import freeze, touches

HEADLINES = {
    "done": "Done",
    "degraded": "Degraded",
    "look-first": "A person should look",
    "nothing-to-do": "Nothing to do",
    "put-back": "Put back",
    "not-put-back": "Not put back",
    "refused": "Refused",
    "busy": "Busy",
    "unhealthy": "Not well before",
}
# What each outcome means for the site, for a reader who knows nothing of us.
MEANINGS = {
    "nothing-to-do": "There was nothing that the site should get. Production was not touched.",
    "put-back": "Production was put back to what it was before.",
    "not-put-back": "Production could not be put back. A person is needed.",
    "refused": "It was not safe to go on. Production was not touched.",
    "busy": "Another run had the site. Nothing was touched.",
    "unhealthy": "The site was not well before anything began. Nothing was touched; an incident was opened.",
}
DONE_MEANINGS = {
    "backup": "A restore point was taken and proven complete. Production was not touched.",
    "update": "Production got what its copy had proved.",
    "rehearse": "Its copy proved what production would get. Production was not touched.",
    "restore": "The restore point is in the place of production.",
    "drill": "A restore point was brought back in a scratch place and made a healthy site. Production was not touched.",
    "rebuild": "The restore point is a site on another host and was seen well there.",
    "show": "A restore point is served in the staging place, where it can talk to nobody. Production was not touched.",
    "unstage": "There is nothing left in the staging place. Production was not touched.",
}
LOOK_MEANING = "The copy does not look as it did before the update, so a person should look at the pictures. Production was not touched."
DRILL_MEANINGS = {
    "refused": "There was no drill. Production was not touched.",
    "unhealthy": "The site cannot be recovered from this restore point. Production was not touched; an incident was opened.",
}
REBUILD_MEANINGS = {
    "refused": "Nothing was restored, and nothing was left on that host.",
    "put-back": "The recovery did not come to its end. What it had brought to that host was removed again.",
    "unhealthy": "The site is on that host and is not well there. It was left for a person to look at.",
}
LOADED_MEANING = (
    "A restore point was brought back in a scratch place: its files are whole and its database loads, row for row. Its"
    " functions were not tried, because only WordPress can be served there. Production was not touched."
)
DEGRADED_MEANING = (
    "Production got what its copy had proved, but what the update left to be done in the background was not done in time."
    " A person should look."
)
SOAKED_MEANING = (
    "Production got what its copy had proved, but some minutes later the site was not well. Nothing that visitors wrote is"
    " thrown away by a machine. A person is needed."
)
OPEN_MEANING = "The run did not come to its end. What is true is known on the host only: upkeep run --resume."
RUNNING_MEANING = "The run is under way."

Story = dict[str, Any]


def run_story(run: RunEntry) -> Story:
    """Tell one run."""
    preflight, rehearse, promote = _evidence(run, "preflight"), _evidence(run, "rehearse"), _evidence(run, "promote")
    before = _mapping(promote.get("before")) or _mapping(preflight.get("versions"))
    reached = bool(promote) and (run.outcome == "done" or _ill_later(run))
    after = _last(run, "after") if reached or run.outcome in ("done", "put-back") else {}
    broken = _broken(run)
    return {
        "run": run.id,
        "client": run.client,
        "site": run.site,
        "duty": run.duty,
        "state": run.state,
        "outcome": run.outcome or None,
        "headline": _headline(run),
        "meaning": _meaning(run),
        "message": run.message,
        "began": run.began.isoformat(),
        "ended": run.ended.isoformat() if run.ended and run.state == ENDED else None,
        "seconds": _span(run.began, run.ended),
        "promised": dict(run.promised),
        "point": _point(run),
        "versions": {"before": _components(before), "after": _components(after), "unchanged": _unchanged(run)},
        "changes": [*_changes(before, after), *(_packs(promote) if reached else [])],
        "delivered": _releases(promote.get("delivered") or rehearse.get("delivered")) if reached else [],
        # Of a rehearsal: what the next update would bring, were it now.
        "passed": _releases(rehearse.get("delivered")) if run.duty == "rehearse" and run.outcome == "done" else [],
        "tried": _releases(promote.get("delivered") or rehearse.get("delivered")) if promote and not reached else [],
        "held": _releases(rehearse.get("held")),
        "degraded": [str(each) for each in _degraded(run)],
        "skipped": _releases(rehearse.get("skipped")),
        "auto_updates": _auto_updates(promote),
        "looked_at": _looked_at(rehearse),
        "look_first": look_first(run),
        "pictures": pictures_of(run),
        "touches": touches(rehearse),
        "freeze": freeze(promote),
        "client_duties": [
            f"{each.get('kind')} {each.get('slug')} {each.get('to')}: {each.get('reason')}"
            for each in map(_mapping, _list(rehearse.get("skipped")))
            if each.get("duty_of") == "client"
        ],
        "drill": _drill(run),
        "frozen_seconds": _number(_last_value(run, "frozen_seconds")),
        "broken": broken,
        "put_back": _put_back(run),
        "verdicts": _verdicts(run),
        "steps": [
            {
                "name": step.name,
                "ending": step.ending,
                "outcome": step.outcome or None,
                "seconds": round(step.seconds, 2),
                "message": step.message,
            }
            for step in run.steps
        ],
    }


def _headline(run: RunEntry) -> str:
    if _interrupted_untouched(run):
        return "Interrupted"
    if _degraded(run):
        return HEADLINES["degraded"]
    if look_first(run):
        return HEADLINES["look-first"]
    return HEADLINES.get(run.outcome, "Under way" if run.state == RUNNING else "Not ended")


def _degraded(run: RunEntry) -> Iterable[Any]:
    """What an update left to be done in the background and was not done in time."""
    return _list(_last_value(run, "degraded")) if run.outcome == "done" else ()


def _ill_later(run: RunEntry) -> bool:
    """Whether an update was in place and the site was not well some minutes later."""
    verdict = _mapping(_mapping(_evidence(run, "promote").get("soak")).get("verdict"))
    return run.outcome == "not-put-back" and verdict.get("healthy") is False


def _interrupted_untouched(run: RunEntry) -> bool:
    return run.outcome == "refused" and _evidence(run, "recover").get("state") == "untouched"


def _meaning(run: RunEntry) -> str:
    if _interrupted_untouched(run):
        return "The run was interrupted before production was touched."
    if run.duty == "drill" and run.outcome in DRILL_MEANINGS:
        return DRILL_MEANINGS[run.outcome]
    if run.duty == "rebuild" and run.outcome in REBUILD_MEANINGS:
        return REBUILD_MEANINGS[run.outcome]
    if look_first(run):
        return LOOK_MEANING
    if run.outcome == "done" and (part := _part(run)):
        return (
            f"A part of the restore point is in the place of production: {part}. All else stayed as it was."
            + _seen_well(run)
        )
    if (
        run.outcome == "done"
        and run.duty == "drill"
        and _mapping(_evidence(run, "drill").get("verdict")).get("not_tried")
    ):
        return LOADED_MEANING
    if _degraded(run):
        return DEGRADED_MEANING
    if _ill_later(run):
        return SOAKED_MEANING
    if run.outcome == "done":
        return DONE_MEANINGS[run.duty] + _seen_well(run)
    if run.outcome == "put-back":
        return MEANINGS["put-back"] + _seen_well(run)
    return MEANINGS.get(run.outcome, RUNNING_MEANING if run.state == RUNNING else OPEN_MEANING)


def _part(run: RunEntry) -> str:
    part = _mapping(_evidence(run, "restore").get("part"))
    names = [f"table {table}" for table in _list(part.get("tables"))] + [str(path) for path in _list(part.get("paths"))]
    only = {"files": "the files", "database": "the database"}.get(str(part.get("only")), "")
    return ", ".join(names) or only


def _seen_well(run: RunEntry) -> str:
    # Said only when a verdict on production came after the change: a host that was asked later may know less.
    after = [each for each in _verdicts(run) if each["where"].startswith("production") and each["after"]]
    return " It was seen well afterwards." if after and after[-1]["healthy"] else ""


def _point(run: RunEntry) -> Story | None:
    step = run.step({"restore": "restore", "show": "show"}.get(run.duty, "snapshot"))
    if step is None or step.outcome != "done":
        return None
    manifest = _mapping(step.evidence.get("manifest"))
    files, dump = _mapping(manifest.get("files")), _mapping(manifest.get("dump"))
    tables = _mapping(dump.get("tables"))
    return {
        "id": str(step.evidence.get("point") or run.point),
        "taken": manifest.get("taken"),
        "seconds": _number(step.evidence.get("seconds")),
        "files": _number(files.get("count")),
        "bytes": _number(files.get("bytes")),
        "tables": len(tables) or None,
        "rows": sum(int(_number(_mapping(each).get("rows")) or 0) for each in tables.values()) if tables else None,
    }


def _drill(run: RunEntry) -> Story | None:
    evidence = _evidence(run, "drill") or _evidence(run, "rebuild")
    # What was refused or taken back was no recovery.
    if not evidence.get("point") or (run.duty == "rebuild" and run.outcome in ("refused", "put-back")):
        return None
    return {
        "point": str(evidence["point"]),
        "host": run.host if run.variables.get("upkeep_to") else None,
        "recovery_seconds": _number(evidence.get("recovery_seconds")),
        "data_age_seconds": _number(evidence.get("data_age_seconds")),
        "rto_hours": _number(run.promised.get("rto_hours")),
        "rpo_hours": _number(run.promised.get("rpo_hours")),
        "missed": list(missed(run.promised, evidence)),
    }


def missed(promised: Mapping[str, Any], evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which promises of a recovery a drill has not met; nothing, when none was made."""
    found = []
    for promise, seen, words in (
        ("rto_hours", "recovery_seconds", "the recovery took"),
        ("rpo_hours", "data_age_seconds", "the age of its data was"),
    ):
        hours, seconds = _number(promised.get(promise)), _number(evidence.get(seen))
        if hours is not None and seconds is not None and seconds > hours * 3600:
            found.append(f"{words} {seconds / 3600:.1f} hours, and {hours} are promised")
    return tuple(found)


def _looked_at(rehearse: Mapping[str, Any]) -> list[Story]:
    """Tell of each release what the look into its package found new."""
    return [
        {
            "kind": looked.get("kind"),
            "slug": looked.get("slug"),
            "to": looked.get("to"),
            "level": looked.get("level"),
            "findings": [
                f"{finding.get('what')}: {finding.get('where')}"
                for finding in map(_mapping, _list(looked.get("findings")))
            ],
        }
        for looked in map(_mapping, _list(rehearse.get("looked_at")))
    ]


def _auto_updates(promote: Mapping[str, Any]) -> list[str]:
    """Say what was done about WordPress's own updates, which must not bring what is held."""
    told = _mapping(promote.get("auto_updates"))
    words = [
        f"{said}: {', '.join(str(each) for each in _list(told.get(key)))}"
        for key, said in (
            ("turned_off", "WordPress's own updates were turned off while the hold lasts"),
            ("turned_on", "WordPress's own updates were turned on again, because the hold has ended"),
            ("still_on", "WordPress's own updates could not be turned off"),
        )
        if told.get(key)
    ]
    if told.get("error"):
        words.append(f"WordPress's own updates could not be looked at: {told['error']}")
    return words


def _broken(run: RunEntry) -> Story | None:
    reasons = [str(reason) for reason in _list(_last_value(run, "broken"))]
    seconds = _number(_last_value(run, "broken_seconds"))
    if not reasons and not seconds:
        return None
    return {"seconds": seconds, "reasons": reasons}


def _put_back(run: RunEntry) -> bool | None:
    # None: there was nothing to put back, or nobody knows yet.
    return {"put-back": True, "not-put-back": False}.get(run.outcome)


def _unchanged(run: RunEntry) -> bool:
    # Of a run that did not come to its end nobody can say what production has.
    return run.duty == "rehearse" or run.outcome in ("nothing-to-do", "put-back", "refused", "busy", "unhealthy")


def _last_value(run: RunEntry, key: str) -> Any:
    """Return what the last step that touches production said of something: the host's later word counts."""
    for name in ("recover", "back", "promote", "restore"):
        value = _evidence(run, name).get(key)
        if value is not None:
            return value
    return None


def _last(run: RunEntry, key: str) -> Mapping[str, Any]:
    return _mapping(_last_value(run, key))


def _verdicts(run: RunEntry) -> list[Story]:
    told = []
    for name, key, where in (
        ("preflight", "verdict", "production, before"),
        ("stage", "verdict", "staging, before"),
        ("rehearse", "verdict", "staging, updated"),
        ("promote", "verdict", "production, updated"),
        ("promote", "back_verdict", "production, put back"),
        ("back", "back_verdict", "production, put back"),
        ("restore", "verdict", "production, restored"),
        ("drill", "verdict", "scratch place, recovered"),
        ("show", "verdict", "staging, recovered"),
        ("rebuild", "verdict", "another host, recovered"),
        ("recover", "verdict", "another host, recovered"),
        ("recover", "back_verdict", "production, put back"),
    ):
        verdict = _mapping(_evidence(run, name).get(key))
        if "healthy" not in verdict:
            continue
        probes = [_mapping(each) for each in _list(verdict.get("probes"))]
        told.append(
            {
                "where": where,
                "after": name not in ("preflight", "stage", "rehearse", "drill", "rebuild", "show"),
                "healthy": verdict["healthy"] is True,
                "reasons": [str(reason) for reason in _list(verdict.get("reasons"))],
                "probes": len(probes),
                "passed": sum(1 for each in probes if each.get("ok") is True),
                "seen": [_probe(each) for each in probes],
            }
        )
    return told


def _probe(seen: Mapping[str, Any]) -> Story:
    return {
        "name": str(seen.get("name", "")),
        "ok": seen.get("ok") is True,
        **{key: seen.get(key) for key in ("status", "seconds", "max_seconds", "bytes")},
        "cached": seen.get("cached") is True,
        "problems": [str(problem) for problem in _list(seen.get("problems"))],
    }


def _components(versions: Mapping[str, Any]) -> Story:
    if not versions:
        return {}
    return {
        "core": versions.get("core"),
        "db_version": versions.get("db_version"),
        "php": versions.get("php"),
        "database": versions.get("database"),
        "plugins": {
            str(_mapping(plugin).get("slug") or file): _mapping(plugin).get("version")
            for file, plugin in sorted(_mapping(versions.get("plugins")).items())
        },
        "themes": {
            slug: _mapping(theme).get("version") for slug, theme in sorted(_mapping(versions.get("themes")).items())
        },
    }


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Story]:
    old, new = _components(before), _components(after)
    if not old or not new:
        return []
    pairs = [("core", "WordPress", old["core"], new["core"])]
    pairs.append(("database", "database schema", old["db_version"], new["db_version"]))
    for kind in ("plugins", "themes"):
        for slug in sorted({*old[kind], *new[kind]}):
            pairs.append((kind[:-1], slug, old[kind].get(slug), new[kind].get(slug)))
    return [{"kind": kind, "name": name, "before": was, "after": now} for kind, name, was, now in pairs if was != now]


def _packs(promote: Mapping[str, Any]) -> list[Story]:
    """Return the language packs among what was delivered: no list of versions has them."""
    return [
        {"kind": each.get("kind"), "name": each.get("slug"), "before": each.get("from"), "after": each.get("to")}
        for each in map(_mapping, _list(promote.get("delivered")))
        if each.get("kind") == "translation"
    ]


def _releases(value: Any) -> list[Story]:
    keys = ("kind", "slug", "from", "to", "sha256", "bytes", "reason")
    return [{key: each[key] for key in keys if key in each} for each in map(_mapping, _list(value)) if each]


def _evidence(run: RunEntry, name: str) -> Mapping[str, Any]:
    step = run.step(name)
    return step.evidence if step is not None else {}


def _span(began: datetime, ended: datetime | None) -> float | None:
    return round((ended - began).total_seconds(), 1) if ended is not None else None
