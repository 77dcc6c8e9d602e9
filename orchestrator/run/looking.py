"""A browser's look at a site's copy: twice before an update, once after it, and what the difference says.

The browser is a program of its own, `orchestrator.run.browser`; what it saw lies in the run's folder of pictures here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.probe.look import Judged, Look, judge
from orchestrator.run import places, without_network
from orchestrator.run.copy_forward import led_here
from orchestrator.run.evidence_file import written
from orchestrator.run.eyes import browser, lacking
from orchestrator.run.gateway_forward import ForwardError

BEFORE, AGAIN, AFTER, DIFFERENCE = "before", "again", "after", "difference"
SEEN_BEFORE = "seen-before.json"
# For starting the browser, and for each opening of a page.
START_SECONDS, PAGE_SECONDS = 60, 45
# The browser runs what strangers wrote: of our surroundings it gets no more than this.
SURROUNDINGS = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH")
RUN = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")
_ODD = re.compile(r"[^a-z0-9]+")


class CannotLook(Exception):
    """The copy could not be looked at; the message says why."""


@dataclass(frozen=True)
class Wish:
    """What the contract wants to be looked at, and where this is."""

    url: str
    port: int
    pages: Sequence[Mapping[str, str]]
    masks: Sequence[str]
    threshold: float
    width: int
    folder: Path
    keep_days: int = 0


def look_before(wish: Wish, ssh: Sequence[str], host: str) -> dict[str, Any]:
    """Look at the copy twice before the update, and remember what was seen. Raises CannotLook."""
    wish.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_old(wish.folder, wish.keep_days, datetime.now(UTC))
    seen = _seen(wish, ssh, host, (BEFORE, AGAIN))
    for look in (*seen["shots"][BEFORE], *seen["shots"][AGAIN]):
        if look["error"]:
            raise CannotLook(f"{look['name']}: {look['error']}")
    written(wish.folder / SEEN_BEFORE, json.dumps(seen["shots"]).encode())
    pages = [_told(before, again) for before, again in zip(*seen["shots"].values(), strict=True)]
    return {"folder": str(wish.folder), "browser": seen["browser"], "kept_by": seen["kept_by"], "pages": pages}


def look_after(wish: Wish, ssh: Sequence[str], host: str) -> tuple[dict[str, Any], list[str]]:
    """Look at the updated copy; return the evidence and the objections. Raises CannotLook."""
    try:
        before = json.loads((wish.folder / SEEN_BEFORE).read_bytes())
    except (OSError, ValueError):
        raise CannotLook(f"{wish.folder} has no pictures from before the update") from None
    if [look["name"] for look in before[BEFORE]] != [page["name"] for page in wish.pages]:
        raise CannotLook("other pages were looked at before the update")
    seen = _seen(wish, ssh, host, (AFTER,))
    pages: list[dict[str, Any]] = []
    objections: list[str] = []
    for first, second, after in zip(before[BEFORE], before[AGAIN], seen["shots"][AFTER], strict=True):
        judged = judge(_look(wish, first), _look(wish, second), _look(wish, after), wish.threshold)
        told = _told(first, second, after)
        comparison = judged.comparison
        if comparison is not None and comparison.difference:
            name = f"{_file(wish, judged.name)}.{DIFFERENCE}.png"
            told["files"].append({"what": DIFFERENCE, **written(wish.folder / name, comparison.difference)})
        pages.append({**told, **_verdict(judged)})
        objections += judged.objections
    evidence = {"folder": str(wish.folder), "browser": seen["browser"], "kept_by": seen["kept_by"], "pages": pages}
    return {**evidence, "threshold": wish.threshold}, objections


def remove_old(folder: Path, keep_days: int, now: datetime) -> list[str]:
    """Remove the pictures of runs that began more than `keep_days` ago, beside those of a run; 0 keeps all. Returns their ids."""
    removed = []
    for old in sorted(folder.parent.iterdir()) if keep_days and RUN.fullmatch(folder.name) else ():
        named = RUN.fullmatch(old.name)
        if named is None or old.is_symlink() or not old.is_dir():
            continue
        began = datetime.strptime(named[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if now - began > timedelta(days=keep_days):
            # Two runs may do so at the same time.
            shutil.rmtree(old, ignore_errors=True)
            removed.append(old.name)
    return removed


def _verdict(judged: Judged) -> dict[str, Any]:
    seen = judged.comparison
    shares = {} if seen is None else {"unstable": round(seen.unstable, 6), "changed": round(seen.changed, 6)}
    return {"verdict": judged.verdict, "objections": list(judged.objections), "notes": list(judged.notes), **shares}


def _told(*looks: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes into the evidence of several looks at one page: names, sizes, checksums, no content."""
    files = []
    for shot, look in zip((BEFORE, AGAIN, AFTER), looks, strict=False):
        files += [{"what": f"{shot}, {kind}", **file} for kind, file in look["files"].items()]
    last = looks[-1]
    problems = [str(look["error"]) for look in looks if look["error"]]
    return {
        "name": last["name"],
        "status": last["status"],
        "javascript": list(last["errors"])[:5],
        "problems": problems,
        "files": files,
    }


