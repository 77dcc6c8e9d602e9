# GPL-3.0-or-later
"""Releases and their packages, known by SHA-256: fetched, looked into, compared with what is installed."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import re
import socket
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from .language_packs import TRANSLATION, pack_of
from .wordpress import HEADER_BYTES, header, stated_core_version

LARGEST_PACKAGE = 512 * 1024 * 1024
LARGEST_UNPACKED = 2 * 1024 * 1024 * 1024
MOST_FILES = 200_000
STALL_SECONDS = 60.0
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,39}\Z")
PLUGIN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}\.php\Z")
VERSION_FILE = "wordpress/wp-includes/version.php"
# A Mac adds this folder to an archive; WordPress leaves it out, and so do we.
LEFT_OUT = "__MACOSX/"


class PackageError(Exception):
    """A package could not be had or is not what it should be."""


class Unanswered(PackageError):
    """A server answered with something else than a package; `status` is HTTP's, `said` the beginning of its words."""

    def __init__(self, message: str, error: urllib.error.HTTPError) -> None:
        super().__init__(message)
        self.status = error.code
        try:
            self.said = error.read(500).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            self.said = ""


@dataclass(frozen=True)
class Change:
    """One release that replaces what is installed: kind core, plugin, theme or translation (language_packs.py)."""

    kind: str
    slug: str
    file: str
    version: str
    to: str
    package: str
    zip: str = ""
    sha256: str = ""
    bytes: int = 0

    def named(self) -> str:
        """Return the change as a person says it."""
        return f"{self.kind} {self.slug} {self.version} -> {self.to}"

    def evidence(self) -> dict[str, Any]:
        """Return what the ledger keeps of this change."""
        kept: dict[str, Any] = {"kind": self.kind, "slug": self.slug, "from": self.version, "to": self.to}
        if self.sha256:
            kept.update({"sha256": self.sha256, "bytes": self.bytes})
        return kept

    def request(self) -> dict[str, str]:
        """Return what our PHP needs to apply this change."""
        return {"kind": self.kind, "slug": self.slug, "file": self.file, "to": self.to, "zip": self.zip}

    def stored(self) -> dict[str, Any]:
        """Return all fields, for the file that a run keeps between its steps."""
        return asdict(self)


def download(change: Change, folder: str, *, timeout: float = 300.0, only_from: str = "") -> Change:
    """Fetch the package into `folder` and return the change with its file, size and SHA-256. Raises PackageError.

    With `only_from`, the name of a host, no redirect leads to another one, or to another scheme.
    """
    refuse_address(change.package)
    opener = urllib.request.build_opener(CarefulRedirects(only_from))
    request = urllib.request.Request(change.package, headers={"User-Agent": "Upkeep"})  # noqa: S310 - refused above
    return receive(change, folder, opener, request, timeout=timeout)


