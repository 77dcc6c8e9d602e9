"""Passwords of repositories that are 256 bits by chance, in a form that says so.

What scrypt is for, to make guessing dear, adds nothing to such a password; one that a person thought of needs it. The form is
recognised by its checksum, as GitHub's tokens are: nobody types such a thing by accident.
"""

from __future__ import annotations

import base64
import hashlib
import re

BYTES = 32
PREFIX = "upkeep-"
# 43 characters of base64url are 32 bytes.
FORM = re.compile(rf"({PREFIX}[A-Za-z0-9_-]{{43}})([A-Za-z0-9_-]{{6}})")


def make(chance: bytes) -> str:
    """Return the password that 32 bytes by chance make. Raises ValueError for more or fewer bytes."""
    if len(chance) != BYTES:
        raise ValueError(f"{BYTES} bytes make a password")
    token = PREFIX + base64.urlsafe_b64encode(chance).decode().rstrip("=")
    return token + _checksum(token)


def is_by_chance(password: str) -> bool:
    """Tell whether a password has the form that `make` gives, checksum and all."""
    parts = FORM.fullmatch(password)
    return parts is not None and _checksum(parts[1]) == parts[2]


def _checksum(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode()[:6]
