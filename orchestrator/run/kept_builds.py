"""Modules that Ansible has built, kept for later calls of it: building one costs half a second, nearly all of it CPU.

Ansible reads every file that a module imports and packs them, once in each call, into a file of its own in the call's
temporary folder. Those files are kept here under a digest of all that they are made of. Where that folder looks different in
some other Ansible, nothing is found and nothing kept, and Ansible builds as ever.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

# What was not used for so long is removed.
KEEP_SECONDS = 30 * 86400.0


class KeptBuilds:
    """The builds of one module from these very sources. `made_by` says what else decides about them."""

    def __init__(self, folder: Path, module: str, made_by: Sequence[str], sources: Iterable[Path]) -> None:
        """Look at the sources."""
        digest = hashlib.sha256("\0".join(made_by).encode())
        for source in sorted(sources):
            digest.update(b"\0" + source.name.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
        self._folder, self._module = folder, module
        self._kept = folder / f"{module}-{digest.hexdigest()[:32]}"

    def lay_out(self, place: Path) -> None:
        """Put what is kept where Ansible looks for it."""
        with suppress(OSError):
            # Ansible runs what it finds in such a file. Nobody else may have had a hand in it.
            if not (_only_ours(self._folder) and _only_ours(self._kept)):
                return
            os.utime(self._kept)
            place.mkdir(parents=True, exist_ok=True)
            for build in self._kept.iterdir():
                _put(build, place)

    def keep(self, place: Path) -> None:
        """Keep what Ansible has built now."""
        with suppress(OSError):
            built = [file for file in place.iterdir() if self._module in file.name and file.suffix != ".lock"]
            new = [file for file in built if not file.name.endswith("-part") and not (self._kept / file.name).exists()]
            if not new:
                return
            self._sweep()
            self._kept.mkdir(mode=0o700, parents=True, exist_ok=True)
            for build in new:
                _put(build, self._kept)

    def _sweep(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self._folder.iterdir():
            if time.time() - old.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(old, ignore_errors=True)


def _put(file: Path, folder: Path) -> None:
    """Copy a file so that nobody ever sees a part of it."""
    if (folder / file.name).exists():
        return
    handle, partial = tempfile.mkstemp(dir=folder, suffix="-part")
    try:
        with os.fdopen(handle, "wb") as copy, file.open("rb") as original:
            shutil.copyfileobj(original, copy)
        Path(partial).rename(folder / file.name)
    except BaseException:
        Path(partial).unlink()
        raise


def _only_ours(folder: Path) -> bool:
    seen = folder.lstat()
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & 0o022
