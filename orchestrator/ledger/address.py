"""Find the ledger, and whether there is one at all, without SQLAlchemy: it takes a quarter of a second to load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import Usage

if TYPE_CHECKING:
    from orchestrator.ledger.ledger import Ledger

# What `--ledger FILE` becomes. Addresses with escapes or options are left to SQLAlchemy.
PLAIN = re.compile(r"sqlite:///([^?%]+)")


def ledger_file(url: str) -> Path | None:
    """Return the file of an SQLite ledger, None for any other database. Raises Usage for what is no address."""
    plain = PLAIN.fullmatch(url)
    name = plain[1] if plain else _database(url)
    return None if name in ("", ":memory:") else Path(name)


def peek(url: str) -> Ledger | None:
    """Open the ledger for reading, None when there is none yet. Nothing is made and nothing is migrated."""
    file = ledger_file(url)
    if file is not None and not file.exists():
        return None
    from orchestrator.ledger.ledger import open_for_reading  # noqa: PLC0415  # speaks SQL

    return open_for_reading(url)


def _database(url: str) -> str:
    """Return the database that the address of an SQLite ledger names, and nothing for any other."""
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Usage("this is not the address of a ledger.", "--ledger FILE, or sqlite:///FILE") from None
    return (parsed.database or "") if parsed.get_backend_name() == "sqlite" else ""
