# GPL-3.0-or-later
"""One round of probing: how a site is asked, and what is read from every answer."""

from __future__ import annotations

import contextlib
import html
import re
import secrets
import time
from typing import Any, Mapping, Sequence

from . import page_selector
from .web import REFUSED, Answer, Target, fetch

RETRY_EVERY = 0.5
# For so long a site may answer 502 or 503 while PHP starts anew or a release migrates; longer counts as broken (wpmgr
# issue 127). Visitors are kept out meanwhile.
PATIENCE_SECONDS = 10.0
# A slow answer is measured again so often, and the fastest counts: one slow answer may be the host's other work.
MEASURE_AGAIN = 2
# No page cache has an answer for a question that nobody asked before.
NEVER_ASKED = "upkeep-probe"
# The rules that people copy for a page cache in front of WordPress let questions with this cookie through.
UNCACHED_COOKIE = "wordpress_no_cache=1"
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
_CACHE_HEADERS = (
    "x-cache",
    "x-cache-status",
    "x-proxy-cache",
    "x-fastcgi-cache",
    "x-litespeed-cache",
    "x-nginx-cache",
    "cf-cache-status",
)
CACHED = "answered by a cache: this does not show that the site itself works"
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_DETOURS = (
    ("/wp-admin/install.php", "WordPress asks to be installed: it does not find its tables"),
    ("/wp-admin/setup-config.php", "WordPress asks to be set up: it does not find its configuration"),
    ("/wp-admin/upgrade.php", "WordPress asks for its database upgrade"),
    ("wp-login.php", "not logged in"),
)


class Round:
    """One round of probing: the target, and until when a site that is busy with itself is asked again."""

    def __init__(
        self,
        target: Target,
        admin: Target,
        timeout: float,
        patience: float,
        mail: str = "",
        turn: contextlib.AbstractContextManager[Any] | None = None,
    ) -> None:
        self.target = target
        self.admin = admin
        self.timeout = timeout
        # The file of what the place would have sent; "" where mail really goes out.
        self.mail = mail
        # Held by whoever looks at a page of the administration, where these are looked at in turn.
        self.turn = turn or contextlib.nullcontext()
        self.patient_until = time.monotonic() + patience

    def ask(
        self,
        path: str,
        *,
        expected: int = 200,
        method: str = "GET",
        follow: int = 0,
        admin: bool = False,
        from_cache: bool = False,
        limit: float = 0.0,
        target: Target | None = None,
    ) -> Answer:
        """Fetch; 502, 503 and a refused connection are asked again while patience lasts.

        Unless what comes `from_cache` is as good, each question is one that no cache can have an answer for. An answer that
        is right but took longer than `limit` seconds is measured again; the fastest is returned. `target` stands for this
        round's own where a visitor has cookies.
        """
        target = target or (self.admin if admin else self.target)
        answer = self._patiently(target, path, expected, method, follow, from_cache)
        for _ in range(MEASURE_AGAIN if limit else 0):
            if answer.error or answer.status != expected or answer.seconds <= limit:
                break
            again = self._patiently(target, path, expected, method, follow, from_cache)
            answer = again if again.error or again.status != expected else min(answer, again, key=_seconds)
        return answer

    def _patiently(
        self, target: Target, path: str, expected: int, method: str, follow: int, from_cache: bool
    ) -> Answer:
        while True:
            asked = path if from_cache else never_asked(path)
            answer = fetch(target, asked, method, timeout=self.timeout, follow=follow)
            passing = answer.error == REFUSED or (answer.status in (502, 503) and answer.status != expected)
            if not passing or time.monotonic() + RETRY_EVERY > self.patient_until:
                return answer
            time.sleep(RETRY_EVERY)


def _seconds(answer: Answer) -> float:
    return answer.seconds


def never_asked(path: str) -> str:
    """Return the path with a parameter that no program knows and no cache has seen."""
    page = path.partition("#")[0]
    return f"{page}{'&' if '?' in page else '?'}{NEVER_ASKED}={secrets.token_hex(6)}"


def is_cached(answer: Answer) -> bool:
    """Whether the answer says that it came from a cache."""
    told = " ".join(answer.headers.get(name, "") for name in _CACHE_HEADERS).lower()
    return "hit" in told or "stale" in told or answer.headers.get("age", "0").strip() not in ("", "0")


