"""Build what the pipeline works on: a site's value, and trees of files out of plain dictionaries."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plugins.module_utils.site import Site

RUN = "20261122T020000Z-1f0c9a2b"
OTHER_RUN = "20261123T020000Z-2f0c9a2b"
NOBODY = 65534


def site_at(folder: Path, **changes: Any) -> Site:
    """Return a site whose document root is `folder`/htdocs."""
    given = {
        "client": "example", "name": "shop", "url": "http://shop.example.test", "root": str(folder / "htdocs"),
        "address": "127.0.0.1", "port": 80, "programs": {}, "error_log": "",
        "staging": {"port": 8081, "database": "shop_staging"},
    }  # fmt: skip
    return Site.from_parameters({**given, **changes})


def file(content: bytes = b"", mode: int = 0o644) -> tuple[str, bytes, int]:
    """Describe a file."""
    return ("file", content, mode)


def link(target: bytes) -> tuple[str, bytes]:
    """Describe a symbolic link."""
    return ("link", target)


def folder(inside: Mapping[bytes, Any] | None = None, mode: int = 0o755) -> tuple[str, dict[bytes, Any], int]:
    """Describe a folder."""
    return ("folder", dict(inside or {}), mode)


def build(place: str | bytes, node: tuple[Any, ...]) -> None:
    """Make a file, a link or a folder with all that is in it."""
    path = os.fsencode(place)
    if node[0] == "file":
        with open(path, "wb") as handle:
            handle.write(node[1])
        os.chmod(path, node[2])
    elif node[0] == "link":
        os.symlink(node[1], path)
    else:
        os.mkdir(path, 0o700)
        for name, inner in node[1].items():
            build(os.path.join(path, name), inner)
        os.chmod(path, node[2])


def shape(root: str | bytes) -> dict[bytes, tuple[Any, ...]]:
    """Return what a tree is, byte for byte: kind, mode and content of every path, times of files."""
    found: dict[bytes, tuple[Any, ...]] = {}
    top = os.fsencode(root)
    for inside, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(inside, name)
            seen = os.lstat(path)
            mode = stat.S_IMODE(seen.st_mode)
            key = os.path.relpath(path, top)
            if stat.S_ISLNK(seen.st_mode):
                found[key] = ("link", os.readlink(path))
            elif stat.S_ISDIR(seen.st_mode):
                found[key] = ("folder", mode)
            else:
                with open(path, "rb") as handle:
                    found[key] = ("file", mode, handle.read(), seen.st_mtime_ns)
    return found


@contextlib.contextmanager
def as_site_owner(place: str) -> Iterator[None]:
    """Be an ordinary user for a while, where we are root: modes of folders mean nothing to root."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(place, NOBODY, NOBODY)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
