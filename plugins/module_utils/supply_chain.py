# GPL-3.0-or-later
"""What is new in a package beside what is installed, where a stranger's hand would show: a look, and no proof of anything.

Looked for are: code in folders for pictures and styles, code that runs decoded text, hosts that the installed version does
not name, another author or update address. What the installed version has already is not told. The archive has passed
packages.inspect before; what is read of it and of the site is bounded in bytes and seconds, and a look that came to its
bound says so.
"""

from __future__ import annotations

import fnmatch
import os
import re
import time
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Iterator

from .language_packs import TRANSLATION
from .packages import Change, installed_path
from .wordpress import HEADER_BYTES, header, unit

HIGH, LOW = "high", "low"
# By the word in the contract: the levels at which a release is held for a person.
HELD_AT = {"low": (LOW, HIGH), "high": (HIGH,), "never": ()}

LARGEST_FILE = 4 * 1024 * 1024
LARGEST_LOOK = 256 * 1024 * 1024
SECONDS = 30.0
MOST_FINDINGS = 20

ODD_FOLDERS = frozenset({"assets", "css", "images", "img", "js", "languages", "media", "uploads"})
CODE = re.compile(r"\.(?:php[0-9]?|phtml|pht|phar)(?:\.|$)", re.IGNORECASE)
PICTURE = re.compile(r"\.(?:gif|ico|jpe?g|png|webp)$", re.IGNORECASE)
# What an array of words is written with; nothing of it calls anything.
WORD = re.compile(
    rb"\s+|=>|[\[\](),;]|array\s*\(|-?[\d.]+|true\b|false\b|null\b|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\$]|\\.)*\"",
    re.IGNORECASE | re.DOTALL,
)
GUARD = re.compile(rb"(?:defined\s*\(\s*['\"]ABSPATH['\"]\s*\)\s*\|\|\s*)?(?:exit|die)\s*;\s*", re.IGNORECASE)
LINE_COMMENT = re.compile(rb"(?<![:'\"\\])//[^\n]*|^[ \t]*#[^\n]*", re.MULTILINE)
_DECODERS = rb"base64_decode|gzinflate|gzuncompress|gzdecode|str_rot13|hex2bin|convert_uudecode|rawurldecode|urldecode"
RUNS = re.compile(rb"\b(?:eval|assert|create_function)\s*\(", re.IGNORECASE)
# No file that a person has written runs text so often.
MOST_RUNS = 2000
# The decoded text may have been put into a variable before.
EVALUATED = re.compile(rb"\b(?:eval|assert|create_function)\s*\(\s*(?:@\s*)?\$", re.IGNORECASE)
DECODER = re.compile(rb"\b(?:" + _DECODERS + rb")\s*\(", re.IGNORECASE)
HOST = re.compile(rb"https?:\\?/\\?/((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})", re.IGNORECASE)
HEADERS = (("Author", HIGH), ("Update URI", HIGH), ("Author URI", LOW))


@dataclass(frozen=True)
class Finding:
    """One thing that is new: how much it says, what it is, and where."""

    level: str
    what: str
    where: str

    def words(self) -> str:
        """Return the finding as a person reads it."""
        return f"{self.what}: {self.where}"


@dataclass
class Traits:
    """What a set of files has of the things that are looked for."""

    code_in: dict[str, list[str]] = field(default_factory=dict)
    pictures: set[str] = field(default_factory=set)
    decoded: dict[bytes, str] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    hosts: dict[str, str] = field(default_factory=dict)


class _Enough(Exception):
    """The look came to its bound."""