def status_problems(answer: Answer, expected: int) -> list[str]:
    """Say that no answer came, or one with another status."""
    if answer.error:
        return [answer.error]
    if answer.status == expected:
        return []
    # What follows the "?" may open a session.
    where = answer.headers.get("location", "").partition("?")[0]
    return [f"status {answer.status}, expected {expected}" + (f": it redirects to {where[:200]}" if where else "")]


def detours(where: str, probe: Mapping[str, Any]) -> list[str]:
    """Name the page that WordPress sends people to when something is wrong, unless the probe asks for it."""
    return [problem for part, problem in _DETOURS if part in where and part not in str(probe["path"])][:1]


def content_problems(answer: Answer, probe: Mapping[str, Any], expected: int) -> list[str]:
    """Read the body. Done for a wrong status too: what the page says is the best hint at the cause."""
    if answer.error or 300 <= answer.status < 400:
        return []
    if not answer.body.strip():
        return ["the page is empty"]
    text = decoded(answer)
    problems = [f"the page says '{death}'" for death in _DEATHS if death in text]
    php = _PHP_DEATH.search(text)
    if php:
        problems.append(f"the page says '{php.group(0).replace('</b>', '')}'")
    if expected < 400 and not problems and _DIE_PAGE.search(text):
        problems.append("the page is WordPress's error page")
    is_html = "html" in answer.headers.get("content-type", "html")
    if is_html and "</html>" not in text[-_END_REGION:].lower():
        problems.append("the page breaks off: its end </html> is missing")
    return problems + promises_broken(answer, probe)


def promises_broken(answer: Answer, probe: Mapping[str, Any]) -> list[str]:
    """Compare the answer with what the contract says of it: words, words that may not be there, selector, size."""
    text = decoded(answer)
    plain = html.unescape(text)
    problems = missing(answer, probe)
    problems += [
        f"the text '{unwanted}' stands there"
        for unwanted in probe.get("absent") or []
        if unwanted in text or unwanted in plain
    ]
    selector = str(probe.get("selector") or "")
    if selector and not page_selector.matches(selector, text):
        problems.append(f"nothing matches the selector '{selector}'")
    size, least, most = len(answer.body), int(probe.get("min_bytes") or 0), int(probe.get("max_bytes") or 0)
    if size < least:
        problems.append(f"it has {size} bytes, and the contract wants at least {least}")
    if most and size > most:
        problems.append(f"it has {size} bytes, and the contract allows {most}")
    return problems


def missing(answer: Answer, probe: Mapping[str, Any]) -> list[str]:
    """Name the promised words that the answer has not."""
    text = decoded(answer)
    # A page may write the promised "Ada & Son" as "Ada &amp; Son".
    plain = html.unescape(text)
    return [
        f"the text '{wanted}' is missing"
        for wanted in probe.get("text") or []
        if wanted not in text and wanted not in plain
    ]


def decoded(answer: Answer) -> str:
    """Return the body as text, by the charset that it says it has."""
    head = answer.body[:2048].decode("ascii", "replace")
    for said in (answer.headers.get("content-type", ""), head):
        found = _CHARSET.search(said)
        if found:
            try:
                return answer.body.decode(found.group(1), "replace")
            except LookupError:
                continue
    return answer.body.decode("utf-8", "replace")


def result(probe: Mapping[str, Any], answer: Answer, problems: list[str], notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return what one probe saw, as it stands in a verdict."""
    cached = is_cached(answer)
    found = {
        "name": str(probe["name"]),
        "kind": str(probe["kind"]),
        "path": str(probe.get("path") or ""),
        "status": answer.status,
        "bytes": len(answer.body),
        "seconds": round(answer.seconds, 3),
        "ok": not problems,
        "problems": problems,
        "notes": [*notes, *([CACHED] if cached else [])],
        "cached": cached,
    }
    if probe.get("max_seconds"):
        found["max_seconds"] = float(probe["max_seconds"])
    return found


def limit(probe: Mapping[str, Any]) -> float:
    """Return how many seconds the contract allows, 0 when it says nothing."""
    return float(probe.get("max_seconds") or 0.0)
