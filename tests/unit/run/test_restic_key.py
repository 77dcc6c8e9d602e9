"""The key files that restic makes are opened, however fast the machine was that made them; what only costs time is not tried."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from orchestrator.run.restic_objects import Key, Malformed, key_of

PASSWORD = "seeded-password"


def key_file(cost: int, block: int, lanes: int, *, made: bool = True) -> bytes:
    """Return a key file as restic makes one with these parameters of scrypt."""
    salt, data = b"s" * 64, b"x" * 90
    if made:
        derived = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=1 << 29, dklen=64)
        text = base64.b64encode(b"k" * 32).decode(), base64.b64encode(b"m" * 16).decode()
        master = {"mac": {"k": text[1], "r": text[1]}, "encrypt": text[0]}
        data = Key(derived[:32], derived[32:48], derived[48:]).seal(json.dumps(master).encode())
    fields = {"created": "2026-11-22T02:00:00Z", "username": "x", "hostname": "x", "kdf": "scrypt"}
    fields |= {"salt": base64.b64encode(salt).decode(), "data": base64.b64encode(data).decode()}
    return json.dumps({**fields, "N": cost, "r": block, "p": lanes}).encode()


# restic takes half a second for a key: one lane on a slow machine, a dozen on a fast one.
@pytest.mark.parametrize("lanes", [1, 12])
def test_a_key_that_restic_made_on_a_slow_or_a_fast_machine_is_opened(lanes: int) -> None:
    key = key_of(key_file(32768, 8, lanes), PASSWORD)
    assert key is not None
    assert key.encrypt == b"k" * 32


@pytest.mark.parametrize(("cost", "block", "lanes"), [(1 << 30, 8, 1), (32768, 8, 65), (1 << 18, 8, 64), (32767, 8, 1)])
def test_a_key_that_would_only_cost_time_or_memory_is_not_tried(cost: int, block: int, lanes: int) -> None:
    with pytest.raises(Malformed, match="key derivation is not one of restic's"):
        key_of(key_file(cost, block, lanes, made=False), PASSWORD)