def look(change: Change, root: str, *, seconds: float = SECONDS) -> list[Finding]:
    """Return what is new in the package of a change beside what is installed below `root`, the worst first."""
    deadline = time.monotonic() + seconds
    found: list[Finding] = []
    try:
        before, now = Traits(), Traits()
        for path, content in _installed(change, root, deadline):
            _take(before, path, content)
        for path, content in _packed(change, root, deadline):
            _take(now, path, content, known_hosts=before.hosts)
        found += _compare(before, now)
    except _Enough:
        found.append(Finding(LOW, "not all of it could be looked at", f"after {seconds:g} s or {LARGEST_LOOK} bytes"))
    except OSError as error:
        found.append(Finding(LOW, "not all of it could be looked at", str(error)[:200]))
    found += _headers(change, root)
    return sorted(found, key=lambda each: (each.level != HIGH, each.what, each.where))


def evidence(change: Change, findings: list[Finding]) -> dict[str, Any]:
    """Return what the ledger keeps of a look."""
    return {
        "kind": change.kind,
        "slug": change.slug,
        "to": change.to,
        "level": next((each.level for each in findings), ""),
        "findings": [
            {"level": each.level, "what": each.what, "where": each.where} for each in findings[:MOST_FINDINGS]
        ],
        "more": max(0, len(findings) - MOST_FINDINGS),
    }


def objection(findings: list[Finding], hold_at: str) -> str:
    """Return why a person has to look at the release first, or "" when the contract does not ask for that."""
    serious = [each for each in findings if each.level in HELD_AT[hold_at]]
    if not serious:
        return ""
    return "a person has to look at it first: " + "; ".join(each.words() for each in serious[:5])


def _take(traits: Traits, path: str, content: bytes, known_hosts: dict[str, str] | None = None) -> None:
    if PICTURE.search(path) and not CODE.search(path):
        if b"<?php" in content.lower():
            traits.pictures.add(path)
        return
    if not CODE.search(path):
        return
    folder = next((part for part in path.lower().split("/")[:-1] if part in ODD_FOLDERS), "")
    if folder and not _harmless(content):
        traits.code_in.setdefault(folder, []).append(path)
    lower = content.lower()
    if any(word in lower for word in (b"eval", b"assert", b"create_function")):
        _take_decoded(traits, path, content)
    hosts = _hosts(content)
    if known_hosts is not None and not hosts <= set(known_hosts):
        # Only now is it worth the time to leave out what stands in comments.
        hosts = _hosts(_bare(content))
    for host in hosts:
        traits.hosts.setdefault(host, path)


def _take_decoded(traits: Traits, path: str, content: bytes) -> None:
    bare = _bare(content)
    # In both: a comment's beginning may stand in a string, to hide what follows.
    for text in (bare, content):
        for number, match in enumerate(RUNS.finditer(text)):
            following = text[match.start() : match.end() + 300].partition(b";")[0]
            if number == MOST_RUNS or DECODER.search(following):
                traits.decoded.setdefault(b"".join(following.split()), path)
            if number == MOST_RUNS:
                break
    if EVALUATED.search(bare) and DECODER.search(bare):
        traits.maybe.add(path)


def _compare(before: Traits, now: Traits) -> list[Finding]:
    found = []
    for folder, paths in now.code_in.items():
        known = set(before.code_in.get(folder, []))
        level = LOW if known else HIGH
        found += [Finding(level, f"code in a folder named {folder}", path) for path in paths if path not in known]
    found += [Finding(HIGH, "code in a picture", path) for path in now.pictures - before.pictures]
    decoded = {path for text, path in now.decoded.items() if text not in before.decoded}
    found += [Finding(HIGH, "code that runs decoded text", path) for path in decoded]
    found += [
        Finding(LOW, "code that runs a variable, beside code that decodes text", path)
        for path in now.maybe - before.maybe - decoded
    ]
    new_hosts = sorted(set(now.hosts) - set(before.hosts))
    return found + [Finding(LOW, f"a host that was not named before: {host}", now.hosts[host]) for host in new_hosts]


