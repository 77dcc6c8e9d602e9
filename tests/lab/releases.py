"""Build every release that the lab offers, in the shape that WordPress.org serves. The results are cached.

The real ones come from npm: WordPress itself and one plugin with real releases far apart. Our own small ones, good and
bad, are in bad_releases.py. A *variant* (`4.33.0+old-header`) is offered as that version, but has other bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tests.lab import bad_releases
from tests.lab.layout import CACHE, LabError, digest
from tests.lab.processes import locked, say

NPM = CACHE / "npm"
RELEASES_FOLDER = CACHE / "releases"
_WORDPRESS_PACKAGE = "@wp-playground/wordpress-builds@0.9.19"
_NEWSPACK_PACKAGE = "@automattic/newspack-blocks@{}"
_NEWSPACK_VERSIONS = ("2.0.0", "4.33.0")
_CORE = {"6.2": "6.2.6", "6.3": "6.3.5", "6.4": "6.4.5", "6.5": "6.5.5"}
_THEMES = (("6.2.6", "1.1"), ("6.3.5", "1.2"))
_THEME = "twentytwentythree"
LACKING_FILE = "wp-admin/includes/plugin-install.php"

# What the packages contain besides WordPress: left-overs of the place they were built for.
_NOT_WORDPRESS = re.compile(
    r"(wordpress-remote-asset-paths|\.default_theme|wp-config\.php"
    r"|wp-content/(database|mu-plugins|plugins/(akismet|sqlite-database-integration)|db\.php|debug\.log))(/|$)"
)
_NOT_PLUGIN = re.compile(r"(^|/)(\.[^/]+|node_modules|tests?|package\.json|webpack\.config\.js|babel\.config\.js)(/|$)")
_DATE = (2024, 7, 1, 0, 0, 0)  # one date for all, so that the same contents give the same bytes

# slug -> version (or version+variant) -> what it is good for. "wordpress" is the core.
RELEASES: dict[str, dict[str, str]] = {
    "wordpress": {
        "6.2.6": "what the template has; database version 53496",
        "6.3.5": "good",
        "6.4.5": "good",
        "6.5.5": "good; a real upgrade of the database (57155)",
        "6.5.5+lacking-file": f"has no {LACKING_FILE}; the old one stays and every page looks right",
    },
    "newspack-blocks": {
        "2.0.0": "what the template has",
        "4.33.0": "good",
        "4.33.0+old-header": "the header still says 2.0.0: the updater reports success and nothing changed",
    },
    _THEME: {"1.1": "what the template has", "1.2": "good"},
    **bad_releases.reasons(),
}


def release_file(kind: str, slug: str, version: str) -> Path:
    """Return where the zip of a release lies."""
    return RELEASES_FOLDER / f"{kind}-{slug}.{version}.zip"


def build_all() -> None:
    """Build what is missing in the cache."""
    with locked("cache"):
        _forget_old()
        _build_core()
        _build_newspack()
        _build_themes()
        _build_variants()
        for slug, version, files in bad_releases.plugins():
            _write(
                release_file("plugin", slug, version), {f"{slug}/{name}": text.encode() for name, text in files.items()}
            )


def _forget_old() -> None:
    """Throw the built releases away when they were built by other code than this."""
    mark = RELEASES_FOLDER / "key"
    if not mark.exists() or mark.read_text(encoding="ascii") != key():
        shutil.rmtree(RELEASES_FOLDER, ignore_errors=True)
        RELEASES_FOLDER.mkdir(parents=True)
        mark.write_text(key(), encoding="ascii")


def key() -> str:
    """Return a name for the releases that the template is made of."""
    return digest([Path(__file__).read_bytes(), *bad_releases.sources()])


def checksums(version: str) -> dict[str, str]:
    """Return the MD5 of every file of a core release, as api.wordpress.org/core/checksums/1.0 gives them."""
    known = RELEASES_FOLDER / f"core-wordpress.{version}.md5.json"
    if not known.exists():
        sums = {name.partition("/")[2]: hashlib.md5(data, usedforsecurity=False).hexdigest()
                for name, data in read_zip(release_file("core", "wordpress", version)).items()}  # fmt: skip
        partial = known.with_suffix(".part")
        partial.write_text(json.dumps(sums), encoding="utf-8")
        partial.rename(known)
    loaded: dict[str, str] = json.loads(known.read_text(encoding="utf-8"))
    return loaded


def read_zip(file: Path | io.BytesIO) -> dict[str, bytes]:
    """Return the files of a zip by their names."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def _npm(package: str) -> Path:
    """Fetch a package with npm once and return its archive."""
    name, _, version = package.rpartition("@")
    archive = NPM / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
    if archive.exists():
        return archive
    if not shutil.which("npm"):
        raise LabError("npm is missing. Type: tests/lab/requirements.sh")
    NPM.mkdir(parents=True, exist_ok=True)
    say(f"fetching {package} with npm (once; the WordPress package has 158 MB)")
    folder = NPM / "part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    process = subprocess.Popen(
        ["npm", "pack", "--silent", package, "--pack-destination", str(folder)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
    )  # fmt: skip
    while True:
        try:
            output, _ = process.communicate(timeout=8)
            break
        except subprocess.TimeoutExpired:
            say("… npm is still fetching")
    if process.returncode != 0:
        raise LabError(f"npm pack {package} failed: {output.strip()[-500:]}")
    (folder / archive.name).rename(archive)
    shutil.rmtree(folder)
    return archive


