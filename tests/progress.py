"""Run a program, pass on what it prints, and say so when it prints nothing for a while."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO

# A person who sees nothing for ten seconds thinks that it hangs.
SILENCE = 8.0


def shown(
    command: Sequence[str], *, name: str, environment: Mapping[str, str] | None = None, capture: IO[bytes] | None = None
) -> int:
    """Run `command` with its output shown as it comes; return its exit code.

    `capture` receives a copy of the output. Standard input is empty: nothing may wait for an answer.
    """
    sys.stdout.flush()
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=None if environment is None else {**os.environ, **environment},
    )
    assert process.stdout is not None
    at_line_start = True
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        try:
            while True:
                if not selector.select(SILENCE):
                    # What stands on the line so far (pytest's dots, a test's name) stays readable.
                    line = "" if at_line_start else "\n"
                    print(f"{line}   ... {name} is still at it, {time.monotonic() - began:.0f} s", flush=True)
                    at_line_start = True
                    continue
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    break
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
                if capture is not None:
                    capture.write(data)
                at_line_start = data.endswith(b"\n")
            return process.wait()
        except BaseException:
            # Ctrl-C reached the child as well (same terminal); it gets the time to put things right.
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
