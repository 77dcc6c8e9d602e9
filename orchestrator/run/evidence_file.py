"""Write evidence down that is a file: for its owner alone, with its size and its SHA-256 for the ledger."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any


def written(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file with the mode 0600 and return {file, bytes, sha256}. A link in its place is not followed."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return {"file": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
