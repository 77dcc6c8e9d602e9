"""Speak WordPress.org's protocol: python -m tests.lab.mirror_server FOLDER ADDRESS [ADDRESS …]

Answers core/version-check/1.7, core/checksums/1.0, plugins/update-check/1.1, themes/update-check/1.1, translations/…/1.0,
the downloads and their plugin-checksums; the controller, which has no other name for it, asks all of that at ADDRESS.
What is on offer is read again from FOLDER/offers.json for each request; each request is written to
FOLDER/requests.jsonl.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.lab import packs
from tests.lab.releases import RELEASES, checksums, read_zip, release_file

PORT = 80
API = "api.wordpress.org"
DOWNLOADS = "downloads.wordpress.org"

Answer = tuple[int, Any]


def newer(left: str, right: str) -> bool:
    """Say whether a version comes after another one, as PHP's version_compare does for plain numbers."""
    return _numbers(left) > _numbers(right)


def _numbers(version: str) -> list[int]:
    found = [int(number) for number in re.findall(r"\d+", version)]
    while found and found[-1] == 0:  # 1.0 and 1.0.0 are the same
        found.pop()
    return found


def core_answer(offers: dict[str, Any], installed: str) -> dict[str, Any]:
    """Answer a version check: the newest release first as an upgrade, then each release as an automatic update."""
    versions = sorted((offer["version"] for offer in offers["core"]), key=_numbers, reverse=True)
    versions = [version for version in versions if newer(version, installed)]
    found = [_core_offer(version, "autoupdate") for version in versions]
    first = _core_offer(versions[0], "upgrade") if versions else _core_offer(installed, "latest")
    return {"offers": [first, *found], "translations": []}


def _core_offer(version: str, response: str) -> dict[str, Any]:
    package = f"http://{DOWNLOADS}/release/wordpress-{version}.zip"
    return {
        "response": response, "download": package, "locale": "en_US", "current": version, "version": version,
        "packages": {"full": package, "no_content": False, "new_bundled": False, "partial": False, "rollback": False},
        "php_version": "7.0.0", "mysql_version": "5.0", "new_bundled": "6.4", "partial_version": False,
        **({"new_files": True} if response == "autoupdate" else {}),
    }  # fmt: skip


def plugins_answer(offers: dict[str, Any], installed: dict[str, Any]) -> dict[str, Any]:
    """Answer which of the installed plugins have a newer release; `installed` is file -> headers."""
    answer: dict[str, Any] = {"plugins": {}, "no_update": {}, "translations": []}
    for file, headers in installed.items():
        slug = file.partition("/")[0].removesuffix(".php")
        offer = offers["plugins"].get(slug)
        has_newer = offer is not None and newer(offer["version"], headers.get("Version", "0"))
        if not has_newer and slug not in RELEASES:
            continue  # WordPress.org says nothing about plugins that it does not know
        version = offer["version"] if has_newer else headers.get("Version", "0")
        package = f"http://{DOWNLOADS}/plugin/{slug}.{version}.zip" if not has_newer or offer["file"] else ""
        answer["plugins" if has_newer else "no_update"][file] = {
            "id": f"w.org/plugins/{slug}", "slug": slug, "plugin": file, "new_version": version,
            "url": f"https://wordpress.org/plugins/{slug}/", "package": package,
            "icons": {}, "banners": {}, "banners_rtl": {},
            "requires": "6.0", "tested": "6.6", "requires_php": "7.4",
        }  # fmt: skip
    return answer


def themes_answer(offers: dict[str, Any], installed: dict[str, Any]) -> dict[str, Any]:
    """Answer which of the installed themes have a newer release; `installed` is slug -> headers."""
    answer: dict[str, Any] = {"themes": {}, "no_update": {}, "translations": []}
    for slug, headers in installed.items():
        offer = offers["themes"].get(slug)
        has_newer = offer is not None and newer(offer["version"], headers.get("Version", "0"))
        if not has_newer and slug not in RELEASES:
            continue
        version = offer["version"] if has_newer else headers.get("Version", "0")
        package = f"http://{DOWNLOADS}/theme/{slug}.{version}.zip" if not has_newer or offer["file"] else ""
        answer["themes" if has_newer else "no_update"][slug] = {
            "theme": slug, "new_version": version, "url": f"https://wordpress.org/themes/{slug}/", "package": package,
            "requires": "6.0", "requires_php": "7.4",
        }  # fmt: skip
    return answer


def download(offers: dict[str, Any], path: str) -> Path | None:
    """Return the file of a download: the offers decide about the bytes of a version, other releases stay to be had."""
    match = re.fullmatch(r"/(release|plugin|theme)/([a-z0-9-]+?)[.-](\d[0-9.]*)\.zip", path)
    if not match:
        return None
    kind, slug, version = match.groups()
    kind = "core" if kind == "release" else kind
    offered = (
        offers["core"] if kind == "core" else [entry for name, entry in offers[f"{kind}s"].items() if name == slug]
    )
    for offer in offered:
        if offer["version"] == version:
            return Path(offer["file"]) if offer["file"] else None
    file = release_file(kind, slug, version)
    return file if file.exists() else None


