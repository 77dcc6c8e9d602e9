"""What WordPress.org says of releases, through a real server in its place: asked once, for exactly what a host has."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.run import release_catalogue
from orchestrator.run.publisher import NOT_AGAIN_SECONDS, NotReached
from orchestrator.run.release_catalogue import NotUnderstood, Question, ReleaseCatalogue, read_question

from .publishers import Desk, served

FORMS, SHOP = "forms/forms.php", "shop/shop.php"
CORE = {"version": "6.5.2", "php": "8.2.29", "locale": "de_DE", "mysql": "10.11.14-MariaDB-0+deb12u2"}


@dataclass
class Publisher:
    """api.wordpress.org: the newest release of each plugin and theme, and every question that came."""

    port: int = 0
    newest: dict[str, str] = field(default_factory=lambda: {FORMS: "2.1", SHOP: "9.0.1", "leaf": "1.4"})
    questions: list[dict[str, Any]] = field(default_factory=list)
    # Said instead of an answer.
    says: bytes = b""
    status: int = 200
    seconds: float = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, form: dict[str, str]) -> Any:
        kind = path.removeprefix("/mirror").split("/")[1]
        if kind == "translations":
            pack = {"language": "de_DE", "updated": "2024-02-05 12:34:56", "package": "https://x/de_DE.zip"}
            others = [{**pack, "language": "fr_FR"}, {**pack, "updated": "yesterday"}, {"language": "de_DE"}]
            return {"translations": [pack, *others]}
        if kind == "core":
            return {"offers": [{"response": "upgrade", "current": "6.6"}], "translations": []}
        known = [name for name in json.loads(form[kind])[kind] if name in self.newest]
        records = {name: {"new_version": self.newest[name], "package": f"https://x/{name}"} for name in known}
        return {kind: records, "no_update": [], "translations": []}


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Return a publisher on loopback, which only this test may use."""
    found = Publisher()

    class AnyQuestion(Desk):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[-1] for name, values in parse_qs(body).items()}
            url = urlsplit(self.path)
            found.questions.append({"path": url.path, "query": url.query, "agent": self.headers["User-Agent"], **form})
            time.sleep(found.seconds)
            self.say(found.status, found.says or json.dumps(found.answer(url.path, form)).encode())

        def do_GET(self) -> None:
            self.headers["Content-Length"] = "0"
            self.do_POST()

    with served(AnyQuestion, monkeypatch) as found.port:
        yield found


@pytest.fixture
def catalogue(publisher: Publisher, tmp_path: Path) -> ReleaseCatalogue:
    return ReleaseCatalogue(tmp_path / "kept", publisher.address)


def plugins(*files: str, wordpress: str = "6.5.2", **headers: str) -> Question:
    """Return what a host with these plugins asks."""
    installed = {file: {"Name": file.partition("/")[0].title(), **headers} for file in files}
    return read_question("plugins", json.dumps({"wordpress": wordpress, "installed": installed}).encode())


def core(**changes: str) -> Question:
    """Return what a host asks of WordPress itself."""
    return read_question("core", json.dumps({**CORE, **changes}).encode())


def asked(publisher: Publisher) -> list[list[str]]:
    """Return of which plugins the publisher was asked, for each question."""
    return [list(json.loads(each["plugins"])["plugins"]) for each in publisher.questions]


def test_two_sites_with_the_same_plugins_lead_to_one_question(
    publisher: Publisher, catalogue: ReleaseCatalogue
) -> None:
    first = catalogue.answer(plugins(FORMS, SHOP, "own/own.php"))
    second = catalogue.answer(plugins(FORMS, "own/own.php"))

    assert first["records"][SHOP]["new_version"] == "9.0.1"
    assert second["records"] == {FORMS: {"new_version": "2.1", "package": f"https://x/{FORMS}"}}
    # What WordPress.org does not know is not asked for again either.
    assert asked(publisher) == [[FORMS, "own/own.php", SHOP]]
    assert second["since"] == first["since"]


def test_only_what_is_not_known_is_asked_for(publisher: Publisher, catalogue: ReleaseCatalogue) -> None:
    catalogue.answer(plugins(FORMS))
    told = catalogue.answer(plugins(FORMS, SHOP))

    assert sorted(told["records"]) == [FORMS, SHOP]
    assert asked(publisher) == [[FORMS], [SHOP]]


def test_wordpress_org_is_told_neither_the_site_nor_what_it_has_in_which_version(
    publisher: Publisher, catalogue: ReleaseCatalogue
) -> None:
    catalogue.answer(plugins(FORMS, Author="A. Person", Version="1.0", Description="secret"))

    (question,) = publisher.questions
    assert json.loads(question["plugins"]) == {
        "plugins": {
            FORMS: {
                "Name": "Forms", "PluginURI": "", "Author": "A. Person", "AuthorURI": "", "TextDomain": "", "UpdateURI": "",
                "AuthorName": "A. Person", "Title": "Forms", "Version": "0.0.0",
            }
        },
        "active": [],
    }  # fmt: skip
    assert (question["path"], question["agent"]) == ("/plugins/update-check/1.1/", "WordPress/6.5.2; Upkeep")


