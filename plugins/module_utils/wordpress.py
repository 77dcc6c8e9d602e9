# GPL-3.0-or-later
"""WordPress on a host: its configuration, the versions that are really there, and its own functions through PHP.

What can be observed without running WordPress is observed without it: a broken site must still be readable.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import command, tree, wordpress_php
from .database import Credentials, quoted
from .language_packs import TRANSLATION, pack_of
from .lease import write_whole
from .silence import Silence
from .site import Site

SIGN_IN_SECONDS = 1800
HEADER_BYTES = 8192  # WordPress's get_file_data() reads this much of a file for its header
ASKED_FOR_RELEASES = ("api.wordpress.org",)
# What a release of WordPress may change, as tree.in_unit() reads it. At the top its own files bear these names; not the site's
# wp-config.php, and not what else a site keeps there.
CORE = (
    "wp-admin",
    "wp-includes",
    "index.php",
    "xmlrpc.php",
    "wp-[!c]*.php",
    "wp-c[!o]*.php",
    "wp-com*.php",
    "wp-config-sample.php",
    "license.txt",
    "readme.html",
    "wp-content/index.php",
)


class Queried(Protocol):
    """A database that answers questions."""

    def query(self, statement: str, *, timeout: float = 120.0) -> list[list[str]]:
        """Run one statement and return its rows as text."""

    def server_version(self) -> str:
        """Return the version of what serves it."""


class WordPressError(Exception):
    """WordPress, or PHP around it, did not do what was asked."""


@dataclass(frozen=True)
class Configuration:
    """What wp-config.php says. `credentials` holds the password: never part of any evidence."""

    credentials: Credentials
    path: str
    prefix: str
    content: str
    multisite: bool
    debug_log: str
    php: str
    plugins: str = ""
    sqlite: str = ""
    """The file that is the database, where a drop-in of WordPress has one."""
    engine: str = ""
    """The database's engine, where the contract declares it."""
    disabled: str = ""
    """The functions that this host's PHP has disabled."""
    curl: bool = True
    """Whether this host's PHP has curl."""


@dataclass(frozen=True)
class Place:
    """One tree of WordPress that our PHP can be run against: production's, or a staging copy's."""

    site: Site
    root: str
    folder: str
    environment: dict[str, str]
    staging: bool = False
    silence: Silence = field(default_factory=Silence)

    def php(self, name: str, request: dict[str, Any] | None = None, *, timeout: float = 600.0) -> dict[str, Any]:
        """Run one command of our PHP and return its answer. Raises WordPressError when it failed."""
        program = os.path.join(self.folder, "wordpress.php")
        if not os.path.exists(program):
            write_whole(program, wordpress_php.PROGRAM)
        argv = [self.site.programs["php"]]
        asking = bool((request or {}).get("may_ask"))
        if self.staging:
            argv += ["-d", "auto_prepend_file=" + self.environment["UPKEEP_STAGING_PREPEND"]]
            argv += ["-d", "sendmail_path=/bin/true", "-d", "allow_url_fopen=0"]
            argv += [] if self.silence.alone and not asking else self.silence.settings(asking=asking)
        target = self.site.production()
        asked = {"host": target.host, "https": target.scheme == "https", **(request or {})}
        # Where there are proxies that lead nowhere, these hosts are let out.
        surroundings = {**self.environment, "no_proxy": ",".join(asked.get("may_ask", []))}
        try:
            done = command.run(
                [*argv, program, self.root, name],
                timeout=timeout,
                stdin=json.dumps(asked),
                extra_environment=surroundings,
                check=False,
                begin=self.silence.begin(asking=asking) if self.staging else None,
            )
        except command.CommandFailed as error:
            raise WordPressError(str(error)) from error
        answer = _answer(done.out)
        if answer is None:
            raise WordPressError(
                f"PHP gave no answer to {name!r} (exit code {done.code}): {command.last_line(done.err)}"
            )
        if not answer.get("ok"):
            raise WordPressError(f"WordPress failed at {name!r}: {_failure(answer)[:400]}")
        return answer


def production(site: Site, folder: str, token: str = "") -> Place:
    """Return production as a place for our PHP; `token` lets it through a freeze."""
    return Place(site, site.root, folder, {"UPKEEP_TOKEN": token} if token else {})


def configuration(site: Site, folder: str) -> Configuration:
    """Read wp-config.php. Raises WordPressError when there is none or it names no database."""
    answer = production(site, folder).php("configuration", timeout=60)
    if not answer["sqlite"] and (not answer["name"] or not answer["user"]):
        raise WordPressError(f"{answer['path']} names no database")
    return Configuration(
        credentials=Credentials(answer["name"], answer["user"], answer["password"], answer["host"]),
        path=answer["path"],
        prefix=answer["prefix"],
        content=os.path.normpath(answer["content"]),
        multisite=answer["multisite"],
        debug_log=answer["debug_log"] if answer["debug_log"].startswith("/") else "",
        php=answer["php"],
        plugins=answer["plugins"] and os.path.normpath(answer["plugins"]),
        sqlite=answer["sqlite"] and os.path.normpath(answer["sqlite"]),
        disabled=answer["disabled"],
        curl=answer["curl"],
    )


def versions(root: str, database: Queried, prefix: str) -> dict[str, Any]:
    """Return what is really there, read from files and rows without running WordPress.

    {core, db_version, php?, database, plugins: {file: {name, slug, version, active}}, themes: {slug: {version, active}}}
    """
    options = _options(database, prefix)
    active = set(re.findall(r's:\d+:"([^"]+)"', options.get("active_plugins", "")))
    plugins = {
        file: {"name": header["name"], "slug": _slug(file), "version": header["version"], "active": file in active}
        for file, header in sorted(_plugins(os.path.join(root, "wp-content", "plugins")).items())
    }
    used = {options.get("stylesheet", ""), options.get("template", "")}
    themes = {
        slug: {"version": version, "active": slug in used}
        for slug, version in sorted(_themes(os.path.join(root, "wp-content", "themes")).items())
    }
    return {
        "core": core_version(root),
        "db_version": options.get("db_version", ""),
        "database": database.server_version(),
        "plugins": plugins,
        "themes": themes,
    }