def translations_answer(offers: dict[str, Any], kind: str, slug: str, version: str) -> dict[str, Any]:
    """Answer which language packs there are of a release."""
    found = []
    for name, moment in offers.get("translations", {}).items():
        of_kind, of_slug, locale = name.split(".")
        if (of_kind, of_slug) == (kind, slug):
            place = f"{kind}/{slug}" if slug != "default" else kind
            package = f"http://{DOWNLOADS}/translation/{place}/{version}/{locale}.zip"
            updated = moment.partition("+")[0]
            found.append({"language": locale, "version": version, "updated": updated, "package": package})
    return {"translations": found}


def language_pack(offers: dict[str, Any], path: str) -> bytes | None:
    """Return the archive of a language pack, as the offers say of which moment it is."""
    match = re.fullmatch(r"/translation/(core|plugin|theme)/(?:([a-z0-9-]+)/)?\d[0-9.]*/([A-Za-z_]+)\.zip", path)
    name = f"{match[1]}.{match[2] or 'default'}.{match[3]}" if match else ""
    moment, _, variant = str(offers.get("translations", {}).get(name, "")).partition("+")
    return packs.pack(name, moment, variant) if moment else None


def plugin_checksums(path: str) -> dict[str, Any] | None:
    """Return the checksums of a plugin's release as downloads.wordpress.org gives them; a variant has other bytes than these."""
    match = re.fullmatch(r"/plugin-checksums/([a-z0-9-]+)/(\d[0-9.]*)\.json", path)
    file = release_file("plugin", *match.groups()) if match else None
    if match is None or file is None or not file.exists():
        return None
    files = {
        name.partition("/")[2]: {
            "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in read_zip(file).items()
    }
    return {"plugin": match[1], "version": match[2], "files": files}


def api_answer(offers: dict[str, Any], path: str, query: dict[str, str], form: dict[str, str]) -> Answer:
    """Answer one request to api.wordpress.org."""
    if path == "/core/version-check/1.7/":
        return 200, core_answer(offers, query.get("version") or form.get("version", "0"))
    if path == "/core/checksums/1.0/":
        version = query.get("version", "")
        known = version in RELEASES["wordpress"] and "+" not in version
        return 200, {"checksums": checksums(version) if known else False}
    if path == "/plugins/update-check/1.1/":
        return 200, plugins_answer(offers, json.loads(form.get("plugins", "{}")).get("plugins") or {})
    if path == "/themes/update-check/1.1/":
        return 200, themes_answer(offers, json.loads(form.get("themes", "{}")).get("themes") or {})
    if match := re.fullmatch(r"/translations/(core|plugin|theme)s?/1\.0/", path):
        return 200, translations_answer(offers, match[1], query.get("slug", "default"), query.get("version", ""))
    return 404, {"error": "The lab's mirror does not know this address."}


class Handler(BaseHTTPRequestHandler):
    """One connection of a host."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    folder = Path()
    addresses: tuple[str, ...] = ()
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer({})

    def do_HEAD(self) -> None:
        """Answer a HEAD."""
        self._answer({})

    def do_POST(self) -> None:
        """Answer a POST with a form."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        self._answer({name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()})

    def _answer(self, form: dict[str, str]) -> None:
        url = urlsplit(self.path)
        host = (self.headers.get("Host") or "").partition(":")[0]
        offers = json.loads((self.folder / "offers.json").read_text(encoding="utf-8"))
        file = download(offers, url.path) if host in (DOWNLOADS, *self.addresses) else None
        sums = plugin_checksums(url.path) if host in (DOWNLOADS, *self.addresses) else None
        words = language_pack(offers, url.path) if host in (DOWNLOADS, *self.addresses) else None
        if words:
            self._send(200, "application/zip", words)
        elif file:
            self._send(200, "application/zip", file.read_bytes())
        elif sums:
            self._send(200, "application/json", json.dumps(sums).encode())
        elif host in (API, *self.addresses):
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            status, answer = api_answer(offers, url.path.rstrip("/") + "/", query, form)
            self._send(status, "application/json", json.dumps(answer).encode())
        else:
            self._send(404, "text/plain", b"not here\n")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        url = urlsplit(self.path)
        line = {
            "time": round(time.time(), 3), "client": self.client_address[0], "host": self.headers.get("Host"),
            "method": self.command, "path": url.path, "query": url.query, "status": status, "bytes": len(body),
        }  # fmt: skip
        with self.lock, (self.folder / "requests.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the process's own log for what goes wrong."""


def main(arguments: list[str]) -> None:
    """Serve on every address until the process is ended."""
    Handler.folder = Path(arguments[0])
    Handler.addresses = tuple(arguments[1:])
    servers = [ThreadingHTTPServer((address, PORT), Handler) for address in arguments[1:]]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
