"""Open what restic writes and say whether it is what its name says; of what restic reads, only key files are made here.

The format is restic's own and documented (https://restic.readthedocs.io/en/stable/100_references.html): a key file is
JSON, everything else is IV, AES-256-CTR and Poly1305-AES, and inside JSON, since version 2 behind a byte 2 and zstd.

Whoever holds the repository's password can seal anything, so what is inside is judged as strictly as restic reads it:
an index that Python accepts and restic does not would stop every restore.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

ID = re.compile(r"[0-9a-f]{64}")
# Go reads names of fields without regard to case, and the last one wins: "Exclusive" beside "exclusive" is a trap.
FIELD = re.compile(r"[a-z0-9_]+|N")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# IV and MAC. restic 0.14 does not survive the sight of an index, a snapshot or a lock that is shorter.
OVERHEAD = 32
COMPRESSED = 2
UINT32 = 1 << 32
# restic begins another index after 50,000 blobs, about 8 MB. A small object that unpacks to all memory is a joke.
LARGEST_PLAIN = 32 * 1024 * 1024
# A blob of data has 8 MB at most, one of a tree is as long as its folder has entries.
LARGEST_BLOB = 512 * 1024 * 1024
# scrypt's r, as restic has it always.
BLOCK = 8
LARGEST_SCRYPT = 256 * 1024 * 1024
# Bytes that are gone through: restic's lanes have 32 MiB each, and one takes a tenth of a second at most.
LONGEST_SCRYPT = 2048 * 1024 * 1024


class Malformed(Exception):
    """An object is not what restic would have written; the message says what is wrong."""


@dataclass(frozen=True)
class Key:
    """A repository's master key."""

    encrypt: bytes = field(repr=False)
    mac_k: bytes = field(repr=False)
    mac_r: bytes = field(repr=False)

    def open(self, sealed: bytes) -> bytes:
        """Return what is inside. Raises Malformed unless it was sealed with this very key."""
        if len(sealed) <= OVERHEAD:
            raise Malformed("it is too short")
        nonce, body, tag = sealed[:16], sealed[16:-16], sealed[-16:]
        try:
            Poly1305.verify_tag(self._once(nonce), body, tag)
        except InvalidSignature:
            raise Malformed("it was not sealed with the repository's key") from None
        return Cipher(algorithms.AES(self.encrypt), modes.CTR(nonce)).decryptor().update(body)

    def seal(self, plain: bytes) -> bytes:
        """Return what only this key opens."""
        nonce = os.urandom(16)
        body = Cipher(algorithms.AES(self.encrypt), modes.CTR(nonce)).encryptor().update(plain)
        return nonce + body + Poly1305.generate_tag(self._once(nonce), body)

    def value(self, sealed: bytes) -> dict[str, Any]:
        """Return the JSON object inside, decompressed where restic compresses."""
        plain = self.open(sealed)
        return _object(_decompressed(plain[1:]) if plain[:1] == bytes([COMPRESSED]) else plain)

    def blob(self, sealed: bytes, *, compressed: bool) -> bytes:
        """Return what a blob of a pack holds."""
        plain = self.open(sealed)
        return _decompressed(plain, LARGEST_BLOB) if compressed else plain

    def _once(self, nonce: bytes) -> bytes:
        # AES of one block makes the one-time half of the key: that is what Poly1305-AES means. No data goes through it.
        half = Cipher(algorithms.AES(self.mac_k), modes.ECB()).encryptor()  # noqa: S305
        return self.mac_r + half.update(nonce)


def key_file(key: Key, password: str, *, cost: int, lanes: int, created: datetime) -> bytes:
    """Return a key file that holds the master key for who has the password, which restic reads. `cost` is scrypt's N."""
    salt = os.urandom(64)
    made = hashlib.scrypt(password.encode(), salt=salt, n=cost, r=BLOCK, p=lanes, maxmem=2 * LARGEST_SCRYPT, dklen=64)
    encrypt, mac_k, mac_r = (base64.b64encode(part).decode() for part in (key.encrypt, key.mac_k, key.mac_r))
    master = json.dumps({"mac": {"k": mac_k, "r": mac_r}, "encrypt": encrypt}).encode()
    sealed = Key(made[:32], made[32:48], made[48:]).seal(master)
    value = {
        "created": created.isoformat(), "username": "upkeep", "hostname": "", "kdf": "scrypt", "N": cost, "r": BLOCK, "p": lanes,
        "salt": base64.b64encode(salt).decode(), "data": base64.b64encode(sealed).decode(),
    }  # fmt: skip
    return json.dumps(value).encode()


def key_of(file: bytes, password: str) -> Key | None:
    """Return the master key that a key file holds, or None when the password does not open it."""
    value = _object(file)
    try:
        cost, block, lanes = (int(value[name]) for name in ("N", "r", "p"))
        salt, sealed = (base64.b64decode(value[name], validate=True) for name in ("salt", "data"))
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"it is no key file ({error})") from None
    if value.get("kdf") != "scrypt" or not _affordable(cost, block, lanes):
        raise Malformed("its key derivation is not one of restic's")
    made = hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=2 * LARGEST_SCRYPT, dklen=64)
    try:
        master = _object(Key(made[:32], made[32:48], made[48:]).open(sealed))
    except Malformed:
        return None
    try:
        inside = (master["encrypt"], master["mac"]["k"], master["mac"]["r"])
        parts = [base64.b64decode(part, validate=True) for part in inside]
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"it holds no master key ({error})") from None
    if [len(part) for part in parts] != [32, 16, 16]:
        raise Malformed("it holds no master key")
    return Key(*parts)


