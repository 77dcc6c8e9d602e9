"""A restic repository that is there already, and whose key costs next to nothing to open.

restic chooses a key that takes this machine half a second each time it is opened, and some more to be chosen: most of what
tests with restore points would wait for. What is made here is what `restic init` makes, but for the price in the key file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from orchestrator.contract.model import Store
from orchestrator.run.bucket import Keys, opened
from orchestrator.run.restic_objects import Key

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


def named(body: bytes) -> str:
    """Return the name that restic gives an object."""
    return hashlib.sha256(body).hexdigest()
