# GPL-3.0-or-later
"""Check what a site must do, one probe for each promise, from the host's own web server.

Nearly every bad release reports success, so a probe reads the whole answer: status, end of the page,
the promised text, known words of death, and afterwards what PHP's error log gained.
"""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence

from . import php_log
from .page_assets import assets_of
from .probe_formats import feed, login, search, sitemap, xmlrpc_off
from .probe_round import (
    UNCACHED_COOKIE,
    Round,
    content_problems,
    decoded,
    detours,
    limit,
    promises_broken,
    result,
    status_problems,
)
from .probe_steps import steps
from .web import Answer, Target

MAX_ASSETS = 80
MAX_PROBLEMS = 10
# The block editor's own page, and the form of the one before it.
_EDITOR = re.compile(
    r"<body[^>]*\bclass=[\"'][^\"']*\bblock-editor-page\b|<form[^>]*\bname=[\"']post[\"']", re.IGNORECASE
)
_ADMIN_BODY = re.compile(r"<body[^>]*\bclass=[\"'][^\"']*\bwp-admin\b", re.IGNORECASE)


def run_probes(
    target: Target,
    probes: Sequence[Mapping[str, Any]],
    *,
    workers: int = 3,
    log: Mapping[str, Any] | None = None,
    cookies_admin: str = "",
    timeout: float = 20,
    patience: float = 0,
    first_alone: bool = False,
    admin_in_turn: bool = False,
    mail: str = "",
) -> list[dict[str, Any]]:
    """Carry out the probes and return one result for each, in their order.

    `log` is {"path", "position"}; without a position, the log is judged from the start of this round on.
    It is read last: what the other probes made PHP say counts. With `first_alone` the first one has been answered before
    the others ask: where PHP keeps what it compiled, they find it, instead of each compiling the same files. With
    `admin_in_turn` no two pages of the administration are asked for at once: the first that an administrator has opened for
    a while plans WordPress's jobs, each time by writing down the whole list, and of two at once one loses what the other
    has planned. `mail` is the file of what the place would have sent.
    """
    watched = dict(log or {})
    if watched.get("path") and not watched.get("position"):
        watched["position"] = php_log.position(str(watched["path"]))
    target = replace(target, cookies=_joined(UNCACHED_COOKIE, target.cookies))
    admin = replace(target, cookies=_joined(target.cookies, cookies_admin))
    around = Round(target, admin, timeout, patience, mail, threading.Lock() if admin_in_turn else None)
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        asked = []
        for probe in probes:
            asked.append(pool.submit(_probe, around, probe, bool(cookies_admin)) if probe["kind"] != "log" else None)
            if first_alone and asked[0] is not None:
                asked[0].result()
        results = [future.result() if future else None for future in asked]
    return [result or _log(watched, probe) for result, probe in zip(results, probes)]


def _joined(*cookies: str) -> str:
    return "; ".join(each for each in cookies if each)


def _probe(around: Round, probe: Mapping[str, Any], has_admin: bool) -> dict[str, Any]:
    check = _KINDS.get(str(probe["kind"]))
    if check is None:
        return result(probe, Answer(0), [f"this version knows no probe of kind '{probe['kind']}'"])
    if probe["kind"] in ("admin", "editor") and not has_admin:
        return result(probe, Answer(0), ["no session of an administrator was given"])
    return check(around, probe)


