"""What WordPress.org says of releases, asked once for the whole fleet and kept for an hour.

A host says what it has; whatever is known of that here was said to the controller by WordPress.org itself, for exactly that
question. So no host can put anything here, and none can change what another one is told. What is installed in which version
is not asked for and stays on the host, which sorts the releases by it (wordpress_php.py).
"""

from __future__ import annotations

import fcntl
import http
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from orchestrator.run import publisher
from orchestrator.run.publisher import Away, NoAnswer, NotReached, name_of, write

KEPT_MINUTES = 60
LARGEST_ANSWER = 8 * 1024 * 1024
# Of the largest sites in the wild; a question of more is for the host itself.
MOST_INSTALLED = 300
# A host waits for the controller, and then has to ask by itself.
SECONDS = 15.0
VERSION = r"[0-9][0-9A-Za-z.+_-]{0,39}"
# What WordPress.org chooses the releases of WordPress by. How many users and pages a site has is none of it.
CORE = {
    "version": re.compile(VERSION),
    "php": re.compile(r"[0-9][0-9A-Za-z.+~_-]{0,60}"),
    "locale": re.compile(r"[A-Za-z]{2,3}(?:_[A-Za-z0-9]{1,20}){0,3}"),
    "mysql": re.compile(r"[0-9A-Za-z.+~:_ ()/-]{1,100}"),
    "local_package": re.compile(r"[A-Za-z0-9_-]{0,20}"),
    "channel": re.compile(r"[a-z-]{0,30}"),
}
# What tells a plugin or theme from another one in a folder of the same name.
HEADERS = {
    "plugins": ("Name", "PluginURI", "Author", "AuthorURI", "TextDomain", "UpdateURI"),
    "themes": ("Name", "Author", "Author URI", "UpdateURI", "Template"),
}
NAMES = {
    "plugins": re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,120}(?:/(?!\.)[^/\\\x00-\x1f\x7f]{1,120})?\.php"),
    "themes": re.compile(r"(?!\.)[^\\\x00-\x1f\x7f]{1,120}"),
}
HEADER = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]{0,1000}")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# More than any site speaks.
MOST_LOCALES = 20
# What a language pack is told by.
PACK = {
    "language": re.compile(CORE["locale"].pattern),
    "updated": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}"),
    "package": re.compile(r"https?://[\x21-\x7e]{1,1000}"),
}
# Older than every release, so that each of them is told with all that is known of it.
OLDEST = "0.0.0"


class NotUnderstood(Exception):
    """A question that WordPress does not ask; the message says what is wrong with it."""


@dataclass(frozen=True)
class CoreQuestion:
    """Which releases of WordPress are there for this one? `terms` are the names and values of CORE."""

    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Installed:
    """A plugin or theme, by its file or folder. `headers` are those of HEADERS."""

    name: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ListQuestion:
    """What is the newest release of these? `kind` is plugins or themes. WordPress.org may answer by the version of WordPress."""

    kind: str
    wordpress: str
    installed: tuple[Installed, ...]


@dataclass(frozen=True)
class Words:
    """Whose language packs are asked for: `kind` is core, plugin or theme. The packs are those of this very version."""

    kind: str
    slug: str
    version: str


@dataclass(frozen=True)
class PackQuestion:
    """Which language packs are there of these, in these languages?"""

    wordpress: str
    locales: tuple[str, ...]
    wanted: tuple[Words, ...]


Question = CoreQuestion | ListQuestion | PackQuestion


