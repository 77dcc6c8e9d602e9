# GPL-3.0-or-later
"""Check what a site must do, one probe for each promise, from the host's own web server.

Nearly every bad release reports success, so a probe reads the whole answer: status, end of the page,
the promised text, known words of death, and afterwards what PHP's error log gained.
"""

from __future__ import annotations

import html
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence

from . import php_log
from .page_assets import assets_of
from .web import REFUSED, Answer, Target, fetch

MAX_ASSETS = 80
MAX_PROBLEMS = 10
RETRY_EVERY = 0.5
_END_REGION = 4096

_DEATHS = (
    "There has been a critical error",
    "Error establishing a database connection",
    "Briefly unavailable for scheduled maintenance",
)
# With html_errors on, PHP writes "<b>Fatal error</b>:".
_PHP_DEATH = re.compile(r"\b(?:Fatal|Parse) error(?:</b>)?:")
# WordPress translates its messages, but not the markup of the page that carries them.
_DIE_PAGE = re.compile(r"<body[^>]*\bid=[\"']error-page[\"']", re.IGNORECASE)
_ADMIN_BODY = re.compile(r"<body[^>]*\bclass=[\"'][^\"']*\bwp-admin\b", re.IGNORECASE)
_CACHE_HEADERS = ("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status")
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_DETOURS = (
    ("/wp-admin/install.php", "WordPress asks to be installed: it does not find its tables"),
    ("/wp-admin/setup-config.php", "WordPress asks to be set up: it does not find its configuration"),
    ("/wp-admin/upgrade.php", "WordPress asks for its database upgrade"),
    ("wp-login.php", "not logged in"),
)


class _Round:
    """One round of probing: the target, and until when a site that is busy with itself is asked again."""

    def __init__(self, target: Target, admin: Target, timeout: float, patience: float) -> None:
        self.target = target
        self.admin = admin
        self.timeout = timeout
        self.patient_until = time.monotonic() + patience

    def ask(
        self, path: str, *, expected: int = 200, method: str = "GET", follow: int = 0, admin: bool = False
    ) -> Answer:
        """Fetch; 502, 503 and a refused connection are asked again while patience lasts."""
        target = self.admin if admin else self.target
        while True:
            answer = fetch(target, path, method, timeout=self.timeout, follow=follow)
            passing = answer.error == REFUSED or (answer.status in (502, 503) and answer.status != expected)
            if not passing or time.monotonic() + RETRY_EVERY > self.patient_until:
                return answer
            time.sleep(RETRY_EVERY)


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
) -> list[dict[str, Any]]:
    """Carry out the probes and return one result for each, in their order.

    `log` is {"path", "position"}; without a position, the log is judged from the start of this round on.
    It is read last: what the other probes made PHP say counts. With `first_alone` the first one has been answered before
    the others ask: where PHP keeps what it compiled, they find it, instead of each compiling the same files.
    """
    watched = dict(log or {})
    if watched.get("path") and not watched.get("position"):
        watched["position"] = php_log.position(str(watched["path"]))
    admin = replace(target, cookies="; ".join(part for part in (target.cookies, cookies_admin) if part))
    around = _Round(target, admin, timeout, patience)
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        asked = []
        for probe in probes:
            asked.append(pool.submit(_probe, around, probe, bool(cookies_admin)) if probe["kind"] != "log" else None)
            if first_alone and asked[0] is not None:
                asked[0].result()
        results = [future.result() if future else None for future in asked]
    return [result or _log(watched, probe) for result, probe in zip(results, probes)]


def _probe(around: _Round, probe: Mapping[str, Any], has_admin: bool) -> dict[str, Any]:
    check = _KINDS.get(str(probe["kind"]))
    if check is None:
        return _result(probe, Answer(0), [f"this version knows no probe of kind '{probe['kind']}'"])
    if probe["kind"] == "admin" and not has_admin:
        return _result(probe, Answer(0), ["no session of an administrator was given"])
    return check(around, probe)


