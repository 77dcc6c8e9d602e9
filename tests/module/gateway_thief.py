"""The tools of a thief who holds everything that the host holds: the address, the secret and the password."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator

from orchestrator.run.restic_objects import Key, key_of
from tests.module.gateway_kit import PASSWORD, Host, Store
from tests.repository import named, seal


def opened_key(store: Store) -> Key:
    """Return the repository's master key, as anybody gets it who has the password."""
    key = key_of(next((store.objects / "keys").iterdir()).read_bytes(), PASSWORD)
    assert key is not None
    return key


@contextlib.contextmanager
def locked(host: Host) -> Iterator[str]:
    """Hold a lock as a backup does."""
    lock = {"time": "2026-11-23T02:00:00Z", "exclusive": False, "hostname": "shop", "username": "shop", "pid": 7}
    body = seal(opened_key(host.store), lock)
    assert host.send("locks", body).status == 200
    yield named(body)
    # The session may be over by then.
    with contextlib.suppress(OSError, http.client.HTTPException):
        host.ask("DELETE", f"/locks/{named(body)}")