def _page(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    status = int(probe.get("status") or 200)
    follow = 0 if 300 <= status < 400 else 3
    answer = around.ask(str(probe["path"]), expected=status, follow=follow, limit=limit(probe))
    problems = status_problems(answer, status) or detours(answer.path, probe)
    return result(probe, answer, problems + content_problems(answer, probe, status))


def _admin(
    around: Round, probe: Mapping[str, Any], more: Callable[[str], list[str]] = lambda _text: []
) -> dict[str, Any]:
    status = int(probe.get("status") or 200)
    with around.turn:
        answer = around.ask(str(probe["path"]), expected=status, admin=True, from_cache=True)
    where = answer.headers.get("location", "") if 300 <= answer.status < 400 else ""
    problems = detours(where, probe) or status_problems(answer, status)
    if not problems:
        text = decoded(answer)
        if 'id="wpadminbar"' not in text and not _ADMIN_BODY.search(text):
            problems.append("not logged in" if 'id="loginform"' in text else "not a page of the administration")
        else:
            problems += more(text)
        problems += content_problems(answer, probe, status)
    return result(probe, answer, problems)


def _editor(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    """The page in which a post is written. It makes an empty draft, as WordPress does for anybody who opens it."""
    return _admin(around, probe, lambda text: [] if _EDITOR.search(text) else ["there is no editor"])


def _rest(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    status = int(probe.get("status") or 200)
    path = str(probe["path"])
    answer = around.ask(path, expected=status, follow=3, limit=limit(probe))
    problems = status_problems(answer, status)
    if not problems:
        try:
            content = json.loads(answer.body.decode("utf-8"))
        except (ValueError, RecursionError):
            problems.append("the answer is not JSON" if answer.body.strip() else "the answer is empty")
        else:
            is_index = path.partition("?")[0].rstrip("/").endswith("/wp-json")
            if not isinstance(content, (dict, list)):
                problems.append("the answer is neither an object nor a list")
            elif is_index and (not isinstance(content, dict) or "namespaces" not in content):
                problems.append("the answer lists no namespaces")
            problems += promises_broken(answer, probe)
    return result(probe, answer, problems)


def _ajax(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    # admin-ajax.php runs admin_init for anybody, and answers an unknown action with 400 and "0".
    status = int(probe.get("status") or 400)
    answer = around.ask(str(probe["path"]), expected=status, from_cache=True)
    problems = status_problems(answer, status)
    if not problems and answer.body.strip() != b"0":
        problems.append("the answer is not '0'" if answer.body.strip() else "the answer is empty")
    return result(probe, answer, problems)


def _assets(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    page = around.ask(str(probe["path"]), follow=3)
    problems = status_problems(page, 200)
    if not problems:
        for path in assets_of(decoded(page), around.target, page.path)[:MAX_ASSETS]:
            problem = _asset_problem(around, path)
            if problem:
                problems.append(problem)
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"and {len(problems) - MAX_PROBLEMS} more"]
    return result(probe, page, problems)


def _asset_problem(around: Round, path: str) -> str:
    answer = around.ask(path, method="HEAD", follow=3, from_cache=True)
    if answer.status == 200 and answer.headers.get("content-length", "0").strip("0"):
        return ""
    # What a program makes has no length before it is made, and some servers refuse HEAD.
    answer = around.ask(path, follow=3, from_cache=True)
    if answer.error:
        return f"{path}: {answer.error}"
    if answer.status != 200:
        return f"{path}: status {answer.status}"
    return "" if answer.body else f"{path}: empty"


def _log(watched: Mapping[str, Any], probe: Mapping[str, Any]) -> dict[str, Any]:
    """Only fatals fail this probe. Not being able to read is a note: many hosts keep their log to themselves."""
    if not watched.get("path"):
        return result(probe, Answer(0), [], notes=[php_log.NOT_READABLE])
    gained = php_log.growth(str(watched["path"]), watched["position"])
    shown = gained.fatals[: php_log.MAX_SAMPLES]
    problems = [fatal.sample if fatal.count == 1 else f"{fatal.sample} ({fatal.count} times)" for fatal in shown]
    if len(gained.fatals) > len(shown):
        problems.append(f"and {len(gained.fatals) - len(shown)} more")
    found = result(probe, Answer(0), problems, notes=[gained.note] if gained.note else [])
    found["bytes"] = gained.size
    found["warnings"] = gained.warnings
    found["fatals"] = [
        {"key": fatal.key[: php_log.SAMPLE_LENGTH], "sample": fatal.sample, "count": fatal.count}
        for fatal in gained.fatals
    ]
    return found


_KINDS: dict[str, Callable[[Round, Mapping[str, Any]], dict[str, Any]]] = {
    "page": _page,
    "admin": _admin,
    "editor": _editor,
    "rest": _rest,
    "ajax": _ajax,
    "assets": _assets,
    "feed": feed,
    "sitemap": sitemap,
    "search": search,
    "login": login,
    "xmlrpc_off": xmlrpc_off,
    "steps": steps,
}
# What may be asked for. The log is read last, not asked.
KINDS = (*_KINDS, "log")