def check_config(value: Mapping[str, Any]) -> None:
    """Raise Malformed unless this is the configuration of a repository that we can judge."""
    if value.get("version") not in (1, 2):
        raise Malformed("it is the configuration of a version of repository that is not known here")
    if not _is_id(value.get("id")) or not re.fullmatch(r"[0-9a-f]{6,16}", str(value.get("chunker_polynomial"))):
        raise Malformed("it is no configuration of a repository")


def check_index(value: Mapping[str, Any], packs: Mapping[str, int]) -> None:
    """Raise Malformed unless an index lists nothing but these packs, and every blob lies inside its pack."""
    if value.get("supersedes") not in (None, []):
        raise Malformed("it wants to take the place of another index")
    listed = value.get("packs")
    if not isinstance(listed, list) or not listed:
        raise Malformed("it lists no packs")
    for pack in listed:
        if not isinstance(pack, dict) or not _is_id(pack.get("id")) or not isinstance(pack.get("blobs"), list):
            raise Malformed("it is no index")
        size = packs.get(pack["id"])
        if size is None:
            raise Malformed(f"it lists the pack {pack['id'][:8]}, which this session has not sent")
        for blob in pack["blobs"]:
            _check_blob(blob, size)


def check_lock(value: Mapping[str, Any]) -> None:
    """Raise Malformed unless this is a lock beside which others may work."""
    _check_fields(value, LOCK, "lock")
    if value["exclusive"]:
        raise Malformed("it locks everybody else out, and nothing that a host may do needs that")


def check_snapshot(value: Mapping[str, Any], tag: str) -> None:
    """Raise Malformed unless this is a snapshot with that tag."""
    _check_fields(value, SNAPSHOT, "snapshot")
    if tag not in (value.get("tags") or []):
        raise Malformed(f"it does not carry the tag {tag}")


def moment(value: Mapping[str, Any]) -> datetime:
    """Return the time that a snapshot or a lock claims."""
    return datetime.fromisoformat(value["time"])


def _check_fields(value: Mapping[str, Any], shape: Mapping[str, tuple[bool, Callable[[Any], bool]]], what: str) -> None:
    for name, (needed, fits) in shape.items():
        if (name in value or needed) and not fits(value.get(name)):
            raise Malformed(f"it is no {what}: its {name} is not right")


def _check_blob(blob: Any, size: int) -> None:
    if not isinstance(blob, dict) or not _is_id(blob.get("id")) or blob.get("type") not in ("data", "tree"):
        raise Malformed("it is no index")
    offset, length = blob.get("offset"), blob.get("length")
    if not _is_uint32(offset) or not _is_uint32(length) or not _is_uint32(blob.get("uncompressed_length", 0)):
        raise Malformed("it is no index")
    if length <= OVERHEAD or offset + length > size:
        raise Malformed("it lists a blob that is not inside its pack")


def _affordable(cost: int, block: int, lanes: int) -> bool:
    # restic fits the lanes to the machine that makes the key, so that half a second goes by: a fast one has many of
    # them. They cost time one after the other, and the memory of one.
    power_of_two = cost > 1 and cost & (cost - 1) == 0
    memory = 128 * cost * block
    sizes = power_of_two and 0 < block <= 64 and 0 < lanes <= 64
    return sizes and memory <= LARGEST_SCRYPT and memory * lanes <= LONGEST_SCRYPT


def _decompressed(packed: bytes, largest: int = LARGEST_PLAIN) -> bytes:
    plain = bytearray()
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as reader:
            while piece := reader.read(1 << 20):
                plain += piece
                if len(plain) > largest:
                    raise Malformed("it unpacks to more than restic puts into one object")
    except zstandard.ZstdError as error:
        raise Malformed(f"it cannot be decompressed ({error})") from None
    return bytes(plain)


def _object(plain: bytes) -> dict[str, Any]:
    try:
        # Decoded here: left to itself json also reads UTF-16 and marks of byte order, which Go does not.
        value = json.loads(
            plain.decode(), object_pairs_hook=_fields, parse_constant=_no_number, parse_int=_number, parse_float=float
        )
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON as restic writes it") from None
    if not isinstance(value, dict):
        raise Malformed("it is not a JSON object")
    return value


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if any(FIELD.fullmatch(name) is None for name, _ in pairs) or len({name.lower() for name, _ in pairs}) < len(pairs):
        raise ValueError("a field that restic would read in another way")
    return dict(pairs)


def _number(text: str) -> int:
    # Go does not read "-0" into what may not be negative, and nothing that restic writes is negative.
    if text.startswith("-"):
        raise ValueError(text)
    return int(text)


def _no_number(text: str) -> None:
    raise ValueError(text)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


def _is_uint32(value: Any) -> TypeGuard[int]:
    # bool is an int in Python, and Go does not read `true` as a number.
    return type(value) is int and 0 <= value < UINT32


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _is_id_or_nothing(value: Any) -> bool:
    return value is None or _is_id(value)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or TIME.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


# The fields that restic reads, whether they must be there, and what they may be. Others are left alone: restic, too,
# leaves alone what it does not know.
LOCK = {
    "time": (True, _is_time),
    "exclusive": (True, _is_flag),
    "hostname": (True, _is_text),
    "username": (False, _is_text),
    "pid": (False, _is_uint32),
    "uid": (False, _is_uint32),
    "gid": (False, _is_uint32),
}
SNAPSHOT = {
    "time": (True, _is_time),
    "tree": (True, _is_id),
    "parent": (False, _is_id_or_nothing),
    "paths": (True, _is_texts),
    "hostname": (False, _is_text),
    "username": (False, _is_text),
    "uid": (False, _is_uint32),
    "gid": (False, _is_uint32),
    "excludes": (False, _is_texts),
    "tags": (False, _is_texts),
    "original": (False, _is_id_or_nothing),
    "program_version": (False, _is_text),
}
