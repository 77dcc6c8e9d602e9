"""A request to stop: on the way there it begins the way back, on the way back it is not heard."""

from __future__ import annotations

import os
import signal
import time

import pytest

from plugins.module_utils.interruption import Interrupted, interruptible

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def told_to_stop(number: int, seconds: float) -> None:
    """Be told to stop, and go on for some seconds."""
    os.kill(os.getpid(), number)
    time.sleep(seconds)


@pytest.mark.parametrize("number", SIGNALS)
def test_on_the_way_there_a_request_to_stop_is_heard_at_once(number: int) -> None:
    began = time.monotonic()
    with pytest.raises(Interrupted), interruptible():
        told_to_stop(number, seconds=5)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("number", SIGNALS)
def test_on_the_way_back_it_is_not_heard(number: int) -> None:
    with interruptible(), interruptible(ignore=True):
        told_to_stop(number, seconds=0.05)


def test_afterwards_everything_is_as_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), interruptible(), interruptible(ignore=True):
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before
