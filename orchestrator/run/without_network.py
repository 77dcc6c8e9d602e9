"""Become another program that has no network: `without_network.py PARENT PROGRAM ARGUMENT…`

No root is needed where the kernel gives namespaces to everybody. Where it refuses, the program runs with the network that
there is, and can see that for itself: it has other devices than `lo`. The program is killed when PARENT dies. Standard
library only: it is run without our packages, because it starts faster so.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
from pathlib import Path

# linux/sched.h, linux/sockios.h, linux/if.h, linux/prctl.h
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
PR_SET_PDEATHSIG = 1


def alone() -> bool:
    """Tell whether this process has no network but its own loopback address."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def leave() -> None:
    """Leave the network. Raises OSError where the kernel refuses, and changes nothing then."""
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))


def main(arguments: list[str]) -> None:
    """Leave the network where that can be, and become the program."""
    parent, program = int(arguments[0]), arguments[1]
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            leave()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"{program} was not started: the one who wanted it has died")
    os.execvp(program, arguments[1:])  # noqa: S606  # no shell


if __name__ == "__main__":
    main(sys.argv[1:])