def _look(wish: Wish, seen: Mapping[str, Any]) -> Look:
    picture = seen["files"].get("picture")
    return Look(
        name=seen["name"],
        status=seen["status"],
        picture=(wish.folder / picture["file"]).read_bytes() if picture else b"",
        errors=tuple(seen["errors"]),
        parts=tuple(seen.get("parts", ())),
        links=tuple(seen.get("links", ())),
        masks=tuple(tuple(box) for box in seen.get("masks", ())),
        error=seen["error"],
    )


def _seen(wish: Wish, ssh: Sequence[str], host: str, shots: Sequence[str]) -> dict[str, Any]:
    program = browser()
    if program is None:
        raise CannotLook(lacking()[0])
    with tempfile.TemporaryDirectory(prefix="upkeep-look-") as scratch:
        here = Path(scratch) / "copy"
        asked = {
            "socket": str(here),
            "url": wish.url,
            "pages": [{**page, "file": _file(wish, page["name"])} for page in wish.pages],
            "shots": list(shots),
            "masks": list(wish.masks),
            "width": wish.width,
            "folder": str(wish.folder),
            "program": program,
        }
        try:
            with led_here(ssh, host, wish.port, here):
                seen = browsed(asked, START_SECONDS + PAGE_SECONDS * len(wish.pages) * len(shots))
        except ForwardError as error:
            raise CannotLook(f"ssh does not lead to the copy: {error}") from None
    if "failed" in seen:
        raise CannotLook(f"Chromium: {seen['failed']}")
    return seen


def browsed(asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Start the browser's program, give it what is asked, and return its answer. Raises CannotLook."""
    surroundings = {name: os.environ[name] for name in SURROUNDINGS if name in os.environ}
    with subprocess.Popen(
        [
            # The same Python: it is the one in which upkeep is installed.
            *[sys.executable, "-I", "-S", without_network.__file__, str(os.getpid())],
            *[sys.executable, "-m", "orchestrator.run.browser"],
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd=places.PACKAGE.parent,
        env={**surroundings, "LANG": "C.UTF-8"},
    ) as process:
        try:
            said, complained = process.communicate(json.dumps(asked).encode(), seconds)
        except subprocess.TimeoutExpired:
            raise CannotLook(f"the browser was not ready after {seconds:.0f} s") from None
        finally:
            # Whatever it started goes with it.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    try:
        told: dict[str, Any] = json.loads(said)
    except ValueError:
        lines = complained.decode(errors="replace").strip().splitlines()
        raise CannotLook(f"the browser's program ended: {lines[-1][:300] if lines else process.returncode}") from None
    return told


def _file(wish: Wish, name: str) -> str:
    """Return the beginning of the names of a page's files: its place in the list keeps two alike apart."""
    number = next(index for index, page in enumerate(wish.pages, 1) if page["name"] == name)
    return f"{number:02}-{_ODD.sub('-', name.lower()).strip('-')[:40]}"
