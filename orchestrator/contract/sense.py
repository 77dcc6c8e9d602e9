"""Judge what a shape cannot say: dates in order, zones that exist, places that are apart, values that mean no harm.

Each rule takes a view that shows only what has the right shape, so that one mistake never hides another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.contract.address import host_problem, path_problem, read_url, url_problem
from orchestrator.contract.schema import PERIOD_DAYS
from orchestrator.contract.sense_function import function_findings, pictures_findings
from orchestrator.contract.suggest import did_you_mean, one_of, quoted
from orchestrator.contract.tree import Data, Finding, Path, is_unprintable
from orchestrator.contract.view import View

TEMPLATE = re.compile(r"\{\{|\{%|\{#")
# As hosts read it (plugins/module_utils/language_packs.py).
PACK = re.compile(
    r"(?!.*\.\.)(core\.default|(plugin|theme)\.[A-Za-z0-9][A-Za-z0-9._-]{0,70})\.[A-Za-z]{2,3}(_[A-Za-z0-9]{1,20}){0,3}"
)
# These three name no region: what they mean depends on the machine.
NO_REGIONS = frozenset({"localtime", "Factory", "posixrules"})
# Folders that have all zones once more, without and with leap seconds.
OTHER_SECONDS = frozenset({"posix", "right"})
SYSTEM_DATABASES = frozenset({"mysql", "information_schema", "performance_schema", "sys", "test"})
# Ansible's own words, and the groups that the inventory plugin makes.
RESERVED_HOSTS = frozenset({"all", "ungrouped", "localhost", "production", "staging", "wordpress"})


def sense_findings(data: Data, wrong: frozenset[Path], folder: str | None) -> Iterator[Finding]:
    """Find everything in a contract that has the right shape and makes no sense. `folder` is the client's folder."""
    harmful = list(_harmful_words(data, wrong))
    yield from harmful
    view = View(data, wrong | {finding.path for finding in harmful})
    yield from _client(view, folder)
    yield from _agreement(view)
    yield from _store(view)
    for site in view.below("sites"):
        yield from _site(view, site)
    yield from _shared_hosts(view)
    yield from _verify(view)
    yield from _update(view)
    yield from _retention(view)


def _harmful_words(data: Data, wrong: frozenset[Path]) -> Iterator[Finding]:
    # An own stack: the tree is shallow, but it came from outside.
    waiting: list[tuple[Path, Data]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            for key, each in value.items():
                waiting.append(((*path, key), each))
                if (*path, key) not in wrong and (problem := word_problem(key)):
                    yield Finding((*path, key), problem, at_key=True)
        elif isinstance(value, list):
            waiting.extend(((*path, index), each) for index, each in enumerate(value))
        elif isinstance(value, str) and path not in wrong and (problem := word_problem(value)):
            yield Finding(path, problem)


def word_problem(word: str) -> str:
    """Say why a word may stand nowhere in a contract, or nothing."""
    if any(is_unprintable(each) for each in word):
        return (
            f"{quoted(word)} is not allowed: no control characters, no line breaks, nothing invisible."
            " A long text is written with '>-'."
        )
    if match := TEMPLATE.search(word):
        return f"{quoted(word)} is not allowed: '{match[0]}' would begin a template. Allowed: plain text."
    if word.startswith("-"):
        return f"{quoted(word)} is not allowed: what begins with '-' would be read as an option."
    if word != word.strip():
        return f"{quoted(word)} is not allowed: no spaces at the beginning or the end."
    return ""


def _client(view: View, folder: str | None) -> Iterator[Finding]:
    name = view.text("client", "id")
    if name is not None and folder is not None and name != folder:
        yield Finding(
            ("client", "id"),
            f"{quoted(name)} is not the name of the contract's folder. Allowed: {quoted(folder)}, or rename the folder.",
        )


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones()) - NO_REGIONS


def _is_time_zone(name: str) -> bool:
    # One is opened: to find them all, every file of hundreds is.
    try:
        return name not in NO_REGIONS and name.partition("/")[0] not in OTHER_SECONDS and bool(ZoneInfo(name).key)
    except (KeyError, ValueError, OSError):
        return False


def _agreement(view: View) -> Iterator[Finding]:
    number = view.text("agreement", "number")
    if number is not None and (".." in number or "//" in number):
        yield Finding(("agreement", "number"), f"{quoted(number)} is not allowed: '..' and '//' may not stand in it.")
    dates: dict[str, date] = {}
    for key in ("signed", "begins", "ends"):
        text = view.text("agreement", key)
        if text is None:
            continue
        try:
            dates[key] = date.fromisoformat(text)
        except ValueError:
            yield Finding(("agreement", key), f"{quoted(text)} is on no calendar. Allowed: a date such as 2026-02-01.")
    for earlier, later, equal in (("signed", "begins", True), ("begins", "ends", False)):
        if earlier in dates and later in dates:
            first, second = dates[earlier], dates[later]
            if first > second or (first == second and not equal):
                message = (
                    f"{later} ({second}) is not after {earlier} ({first}). Allowed: signed, then begins, then ends."
                )
                yield Finding(("agreement", later), message)
    zone = view.text("agreement", "time_zone")
    if zone is not None and not _is_time_zone(zone):
        message = (
            f"{quoted(zone)} is no IANA time zone. Allowed: such as Europe/Berlin.{did_you_mean(zone, _time_zones())}"
        )
        yield Finding(("agreement", "time_zone"), message)


