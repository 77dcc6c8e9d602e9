# GPL-3.0-or-later
"""A probe of several steps, as a visitor takes them: pages and forms one after another, with one jar of cookies.

It writes: an order is an order. So it is taken in staging alone unless the contract says otherwise.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any, Mapping, Sequence
from urllib.parse import urlencode

from .page_selector import read_page
from .probe_round import Round, content_problems, decoded, result, status_problems
from .web import Answer, fetch, same_site_path

MAX_REDIRECTS = 5
MAX_COOKIES = 50
MAX_COOKIE = 4096
MAX_MAILS = 4 * 1024 * 1024
NO_MAIL_HERE = "mail is seen in staging only, where nothing is sent"


def for_place(probes: Sequence[Mapping[str, Any]], place: str) -> list[Mapping[str, Any]]:
    """Return the probes that the contract allows in `staging` or in `production`."""
    return [probe for probe in probes if not probe.get("places") or place in probe["places"]]


def steps(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    """Take the steps; the first that goes wrong ends them. Afterwards the mail must be there, where it can be seen."""
    visit = _Visit(around)
    begun = _size(around.mail)
    problems: list[str] = []
    for number, step in enumerate(probe["steps"], start=1):
        wrong = visit.take(step)
        if wrong:
            problems = [f"step {number} ({step['method']} {step['path']}): {problem}" for problem in wrong]
            break
    notes = []
    mail = probe.get("mail")
    if mail and not problems:
        if not around.mail:
            notes.append(NO_MAIL_HERE)
        elif not any(_is_wanted(each, mail) for each in _mails(around.mail, begun)):
            problems.append("no mail was sent to that address with these words")
    return result(probe, replace(visit.answer, seconds=visit.seconds), problems, notes)


@dataclass
class _Visit:
    """One visitor: the cookies that he has, and the page that he sees."""

    around: Round
    jar: dict[str, str] = field(default_factory=dict)
    answer: Answer = field(default_factory=lambda: Answer(0))
    seconds: float = 0.0

    def take(self, step: Mapping[str, Any]) -> list[str]:
        """Take one step and return what is wrong with the answer."""
        wanted = int(step.get("status") or 200)
        form = dict(step.get("form") or {})
        there = _hidden(decoded(self.answer)) if step.get("hidden") else {}
        for name in step.get("hidden") or []:
            if name not in there:
                return [f"the page before has no hidden field '{name}'"]
            form[name] = there[name]
        began = time.monotonic()
        self._ask(str(step["method"]), str(step["path"]), form, wanted)
        self.seconds += time.monotonic() - began
        problems = status_problems(self.answer, wanted)
        # A page of the administration is no detour here: steps say themselves what they want to see.
        return problems + content_problems(self.answer, step, wanted)

    def _ask(self, method: str, path: str, form: Mapping[str, str], wanted: int) -> None:
        self._once(method, path, form, wanted)
        for _ in range(MAX_REDIRECTS):
            # A form is never sent twice: what is asked for after it is a page.
            if self.answer.status not in (301, 302, 303) or self.answer.status == wanted:
                return
            where = self.answer.headers.get("location", "")
            onward = same_site_path(self.around.target, where, self.answer.path)
            if not onward:
                return
            self._once("get", onward, {}, wanted)

    def _once(self, method: str, path: str, form: Mapping[str, str], wanted: int) -> None:
        target = self.around.target
        kept = [target.cookies, *(f"{name}={value}" for name, value in self.jar.items())]
        target = replace(target, cookies="; ".join(each for each in kept if each))
        if method == "post":
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urlencode(form).encode("ascii")
            self.answer = fetch(target, path, "POST", headers, self.around.timeout, body=body)
        else:
            self.answer = self.around.ask(path, expected=wanted, target=target)
        for cookie in self.answer.cookies:
            self._keep(cookie)

    def _keep(self, cookie: str) -> None:
        pair, _, rest = cookie.partition(";")
        name, _, value = (each.strip() for each in pair.partition("="))
        words = rest.lower().replace(" ", "")
        if "max-age=0" in words or "max-age=-" in words or "1970" in words:
            self.jar.pop(name, None)
        elif name and len(pair) <= MAX_COOKIE and pair.isprintable() and pair.isascii() and self._has_room(name):
            self.jar[name] = value

    def _has_room(self, name: str) -> bool:
        return name in self.jar or len(self.jar) < MAX_COOKIES


class _Hidden(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and given.get("type", "").lower() == "hidden" and given.get("name"):
            self.values.setdefault(given["name"], given.get("value", ""))


def _hidden(page: str) -> dict[str, str]:
    reader = _Hidden()
    read_page(reader, page)
    return reader.values


def _size(path: str) -> int:
    try:
        return os.path.getsize(path) if path else 0
    except OSError:
        return 0


def _mails(path: str, since: int) -> list[dict[str, Any]]:
    """Return what the staging copy would have sent since then. A line that is no mail is left out: the site writes it."""
    found = []
    try:
        with open(path, "rb") as file:
            file.seek(since)
            lines = file.read(MAX_MAILS).splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            mail = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(mail, dict):
            found.append(mail)
    return found


def _is_wanted(mail: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    said = f"{mail.get('subject', '')}\n{mail.get('message', '')}"
    to = str(wanted["to"]).lower()
    return to in str(mail.get("to", "")).lower() and all(word in said for word in wanted.get("text") or [])
