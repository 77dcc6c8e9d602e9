# GPL-3.0-or-later
"""Start programs on the client's host: the one place where that happens.

Programs get a list of arguments, never a shell line, and a deadline. Secrets go by file or environment. No program
outlives the module that started it: a PHP that went on migrating would write into what a way back has just put there.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
F_SETPIPE_SZ = 1031  # linux/fcntl.h; Python knows it from 3.10 on
PIPE_BYTES = 1 << 20
LONGEST_COMPLAINT = 1 << 16
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Finished:
    """What a program left behind: exit code, standard output and standard error as text."""

    code: int
    out: str
    err: str


class CommandFailed(Exception):
    """A program could not be started, ran past its deadline, or ended with an exit code that is not 0."""


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return a small, predictable environment: what the programs need and nothing that was inherited by chance."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "USER", "LOGNAME", "TMPDIR") if name in os.environ}
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    kept["LC_ALL"] = "C.UTF-8"
    kept.update(extra or {})
    return kept


def start(
    argv: list[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    extra_environment: dict[str, str] | None = None,
    outlive: bool = False,
    begin: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a group of its own that ends when this process does; not with `outlive`. Raises CommandFailed.

    It does `begin` first, and does not begin where that raises: see Silence.begin().
    """
    me = os.getpid()

    def prepare() -> None:
        if begin:
            begin()
        if outlive:
            return
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != me:
            os._exit(1)

    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(extra_environment),
            start_new_session=True,
            preexec_fn=None if outlive and not begin else prepare,
        )
    except OSError as error:
        raise CommandFailed(f"{os.path.basename(argv[0])} cannot be started: {error.strerror}") from error
    except subprocess.SubprocessError as error:
        raise CommandFailed(
            f"{os.path.basename(argv[0])} cannot be kept apart from the world and from production"
        ) from error


def run(
    argv: list[str],
    *,
    timeout: float,
    stdin: str | int | None = None,
    extra_environment: dict[str, str] | None = None,
    check: bool = True,
    output: int | None = None,
    grace: float = 0.0,
    begin: Callable[[], None] | None = None,
) -> Finished:
    """Run one program to its end within `timeout` seconds.

    Raises CommandFailed when it cannot be started or takes too long, and, with `check`, when it fails. The message
    names the program and the last line it said, never its arguments or its environment. `stdin` is a text or an open
    file's descriptor; `output` is a descriptor that takes standard output instead of Finished.out. A program that takes
    too long is killed with all that it started; with `grace` it is first interrupted and has that many seconds to tidy
    up. It does `begin` first, as with start().
    """
    name = os.path.basename(argv[0])
    process = start(
        argv,
        stdin=stdin if isinstance(stdin, int) else subprocess.PIPE,
        stdout=subprocess.PIPE if output is None else output,
        stderr=subprocess.PIPE,
        extra_environment=extra_environment,
        begin=begin,
    )
    try:
        out, err = process.communicate(None if isinstance(stdin, int) else (stdin or "").encode(), timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{name} did not end within {timeout:g} s") from error
    finally:
        # Also when somebody stopped us in the middle: nothing is left at work.
        _stop(process, grace)
    finished = Finished(process.returncode, (out or b"").decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    if check and finished.code != 0:
        raise CommandFailed(f"{name} ended with exit code {finished.code}: {last_line(finished.err)}")
    return finished


def stream(
    argv: list[str],
    *,
    timeout: float,
    take: Callable[[bytes], None],
    grace: float = 0.0,
    extra_environment: dict[str, str] | None = None,
) -> Finished:
    """Run one program and hand what it prints to `take` while it runs, however much that is. Finished.out stays empty.

    Raises CommandFailed when it cannot be started or does not end within `timeout` seconds; its exit code is the
    caller's to judge.
    """
    name = os.path.basename(argv[0])
    late = CommandFailed(f"{name} did not end within {timeout:g} s")
    deadline = time.monotonic() + timeout
    # A file: nobody reads its complaints meanwhile, and a pipe would fill up.
    with tempfile.TemporaryFile() as said:
        process = start(argv, stdout=subprocess.PIPE, stderr=said.fileno(), extra_environment=extra_environment)
        try:
            pipe = process.stdout.fileno()  # type: ignore[union-attr]
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
            ready = select.poll()
            ready.register(pipe, select.POLLIN)
            while True:
                if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise late
                block = os.read(pipe, PIPE_BYTES)
                if not block:
                    break
                take(block)
            code = process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise late from None
        finally:
            _stop(process, grace)
        said.seek(max(0, said.seek(0, os.SEEK_END) - LONGEST_COMPLAINT))
        return Finished(code, "", said.read().decode("utf-8", "replace"))


def _stop(process: subprocess.Popen[bytes], grace: float) -> None:
    """See to it that the program and all that it started are gone; nothing to do when everything ended by itself."""
    if process.poll() is None and grace > 0:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
    # What a program leaves in its group when it ends has no more business here.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def last_line(text: str) -> str:
    """Return the last line that says something, cut to 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "(it said nothing)"