def _headers(change: Change, root: str) -> list[Finding]:
    if change.kind in ("core", TRANSLATION):
        return []
    name = change.file if change.kind == "plugin" else change.slug + "/style.css"
    try:
        with zipfile.ZipFile(change.zip) as archive, archive.open(name) as file:
            new = file.read(HEADER_BYTES).decode("utf-8", "replace")
        with open(os.path.join(root, installed_path(change, name)), "rb") as file:
            old = file.read(HEADER_BYTES).decode("utf-8", "replace")
    except (OSError, KeyError):
        return []
    found = []
    for key, level in HEADERS:
        was, now = header(old, key), header(new, key)
        if was != now:
            found.append(Finding(level, f"another {key}", f"{was or '(none)'} -> {now or '(none)'}"))
    return found


def _packed(change: Change, root: str, deadline: float) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the package's files that are new or other than what is installed."""
    left = LARGEST_LOOK
    with zipfile.ZipFile(change.zip) as archive:
        for member in archive.infolist():
            path = installed_path(change, member.filename)
            if member.is_dir() or not path or not _worth(path):
                continue
            left = _count(left, member.file_size, deadline)
            content = archive.read(member) if member.file_size <= LARGEST_FILE else b""
            if not _same(os.path.join(root, path), member):
                yield path, content


def _installed(change: Change, root: str, deadline: float) -> Iterator[tuple[str, bytes]]:
    left = LARGEST_LOOK
    for start in unit(change.kind, change.slug, change.file):
        if start.endswith("/"):
            continue
        top, pattern = os.path.split(os.path.join(root, start))
        if os.path.isdir(os.path.join(top, pattern)):
            top = os.path.join(top, pattern)
            files = [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
        else:
            there = os.listdir(top) if os.path.isdir(top) else []
            files = [os.path.join(top, name) for name in fnmatch.filter(sorted(there), pattern)]
        for file in files:
            if not _worth(file) or os.path.islink(file) or not os.path.isfile(file):
                continue
            size = os.path.getsize(file)
            left = _count(left, size, deadline)
            if size <= LARGEST_FILE:
                with open(file, "rb") as opened:
                    yield os.path.relpath(file, root), opened.read(LARGEST_FILE)


def _worth(path: str) -> bool:
    return bool(CODE.search(path) or PICTURE.search(path))


def _count(left: int, size: int, deadline: float) -> int:
    if left < size or time.monotonic() > deadline:
        raise _Enough
    return left - size


def _same(path: str, member: zipfile.ZipInfo) -> bool:
    try:
        if os.path.getsize(path) != member.file_size:
            return False
        with open(path, "rb") as file:
            return zlib.crc32(file.read()) == member.CRC
    except OSError:
        return False


def _harmless(content: bytes) -> bool:
    """Whether a file is empty or returns an array of words, as the tools write that WordPress's own scripts come with."""
    # As it stands first: what looks like a comment may stand in one of the words.
    return _is_words(content.strip()) or _is_words(_bare(content).strip())


def _is_words(code: bytes) -> bool:
    code = code[5:] if code[:5].lower() == b"<?php" else code
    code = (code[:-2] if code.endswith(b"?>") else code).strip()
    guard = GUARD.match(code)
    code = code[guard.end() :] if guard else code
    if not code:
        return True
    if code[:6].lower() != b"return":
        return False
    at = 6
    while at < len(code):
        word = WORD.match(code, at)
        if word is None:
            return False
        at = word.end()
    return True


def _bare(content: bytes) -> bytes:
    """Return code without its comments. Searched by hand: a regular expression would take for ever over a hostile file."""
    parts: list[bytes] = []
    at = 0
    while True:
        begins = content.find(b"/*", at)
        ends = content.find(b"*/", begins + 2) if begins >= 0 else -1
        if ends < 0:
            return LINE_COMMENT.sub(b" ", b" ".join([*parts, content[at:]]))
        parts.append(content[at:begins])
        at = ends + 2


def _hosts(content: bytes) -> set[str]:
    return {match.group(1).decode("ascii").lower() for match in HOST.finditer(content)}