def _store(view: View) -> Iterator[Finding]:
    endpoint = view.text("store", "endpoint")
    # A store on the controller's own machine is an honest thing; the cloud's metadata service is not.
    if endpoint is not None and (problem := url_problem(endpoint, loopback=True)):
        yield Finding(("store", "endpoint"), problem)
    bucket = view.text("store", "bucket")
    if bucket is not None and (".." in bucket or ".-" in bucket or "-." in bucket):
        yield Finding(("store", "bucket"), f"{quoted(bucket)} is not allowed: '..', '.-' and '-.' may not stand in it.")


def _site(view: View, site: Path) -> Iterator[Finding]:
    production = (*site, "places", "production")
    url = view.text(*site, "url")
    if url is not None and (problem := url_problem(url, loopback=False)):
        yield Finding((*site, "url"), problem)
    address = view.text(*production, "address")
    if address is not None and (problem := host_problem(address, loopback=True)):
        yield Finding((*production, "address"), problem)
    for place in ("production", "staging"):
        host = view.text(*site, "places", place, "host")
        if host in RESERVED_HOSTS:
            yield Finding(
                (*site, "places", place, "host"), f"{quoted(host)} is a word of Ansible's or ours. Choose another name."
            )
    for key in ("root", "error_log"):
        path = view.text(*production, key)
        if path is not None and (problem := path_problem(path, document_root=key == "root")):
            yield Finding((*production, key), problem)
    for program in view.below(*production, "programs"):
        path = view.text(*program)
        if path is not None and path.startswith("/") and (problem := path_problem(path, document_root=False)):
            yield Finding(program, problem)
    yield from _declared_database(view, site)
    yield from _staging(view, site)
    yield from function_findings(view, site)


def _declared_database(view: View, site: Path) -> Iterator[Finding]:
    """WordPress says itself which database it has; any other site's is declared."""
    production = (*site, "places", "production")
    database: Path = (*production, "database")
    cms, declared = view.text(*site, "cms"), view.get(*database)
    if cms == "wordpress" and declared is not None:
        yield Finding(database, "wp-config.php says which database a WordPress has. Remove this.", at_key=True)
    place = view.get(*production)
    if cms == "other" and isinstance(place, dict) and "database" not in place:
        message = "the key 'database' is missing: a site that is not WordPress has its database declared, such as"
        yield Finding(production, f"{message} {{engine: postgresql, name: notes, user: notes}}.", at_key=True)
    engine = view.text(*database, "engine")
    wanted = {"sqlite": ("file",), "postgresql": ("name", "user"), "mariadb": ("name", "user")}.get(engine or "", ())
    for key in wanted:
        if isinstance(declared, dict) and key not in declared:
            yield Finding(database, f"the key '{key}' is missing: {engine} needs {' and '.join(wanted)}.", at_key=True)
    for key in ("name", "user", "host", "file") if engine else ():
        if key not in wanted and key != "host" and view.get(*database, key) is not None:
            yield Finding((*database, key), f"{engine} has no {key}. Remove this.", at_key=True)
    file = view.text(*database, "file")
    if file is not None and (problem := path_problem(file, document_root=False)):
        yield Finding((*database, "file"), problem)
    host = view.text(*database, "host")
    if host is not None and host.startswith("/") and ".." in host.split("/"):
        yield Finding((*database, "host"), f"{quoted(host)} is not allowed: '..' may not stand in it.")
    name = view.text(*database, "name")
    if name is not None and name.lower() in {*SYSTEM_DATABASES, "postgres", "template0", "template1"}:
        yield Finding((*database, "name"), f"{quoted(name)} belongs to the database server itself.")


def _staging(view: View, site: Path) -> Iterator[Finding]:
    staging = (*site, "places", "staging")
    if view.text(*staging, "host") is not None and view.text(*site, "cms") == "other":
        message = "only a WordPress is rehearsed on another host than production's. Remove this."
        yield Finding((*staging, "host"), message, at_key=True)
    port = view.number(*site, "places", "production", "port")
    if port is None and view.get(*site, "places", "production", "port") is None:
        parts = read_url(view.text(*site, "url") or "")
        port = parts.effective_port if parts else None
    if port is not None and port == view.number(*staging, "port"):
        yield Finding((*staging, "port"), f"{port} is production's port too. Allowed: another one, 1024 to 65535.")
    database = view.text(*staging, "database")
    if database is not None and database.lower() in SYSTEM_DATABASES:
        yield Finding((*staging, "database"), f"{quoted(database)} belongs to the database server itself.")