@pytest.mark.parametrize(
    "other",
    [
        # Another plugin in a folder of the same name; and a WordPress that releases may be too new for.
        plugins(FORMS, Author="somebody else"),
        plugins(FORMS, wordpress="6.6"),
    ],
)
def test_what_another_question_was_answered_tells_nothing(
    publisher: Publisher, catalogue: ReleaseCatalogue, other: Question
) -> None:
    catalogue.answer(other)
    publisher.newest[FORMS] = "2.2"

    assert catalogue.answer(plugins(FORMS))["records"][FORMS]["new_version"] == "2.2"
    assert catalogue.answer(other)["records"][FORMS]["new_version"] == "2.1"


def test_several_hosts_at_once_lead_to_one_question(publisher: Publisher, catalogue: ReleaseCatalogue) -> None:
    publisher.seconds = 0.05
    threads = [threading.Thread(target=catalogue.answer, args=(plugins(FORMS),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert asked(publisher) == [[FORMS]]


def test_after_its_time_it_is_asked_again(publisher: Publisher, catalogue: ReleaseCatalogue, tmp_path: Path) -> None:
    catalogue.answer(plugins(FORMS))
    for seconds, questions in ((-3500, 1), (-3700, 2), (3700, 3)):
        for note in (tmp_path / "kept").glob("*.release"):
            os.utime(note, (time.time() + seconds,) * 2)
        catalogue.answer(plugins(FORMS))
        assert len(publisher.questions) == questions

    always = ReleaseCatalogue(tmp_path / "kept", publisher.address, 0)
    always.answer(plugins(FORMS))
    always.answer(plugins(FORMS))
    assert len(publisher.questions) == 5


def test_what_is_damaged_here_or_another_sources_is_not_believed(
    publisher: Publisher, catalogue: ReleaseCatalogue, tmp_path: Path
) -> None:
    catalogue.answer(plugins(FORMS))
    (note,) = (tmp_path / "kept").glob("*.release")
    for text in ("", "[]", json.dumps({"key": "another", "value": {"new_version": "6.6.6"}})):
        note.write_text(text)
        assert catalogue.answer(plugins(FORMS))["records"][FORMS]["new_version"] == "2.1"
    assert len(publisher.questions) == 4

    ReleaseCatalogue(tmp_path / "kept", f"{publisher.address}/mirror").answer(core())
    catalogue.answer(core())
    assert [each["path"] for each in publisher.questions[4:]] == [
        "/mirror/core/version-check/1.7/",
        "/core/version-check/1.7/",
    ]


def test_releases_of_wordpress_depend_on_what_it_runs_on(publisher: Publisher, catalogue: ReleaseCatalogue) -> None:
    assert catalogue.answer(core())["offers"] == [{"response": "upgrade", "current": "6.6"}]
    catalogue.answer(core())
    for changes in ({"version": "6.5.3"}, {"php": "7.4.33"}, {"locale": "en_US"}, {"mysql": "8.0.36"}):
        catalogue.answer(core(**changes))

    assert len(publisher.questions) == 5
    asked = parse_qs(publisher.questions[0]["query"])
    assert {name: values[0] for name, values in asked.items()} == CORE


def test_themes_are_asked_for_as_wordpress_does(publisher: Publisher, catalogue: ReleaseCatalogue) -> None:
    body = json.dumps({"wordpress": "6.5.2", "installed": {"leaf": {"Name": "Leaf", "Template": "leaf"}}})
    told = catalogue.answer(read_question("themes", body.encode()))

    assert told["records"] == {"leaf": {"new_version": "1.4", "package": "https://x/leaf"}}
    assert json.loads(publisher.questions[0]["themes"])["themes"]["leaf"]["Stylesheet"] == "leaf"


def test_a_site_without_plugins_asks_nobody(publisher: Publisher, catalogue: ReleaseCatalogue) -> None:
    assert catalogue.answer(plugins())["records"] == {}
    assert publisher.questions == []


@pytest.mark.parametrize(
    ("says", "status"),
    [
        (b"<html>", 200), (b"[]", 200), (b"{}", 200), (b'{"plugins": {}}', 200), (b'{"plugins": "x", "no_update": []}', 200),
        (b'{"plugins": {"forms/forms.php": "2.1"}, "no_update": []}', 200), (b'{"plugins": {"forms/forms.php": {}}, "no_update": []}', 200),
        (b"x" * 101, 200), (b"busy", 429), (b"", 503),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_not_taken_for_no_news(
    publisher: Publisher, catalogue: ReleaseCatalogue, says: bytes, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    monkeypatch.setattr(release_catalogue, "LARGEST_ANSWER", 100)
    publisher.says, publisher.status = says, status

    with pytest.raises(NotReached):
        catalogue.answer(plugins(FORMS))
    assert list((tmp_path / "kept").glob("*.release")) == []


def test_a_wordpress_org_that_is_away_is_tried_once(
    publisher: Publisher, catalogue: ReleaseCatalogue, tmp_path: Path
) -> None:
    publisher.status = 503
    for question in (core(), plugins(FORMS)):
        with pytest.raises(NotReached, match="503"):
            catalogue.answer(question)
    assert len(publisher.questions) == 1

    (note,) = (tmp_path / "kept").glob("*.away")
    os.utime(note, (time.time() - NOT_AGAIN_SECONDS,) * 2)
    publisher.status = 200
    assert catalogue.answer(core())["offers"]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("core", b"{"), ("core", b"[]"), ("core", {}), ("core", {**CORE, "version": ""}), ("core", {**CORE, "version": "../6.5"}),
        ("core", {**CORE, "php": 8}), ("core", {**CORE, "locale": "de&x=y"}), ("core", {**CORE, "mysql": "x\n"}),
        ("core", {**CORE, "mysql": "x" * 101}), ("plugins", {"wordpress": "6.5"}), ("plugins", {"wordpress": "6.5", "installed": []}),
        ("plugins", {"wordpress": "x\r\nHost: y", "installed": {}}), ("plugins", {"installed": {}}),
        ("plugins", {"wordpress": "6.5", "installed": {f"a{number}.php": {} for number in range(301)}}),
        *(
            ("plugins", {"wordpress": "6.5", "installed": {name: {}}})
            for name in ("", "forms", "../x.php", "/x.php", "a/../x.php", "a/b/c.php", "a\\x.php", "a\n.php", f"{'a' * 121}.php")
        ),
        ("plugins", {"wordpress": "6.5", "installed": {FORMS: []}}), ("plugins", {"wordpress": "6.5", "installed": {FORMS: {"Name": 1}}}),
        ("plugins", {"wordpress": "6.5", "installed": {FORMS: {"Name": "a\0"}}}),
        ("plugins", {"wordpress": "6.5", "installed": {FORMS: {"Name": "a" * 1001}}}), ("themes", {"wordpress": "6.5", "installed": {"..": {}}}),
    ],
)  # fmt: skip
def test_what_wordpress_does_not_ask_is_refused(kind: str, given: Any) -> None:
    with pytest.raises(NotUnderstood):
        read_question(kind, given if isinstance(given, bytes) else json.dumps(given).encode())


def words(**changes: Any) -> Question:
    """Return what a host asks of language packs."""
    asked = {"core": "6.5.5", "locales": ["de_DE"], "plugins": {"forms": "2.1"}, "themes": {"leaf": "1.4"}, **changes}
    return read_question("translations", json.dumps(asked).encode())


def test_language_packs_are_asked_for_once_for_each_release(publisher: Publisher, catalogue: ReleaseCatalogue) -> None:
    first = catalogue.answer(words())
    second = catalogue.answer(words(locales=["fr_FR"], plugins={"forms": "2.1"}, themes={}))

    assert [(each["path"], each["query"]) for each in publisher.questions] == [
        ("/translations/core/1.0/", "version=6.5.5"),
        ("/translations/plugins/1.0/", "slug=forms&version=2.1"),
        ("/translations/themes/1.0/", "slug=leaf&version=1.4"),
    ]
    # Only in the languages of the site, and only what is said whole.
    assert [(each["type"], each["slug"], each["language"]) for each in first["packs"]] == [
        ("core", "default", "de_DE"),
        ("plugin", "forms", "de_DE"),
        ("theme", "leaf", "de_DE"),
    ]
    assert [(each["type"], each["language"]) for each in second["packs"]] == [("core", "fr_FR"), ("plugin", "fr_FR")]


@pytest.mark.parametrize(("status", "says"), [(404, b"no"), (400, b"no"), (200, b'{"error": "Plugin not found."}')])
def test_that_wordpress_org_has_no_words_of_something_is_an_answer(
    publisher: Publisher, catalogue: ReleaseCatalogue, status: int, says: bytes
) -> None:
    publisher.status, publisher.says = status, says

    assert catalogue.answer(words())["packs"] == []
    assert catalogue.answer(words())["packs"] == []
    assert len(publisher.questions) == 3


def test_who_has_no_words_may_have_releases(publisher: Publisher, catalogue: ReleaseCatalogue) -> None:
    publisher.status = 503
    for _ in range(2):
        with pytest.raises(NotReached):
            catalogue.answer(words())
    assert len(publisher.questions) == 1
    publisher.status = 200

    assert catalogue.answer(core())["offers"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"core": "6.5&x=1"},
        {"core": 6},
        {"locales": "de_DE"},
        {"locales": ["../de"]},
        {"locales": [f"a{letter}" for letter in "abcdefghijklmnopqrstu"]},
        {"plugins": ["forms"]},
        {"plugins": {"../forms": "2.1"}},
        {"plugins": {"a..b": "2.1"}},
        {"plugins": {"forms": "2.1&slug=x"}},
        {"themes": {f"leaf{number}": "1" for number in range(301)}},
    ],
)
def test_language_packs_of_what_no_site_has_are_not_asked_for(wrong: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        words(**wrong)
