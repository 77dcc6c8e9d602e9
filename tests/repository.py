"""A restic repository that is there already, and whose key costs next to nothing to open.

restic chooses a key that takes this machine half a second each time it is opened, and some more to be chosen: most of what
tests with restore points would wait for. What is made here is what `restic init` makes, but for the price in the key file.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime
from typing import Any

import zstandard

from orchestrator.contract.model import Store
from orchestrator.run.bucket import Keys, opened
from orchestrator.run.restic_objects import Key, key_file

# The one of the paper on LBFS, which restic's own tests use: any irreducible one of that degree would do.
POLYNOMIAL = "3da3358b4dc173"


def blank(password: str) -> dict[str, bytes]:
    """Return the objects of an empty repository: their paths in it, and what is in them."""
    key = Key(secrets.token_bytes(32), secrets.token_bytes(16), secrets.token_bytes(16))
    config = {"version": 2, "id": secrets.token_hex(32), "chunker_polynomial": POLYNOMIAL}
    file = cheap_key_file(key, password)
    return {f"keys/{named(file)}": file, "config": seal(key, config, packed=False)}


def place(store: Store, keys: Keys, prefix: str, password: str) -> None:
    """Put an empty repository below `prefix` into the store, and make the bucket where there is none.

    Through the store, because the light one remembers for minutes what its folders held.
    """
    with opened(store, keys) as bucket:
        if not bucket.ask("head_bucket").ok:
            assert bucket.ask("create_bucket").ok
        for path, body in blank(password).items():
            assert bucket.put(f"{prefix}/restic/{path}", body).ok


def cheap_key_file(key: Key, password: str, *, cost: int = 1024, lanes: int = 1) -> bytes:
    """Return a key file that costs next to nothing to open, or as much as is asked for."""
    return key_file(key, password, cost=cost, lanes=lanes, created=datetime(2026, 11, 22, 2, tzinfo=UTC))


def seal(key: Key, value: Any, *, packed: bool = True) -> bytes:
    """Seal a value as restic does; text is sealed as it stands."""
    plain = value if isinstance(value, bytes) else json.dumps(value).encode()
    return key.seal(b"\x02" + zstandard.compress(plain) if packed else plain)


def named(body: bytes) -> str:
    """Return the name that restic gives an object."""
    return hashlib.sha256(body).hexdigest()
