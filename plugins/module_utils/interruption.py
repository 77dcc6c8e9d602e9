# GPL-3.0-or-later
"""Requests to stop while production is half way: heard on the way there, not heard on the way back."""

from __future__ import annotations

import contextlib
import signal
from typing import Iterator


class Interrupted(Exception):
    """The module was told to stop."""


@contextlib.contextmanager
def interruptible(*, ignore: bool = False) -> Iterator[None]:
    """Turn a request to stop into Interrupted, so that the way back runs; or, on the way back, do not listen to it."""

    def stop(number: int, frame: object) -> None:
        if not ignore:
            raise Interrupted("the run was told to stop")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
