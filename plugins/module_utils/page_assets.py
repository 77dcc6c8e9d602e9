# GPL-3.0-or-later
"""Find the files of its own site that a page needs to look and work right."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

from .web import Target, same_site_path

_LINKS = {"stylesheet", "modulepreload", "preload", "icon", "apple-touch-icon"}
# Import maps and small inline loaders name their modules in JSON, where a slash may be written "\/".
_IN_SCRIPT = re.compile(
    r"[\"']((?:https?:)?[^\"'\s<>]*\\?/wp-(?:includes|content)\\?/[^\"'\s<>]*\.m?js(?:\?[^\"'\s<>]*)?)[\"']"
)


def assets_of(page: str, target: Target, path: str) -> list[str]:
    """List the paths of scripts, styles and pictures of the same site, each once, in the order of the page."""
    reader = _Reader()
    try:
        reader.feed(page)
        reader.close()
    except (AssertionError, NotImplementedError):
        # What the parser gives up on, browsers read on: judge by what was found until there.
        pass
    try:
        base = urljoin(path, reader.base)
    except ValueError:
        base = path
    found = (same_site_path(target, address, base) for address in reader.addresses if not address.startswith("data:"))
    return list(dict.fromkeys(path for path in found if path))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: list[str] = []
        self.base = ""
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "base" and not self.base:
            self.base = values.get("href", "")
        elif tag in ("script", "img") and values.get("src"):
            self.addresses.append(values["src"])
        elif tag == "link" and _LINKS & set(values.get("rel", "").lower().split()) and values.get("href"):
            self.addresses.append(values["href"])
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.addresses += [found.replace("\\/", "/") for found in _IN_SCRIPT.findall(data)]
