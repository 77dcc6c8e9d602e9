"""The tools of a thief who holds everything that the host holds: the address, the secret and the password."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
from collections.abc import Iterator
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from orchestrator.run.restic_objects import Key, key_of
from tests.module.gateway_kit import PASSWORD, Host, Store


def opened_key(store: Store) -> Key:
    """Return the repository's master key, as anybody gets it who has the password."""
    key = key_of(next((store.objects / "keys").iterdir()).read_bytes(), PASSWORD)
    assert key is not None
    return key


def cheaper_key(store: Store) -> None:
    """Put the same master key behind the same password into a key file that costs next to nothing to open."""
    body = cheap_key_file(opened_key(store), PASSWORD)
    for path in (store.objects / "keys").iterdir():
        path.unlink()
    store.put("keys", named(body), body)


def cheap_key_file(key: Key, password: str, *, cost: int = 1024, block: int = 1, lanes: int = 1) -> bytes:
    """Return a key file that costs next to nothing to open, or as much as is asked for."""
    salt = os.urandom(64)
    made = hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=1 << 29, dklen=64)
    parts = {"encrypt": key.encrypt, "k": key.mac_k, "r": key.mac_r}
    text = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    master = json.dumps({"mac": {"k": text["k"], "r": text["r"]}, "encrypt": text["encrypt"]}).encode()
    data = sealed(Key(made[:32], made[32:48], made[48:]), master)
    file = {
        "created": "2026-11-22T02:00:00Z",
        "username": "x",
        "hostname": "x",
        "kdf": "scrypt",
        "N": cost,
        "r": block,
        "p": lanes,
    }
    file |= {"salt": base64.b64encode(salt).decode(), "data": base64.b64encode(data).decode()}
    return json.dumps(file).encode()


def seal(key: Key, value: Any, *, packed: bool = True) -> bytes:
    """Seal a value as restic does; text is sealed as it stands."""
    plain = value if isinstance(value, bytes) else json.dumps(value).encode()
    return sealed(key, b"\x02" + zstandard.compress(plain) if packed else plain)


def sealed(key: Key, plain: bytes) -> bytes:
    """Seal bytes with the repository's key."""
    nonce = os.urandom(16)
    body = Cipher(algorithms.AES(key.encrypt), modes.CTR(nonce)).encryptor().update(plain)
    once = Cipher(algorithms.AES(key.mac_k), modes.ECB()).encryptor().update(nonce)  # noqa: S305
    return nonce + body + Poly1305.generate_tag(key.mac_r + once, body)


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


def named(body: bytes) -> str:
    """Return the name that restic gives an object."""
    return hashlib.sha256(body).hexdigest()
