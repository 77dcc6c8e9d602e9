"""What WordPress.org delivers, fetched once for the whole fleet: checked here, kept by SHA-256 for some days.

A host names a path of WordPress.org's, never an address; only paths of releases are known here. So no host can bring the
controller to ask anybody else, and none can put anything here: every byte was fetched by the controller itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import http
import json
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from orchestrator.run import publisher
from orchestrator.run.host_code import language_packs, packages
from orchestrator.run.publisher import Away, NotReached, name_of, write

# A release is asked for again after so long: a publisher may have had to replace it.
KEEP_SECONDS = 7 * 86400.0
LARGEST_ANSWER = 64 * 1024 * 1024
_VERSION = r"(?P<version>[0-9][0-9A-Za-z_+-]*(?:\.[0-9A-Za-z_+-]+)*)"
CORE = re.compile(rf"release/(?:(?P<locale>[A-Za-z]{{2,3}}(?:_[A-Za-z0-9]+)*)/)?wordpress-{_VERSION}\.zip")
OTHERS = re.compile(rf"(?P<kind>plugin|theme)/(?P<slug>[A-Za-z0-9][A-Za-z0-9_-]*)\.{_VERSION}\.zip")
# A pack has one address for ever: the moment of which it is stands in the path here, so that an older one is not taken for it.
WORDS = re.compile(
    rf"(?P<place>translation/(?:core|(?P<kind>plugin|theme)/(?P<slug>[A-Za-z0-9][A-Za-z0-9_-]*))/{_VERSION}"
    rf"/(?P<locale>{language_packs.LOCALE}))\.(?P<moment>{language_packs.MOMENT})\.zip"
)
NO_CHECKSUMS = "the archive alone: the publisher gives no checksums"


@dataclass(frozen=True)
class Kept:
    """A package as it lies here. `checked` says what it was held against."""

    source: str
    path: str
    sha256: str
    bytes: int
    checked: str


class PackageCache:
    """The packages in a folder of the controller's. `downloads` and `api` are where WordPress.org is."""

    def __init__(self, folder: Path, downloads: str, api: str) -> None:
        self._folder, self._downloads, self._api = folder, downloads.rstrip("/"), api.rstrip("/")
        self._away = Away(folder, self._downloads)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def file(self, kept: Kept) -> Path:
        """Return where its bytes are."""
        return self._folder / f"{kept.sha256}.zip"

    def known(self, path: str) -> Kept | None:
        """Return the package of that path if it is here. Raises PackageError for a path of something else."""
        self._change(path)
        return self._known(self._note(path), path)

    def get(self, path: str) -> Kept:
        """Return the package of that path, fetched if it is not here. Whoever else wants it meanwhile waits for it.

        Raises NotReached, and PackageError for one that is not what it should be.
        """
        change = self._change(path)
        with self._alone(path) as note:
            kept = self._known(note, path)
            if kept is None:
                kept = self._fetched(change, path)
                write(note, json.dumps(asdict(kept)))
            return kept

    def sweep(self) -> None:
        """Remove what is too old."""
        for each in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - each.stat().st_mtime > KEEP_SECONDS:
                    shutil.rmtree(each) if each.is_dir() else each.unlink()

    def _change(self, path: str) -> packages.Change:
        core, other, words = CORE.fullmatch(path), OTHERS.fullmatch(path), WORDS.fullmatch(path)
        url = f"{self._downloads}/{path}"
        if core:
            return packages.Change("core", "wordpress", "", "", core["version"], url)
        if other:
            return packages.Change(other["kind"], other["slug"], "", "", other["version"], url)
        if words:
            pack = language_packs.Pack(words["kind"] or "core", words["slug"] or "default", words["locale"])
            url = f"{self._downloads}/{words['place']}.zip"
            return packages.Change(language_packs.TRANSLATION, pack.named(), "", "", words["moment"], url)
        raise packages.PackageError("that is no path of a release at WordPress.org")

    @contextmanager
    def _alone(self, path: str) -> Iterator[Path]:
        note = self._note(path)
        with note.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield note

    def _note(self, path: str) -> Path:
        return self._folder / f"{name_of(f'{self._downloads}/{path}')}.json"

    def _known(self, note: Path, path: str) -> Kept | None:
        try:
            if time.time() - note.stat().st_mtime > KEEP_SECONDS:
                return None
            kept = Kept(**json.loads(note.read_text(encoding="utf-8")))
            with self.file(kept).open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == kept.sha256
        except (OSError, ValueError, TypeError):
            return None
        return kept if whole and (kept.source, kept.path) == (self._downloads, path) else None

    def _fetched(self, change: packages.Change, path: str) -> Kept:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            try:
                self._away.refuse()
                got = packages.download(change, folder, only_from=urlsplit(self._downloads).hostname or "")
            except packages.Unanswered as error:
                raise NotReached(str(error)) from None
            except packages.PackageError as error:
                self._away.remember(str(error))
                raise NotReached(str(error)) from None
            packages.sound(got)
            kept = Kept(self._downloads, path, got.sha256, got.bytes, self._check(got, path))
            Path(got.zip).replace(self.file(kept))
        return kept

    def _check(self, change: packages.Change, path: str) -> str:
        """Hold a package against the publisher's own checksums, where there are some. Raises PackageError."""
        if change.kind in ("theme", language_packs.TRANSLATION):
            return NO_CHECKSUMS
        core = CORE.fullmatch(path)
        listed: dict[str, Mapping[str, Any]]
        if core:
            locale = core["locale"] or "en_US"
            told = self._asked(f"{self._api}/core/checksums/1.0/?version={quote(change.to)}&locale={locale}")
            listed = {name: {"md5": md5} for name, md5 in _mapping(told.get("checksums")).items()}
        else:
            told = self._asked(f"{self._downloads}/plugin-checksums/{quote(change.slug)}/{quote(change.to)}.json")
            listed = {name: _mapping(sums) for name, sums in _mapping(told.get("files")).items()}
        if not listed:
            return NO_CHECKSUMS
        wrong, compared = _differences(change, listed)
        if wrong:
            raise packages.PackageError(
                f"the package of {change.kind} {change.slug} {change.to} does not agree with the publisher's checksums:"
                f" {'; '.join(wrong[:3])}{f'; and {len(wrong) - 3} more' if len(wrong) > 3 else ''}"
            )
        return f"the publisher's checksums of {compared} files"

    def _asked(self, url: str) -> Mapping[str, Any]:
        """Return what the publisher answers; nothing where he has nothing. Raises PackageError when he does not answer."""
        try:
            return _mapping(json.loads(publisher.ask(url, largest=LARGEST_ANSWER)))
        except publisher.NoAnswer as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return {}
            raise packages.PackageError(f"the publisher's checksums cannot be asked: {error}") from None
        except ValueError as error:
            raise packages.PackageError(f"the publisher's checksums cannot be asked: {error}") from None


