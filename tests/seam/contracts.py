"""The contracts that the seam is tried with: the sample, and the corners of what a contract may say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from orchestrator.contract.model import Contract
from orchestrator.plan.variables import place_variables
from tests.unit.contract.samples import DELETED, PRODUCTION, STAGING, UPDATE, changed, contract_with

_TINY_FUNCTION = {"name": "front page", "path": "/"}
_BOTH_KINDS = [
    {"kind": "core", "slug": "wordpress", "version": "6.5.5", "reason": "not yet"},
    {"kind": "plugin", "slug": "lab-banner", "version": "2.0", "reason": "breaks the front page"},
    {"kind": "theme", "slug": "twentytwentythree", "version": "1.2", "reason": "breaks the menu"},
]
_OWN_PROGRAMS = {
    "php": "/usr/bin/php8.2",
    "mariadb": "mysql",
    "mariadb_dump": "mysqldump",
    "restic": "/opt/restic/restic",
}

_DATABASE = {"engine": "postgresql", "name": "notes", "user": "notes", "host": "/var/run/postgresql"}

# name -> where the sample is changed, and to what
CHANGES: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "the sample": ((), None),
    "backup only": (UPDATE, DELETED),
    "nothing allowed": ((*UPDATE, "plugins"), "none"),
    "some plugins": ((*UPDATE, "plugins"), ["newspack-blocks", "lab-banner"]),
    "some themes": ((*UPDATE, "themes"), ["twentytwentythree"]),
    "no core": ((*UPDATE, "core"), "none"),
    "holds": ((*UPDATE, "holds"), _BOTH_KINDS),
    "own programs": ((*PRODUCTION, "programs"), _OWN_PROGRAMS),
    "no programs": ((*PRODUCTION, "programs"), DELETED),
    "own error log": ((*PRODUCTION, "error_log"), "/var/log/php/shop.log"),
    "no port": ((*PRODUCTION, "port"), DELETED),
    "not WordPress": ((), "other"),
    "pictures": ((*UPDATE, "pictures"), {"of": ["a post"], "threshold": 0.02, "masks": [".slideshow"], "width": 800}),
    "a staging host": ((*STAGING, "host"), "yard"),
    "one tiny function": (("sites", "shop", "functions"), [_TINY_FUNCTION]),
}
CONTRACTS = tuple(CHANGES)


@cache
def contract_called(name: str) -> Contract:
    """Return the contract of that name."""
    path, value = CHANGES[name]
    if value == "other":
        data = changed((*PRODUCTION, "database"), _DATABASE, changed(UPDATE, DELETED))
        return contract_with(("sites", "shop", "cms"), value, data)
    return contract_with(path, value)


def variables_of(name: str) -> Iterator[dict[str, Any]]:
    """Yield the variables of every place of a contract."""
    contract = contract_called(name)
    for site in contract.sites:
        yield dict(place_variables(contract, site.name))