def db_version(database: Queried, prefix: str) -> str:
    """Return the version that WordPress's tables have, or "" when they do not say."""
    return _options(database, prefix).get("db_version", "")


def core_version(root: str) -> str:
    """Return the version that wp-includes/version.php states, or "" when it is not there."""
    return stated_core_version(_head(os.path.join(root, "wp-includes", "version.php")))


def stated_core_version(text: str) -> str:
    """Return the version that this text of version.php states, or ""."""
    found = re.search(r"""\$wp_version\s*=\s*['"]([^'"]+)""", text)
    return found.group(1) if found else ""


def wanted_db_version(root: str) -> str:
    """Return the database version that these files of WordPress want, or "" when they do not say."""
    found = re.search(r"\$wp_db_version\s*=\s*(\d+)", _head(os.path.join(root, "wp-includes", "version.php")))
    return found.group(1) if found else ""


def header(head: str, name: str) -> str:
    """Return one field of the comment at the head of a plugin or theme, or "", as get_file_data() reads it."""
    pattern = rf"^(?:[ \t]*<\?php)?[ \t/*#@]*{re.escape(name)}:(.*)$"
    found = re.search(pattern, head.replace("\r", "\n"), re.MULTILINE | re.IGNORECASE)
    return re.sub(r"\s*(?:\*/|\?>).*", "", found.group(1)).strip()[:120] if found else ""


def installed(observed: dict[str, Any], kind: str, slug: str, file: str = "") -> str:
    """Return the installed version of one core, plugin or theme from versions(), or "".

    A folder may hold several plugins: where it is known, the file says which is meant.
    """
    if kind == "core":
        return str(observed["core"])
    if kind == "theme":
        return str(observed["themes"].get(slug, {}).get("version", ""))
    if file:
        return str(observed["plugins"].get(file, {}).get("version", ""))
    return next((str(plugin["version"]) for plugin in observed["plugins"].values() if plugin["slug"] == slug), "")


def unit(kind: str, slug: str, file: str = "") -> list[str]:
    """Return the paths below the document root that a release of this kind may change."""
    if kind == "core":
        return list(CORE)
    if kind == TRANSLATION:
        pack = pack_of(slug)
        return pack.unit() if pack else []
    if kind == "theme":
        return ["wp-content/themes/" + slug]
    return ["wp-content/plugins/" + (slug if "/" in file or not file else file)]


def code_links(paths: dict[str, tree.Entry]) -> list[str]:
    """Return the links among a site's code that lead out of its tree: an update of a copy would follow them."""
    below = ["wp-content/" + name for name in ("plugins", "themes", "mu-plugins", "upgrade")]
    code = [*CORE, "*.php", *below]
    return sorted(
        path
        for path, seen in paths.items()
        if tree.leads_out(path, seen) and (path == "wp-content" or tree.in_unit(path, code))
    )


def cookies(answer: dict[str, Any]) -> str:
    """Write the Cookie header for a session that `sign-in` made."""
    return "; ".join(f"{name}={value.replace('|', '%7C')}" for name, value in sorted(answer["cookies"].items()))


def _answer(out: str) -> dict[str, Any] | None:
    """Return the last answer of our PHP among whatever else was printed, or None."""
    lines = [line for line in out.split("\n") if line.startswith(wordpress_php.MARK)]
    try:
        answer = json.loads(lines[-1][len(wordpress_php.MARK) :]) if lines else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _failure(answer: dict[str, Any]) -> str:
    """Say why an answer is not ok. PHP that ends without a fatal error was ended by somebody's exit()."""
    if answer.get("fatal"):
        return str(answer["fatal"])
    where = f" while {answer['at']}" if answer.get("at") else ""
    said = "; ".join(str(line) for line in answer.get("said", [])[-2:])
    return f"PHP was ended{where}, as exit() in a plugin, a theme or wp-config.php does" + (
        f". It said: {said}" if said else ""
    )


def _options(database: Queried, prefix: str) -> dict[str, str]:
    wanted = "'active_plugins', 'db_version', 'stylesheet', 'template'"
    rows = database.query(
        f"SELECT option_name, REPLACE(option_value, '\\n', ' ') FROM {quoted(prefix + 'options')}"  # noqa: S608 - a quoted name
        f" WHERE option_name IN ({wanted})"
    )
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _slug(file: str) -> str:
    folder = os.path.dirname(file)
    return folder or os.path.splitext(file)[0]


def _plugins(folder: str) -> dict[str, dict[str, str]]:
    found = {}
    for path, file in _php_files(folder):
        head = _head(path)
        name = header(head, "Plugin Name")
        if name:
            found[file] = {"name": name, "version": header(head, "Version")}
    return found


def _php_files(folder: str) -> list[tuple[str, str]]:
    files = []
    for name in sorted(_names(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".php") and os.path.isfile(path):
            files.append((path, name))
        elif os.path.isdir(path):
            files += [(os.path.join(path, f), name + "/" + f) for f in sorted(_names(path)) if f.endswith(".php")]
    return files


def _themes(folder: str) -> dict[str, str]:
    themes = {}
    for slug in _names(folder):
        head = _head(os.path.join(folder, slug, "style.css"))
        if header(head, "Theme Name"):
            themes[slug] = header(head, "Version")
    return themes


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _head(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(HEADER_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
