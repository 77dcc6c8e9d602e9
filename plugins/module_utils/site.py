# GPL-3.0-or-later
"""One site at its production place, as the contract describes it and as a host sees it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .web import Target, target_for

RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\Z")

PROGRAMS = {
    "php": "php",
    "mariadb": "mariadb",
    "mariadb_dump": "mariadb-dump",
    "psql": "psql",
    "pg_dump": "pg_dump",
    "restic": "restic",
}

# The argument spec of the `site` option that every module of ours takes.
SITE_OPTIONS = {
    "client": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "cms": {"type": "str", "choices": ["wordpress", "other"], "required": True},
    "url": {"type": "str", "required": True},
    "root": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "programs": {"type": "dict", "default": {}, "options": {name: {"type": "str"} for name in PROGRAMS}},
    "error_log": {"type": "str", "default": ""},
    "database": {
        "type": "dict",
        "options": {
            "engine": {"type": "str", "choices": ["mariadb", "postgresql", "sqlite"], "required": True},
            "name": {"type": "str", "default": ""},
            "user": {"type": "str", "default": ""},
            "host": {"type": "str", "default": ""},
            "file": {"type": "str", "default": ""},
        },
    },
    "staging": {
        "type": "dict",
        "required": True,
        "options": {
            "port": {"type": "int", "required": True},
            "database": {"type": "str", "required": True},
            "host": {"type": "str", "default": ""},
        },
    },
}


@dataclass(frozen=True)
class Site:
    """Where a site lives on this host and how it is reached."""

    client: str
    name: str
    url: str
    root: str
    address: str
    port: int
    programs: dict[str, str]
    error_log: str
    staging_port: int
    staging_database: str
    cms: str = "wordpress"
    database: dict[str, Any] = field(default_factory=dict)
    """What the contract declares of the database; WordPress says it itself."""
    database_password: str = field(default="", repr=False)
    staging_host: str = ""
    """The inventory host of the staging copy, where that is another one than production's."""
    elsewhere: str = ""
    """Another workshop, for a look that leaves no trace on the host."""

    @classmethod
    def from_parameters(cls, given: dict[str, object], database_password: str = "") -> Site:
        """Build the value from a module's `site` option (checked by SITE_OPTIONS). Raises ValueError.

        A document root that is a link stands for the folder it leads to: that folder is what WordPress sees as its
        own, and what is exchanged.
        """
        programs = dict(PROGRAMS)
        programs.update({key: value for key, value in dict(given.get("programs") or {}).items() if value})  # type: ignore[call-overload]
        staging = dict(given["staging"])  # type: ignore[call-overload]
        root = os.path.realpath(str(given["root"]))
        if not os.path.isabs(str(given["root"])) or root == "/":
            raise ValueError(f"{given['root']!r} is not a document root")
        # Where the controller has lent its own, that is the one: it is there only when the host has none as good.
        lent = os.path.join(os.path.dirname(root), ".upkeep", "bin", "restic")
        if programs["restic"] == PROGRAMS["restic"] and os.access(lent, os.X_OK):
            programs["restic"] = lent
        return cls(
            client=str(given["client"]),
            name=str(given["name"]),
            url=str(given["url"]),
            root=root,
            address=str(given["address"]),
            port=int(str(given["port"])),
            programs=programs,
            error_log=str(given.get("error_log") or ""),
            staging_port=int(staging["port"]),
            staging_database=str(staging["database"]),
            cms=str(given.get("cms") or "wordpress"),
            database=dict(given.get("database") or {}),  # type: ignore[call-overload]
            database_password=database_password,
            staging_host=str(staging.get("host") or ""),
        )

    @property
    def workshop(self) -> str:
        """The folder of ours beside the document root, on the same filesystem, readable by the owner alone."""
        return self.elsewhere or os.path.join(os.path.dirname(self.root), ".upkeep")

    def run_folder(self, run: str) -> str:
        """The scratch folder of one run. Raises ValueError for anything that is not a run id."""
        if not RUN_ID.match(run):
            raise ValueError(f"not a run id: {run!r}")
        return os.path.join(self.workshop, run)

    def production(self, token: str = "", cookies: str = "") -> Target:
        """How this host reaches the site's own web server."""
        return target_for(self.url, self.address, self.port, token, cookies)

    def staging(self, cookies: str = "") -> Target:
        """How this host reaches the staging copy: another port, the same Host name, so nothing is search-replaced."""
        return Target("127.0.0.1", self.staging_port, urlsplit(self.url).netloc, "http", "", cookies)
