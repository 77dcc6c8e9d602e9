"""How a publisher is asked: carefully, with a bound on his answer, and not again at once when he is away."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from orchestrator.run.host_code import packages

# So long a publisher who could not be reached is not tried again.
NOT_AGAIN_SECONDS = 600.0
SECONDS = 60.0


class NotReached(Exception):
    """WordPress.org does not give it to us; the host may ask there itself."""


class NoAnswer(Exception):
    """A publisher did not answer; `status` is HTTP's, 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def ask(
    url: str,
    *,
    largest: int,
    form: Mapping[str, str] | None = None,
    agent: str = "Upkeep",
    seconds: float = SECONDS,
) -> bytes:
    """Return what a publisher answers, of at most `largest` bytes; with a form, to a POST. Raises NoAnswer.

    `seconds` is how long he may keep silent. No redirect leads to another host.
    """
    body = None if form is None else urlencode(form).encode()
    try:
        packages.refuse_address(url)
        opener = urllib.request.build_opener(packages.CarefulRedirects(urlsplit(url).hostname or ""))
        request = urllib.request.Request(url, body, {"User-Agent": agent})  # noqa: S310 - refused above
        with opener.open(request, timeout=seconds) as answer:
            said: bytes = answer.read(largest + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise NoAnswer(str(error), error.code) from None
    except (packages.PackageError, OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(str(error)) from None
    if len(said) > largest:
        raise NoAnswer("too long an answer")
    return said


class Away:
    """What is remembered of a publisher who is away: a way that leads nowhere is waited for once, and not for each question."""

    def __init__(self, folder: Path, address: str) -> None:
        self._note = folder / f"{name_of(address)}.away"

    def refuse(self) -> None:
        """Raise NotReached when he was away a moment ago."""
        with suppress(FileNotFoundError):
            if time.time() - self._note.stat().st_mtime < NOT_AGAIN_SECONDS:
                raise NotReached(self._note.read_text(encoding="utf-8"))

    def remember(self, text: str) -> None:
        """Remember that he is away, and what was said of it."""
        self._note.write_text(text, encoding="utf-8")


def name_of(address: str) -> str:
    """Return the name under which something of this address lies in a folder."""
    return hashlib.sha256(address.encode()).hexdigest()[:32]


def write(path: Path, text: str) -> None:
    """Write a file that nobody sees half written."""
    partial = path.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
