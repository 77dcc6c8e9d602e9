# GPL-3.0-or-later
"""A copy of production that cannot talk to the world, under the same Host name on another port.

Folders of a run: `staging/base` is production as it was copied and is never changed; `staging/htdocs` is what is tried.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Iterator

from . import command, tree, wordpress_php
from .database import END_MARKER, Database, DatabaseError, opened
from .lease import write_whole
from .site import Site
from .web import fetch
from .wordpress import Configuration, Place

# A persistent object cache is shared with production and would be filled with staging's rows; a page cache hides PHP.
DROP_INS = ("object-cache.php", "advanced-cache.php")
NOWHERE = "http://127.0.0.1:9"
START_SECONDS = 15.0


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

    @property
    def log(self) -> str:
        """The PHP error log of the staging copy."""
        return os.path.join(self.folder, "php.log")

    def environment(self) -> dict[str, str]:
        """What the staging copy's PHP finds in its environment."""
        return {
            "UPKEEP_STAGING_DATABASE": self.database.name,
            "UPKEEP_STAGING_PREPEND": os.path.join(self.folder, "prepend.php"),
            "UPKEEP_STAGING_CONTENT": os.path.join(self.root, "wp-content"),
            "UPKEEP_STAGING_HTTPS": "1" if self.site.url.startswith("https:") else "",
        }

    def place(self) -> Place:
        """Return the staging copy as a place for our PHP."""
        return Place(self.site, self.root, self.folder, self.environment(), staging=True)

    def reset(self) -> None:
        """Make files and database what they were when production was copied."""
        tree.remove(self.root)
        tree.clone(self.base, self.root)
        for name in DROP_INS:
            tree.remove(os.path.join(self.root, "wp-content", name))
        self.database.empty()
        with open(os.path.join(self.folder, "base.sql"), "rb") as dump:
            done = subprocess.run(
                self.database.load_arguments(),
                stdin=dump,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=command.environment(),
                check=False,
                timeout=3600,
            )
        if done.returncode != 0:
            raise DatabaseError(
                "the staging database {} could not be filled: {}".format(
                    self.database.name, command.last_line(done.stderr.decode("utf-8", "replace"))
                )
            )

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Serve the staging copy with PHP's own web server while the block lasts. Raises StagingError."""
        stop_server(self.folder)
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
        arguments += [
            "-S",
            "127.0.0.1:%d" % self.site.staging_port,
            "-t",
            self.root,
            os.path.join(self.folder, "router.php"),
        ]
        surroundings = self.environment()
        surroundings.update({name: NOWHERE for name in ("http_proxy", "https_proxy", "all_proxy")})
        surroundings["PHP_CLI_SERVER_WORKERS"] = "3"
        with open(os.path.join(self.folder, "server.log"), "ab") as log:
            server = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=command.environment(surroundings),
                start_new_session=True,
            )
        write_whole(os.path.join(self.folder, "server.pid"), str(server.pid))
        try:
            self._await(server)
            yield
        finally:
            stop_server(self.folder)
            server.wait(timeout=10)

    def _await(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise StagingError(
                    "staging cannot be served on port %d: is the port taken? Choose another `staging: port:` in the contract."
                    % self.site.staging_port
                )
            if fetch(self.site.staging(), "/wp-includes/version.txt-is-not-there", method="HEAD", timeout=5).status:
                return
            time.sleep(0.05)
        raise StagingError("staging did not answer on port %d within %g s" % (self.site.staging_port, START_SECONDS))


def opened_staging(site: Site, run: str, configuration: Configuration) -> Staging:
    """Return the staging copy of a run, whether it has been made or not."""
    folder = os.path.join(site.run_folder(run), "staging")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    database = opened(configuration.credentials, folder, site.programs, site.staging_database)
    return Staging(site, folder, os.path.join(folder, "htdocs"), os.path.join(folder, "base"), database)


def create(staging: Staging, configuration: Configuration, production: Database) -> dict[str, Any]:
    """Copy production's files and database; return {clone, database} for the evidence.

    Raises StagingError, DatabaseError, CommandFailed.
    """
    if staging.database.name == production.name:
        raise StagingError(f"the staging database is production's own database {production.name}: refused")
    can_use(staging.database, configuration)
    tree.remove(staging.base)
    method = tree.clone(staging.site.root, staging.base)
    for name in tree.FROZEN:
        tree.remove(os.path.join(staging.base, name))
    if not configuration.path.startswith(staging.site.root + "/"):
        shutil.copy2(configuration.path, os.path.join(staging.folder, "wp-config.php"))
    dump = os.path.join(staging.folder, "base.sql")
    dumped = command.run([*production.dump_arguments(), "--result-file=" + dump], timeout=3600, check=False)
    if dumped.code != 0 or not ends_with_marker(dump):
        raise DatabaseError("the dump for staging is not whole: " + command.last_line(dumped.err))
    write_whole(os.path.join(staging.folder, "prepend.php"), wordpress_php.STAGING)
    write_whole(os.path.join(staging.folder, "router.php"), wordpress_php.ROUTER)
    staging.reset()
    if staging.database.tables() != production.tables():
        raise DatabaseError("the staging database lacks tables of production")
    entries = tree.scan(staging.base)
    files = [entry for entry in entries.values() if entry.kind == "file"]
    return {
        "clone": {"files": len(files), "bytes": sum(entry.size for entry in files), "method": method},
        "database": {"tables": len(staging.database.tables()), "bytes": os.path.getsize(dump)},
    }


def can_use(database: Database, configuration: Configuration) -> None:
    """Raise StagingError with what to type when the site's account cannot use the staging database."""
    try:
        database.query("SELECT 1")
    except DatabaseError as error:
        raise StagingError(
            "the staging database {} cannot be used: {}. Ask for: CREATE DATABASE {}; GRANT ALL ON {}.* TO {}@localhost".format(
                database.name,
                error,
                database.name,
                database.name,
                re.sub(r"[^\w.-]", "?", configuration.credentials.user),
            )
        ) from error


def ends_with_marker(path: str) -> bool:
    """Whether a dump ends with the line that mariadb-dump writes last: an exit code of 0 alone proves nothing."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 200))
            return END_MARKER.encode() in file.read()
    except OSError:
        return False


def stop_server(folder: str) -> None:
    """Stop the staging server that `server.pid` names, its workers included. PHP leaves them behind otherwise."""
    path = os.path.join(folder, "server.pid")
    try:
        with open(path, encoding="utf-8") as file:
            group = int(file.read())
        with open("/proc/%d/cmdline" % group, "rb") as file:
            ours = os.fsencode(folder) in file.read()
    except (OSError, ValueError):
        group, ours = 0, False
    if group and (ours or _workers(folder, group)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _workers(folder: str, group: int) -> bool:
    """Whether a process of this group still serves our folder although the group's first process is gone."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.getpgid(int(name)) != group:
                continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if os.fsencode(folder) in file.read():
                    return True
        except OSError:
            continue
    return False