def receive(
    change: Change,
    folder: str,
    opener: urllib.request.OpenerDirector,
    request: urllib.request.Request,
    *,
    timeout: float,
    stall: float = STALL_SECONDS,
) -> Change:
    """Write what answers a request into `folder`; return the change with its file, size and SHA-256. Raises PackageError.

    `timeout` are the seconds for all of it, `stall` those for which nothing may come.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{change.kind}-{change.slug}-{change.to}.zip")
    digest, size, deadline = hashlib.sha256(), 0, time.monotonic() + timeout
    try:
        with opener.open(request, timeout=stall) as answer, open(path, "wb") as file:
            while True:
                block = answer.read(1024 * 1024)
                if not block:
                    break
                size += len(block)
                if size > LARGEST_PACKAGE:
                    raise PackageError(f"the package of {change.named()} is larger than {LARGEST_PACKAGE} bytes")
                if time.monotonic() > deadline:
                    raise PackageError(f"the package of {change.named()} did not come within {timeout:g} s")
                digest.update(block)
                file.write(block)
            promised = answer.headers.get("Content-Length", "")
    except urllib.error.HTTPError as error:
        with error:
            raise Unanswered(f"the package of {change.named()} cannot be had: {error}", error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PackageError(f"the package of {change.named()} cannot be had: {error}") from error
    if promised.isdigit() and int(promised) != size:
        raise PackageError(f"the package of {change.named()} broke off after {size} of {promised} bytes")
    values = change.stored()
    values.update({"zip": path, "sha256": digest.hexdigest(), "bytes": size})
    return Change(**values)


def inspect(change: Change) -> None:
    """Raise PackageError unless the package is a sound archive of exactly the release that was offered."""
    sound(change)
    if change.kind == TRANSLATION:
        # Its files have its name; which moment its words are of it need not say.
        return
    try:
        with zipfile.ZipFile(change.zip) as archive:
            stated = _stated_version(archive, change, _top(change))
    except Exception as error:
        raise PackageError(f"the package of {change.named()} is not a sound archive: {error}") from error
    if stated != change.to:
        raise PackageError(f"the package says that it is version {stated or '(none)'}, not {change.to}")


def sound(change: Change) -> None:
    """Raise PackageError unless the package is an archive of one folder, whole, of a bounded size, without links.

    A language pack has no folder: all of its files are its own by their names.
    """
    top = _top(change)
    try:
        with zipfile.ZipFile(change.zip) as archive:
            members = _members(archive)
            for member in members:
                _inspect_member(member, top, change)
            if change.kind == TRANSLATION:
                _inspect_pack(archive, change)
            if len(members) > MOST_FILES or sum(member.file_size for member in members) > LARGEST_UNPACKED:
                raise PackageError(
                    f"the package of {change.named()} unpacks to more than {LARGEST_UNPACKED} bytes or {MOST_FILES} files"
                )
            broken = archive.testzip()
            if broken:
                raise PackageError(f"the package of {change.named()} is damaged at {broken[:200]!r}")
    except PackageError:
        raise
    except Exception as error:
        # A hostile archive makes zipfile raise nearly anything: it needs a password, a method that nobody knows, …
        raise PackageError(f"the package of {change.named()} is not a sound archive: {error}") from error


def differences(change: Change, root: str) -> list[str]:
    """Return the files of the package that are missing or other in a tree, by size and CRC-32."""
    found = []
    with zipfile.ZipFile(change.zip) as archive:
        for member in _members(archive):
            path = installed_path(change, member.filename)
            if member.is_dir() or not path:
                continue
            try:
                with open(os.path.join(root, path), "rb") as file:
                    content = file.read()
            except OSError:
                found.append(path + " is missing")
                continue
            if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
                found.append(path + " is other than in the package")
    return found


def installed_path(change: Change, member: str) -> str:
    """Return where a file of the package lands below the document root, or "" for what an update leaves out."""
    if change.kind == "core":
        inside = member.partition("/")[2]
        return "" if inside.startswith("wp-content/") or inside == "wp-config-sample.php" else inside
    if change.kind == TRANSLATION:
        pack = pack_of(change.slug)
        return f"{pack.folder}/{member}" if pack else ""
    if change.kind == "theme":
        return "wp-content/themes/" + member
    return "wp-content/plugins/" + member


def refuse_address(url: str) -> None:
    """Raise PackageError for an address that no publisher has: other schemes, link-local (cloud metadata), loopback."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise PackageError(f"refusing the package address {url[:200]!r}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise PackageError(f"refusing the package address {url[:200]!r}")
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(parts.hostname, port or 80)}
    except (OSError, UnicodeError) as error:
        raise PackageError(f"{parts.hostname[:100]} cannot be resolved") from error
    for address in addresses:
        ip = ipaddress.ip_address(str(address).partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_link_local or ip.is_loopback or ip.is_unspecified or ip.is_multicast:
            raise PackageError(f"refusing the package address {url[:200]!r}: it leads to {ip}")


class CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to an address that no publisher has, nor, with `only_from`, to another host than that."""

    def __init__(self, only_from: str = "") -> None:
        self.only_from = only_from

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        refuse_address(newurl)
        leads_to = urlsplit(newurl)
        if self.only_from and (leads_to.hostname, leads_to.scheme) != (self.only_from, urlsplit(req.full_url).scheme):
            raise PackageError(f"refusing the package address {newurl[:200]!r}: it leads away from {self.only_from}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _top(change: Change) -> str:
    return "wordpress" if change.kind == "core" else change.slug


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [member for member in archive.infolist() if not member.filename.startswith(LEFT_OUT)]


def pack_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files of a language pack: everything but what a Mac adds."""
    return _members(archive)


def _inspect_pack(archive: zipfile.ZipFile, change: Change) -> None:
    pack = pack_of(change.slug)
    names = [member.filename for member in _members(archive)]
    wrong = next((name for name in names if pack is None or not pack.owns(name)), None)
    if wrong is not None:
        raise PackageError(f"the package of {change.named()} has a file that is none of its own: {wrong[:200]!r}")
    if len(set(names)) != len(names):
        raise PackageError(f"the package of {change.named()} has a file twice")
    if not any(name.endswith((".mo", ".l10n.php")) for name in names):
        raise PackageError(f"the package of {change.named()} has no words in it")


def _inspect_member(member: zipfile.ZipInfo, top: str, change: Change) -> None:
    name = member.filename
    outside = name.startswith("/") or "\\" in name or ".." in name.split("/") or "\0" in name
    if outside or (change.kind != TRANSLATION and name.split("/")[0] != top):
        raise PackageError(f"the package of {change.named()} has a file outside of its folder {top}: {name[:200]!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise PackageError(f"the package of {change.named()} has a symbolic link: {name[:200]!r}")


def _stated_version(archive: zipfile.ZipFile, change: Change, top: str) -> str:
    name = {"core": VERSION_FILE, "theme": top + "/style.css", "plugin": change.file}[change.kind]
    try:
        with archive.open(name) as file:
            head = file.read(HEADER_BYTES).decode("utf-8", "replace")
    except KeyError:
        return ""
    return stated_core_version(head) if change.kind == "core" else header(head, "Version")
