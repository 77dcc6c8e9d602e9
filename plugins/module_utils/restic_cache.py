# GPL-3.0-or-later
"""restic's cache on a host: kept, because without it an unchanged snapshot asks the store 100 times as much; and kept small."""

from __future__ import annotations

import os
from typing import Iterator, Tuple

# What restic knows of a site with 10,000 files and a hundred restore points takes some 20 MB.
LARGEST = 512 << 20
# The folders of a cache that hold copies of what is in the store; beside them lies what makes it a cache.
COPIES = ("data", "index", "snapshots")


def bound(folder: str, largest: int = LARGEST) -> int:
    """Remove what was used longest ago until no more than `largest` bytes are left. Returns the bytes that were removed.

    restic fetches again what it then misses. Nothing may be at work with this cache meanwhile.
    """
    files = sorted(_copies(folder))
    left, removed = sum(size for _, size, _ in files), 0
    for _, size, path in files:
        if left <= largest:
            break
        os.unlink(path)
        left, removed = left - size, removed + size
    return removed


def _copies(folder: str) -> Iterator[Tuple[float, int, str]]:
    """Yield when each copy was used last, its bytes and its path, for all repositories of this cache."""
    for place, _, names in os.walk(folder):
        if os.path.relpath(place, folder).split(os.sep)[1:2] not in [[kind] for kind in COPIES]:
            continue
        for name in names:
            path = os.path.join(place, name)
            seen = os.lstat(path)
            yield max(seen.st_atime, seen.st_mtime), seen.st_size, path
