"""Read a package that somebody hands in: what it is, by its own header, and whether it is sound."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from orchestrator.errors import Refused, Usage
from orchestrator.run.artefacts import Artefact
from orchestrator.run.host_code import packages, wordpress

KINDS = ("plugin", "theme")
NAME_OF = {"plugin": "Plugin Name", "theme": "Theme Name"}


def read_archive(path: Path, kind: str = "") -> Artefact:
    """Return what an archive says that it is. `kind` decides where it could be a plugin as well as a theme.

    Raises Usage where there is no such file, and Refused when the archive is not one that a site could be given.
    """
    digest = _digest(path)
    again = f"look into it: unzip -l {path}"
    try:
        with zipfile.ZipFile(path) as archive:
            top = _top(archive)
            heads = {each: _heads(archive, top, each) for each in KINDS if kind in ("", each)}
    except Refused:
        raise
    except Exception as error:
        # A damaged archive makes zipfile raise nearly anything.
        raise Refused(f"{path} is not a sound archive: {error}; nothing was stored.", again) from None
    found = {each: head for each, head in heads.items() if head}
    if len(found) != 1:
        what = (
            "is a plugin and a theme at once"
            if found
            else f"has no header of a {kind or 'plugin or a theme'} in {top}/"
        )
        told = f"upkeep artefact add {path} CLIENT --kind plugin" if found else again
        raise Refused(f"{path} {what}; nothing was stored.", told)
    chosen = next(iter(found))
    file, head = _main(path, top, found[chosen])
    artefact = Artefact(
        kind=chosen,
        slug=top,
        file=file if chosen == "plugin" else "",
        version=wordpress.header(head, "Version"),
        name=wordpress.header(head, NAME_OF[chosen]),
        author=wordpress.header(head, "Author"),
        sha256=digest,
        bytes=path.stat().st_size,
    )
    _refuse_unfit(path, artefact, again)
    return artefact


def _digest(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > packages.LARGEST_PACKAGE:
            raise Refused(
                f"{path} is larger than {packages.LARGEST_PACKAGE} bytes; nothing was stored.", f"ls -l {path}"
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}.", "upkeep artefact add FILE.zip CLIENT") from None


def _top(archive: zipfile.ZipFile) -> str:
    tops = {name.split("/")[0] for name in archive.namelist() if not name.startswith(packages.LEFT_OUT)}
    if len(tops) != 1 or packages.SLUG.match(top := next(iter(tops))) is None:
        raise Refused(
            "the archive must hold one folder, named as the plugin or theme is on the site, and it holds "
            f"{', '.join(repr(each[:60]) for each in sorted(tops)[:5]) or 'nothing'}; nothing was stored.",
            "pack that folder anew: zip -r SLUG.zip SLUG",
        )
    return top


def _heads(archive: zipfile.ZipFile, top: str, kind: str) -> dict[str, str]:
    """Return the files in the top folder that have the header of that kind, each with its beginning."""
    found = {}
    for name in archive.namelist():
        fits = name == f"{top}/style.css" if kind == "theme" else name.count("/") == 1 and name.endswith(".php")
        if fits and name.startswith(f"{top}/"):
            with archive.open(name) as file:
                head = file.read(wordpress.HEADER_BYTES).decode("utf-8", "replace")
            if wordpress.header(head, NAME_OF[kind]):
                found[name] = head
    return found


def _main(path: Path, top: str, heads: dict[str, str]) -> tuple[str, str]:
    """Return the main file: the only one, or the one that is named like its folder."""
    if len(heads) == 1:
        return next(iter(heads.items()))
    usual = f"{top}/{top}.php"
    if usual not in heads:
        raise Refused(
            f"{path} has several plugins in one folder ({', '.join(sorted(heads))}); nothing was stored.",
            "leave the header to one file",
        )
    return usual, heads[usual]


def _refuse_unfit(path: Path, artefact: Artefact, again: str) -> None:
    if packages.VERSION.match(artefact.version) is None:
        raise Refused(
            f"{path} says no version that could be compared ({artefact.version[:40]!r}); nothing was stored.", again
        )
    change = packages.Change(
        artefact.kind, artefact.slug, artefact.file, "", artefact.version, "", zip=str(path), sha256=artefact.sha256
    )
    try:
        packages.inspect(change)
    except packages.PackageError as error:
        raise Refused(f"{error}; nothing was stored.", again) from None