def _differences(change: packages.Change, listed: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], int]:
    """Return where a package and the publisher's list of its files differ, and how many files were held against it."""
    found, seen = [], set()
    with zipfile.ZipFile(change.zip) as archive:
        for member in archive.infolist():
            name = member.filename.partition("/")[2]
            if member.is_dir() or _soft(change, name):
                continue
            seen.add(name)
            if name not in listed:
                found.append(f"{name} is not in the list")
            elif not _agrees(archive.read(member), listed[name]):
                found.append(f"{name} is another file")
    if change.kind == "core":
        # Of a plugin the list keeps files that its author has removed without a new version.
        found += [f"{name} is missing" for name in listed if name not in seen and not _soft(change, name)]
    return found, len(seen)


def _soft(change: packages.Change, name: str) -> bool:
    """Whether a file is left out, as `wp … verify-checksums` leaves it out: authors change a readme without a new version,
    and what a core package brings below wp-content is not put in place."""
    return name.startswith("wp-content/") if change.kind == "core" else name.lower() in ("readme.txt", "readme.md")


def _agrees(content: bytes, sums: Mapping[str, Any]) -> bool:
    algorithm = "sha256" if sums.get("sha256") else "md5"
    wanted = sums.get(algorithm)
    # Several, where an author has changed a file without a new version.
    allowed = wanted if isinstance(wanted, list) else [wanted]
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() in allowed


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
