# GPL-3.0-or-later
"""The PHP of a copy kept apart: from the world, and from production's files, where the kernel lets the site's owner have that.

A process may leave its network behind without root (namespaces of its own). The database's socket is a file and still
works. Where the kernel refuses, or the database is reached over the network, PHP's own means must do; docs/pipeline.md
says what these cannot close. In mounts of its own a process may also see production's document root read-only, by
whatever path below it: then a copy may lead to production's pictures and needs none of its own.

This file is also a program of its own, which serves a copy without a network: `silence.py PORT ROOT PHP …` listens on the
host's loopback address and hands every connection to the PHP that it starts where nothing else can be reached and ROOT,
unless it is "", can only be read.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Callable, List, Optional

# linux/sched.h, linux/sockios.h, linux/if.h, linux/mount.h, linux/prctl.h
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
# What a mount has already may not be taken away in a namespace of one's own: whoever mounts it anew says it again.
MS_LOCKED = MS_NOSUID | MS_NODEV | MS_NOEXEC
PR_SET_PDEATHSIG = 1

SENDMAIL, NO_SENDMAIL = "/usr/sbin/sendmail", "/bin/true"
BLOCK = 1 << 16
# staging_php.STAGING has answers for these that say "no": a function that is not there would break plugins.
SOCKETS = ("fsockopen", "pfsockopen", "stream_socket_client", "socket_connect", "socket_sendto")
CURL = ("curl_exec", "curl_multi_exec")
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Silence:
    """How a copy is kept from talking to the world."""

    by_socket: bool = True
    """Whether the copy's database needs no network."""
    disabled: str = ""
    """The functions that this host's PHP has disabled already."""
    curl: bool = True
    """Whether PHP has curl. Without it WordPress asks for releases through PHP's sockets."""
    read_only: str = ""
    """The folder that the copy's PHP, and all that it starts, can only read: production's document root. "" for none."""

    @property
    def alone(self) -> bool:
        """Whether the copy's PHP runs without any network."""
        return self.by_socket and possible()

    def begin(self, *, asking: bool = False) -> Optional[Callable[[], None]]:
        """Return what a process of the copy does before it begins, None for nothing; `asking` leaves it its network."""
        network = asking or not self.alone
        return functools.partial(withdraw, self.read_only, network=network) if self.read_only or not network else None

    def settings(self, *, asking: bool = False) -> List[str]:
        """Return arguments for a PHP that has a network and must not use it, but to ask for releases with `asking`."""
        closed = list(SOCKETS) if self.curl or not asking else []
        closed += [] if asking else CURL
        before = [name.strip() for name in self.disabled.split(",") if name.strip()]
        return ["-d", "disable_functions=" + ",".join([*before, *closed])]

    def evidence(self) -> dict[str, str]:
        """Say which means was used, why not the better one, and what of production the copy's PHP could write to."""
        production = {"production": "read only" if self.read_only else "by its modes alone"}
        if self.alone:
            return {"kept_by": "no network", **production}
        reason = "the kernel refuses it" if self.by_socket else "the database is reached over the network"
        return {"kept_by": "PHP's settings", "because": reason, **production}


def withdraw(read_only: str = "", *, network: bool = False) -> None:
    """Leave the network, or keep it, and have this folder read-only, for this process and all that it starts.

    Raises OSError. Needs a process with one thread. The mail program is exchanged for one that does nothing: it would
    hand mails over as files.
    """
    user, group = os.geteuid(), os.getegid()
    _call(_LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS | (0 if network else CLONE_NEWNET)))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    if os.path.exists(SENDMAIL):
        program, nothing = (os.fsencode(os.path.realpath(path)) for path in (SENDMAIL, NO_SENDMAIL))
        _call(_LIBC.mount(nothing, program, None, MS_BIND, None))
    if read_only:
        _protect(os.path.realpath(read_only))
    if not network:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))


@functools.lru_cache(maxsize=None)
def possible(read_only: str = "", network: bool = False) -> bool:
    """Whether the kernel lets us withdraw() so. Found out by trying."""
    trial = functools.partial(withdraw, read_only, network=network)
    try:
        return subprocess.run([NO_SENDMAIL], preexec_fn=trial, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _protect(root: str) -> None:
    """Mount a folder onto itself, with all that is mounted below it, so that it can only be read. Raises OSError."""
    _call(_LIBC.mount(os.fsencode(root), os.fsencode(root), None, MS_BIND | MS_REC, None))
    for place in _mounts(root):
        flags = MS_REMOUNT | MS_BIND | MS_RDONLY | (os.statvfs(place).f_flag & MS_LOCKED)
        _call(_LIBC.mount(None, place, None, flags, None))
        if not os.statvfs(place).f_flag & os.ST_RDONLY:
            raise OSError(errno.EPERM, "it is not read-only", place)
    # A relative path would go on where this process stood before.
    os.chdir(os.getcwd())


def _mounts(root: str) -> List[bytes]:
    """Return where something is mounted, at this folder and below."""
    own = os.fsencode(root)
    with open("/proc/self/mountinfo", "rb") as file:
        named = [line.split(b" ")[4] for line in file]
    # proc_pid_mountinfo(5): blank, tab, new line and backslash are written in octal.
    places = [re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), name) for name in named]
    return [place for place in places if place == own or place.startswith(own + b"/")]


def _call(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def serve(port: int, read_only: str, argv: List[str]) -> int:
    """Serve a program that listens on this port of a network of its own, until it ends. Returns its exit code."""
    front = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    front.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    front.bind(("127.0.0.1", port))
    front.listen(64)
    withdraw(read_only)
    program = subprocess.Popen(argv, preexec_fn=_end_with_parent)
    threading.Thread(target=_accept, args=(front, port), daemon=True).start()
    return program.wait()


def _end_with_parent() -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _accept(front: socket.socket, port: int) -> None:
    while True:
        visitor, _ = front.accept()
        threading.Thread(target=_join, args=(visitor, port), daemon=True).start()


def _join(visitor: socket.socket, port: int) -> None:
    """Carry everything between a visitor and the program, until both have said all."""
    with visitor, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as program:
        asking = threading.Thread(target=_carry, args=(visitor, program), daemon=True)
        asking.start()
        _carry(program, visitor)
        asking.join()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            block = one.recv(BLOCK)
            if not block:
                break
            other.sendall(block)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
