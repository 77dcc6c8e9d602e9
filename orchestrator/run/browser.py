"""A program: open pages of a site's copy in Chromium and say what was seen. `python -m orchestrator.run.browser`

It reads what to look at as JSON from its standard input and writes what it saw as JSON to its standard output. The browser
reaches the copy and nothing else: every other name and address leads nowhere, and where the kernel allows it there is no
network at all. What a page holds was written by others: it is cut to sizes, and judged elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Response, sync_playwright

from orchestrator.run.browser_front import ADDRESS, certificate_for, door
from orchestrator.run.evidence_file import written
from orchestrator.run.without_network import alone

PAGE_SECONDS = 30
# A page that is longer is looked at as far as here.
LONGEST_PAGE = 10_000
VIEW_HEIGHT = 900
LARGEST_ANSWER = 8 * 1024 * 1024
MOST_ERRORS, LONGEST_ERROR = 50, 300
ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    # Not even a call between browsers finds a way out.
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)
_QUOTED_VALUE = re.compile(r"=([^\]\"']*)\]")

# Pictures that wait to be scrolled to are fetched now, and none is half there.
SETTLE = """() => Promise.race([
  Promise.all([document.fonts.ready, ...[...document.images].map(image => {
    image.loading = 'eager';
    return image.decode().catch(() => 0);
  })]),
  new Promise(done => setTimeout(done, 3000)),
]).then(() => new Promise(done => setTimeout(done, 150)))"""

STRUCTURE = """masks => {
  const most = 2000, cut = text => text.replace(/\\s+/g, ' ').trim().slice(0, 80);
  const shown = each => each.getClientRects().length > 0 && getComputedStyle(each).visibility !== 'hidden';
  const path = address => {
    try {
      const url = new URL(address, location.href);
      return url.host === location.host ? url.pathname.slice(0, 200) : null;
    } catch { return null; }
  };
  const form = each => {
    const action = each.getAttribute('action') || '';
    return 'the form to ' + (path(action) ?? cut(action));
  };
  const parts = [], links = new Set(), boxes = [];
  for (const each of document.querySelectorAll('form, input, select, textarea, button')) {
    const type = each.getAttribute('type') || '', tag = each.localName, owner = each.closest('form');
    if (parts.length >= most || type === 'hidden') continue;
    const button = tag === 'button' || ['submit', 'button', 'image', 'reset'].includes(type);
    if (!button && !shown(each)) continue;
    const of = owner && owner !== each ? ' of ' + form(owner) : '';
    if (tag === 'form') parts.push(form(each));
    else if (button && of) parts.push('the button' + of);
    else if (button) parts.push('the button ' + cut(each.textContent || each.value || each.ariaLabel || ''));
    else parts.push('the field ' + cut(each.getAttribute('name') || type || tag) + of);
  }
  for (const each of document.querySelectorAll('a[href]')) {
    const there = path(each.getAttribute('href'));
    if (there !== null && links.size < most) links.add(there);
  }
  for (const mask of masks) for (const each of document.querySelectorAll(mask)) {
    const box = each.getBoundingClientRect(), left = box.left + scrollX, top = box.top + scrollY;
    if (boxes.length < most) boxes.push([left, top, left + box.width, top + box.height].map(Math.round));
  }
  return {parts, links: [...links].sort(), masks: boxes};
}"""


@dataclass(frozen=True)
class Asked:
    """What to look at. `pages` are name, path and the beginning of the names of files; each is opened once for each shot."""

    socket: str
    url: str
    pages: list[dict[str, str]]
    shots: list[str]
    masks: list[str]
    width: int
    folder: str
    program: str


def looked(asked: Asked) -> dict[str, Any]:
    """Open every page once for each shot, and return what was seen."""
    kept_by = "no network" if alone() else "the browser's settings"
    with tempfile.TemporaryDirectory(prefix="upkeep-browser-") as home:
        # Its profile, its caches and its crashes go with it.
        os.environ["HOME"] = home
        with _door(asked, Path(home)) as port, _browser(asked, port) as browser:
            shots = {shot: _shot(browser, asked, shot) for shot in asked.shots}
            return {"browser": browser.version, "kept_by": kept_by, "shots": shots}


@contextlib.contextmanager
def _door(asked: Asked, home: Path) -> Iterator[int]:
    parts = urlsplit(asked.url)
    certificate = certificate_for(parts.hostname or "", home, datetime.now(UTC)) if parts.scheme == "https" else None
    with door(Path(asked.socket), certificate) as port:
        yield port


@contextlib.contextmanager
def _browser(asked: Asked, port: int) -> Iterator[Browser]:
    parts = urlsplit(asked.url)
    site = f"{parts.hostname}:{parts.port or {'https': 443}.get(parts.scheme, 80)}"
    rules = f"MAP {site} {ADDRESS}:{port}, MAP * ~NOTFOUND"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=asked.program,
            args=[*ARGUMENTS, f"--host-resolver-rules={rules}"],
            # Chromium has no sandbox for root. Whoever runs upkeep as an ordinary user has it.
            chromium_sandbox=os.geteuid() != 0,
        )
        try:
            yield browser
        finally:
            browser.close()


def _shot(browser: Browser, asked: Asked, shot: str) -> list[dict[str, Any]]:
    """Look at all pages as one visitor does who was never here."""
    context = browser.new_context(
        viewport={"width": asked.width, "height": VIEW_HEIGHT},
        ignore_https_errors=asked.url.startswith("https:"),
        service_workers="block",
        accept_downloads=False,
        reduced_motion="reduce",
        locale="en-US",
        timezone_id="UTC",
    )
    context.set_default_timeout(PAGE_SECONDS * 1000)
    try:
        return [{"name": page["name"], **_seen(context, asked, page, shot)} for page in asked.pages]
    finally:
        context.close()


def _seen(context: BrowserContext, asked: Asked, wanted: dict[str, str], shot: str) -> dict[str, Any]:
    page, complaints = context.new_page(), Complaints(asked.url)
    page.on("console", complaints.console)
    page.on("pageerror", complaints.uncaught)
    try:
        response = page.goto(asked.url.rstrip("/") + wanted["path"], wait_until="load")
        page.evaluate(SETTLE)
        structure = page.evaluate(STRUCTURE, [_QUOTED_VALUE.sub(r'="\1"]', mask) for mask in asked.masks])
        picture = page.screenshot(
            full_page=True,
            clip={"x": 0, "y": 0, "width": asked.width, "height": LONGEST_PAGE},
            animations="disabled",
            caret="hide",
            scale="css",
        )
        files = {"picture": written(Path(asked.folder) / f"{wanted['file']}.{shot}.png", picture)}
        if response is not None:
            files["response"] = written(Path(asked.folder) / f"{wanted['file']}.{shot}.html", _body(response))
        status = response.status if response is not None else 0
        return {"status": status, "errors": complaints.said, "error": "", "files": files, **structure}
    except Error as error:
        said = (error.message.strip().splitlines() or ["it gave up"])[0][:LONGEST_ERROR]
        return {"status": 0, "errors": complaints.said, "error": f"the browser saw nothing: {said}", "files": {}}
    finally:
        page.close()


def _body(response: Response) -> bytes:
    # A page that went on to another one has lost what it was.
    with contextlib.suppress(Error):
        return response.body()[:LARGEST_ANSWER]
    return b""


class Complaints:
    """What JavaScript says is wrong with a page. That other hosts were not reached is our own doing."""

    def __init__(self, url: str) -> None:
        self._site = urlsplit(url).netloc
        self.said: list[str] = []

    def console(self, message: ConsoleMessage) -> None:
        """Take in what was written to the console."""
        if message.type != "error":
            return
        said, where = message.text, urlsplit(str(message.location.get("url") or ""))
        if said.startswith("Failed to load resource"):
            if where.netloc != self._site or where.path == "/favicon.ico":
                return
            said += f" ({where.path})"
        self._add(said)

    def uncaught(self, error: Error) -> None:
        """Take in an error that nobody caught."""
        self._add(f"{error.name}: {error.message}" if error.name else error.message)

    def _add(self, said: str) -> None:
        if len(self.said) < MOST_ERRORS:
            self.said.append(" ".join(said.split())[:LONGEST_ERROR])


def main() -> int:
    """Read what is asked, look, and say what was seen."""
    asked = Asked(**json.loads(sys.stdin.read()))
    try:
        answer = looked(asked)
    except (Error, OSError) as error:
        answer = {"failed": " ".join(str(error).split())[:500]}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