def _shared_hosts(view: View) -> Iterator[Finding]:
    taken: dict[str, Path] = {}
    for path in [
        (*site, "places", place, "host") for place in ("production", "staging") for site in view.below("sites")
    ]:
        host = view.text(*path)
        if host is None:
            continue
        if host in taken and path[:-2] == taken[host][:-2]:
            yield Finding(path, f"{quoted(host)} is production's own host. Remove this: staging is there without it.")
        elif host in taken:
            message = (
                f"{quoted(host)} is already the place of {quoted(str(taken[host][1]))}: one inventory host, one place."
            )
            yield Finding(path, message + " Give each its own name in hosts.yml, with the same ansible_host.")
        taken.setdefault(host, path)


def _verify(view: View) -> Iterator[Finding]:
    verify: Path = ("scope", "backup", "verify")
    every, days = view.text(*verify, "every"), view.number(*verify, "all_within_days")
    if every is None or days is None:
        return
    if days < PERIOD_DAYS[every]:
        message = f"{days} is too few: what is looked at {every} cannot all be read within {days} days."
        yield Finding((*verify, "all_within_days"), f"{message} Allowed: {PERIOD_DAYS[every]} or more.")


def _update(view: View) -> Iterator[Finding]:
    update: Path = ("scope", "update")
    for site in view.below("sites") if view.get(*update) is not None else ():
        if view.text(*site, "cms") == "other":
            message = (
                f"{quoted(str(site[-1]))} is no WordPress, and nothing else is updated. Take 'update' out of the scope,"
            )
            yield Finding(update, f"{message} or give that site a contract of its own.", at_key=True)
    window = (*update, "window")
    begins, ends = view.text(*window, "from"), view.text(*window, "to")
    if begins is not None and begins == ends:
        yield Finding((*window, "to"), f"{quoted(ends)} is also when the window opens: it would never be open.")
    for list_path in (
        (*window, "days"),
        (*update, "plugins"),
        (*update, "themes"),
        (*update, "fast_lane"),
        (*update, "pictures", "of"),
        (*update, "pictures", "masks"),
    ):
        yield from _repeated(view, list_path)
    for key in ("plugins", "themes", "fast_lane"):
        for item in view.below(*update, key):
            yield from _dots(item, view.text(*item))
    yield from _holds(view, (*update, "holds"))
    yield from pictures_findings(view, (*update, "pictures"))


def _holds(view: View, holds: Path) -> Iterator[Finding]:
    seen: set[tuple[str | None, ...]] = set()
    pinned: set[tuple[str | None, ...]] = set()
    for hold in view.below(*holds):
        kind, slug, version, only = (view.text(*hold, key) for key in ("kind", "slug", "version", "only"))
        for key, text in (("slug", slug), ("version", version), ("only", only)):
            yield from _dots((*hold, key), text)
        said = view.get(*hold)
        if isinstance(said, dict) and ("version" in said) == ("only" in said):
            yield Finding(hold, "a hold names either 'version', which is held, or 'only', which alone is not.")
        until = view.text(*hold, "until")
        if until is not None and not _on_a_calendar(until):
            yield Finding((*hold, "until"), f"{quoted(until)} is on no calendar. Allowed: a date such as 2026-12-31.")
        if kind == "core" and slug is not None and slug != "wordpress":
            yield Finding((*hold, "slug"), f"{quoted(slug)} is not allowed: of kind core there is only 'wordpress'.")
        if kind == "translation" and slug is not None and not PACK.fullmatch(slug):
            words = "Allowed: core.default, plugin.SLUG or theme.SLUG, and the language, such as plugin.newspack-blocks.de_DE."
            yield Finding((*hold, "slug"), f"{quoted(slug)} is no language pack. {words}")
        if None not in (kind, slug, version) and (kind, slug, version) in seen:
            yield Finding(hold, f"{quoted(slug)} {quoted(version)} is held twice.")
        seen.add((kind, slug, version))
        if only is not None and (kind, slug) in pinned:
            yield Finding(hold, f"{quoted(slug)} has another hold with 'only' already: no release would be left.")
        if only is not None:
            pinned.add((kind, slug))


def _on_a_calendar(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _dots(path: Path, text: str | None) -> Iterator[Finding]:
    if text is not None and ".." in text:
        yield Finding(path, f"{quoted(text)} is not allowed: '..' may not stand in it.")


def _repeated(view: View, path: Path) -> Iterator[Finding]:
    seen: set[str] = set()
    for item in view.below(*path):
        word = view.text(*item)
        if word is not None and word in seen:
            yield Finding(item, f"{quoted(word)} stands here twice.")
        seen.add(word or "")


def _retention(view: View) -> Iterator[Finding]:
    spans = ("daily", "weekly", "monthly", "yearly")
    if all(view.number("retention", span) == 0 for span in spans):
        message = f"nothing would be kept. Allowed: at least one of {one_of(spans)} above 0."
        yield Finding(("retention",), message, at_key=True)