def _from_npm(package: str, prefix: str) -> Iterable[tuple[str, bytes]]:
    """Yield the files below a prefix of an npm package."""
    with tarfile.open(_npm(package)) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(prefix):
                handle = archive.extractfile(member)
                if handle:
                    yield member.name.removeprefix(prefix), handle.read()


def _build_core() -> None:
    if all(release_file("core", "wordpress", version).exists() for version in _CORE.values()):
        return
    say("building the WordPress releases (once)")
    zips: dict[str, bytes] = {}
    static: dict[str, dict[str, bytes]] = {branch: {} for branch in _CORE}
    for name, data in _from_npm(_WORDPRESS_PACKAGE, "package/"):
        if match := re.fullmatch(r"src/wordpress/wp-(\d+\.\d+)\.zip", name):
            zips[match[1]] = data
        elif (match := re.match(r"public/wp-(\d+\.\d+)/", name)) and match[1] in static:
            static[match[1]][name[match.end() :]] = data
    for branch, version in _CORE.items():
        say(f"wordpress {version}")
        # The PHP archive decides; the static files only fill the gaps, and only of themes that have their PHP.
        files = read_zip(io.BytesIO(zips[branch]))
        themes = {name.split("/")[2] for name in files if name.startswith("wp-content/themes/") and name.count("/") > 2}
        for name, data in static[branch].items():
            parts = name.split("/")
            if not (parts[:2] == ["wp-content", "themes"] and len(parts) > 3 and parts[2] not in themes):
                files.setdefault(name, data)
        files = {name: data for name, data in files.items() if not _NOT_WORDPRESS.match(name)}
        if f"'{version}'".encode() not in files["wp-includes/version.php"]:
            raise LabError(f"{_WORDPRESS_PACKAGE} does not hold WordPress {version}.")
        _write(release_file("core", "wordpress", version), {f"wordpress/{name}": data for name, data in files.items()})


def _build_newspack() -> None:
    for version in _NEWSPACK_VERSIONS:
        target = release_file("plugin", "newspack-blocks", version)
        if not target.exists():
            say(f"newspack-blocks {version}")
            files = _from_npm(_NEWSPACK_PACKAGE.format(version), "package/")
            _write(target, {f"newspack-blocks/{name}": data for name, data in files if not _NOT_PLUGIN.search(name)})


def _build_themes() -> None:
    for core, version in _THEMES:
        target = release_file("theme", _THEME, version)
        if not target.exists():
            prefix = f"wordpress/wp-content/themes/{_THEME}/"
            found = read_zip(release_file("core", "wordpress", core))
            files = {
                f"{_THEME}/{name.removeprefix(prefix)}": data for name, data in found.items() if name.startswith(prefix)
            }
            if f"Version: {version}".encode() not in files[f"{_THEME}/style.css"]:
                raise LabError(f"WordPress {core} does not hold {_THEME} {version}.")
            _write(target, files)


def _build_variants() -> None:
    target = release_file("plugin", "newspack-blocks", "4.33.0+old-header")
    if not target.exists():
        files = read_zip(release_file("plugin", "newspack-blocks", "4.33.0"))
        main = "newspack-blocks/newspack-blocks.php"
        files[main] = re.sub(rb"(\* Version:\s*)4\.33\.0", rb"\g<1>2.0.0", files[main], count=1)
        _write(target, files)
    target = release_file("core", "wordpress", "6.5.5+lacking-file")
    if not target.exists():
        files = read_zip(release_file("core", "wordpress", "6.5.5"))
        del files[f"wordpress/{LACKING_FILE}"]
        _write(target, files)


def _write(target: Path, files: dict[str, bytes]) -> None:
    """Write a zip: whole or not at all."""
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
    partial.rename(target)
