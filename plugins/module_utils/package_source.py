# GPL-3.0-or-later
"""Where the bytes of a release come from: the client's own store, the controller, or the publisher.

The controller is asked through a gateway (docs/updates.md). What it keeps it knows by SHA-256 or by WordPress.org's own
path; it is never told an address by a host. Where it cannot reach WordPress.org, the host asks there itself.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Sequence
from urllib.parse import urlsplit, urlunsplit

from .language_packs import TRANSLATION
from .packages import Change, PackageError, Unanswered, download, receive
from .release_choice import ordered
from .wordpress import installed

# Stands where an offer has the publisher's address: the package lies in the client's store, under this SHA-256.
ARTEFACT = "artefact:"
WORDPRESS_ORG = re.compile(
    r"https?://downloads\.wordpress\.org/((?:release|plugin|theme|translation)/[A-Za-z0-9._+/-]{1,200}\.zip)\Z"
)
# The controller may have to fetch the package before it can answer.
GATEWAY_SECONDS = 660.0
# What a gateway answers when it cannot reach the publisher itself: then the host has to.
NOT_REACHED = 502


@dataclass(frozen=True)
class Fetched:
    """A package that is here, and where it came from: catalogue (the client's own), controller, store or publisher."""

    change: Change
    origin: str
    # What the controller held it against before it gave it out.
    checked: str
    # The server that the host itself asked, or "".
    asked: str = ""

    def evidence(self) -> dict[str, Any]:
        """Return what the ledger keeps of it."""
        change = self.change
        named = {"kind": change.kind, "slug": change.slug, "to": change.to, "sha256": change.sha256}
        return {**named, "origin": self.origin, "checked": self.checked}


def with_artefacts(
    offers: Sequence[dict[str, Any]], artefacts: Sequence[dict[str, Any]], observed: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return what is on offer together with what the client's store has newer than what is installed.

    `observed` is what wordpress.versions() saw. An offer with a download stays as it is: it is the publisher's own.
    """
    found = {(offer["kind"], offer["slug"], offer["to"]): dict(offer) for offer in offers}
    for each in artefacts:
        now = installed(observed, each["kind"], each["slug"], each["file"])
        offer = found.get((each["kind"], each["slug"], each["version"]))
        if offer is not None and (offer["package"] or offer["file"] != each["file"]):
            continue
        if not now or ordered(each["version"]) <= ordered(now):
            continue
        found[each["kind"], each["slug"], each["version"]] = {
            "kind": each["kind"],
            "slug": each["slug"],
            "file": each["file"],
            "from": now,
            "to": each["version"],
            "package": ARTEFACT + each["sha256"],
        }
    return list(found.values())


def fetch(change: Change, folder: str, gateway: str) -> Fetched:
    """Bring the package of a change into `folder`. `gateway` is the address of the controller's, with its secret, or "".

    Raises PackageError.
    """
    if change.package.startswith(ARTEFACT):
        return Fetched(_artefact(change, folder, gateway), "catalogue", "its SHA-256")
    path = WORDPRESS_ORG.match(change.package)
    note = ""
    if gateway and path:
        try:
            return _from_controller(change, folder, gateway, _path(change, path.group(1)))
        except Unanswered as error:
            if error.status != NOT_REACHED:
                raise PackageError(f"the controller has refused it: {error.said}") from error
            note = f"not by the controller: {error.said}"[:200]
    return Fetched(download(change, folder), "publisher", note, urlsplit(change.package).hostname or "")


def asked(gateway: str, path: str, question: dict[str, Any], largest: int, seconds: float) -> dict[str, Any]:
    """Return what the controller answers to a question of at most `seconds`. Raises PackageError."""
    request, opener = _request(gateway, path), _opener()
    request.data = json.dumps(question).encode()
    request.add_header("Content-Type", "application/json")
    try:
        with opener.open(request, timeout=seconds) as answer:
            told = json.loads(answer.read(largest))
    except urllib.error.HTTPError as error:
        with error:
            raise PackageError(f"the controller says: {error.read(300).decode('utf-8', 'replace')}") from error
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise PackageError(f"the controller does not answer: {error}") from error
    if not isinstance(told, dict):
        raise PackageError("the controller gives no answer")
    return told


def _path(change: Change, path: str) -> str:
    """Return what the controller is asked for. WordPress.org has a pack at one address for ever: the moment is said beside it."""
    return f"{path[: -len('.zip')]}.{change.to}.zip" if change.kind == TRANSLATION else path


def _artefact(change: Change, folder: str, gateway: str) -> Change:
    wanted = change.package[len(ARTEFACT) :]
    if not gateway:
        raise PackageError(f"the package of {change.named()} lies in the client's store, and no way leads there")
    try:
        fetched, _ = _asked(change, folder, gateway, f"artefact/{wanted}")
    except Unanswered as error:
        raise PackageError(f"{error}: {error.said}") from error
    if fetched.sha256 != wanted:
        raise PackageError(f"the package of {change.named()} is not the one that was put into the client's store")
    return fetched


def _from_controller(change: Change, folder: str, gateway: str, path: str) -> Fetched:
    fetched, said = _asked(change, folder, gateway, f"wordpress.org/{path}")
    try:
        told = dict(json.loads(said))
    except ValueError:
        told = {}
    if fetched.sha256 != told.get("sha256"):
        raise PackageError(f"the package of {change.named()} was changed on its way from the controller")
    origin = "store" if told.get("origin") == "store" else "controller"
    return Fetched(fetched, origin, str(told.get("checked", ""))[:200])


def _asked(change: Change, folder: str, gateway: str, path: str) -> tuple[Change, str]:
    """Ask the gateway for a path. Returns the change, and what the gateway says of the package."""
    heard = _Heard()
    fetched = receive(
        change, folder, _opener(heard), _request(gateway, path), timeout=GATEWAY_SECONDS, stall=GATEWAY_SECONDS
    )
    return fetched, heard.said


def _opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    # No proxy: the gateway listens on this host.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)


def _request(gateway: str, path: str) -> urllib.request.Request:
    parts = urlsplit(gateway)
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    url = urlunsplit(("http", f"{parts.hostname}:{parts.port}", "/" + path, "", ""))
    return urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}"})  # noqa: S310 - http, above


class _Heard(urllib.request.BaseHandler):
    """Keeps what the gateway says of a package beside its bytes."""

    said = ""

    def http_response(self, _request: Any, response: Any) -> Any:
        self.said = response.headers.get("X-Upkeep-Package", "")
        return response
