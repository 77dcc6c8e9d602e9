# GPL-3.0-or-later
"""A copy of production that cannot talk to the world, under the same Host name on another port.

Folders of a run: `staging/htdocs` is what is tried; `staging/base` is what of production as it was copied a release may
change, and is never changed itself.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Iterator, Mapping

from . import command, silence, staging_database, staging_files, staging_php
from .database import Credentials, Database, DatabaseError, opened
from .engine_sqlite import beside
from .lease import write_whole
from .silence import Silence
from .site import Site
from .web import fetch
from .wordpress import Configuration, Place

NOWHERE = "http://127.0.0.1:9"
START_SECONDS = 15.0
STOP_SECONDS = 10.0


class StagingError(Exception):
    """No staging copy could be made or started."""


@dataclass(frozen=True)
class Staging:
    """The staging copy of one run."""

    site: Site
    folder: str
    root: str
    base: str
    database: Database
    sqlite: str = ""
    """The file that is the copy's database, instead of `database`."""
    silence: Silence = field(default_factory=Silence)

    @property
    def log(self) -> str:
        """The PHP error log of the staging copy."""
        return os.path.join(self.folder, "php.log")

    @property
    def mail(self) -> str:
        """What the copy would have sent, one mail a line. Nothing leaves."""
        return os.path.join(self.folder, "mail.jsonl")

    def environment(self) -> dict[str, str]:
        """What the staging copy's PHP finds in its environment."""
        return {
            "UPKEEP_STAGING_DATABASE": self.database.name,
            "UPKEEP_STAGING_SQLITE": self.sqlite,
            "UPKEEP_STAGING_PREPEND": os.path.join(self.folder, "prepend.php"),
            "UPKEEP_STAGING_CONTENT": os.path.join(self.root, "wp-content"),
            "UPKEEP_STAGING_LOG": self.log,
            "UPKEEP_STAGING_MAIL": self.mail,
            "UPKEEP_STAGING_HTTPS": "1" if self.site.url.startswith("https:") else "",
            **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), NOWHERE),
        }

    def place(self) -> Place:
        """Return the staging copy as a place for our PHP."""
        return Place(self.site, self.root, self.folder, self.environment(), staging=True, silence=self.silence)

    def reset(self, sums: Mapping[str, str]) -> bool:
        """Make files and database what they were when production was copied. Returns whether tables had to be put back.

        `sums` are what Database.looked_at() says of the database as it is now. Raises DatabaseError, TreeError, OSError.
        """
        staging_files.put_back(self.site.root, self.root, self.base, self.folder)
        return bool(staging_database.put_back(self.database, self.folder, sums))

    def prove(self, link: str = "") -> bool:
        """Ask the copy's WordPress, before any plugin runs in it, what it would write to. Raises StagingError.

        Returns whether its PHP can read what this link of the copy leads to: open_basedir may forbid that.
        """
        answer = self.place().php("where", {"without_plugins": True, "read": link}, timeout=120)
        wanted = self.sqlite or self.database.name
        if answer["database"] != wanted:
            raise StagingError(
                f"the copy would use the database {answer['database']}, not {wanted}:"
                " does wp-config.php or wp-content/db.php open a database of its own?"
            )
        root = os.path.realpath(self.root) + "/"
        outside = [folder for folder in answer["folders"] if not (os.path.realpath(folder) + "/").startswith(root)]
        if outside:
            raise StagingError(f"the copy would use the folder {outside[0]}, outside of {self.root}")
        return bool(answer["read"])

    @contextlib.contextmanager
    def served(self, *, wait: bool = True) -> Iterator[subprocess.Popen[bytes]]:
        """Serve the staging copy with PHP's own web server while the block lasts. Raises StagingError, CommandFailed."""
        server = self.serve(wait=wait)
        try:
            yield server
        finally:
            stop_server(self.folder)
            server.wait()

    def serve(self, *, outlive: bool = False, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start PHP's own web server for the copy, without a network where that can be, and wait until it answers.

        With `outlive` it goes on when this process has ended. Without `wait` it is answers() that waits.

        Raises StagingError, CommandFailed.
        """
        stop_server(self.folder)
        self._refuse_taken_port()
        arguments = [self.site.programs["php"]]
        for setting in (
            "error_log=" + self.log,
            "log_errors=1",
            "display_errors=0",
            "allow_url_fopen=0",
            "sendmail_path=/bin/true",
            "auto_prepend_file=" + self.environment()["UPKEEP_STAGING_PREPEND"],
            "upload_max_filesize=64M",
        ):
            arguments += ["-d", setting]
        arguments += [] if self.silence.alone else self.silence.settings()
        arguments += ["-S", f"127.0.0.1:{self.site.staging_port}", "-t", self.root, router(self.folder)]
        begin = self.silence.begin()
        if self.silence.alone:
            program = os.path.join(self.folder, "silence.py")
            write_whole(program, inspect.getsource(silence))
            # It carries the router's path too: that is how it is found when it has to be stopped.
            own = [str(self.site.staging_port), self.silence.read_only]
            arguments, begin = [sys.executable, "-I", "-S", program, *own, *arguments], None
        surroundings = {**self.environment(), "PHP_CLI_SERVER_WORKERS": "3"}
        with open(os.path.join(self.folder, "server.log"), "ab") as log:
            server = command.start(
                arguments,
                stdout=log.fileno(),
                stderr=log.fileno(),
                extra_environment=surroundings,
                outlive=outlive,
                begin=begin,
            )
        try:
            if wait:
                self.answers(server)
        except BaseException:
            stop_server(self.folder)
            server.wait()
            raise
        return server

    def _refuse_taken_port(self) -> None:
        """Raise StagingError when somebody else listens: the probes would praise his site."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(("127.0.0.1", self.site.staging_port))
        except OSError as error:
            raise self._not_served() from error

    def _not_served(self) -> StagingError:
        return StagingError(
            f"staging cannot be served on port {self.site.staging_port}: is the port taken?"
            " Choose another `staging: port:` in the contract"
        )

    def answers(self, server: subprocess.Popen[bytes]) -> None:
        """Wait until the copy's server answers. Raises StagingError."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise self._not_served()
            # Our router answers this path itself, without WordPress.
            if fetch(self.site.staging(), "/..", method="HEAD", timeout=5).status:
                return
            time.sleep(0.05)
        raise StagingError(f"staging did not answer on port {self.site.staging_port} within {START_SECONDS:g} s")


def opened_staging(site: Site, run: str, configuration: Configuration) -> Staging:
    """Return the staging copy of a run, whether it has been made or not.

    Raises StagingError when its database is production's own: what is opened here is emptied sooner or later.
    """
    name = configuration.credentials.name
    if not configuration.sqlite and site.staging_database.lower() == name.lower():
        raise StagingError(f"the staging database is production's own database {name}: refused")
    folder = os.path.join(site.run_folder(run), "staging")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    database = opened(configuration.credentials, folder, site.programs, site.staging_database)
    copy = Staging(
        site,
        folder,
        os.path.join(folder, "htdocs"),
        os.path.join(folder, "base"),
        database,
        silence=silence_of(site, folder, configuration, configuration.credentials),
    )
    return replace(copy, sqlite=beside(site.run_folder(run))) if configuration.sqlite else copy


def silence_of(site: Site, folder: str, configuration: Configuration, credentials: Credentials) -> Silence:
    """Return how a copy with this configuration, and this account of the database, is kept apart."""
    by_socket = bool(configuration.sqlite) or credentials.reached()["host"] == "localhost"
    return Silence(by_socket, configuration.disabled, configuration.curl, protected(site, folder))


def protected(site: Site, folder: str = "") -> str:
    """Return production's document root where a copy's PHP can be kept from writing to it, else "".

    So it is also when the copy in `folder` leads there: where that cannot be any more, its PHP must not begin.
    """
    if (os.path.realpath(site.workshop) + "/").startswith(site.root + "/"):
        return ""
    return site.root if silence.possible(site.root, network=True) or staging_files.has_links(folder) else ""


def why_copied(site: Site) -> str:
    """Return why pictures, films and the like have to be copied, "" where links to production's do."""
    if os.geteuid() == 0:
        return "it is root who makes the copy"
    return "" if protected(site) else "the kernel does not let production be read-only for the copy"


def create(staging: Staging, configuration: Configuration, production: Database) -> dict[str, Any]:
    """Copy production's files and database; return {clone, database, silence} for the evidence.

    Raises StagingError, DatabaseError, CommandFailed, TreeError, WordPressError, OSError.
    """
    can_use(staging.database, configuration)
    os.makedirs(staging.folder, mode=0o700, exist_ok=True)
    because = why_copied(staging.site)
    # They wait for different things: the one for the disk, the other for the server.
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(staging_database.create, production, staging.database, staging.folder)
        files = _copied(staging, links=not because)
        database = rows.result()
    if not configuration.path.startswith(staging.site.root + "/"):
        shutil.copy2(configuration.path, os.path.join(staging.folder, "wp-config.php"))
    write_whole(os.path.join(staging.folder, "prepend.php"), staging_php.STAGING)
    write_whole(router(staging.folder), staging_php.ROUTER)
    link = "" if because else staging_files.a_link(staging.site.root, staging.root, staging.folder)
    if not staging.prove(link) and link:
        because = "the copy's PHP must not read there (open_basedir?)"
        _refuse_without_room(staging)
        files = _copied(staging, links=False)
        staging.prove()
    if because:
        files["because"] = because
    return {"clone": files, "database": database, "silence": staging.silence.evidence()}


def _copied(staging: Staging, *, links: bool) -> dict[str, Any]:
    return staging_files.create(staging.site.root, staging.root, staging.base, staging.folder, links=links)


def _refuse_without_room(staging: Staging) -> None:
    """Raise StagingError when there is no room for the pictures: preflight has counted on links to them."""
    needed = sum(seen.size for seen in staging_files.copied_once(staging.site.root).values())
    free = shutil.disk_usage(staging.folder).free
    if free < needed:
        raise StagingError(
            f"the copy's PHP must not read production's pictures, and there is no room to copy them: {free >> 20} MB are"
            f" free and {needed >> 20} MB are needed. Does wp-config.php set open_basedir?"
        )


def can_use(database: Database, configuration: Configuration) -> None:
    """Raise StagingError with what to type when the site's account cannot use the staging database."""
    try:
        database.query("SELECT 1")
    except DatabaseError as error:
        user = re.sub(r"[^\w.-]", "?", configuration.credentials.user)
        raise StagingError(
            f"the staging database {database.name} cannot be used: {error}."
            f" Ask for: CREATE DATABASE {database.name}; GRANT ALL ON {database.name}.* TO {user}@localhost"
        ) from error


def router(folder: str) -> str:
    """Return the script of the staging server: its path is how the server's processes are known."""
    return os.path.join(folder, "router.php")


def stop_server(folder: str) -> None:
    """Stop the staging server of this folder, whoever started it, its workers included: PHP leaves them behind."""
    mark = b"\0" + os.fsencode(router(folder)) + b"\0"
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        found = False
        for name in filter(str.isdigit, os.listdir("/proc")):
            # Gone by now, or somebody else's.
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                if mark in file.read():
                    os.kill(int(name), signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(0.02)