def _page(around: _Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    status = int(probe.get("status") or 200)
    answer = around.ask(str(probe["path"]), expected=status, follow=0 if 300 <= status < 400 else 3)
    problems = _status_problems(answer, status) or _detours(answer.path, probe)
    return _result(probe, answer, problems + _content_problems(answer, probe, status))


def _admin(around: _Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    status = int(probe.get("status") or 200)
    answer = around.ask(str(probe["path"]), expected=status, admin=True)
    where = answer.headers.get("location", "") if 300 <= answer.status < 400 else ""
    problems = _detours(where, probe) or _status_problems(answer, status)
    if not problems:
        text = _decoded(answer)
        if 'id="wpadminbar"' not in text and not _ADMIN_BODY.search(text):
            problems.append("not logged in" if 'id="loginform"' in text else "not a page of the administration")
        problems += _content_problems(answer, probe, status)
    return _result(probe, answer, problems)


def _rest(around: _Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    status = int(probe.get("status") or 200)
    path = str(probe["path"])
    answer = around.ask(path, expected=status, follow=3)
    problems = _status_problems(answer, status)
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
            problems += _missing(answer, probe)
    return _result(probe, answer, problems)


def _ajax(around: _Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    # admin-ajax.php runs admin_init for anybody, and answers an unknown action with 400 and "0".
    status = int(probe.get("status") or 400)
    answer = around.ask(str(probe["path"]), expected=status)
    problems = _status_problems(answer, status)
    if not problems and answer.body.strip() != b"0":
        problems.append("the answer is not '0'" if answer.body.strip() else "the answer is empty")
    return _result(probe, answer, problems)


def _assets(around: _Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    page = around.ask(str(probe["path"]), follow=3)
    problems = _status_problems(page, 200)
    if not problems:
        for path in assets_of(_decoded(page), around.target, page.path)[:MAX_ASSETS]:
            problem = _asset_problem(around, path)
            if problem:
                problems.append(problem)
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"and {len(problems) - MAX_PROBLEMS} more"]
    return _result(probe, page, problems)


def _asset_problem(around: _Round, path: str) -> str:
    answer = around.ask(path, method="HEAD", follow=3)
    if answer.status == 200 and answer.headers.get("content-length", "0").strip("0"):
        return ""
    # What a program makes has no length before it is made, and some servers refuse HEAD.
    answer = around.ask(path, follow=3)
    if answer.error:
        return f"{path}: {answer.error}"
    if answer.status != 200:
        return f"{path}: status {answer.status}"
    return "" if answer.body else f"{path}: empty"


def _log(watched: Mapping[str, Any], probe: Mapping[str, Any]) -> dict[str, Any]:
    """Only fatals fail this probe. Not being able to read is a note: many hosts keep their log to themselves."""
    if not watched.get("path"):
        return _result(probe, Answer(0), [], notes=[php_log.NOT_READABLE])
    gained = php_log.growth(str(watched["path"]), watched["position"])
    shown = gained.fatals[: php_log.MAX_SAMPLES]
    problems = [fatal.sample if fatal.count == 1 else f"{fatal.sample} ({fatal.count} times)" for fatal in shown]
    if len(gained.fatals) > len(shown):
        problems.append(f"and {len(gained.fatals) - len(shown)} more")
    result = _result(probe, Answer(0), problems, notes=[gained.note] if gained.note else [])
    result["bytes"] = gained.size
    result["warnings"] = gained.warnings
    result["fatals"] = [
        {"key": fatal.key[: php_log.SAMPLE_LENGTH], "sample": fatal.sample, "count": fatal.count}
        for fatal in gained.fatals
    ]
    return result


def _status_problems(answer: Answer, expected: int) -> list[str]:
    if answer.error:
        return [answer.error]
    if answer.status == expected:
        return []
    # What follows the "?" may open a session.
    where = answer.headers.get("location", "").partition("?")[0]
    return [f"status {answer.status}, expected {expected}" + (f": it redirects to {where[:200]}" if where else "")]


def _detours(where: str, probe: Mapping[str, Any]) -> list[str]:
    """Name the page that WordPress sends people to when something is wrong, unless the probe asks for it."""
    return [problem for part, problem in _DETOURS if part in where and part not in str(probe["path"])][:1]


def _content_problems(answer: Answer, probe: Mapping[str, Any], expected: int) -> list[str]:
    """Read the body. Done for a wrong status too: what the page says is the best hint at the cause."""
    if answer.error or 300 <= answer.status < 400:
        return []
    if not answer.body.strip():
        return ["the page is empty"]
    text = _decoded(answer)
    problems = [f"the page says '{death}'" for death in _DEATHS if death in text]
    php = _PHP_DEATH.search(text)
    if php:
        problems.append(f"the page says '{php.group(0).replace('</b>', '')}'")
    if expected < 400 and not problems and _DIE_PAGE.search(text):
        problems.append("the page is WordPress's error page")
    is_html = "html" in answer.headers.get("content-type", "html")
    if is_html and "</html>" not in text[-_END_REGION:].lower():
        problems.append("the page breaks off: its end </html> is missing")
    return problems + _missing(answer, probe)


def _missing(answer: Answer, probe: Mapping[str, Any]) -> list[str]:
    text = _decoded(answer)
    # A page may write the promised "Ada & Son" as "Ada &amp; Son".
    plain = html.unescape(text)
    return [
        f"the text '{wanted}' is missing"
        for wanted in probe.get("text") or []
        if wanted not in text and wanted not in plain
    ]


def _decoded(answer: Answer) -> str:
    head = answer.body[:2048].decode("ascii", "replace")
    for said in (answer.headers.get("content-type", ""), head):
        found = _CHARSET.search(said)
        if found:
            try:
                return answer.body.decode(found.group(1), "replace")
            except LookupError:
                continue
    return answer.body.decode("utf-8", "replace")


def _result(probe: Mapping[str, Any], answer: Answer, problems: list[str], notes: Sequence[str] = ()) -> dict[str, Any]:
    noted = list(notes)
    cache = " ".join(answer.headers.get(name, "") for name in _CACHE_HEADERS)
    if "hit" in cache.lower() or answer.headers.get("age", "0") != "0":
        noted.append("answered by a cache: this does not show that the site itself works")
    return {
        "name": str(probe["name"]),
        "kind": str(probe["kind"]),
        "path": str(probe.get("path") or ""),
        "status": answer.status,
        "bytes": len(answer.body),
        "seconds": round(answer.seconds, 3),
        "ok": not problems,
        "problems": problems,
        "notes": noted,
    }


_KINDS: dict[str, Callable[[_Round, Mapping[str, Any]], dict[str, Any]]] = {
    "page": _page,
    "admin": _admin,
    "rest": _rest,
    "ajax": _ajax,
    "assets": _assets,
}
