# GPL-3.0-or-later
"""Start programs on the client's host: the one place where that happens.

Programs get a list of arguments, never a shell line, and a deadline. Secrets go by file or environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass


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


def run(
    argv: list[str],
    *,
    timeout: float,
    stdin: str | int | None = None,
    extra_environment: dict[str, str] | None = None,
    check: bool = True,
    output: int | None = None,
    grace: float = 0.0,
) -> Finished:
    """Run one program to its end within `timeout` seconds.

    Raises CommandFailed when it cannot be started or takes too long, and, with `check`, when it fails. The message
    names the program and the last line it said, never its arguments or its environment. `stdin` is a text or an open
    file's descriptor; `output` is a descriptor that takes standard output instead of Finished.out. With `grace`, a program that takes too long is
    interrupted (SIGINT) and has that many seconds to tidy up before it is killed, with all that it started.
    """
    name = os.path.basename(argv[0])
    try:
        process = subprocess.Popen(
            argv,
            stdin=stdin if isinstance(stdin, int) else subprocess.PIPE,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.PIPE,
            env=environment(extra_environment),
            start_new_session=grace > 0,
        )
    except OSError as error:
        raise CommandFailed(f"{name} cannot be started: {error.strerror}") from error
    try:
        out, err = process.communicate(None if isinstance(stdin, int) else (stdin or "").encode(), timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{name} did not end within {timeout:g} s") from error
    finally:
        _stop(process, grace)
    finished = Finished(process.returncode, (out or b"").decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    if check and finished.code != 0:
        raise CommandFailed("%s ended with exit code %d: %s" % (name, finished.code, last_line(finished.err)))
    return finished


def pipe(
    producer: list[str],
    consumer: list[str],
    *,
    timeout: float,
    extra_environment: dict[str, str] | None = None,
) -> tuple[int, int, str]:
    """Connect two programs and return both exit codes and what they said on standard error.

    Both codes are returned because a shell's pipe hides the first (see restic issue 4251).
    """
    env = environment(extra_environment)
    try:
        first = subprocess.Popen(
            producer, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        )
    except OSError as error:
        raise CommandFailed(f"{os.path.basename(producer[0])} cannot be started: {error.strerror}") from error
    try:
        second = subprocess.Popen(
            consumer, stdin=first.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env
        )
    except OSError as error:
        first.kill()
        raise CommandFailed(f"{os.path.basename(consumer[0])} cannot be started: {error.strerror}") from error
    assert first.stdout is not None and first.stderr is not None
    first.stdout.close()
    try:
        said = second.communicate(timeout=timeout)[1]
        first_said = first.stderr.read()
        first.wait(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        first.kill()
        second.kill()
        raise CommandFailed(f"{os.path.basename(producer[0])} did not end within {timeout:g} s") from error
    finally:
        first.stderr.close()
    return first.returncode, second.returncode, (first_said + said).decode("utf-8", "replace")


def _stop(process: subprocess.Popen[bytes], grace: float) -> None:
    """See to it that the program is gone: nothing to do when it has ended by itself."""
    if process.poll() is None and grace > 0:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
    if process.poll() is None:
        if grace > 0:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def last_line(text: str) -> str:
    """Return the last line that says something, cut to 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "(it said nothing)"