def read_question(kind: str, body: bytes) -> Question:
    """Return what a host asks: `kind` is core, plugins, themes or translations. Raises NotUnderstood."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise NotUnderstood("that is no JSON") from None
    if not isinstance(given, dict):
        raise NotUnderstood("that is no question")
    if kind == "core":
        terms = {name: given.get(name, "") for name in CORE}
        _refuse_unless(all(_fits(CORE[name], value) for name, value in terms.items()), "no such WordPress")
        return CoreQuestion(tuple(terms.items()))
    if kind == "translations":
        return _pack_question(given)
    wordpress, listed = given.get("wordpress", ""), given.get("installed", [])
    _refuse_unless(_fits(CORE["version"], wordpress), "no such version of WordPress")
    _refuse_unless(isinstance(listed, dict) and len(listed) <= MOST_INSTALLED, f"at most {MOST_INSTALLED} {kind}")
    installed = tuple(_installed(kind, name, listed[name]) for name in sorted(listed))
    return ListQuestion(kind, str(wordpress), installed)


def _pack_question(given: Mapping[str, Any]) -> PackQuestion:
    core, locales = given.get("core"), given.get("locales")
    known = isinstance(locales, list) and all(_fits(CORE["locale"], each) for each in locales)
    _refuse_unless(known and len(set(locales or ())) <= MOST_LOCALES, f"at most {MOST_LOCALES} languages")
    _refuse_unless(_fits(CORE["version"], core), "no such version of WordPress")
    wanted = [Words("core", "default", str(core))]
    for kind in HEADERS:
        listed = given.get(kind, {})
        whole = isinstance(listed, dict) and len(listed) <= MOST_INSTALLED
        _refuse_unless(whole, f"at most {MOST_INSTALLED} {kind}")
        fit = all(_fits(SLUG, slug) and ".." not in slug and _fits(CORE["version"], listed[slug]) for slug in listed)
        _refuse_unless(fit, f"no such name or version of {kind}")
        wanted += [Words(kind.removesuffix("s"), slug, listed[slug]) for slug in sorted(listed)]
    return PackQuestion(str(core), tuple(sorted(set(locales or ()))), tuple(wanted))


def _installed(kind: str, name: str, headers: Any) -> Installed:
    _refuse_unless(_fits(NAMES[kind], name) and isinstance(headers, dict), f"no such name of {kind}")
    told = {header: headers.get(header, "") for header in HEADERS[kind]}
    _refuse_unless(all(_fits(HEADER, value) for value in told.values()), f"no such header of {kind}")
    return Installed(name, tuple(told.items()))


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _refuse_unless(good: bool, reason: str) -> None:
    if not good:
        raise NotUnderstood(reason)


def form_of(question: ListQuestion, installed: Iterable[Installed]) -> dict[str, str]:
    """Return what is asked of WordPress.org: as WordPress asks it, without languages, and without the site."""
    listed = {each.name: _headers(question.kind, each) for each in installed}
    told = {question.kind: listed, "active": [] if question.kind == "plugins" else ""}
    form = {question.kind: json.dumps(told), "translations": "[]", "locale": "[]"}
    return {**form, "all": "true"} if question.kind == "plugins" else form


def _headers(kind: str, each: Installed) -> dict[str, str]:
    headers = dict(each.headers)
    more = {"AuthorName": headers["Author"]} if kind == "plugins" else {"Stylesheet": each.name}
    return {**headers, **more, "Title": headers["Name"], "Version": OLDEST}


def records_of(question: ListQuestion, installed: Iterable[Installed], said: Any) -> dict[str, Any]:
    """Return what WordPress.org has said of each by its name, None where it knows no such thing. Raises NotReached."""
    lists: list[Any] = [said.get(name) for name in (question.kind, "no_update")] if isinstance(said, dict) else []
    # PHP writes an empty list for an empty mapping.
    if not lists or not all(isinstance(each, dict) or each == [] for each in lists):
        raise NotReached("WordPress.org answers something else than releases")
    found: dict[str, Any] = {}
    for each in installed:
        record = next((dict(records)[each.name] for records in lists if each.name in records), None)
        if record is not None and not (
            isinstance(record, dict) and _fits(re.compile(r".{1,100}"), record.get("new_version"))
        ):
            raise NotReached(f"WordPress.org answers something else than a release of {each.name}")
        found[each.name] = record
    return found


def packs_of(words: Words, said: Any) -> list[dict[str, str]]:
    """Return the language packs of an answer, in all languages; none of what WordPress.org does not know. Raises NotReached."""
    listed = said.get("translations", [] if "error" in said else None) if isinstance(said, dict) else None
    if not isinstance(listed, list):
        raise NotReached(f"WordPress.org answers something else than language packs of {words.slug}")
    whole = [each for each in listed if isinstance(each, dict) and all(_fits(PACK[key], each.get(key)) for key in PACK)]
    return [{"type": words.kind, "slug": words.slug, **{key: each[key] for key in PACK}} for each in whole]


@dataclass(frozen=True)
class Known:
    """An answer, and when WordPress.org gave it, in seconds since 1970."""

    value: Any
    when: float


class ReleaseCatalogue:
    """What is known, in a folder of the controller's. `api` is where WordPress.org is asked, `minutes` how long that counts."""

    def __init__(self, folder: Path, api: str, minutes: float = KEPT_MINUTES) -> None:
        self._folder, self._api, self._seconds = folder, api.rstrip("/"), minutes * 60.0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not that of packages: a mirror of your own may have those alone.
        self._away = Away(folder, f"{self._api} for questions")
        # And who has no words may have releases.
        self._away_with_words = Away(folder, f"{self._api} for words")

    def answer(self, question: Question) -> dict[str, Any]:
        """Return what WordPress.org says: `offers`, `records` by name, or `packs`; `since` is when the oldest of it was said.

        Only what is not known is asked for, in one question. Whoever else would ask meanwhile waits. Raises NotReached.
        """
        if isinstance(question, CoreQuestion):
            key = self._key("core", *question.terms)
            known = self._all({"core": key}, lambda _: self._ask_core(question))["core"]
            return {"offers": known.value, "since": _day(known.when)}
        if isinstance(question, PackQuestion):
            return self._packs(question)
        by_name = {each.name: each for each in question.installed}
        keys = {
            each.name: self._key(question.kind, question.wordpress, each.name, each.headers)
            for each in question.installed
        }
        found = self._all(keys, lambda names: self._ask_list(question, [by_name[name] for name in names]))
        records = {name: known.value for name, known in found.items() if known.value is not None}
        return {"records": records, "since": _day(min((known.when for known in found.values()), default=time.time()))}

    def _packs(self, question: PackQuestion) -> dict[str, Any]:
        """Ask for one after the other: each counts for itself, also when the next is not answered, and others may ask meanwhile."""
        packs, oldest = [], time.time()
        for words in question.wanted:
            key = self._key("words", words.kind, words.slug, words.version)
            known = self._all({"": key}, lambda _, words=words: {"": self._ask_words(words, question.wordpress)})[""]
            packs += [each for each in known.value if each["language"] in question.locales]
            oldest = min(oldest, known.when)
        return {"packs": packs, "since": _day(oldest)}

    def _all(self, keys: Mapping[str, str], ask: Any) -> dict[str, Known]:
        found = self._known(keys)
        if len(found) == len(keys):
            return found
        with self._alone():
            # Somebody else may have asked for just that.
            found |= self._known({name: key for name, key in keys.items() if name not in found})
            lacking = [name for name in keys if name not in found]
            if lacking:
                answers, now = ask(lacking), time.time()
                for name in lacking:
                    write(self._note(keys[name]), json.dumps({"key": keys[name], "value": answers[name]}))
                    found[name] = Known(answers[name], now)
        return found

    def _known(self, keys: Mapping[str, str]) -> dict[str, Known]:
        found = {}
        for name, key in keys.items():
            note = self._note(key)
            try:
                when = note.stat().st_mtime
                told = json.loads(note.read_text(encoding="utf-8"))
                # A clock that was put back makes nothing younger than it is.
                if abs(time.time() - when) < self._seconds and told["key"] == key:
                    found[name] = Known(told["value"], when)
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found

    def _key(self, *parts: Any) -> str:
        return json.dumps([self._api, *parts])

    def _note(self, key: str) -> Path:
        return self._folder / f"{name_of(key)}.release"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._folder / f"{name_of(self._api)}.asking").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ask_core(self, question: CoreQuestion) -> dict[str, Any]:
        terms = {name: value for name, value in question.terms if value}
        url = f"{self._api}/core/version-check/1.7/?{urlencode(terms)}"
        said = self._asked(url, {"translations": "[]"}, terms["version"])
        offers = said.get("offers") if isinstance(said, dict) else None
        if not isinstance(offers, list) or not offers or not all(isinstance(offer, dict) for offer in offers):
            raise NotReached("WordPress.org answers something else than releases")
        return {"core": offers}

    def _ask_list(self, question: ListQuestion, installed: list[Installed]) -> dict[str, Any]:
        url = f"{self._api}/{question.kind}/update-check/1.1/"
        said = self._asked(url, form_of(question, installed), question.wordpress)
        return records_of(question, installed, said)

    def _ask_words(self, words: Words, wordpress: str) -> list[dict[str, str]]:
        kind = "core" if words.kind == "core" else words.kind + "s"
        terms = {"version": words.version} if words.kind == "core" else {"slug": words.slug, "version": words.version}
        url = f"{self._api}/translations/{kind}/1.0/?{urlencode(terms)}"
        self._away_with_words.refuse()
        try:
            said = publisher.ask(url, largest=LARGEST_ANSWER, agent=_agent(wordpress), seconds=SECONDS)
            return packs_of(words, json.loads(said))
        except NoAnswer as error:
            if error.status in (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.NOT_FOUND):
                # WordPress.org does not know it, and that is an answer.
                return []
            self._away_with_words.remember(str(error))
            raise NotReached(str(error)) from None
        except ValueError as error:
            self._away_with_words.remember(str(error))
            raise NotReached(str(error)) from None

    def _asked(self, url: str, form: Mapping[str, str], wordpress: str) -> Any:
        self._away.refuse()
        try:
            said = publisher.ask(url, largest=LARGEST_ANSWER, form=form, agent=_agent(wordpress), seconds=SECONDS)
            return json.loads(said)
        except (NoAnswer, ValueError) as error:
            self._away.remember(str(error))
            raise NotReached(str(error)) from None


def _agent(wordpress: str) -> str:
    return f"WordPress/{wordpress}; Upkeep"


def _day(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
