"""Become another program that is told to end when the one that started it dies: `leash.py PARENT PROGRAM ARGUMENT…`.

Without this, Ansible outlives a killed controller and goes on to the next step of its batch: it would promote, then
release, and take away from the host what `upkeep run --resume` needs to learn the truth. Standard library only: it is run
without our packages, because it starts faster so.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Put the leash on and become the program."""
    parent, program = int(arguments[0]), arguments[1]
    # Elsewhere than on Linux there is no leash; everything else works.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(f"{program} was not started: the one who wanted it has died")
    os.execvp(program, arguments[1:])  # noqa: S606  # no shell


if __name__ == "__main__":
    main(sys.argv[1:])
