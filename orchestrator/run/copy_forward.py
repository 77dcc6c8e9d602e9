"""Lead a socket here to a port of the host's loopback address, through the connection that Ansible has open."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.run.gateway_forward import HOST_ADDRESS, SECONDS, ForwardError

LOOK_AGAIN_SECONDS = 0.05


@contextlib.contextmanager
def led_here(ssh: Sequence[str], host: str, port: int, here: Path) -> Iterator[None]:
    """Lead `here` to that port of the host while the block lasts. Raises ForwardError with what ssh said.

    `ssh` is Ansible's own command line up to the name of the host. A socket, because a folder keeps others away from it.
    """
    spec = f"{here}:{HOST_ADDRESS}:{port}"
    if _control(ssh, host, "forward", spec):
        try:
            yield
        finally:
            _control(ssh, host, "cancel", spec)
        return
    # There is no connection that could take it: one of our own.
    own = ["ControlMaster=no", "ControlPath=none", "ExitOnForwardFailure=yes", "BatchMode=yes"]
    options = [part for option in own for part in ("-o", option)]
    command = [ssh[0], *options, *ssh[1:], "-N", "-L", spec, host]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            _await(process, here)
            yield
        finally:
            process.terminate()


def _control(ssh: Sequence[str], host: str, verb: str, spec: str) -> bool:
    command = [*ssh, "-O", verb, "-L", spec, host]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _await(process: subprocess.Popen[bytes], here: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trial:
            trial.connect(str(here))
            return
        time.sleep(LOOK_AGAIN_SECONDS)
    said = b""
    if process.poll() is not None and process.stderr is not None:
        said = process.stderr.read()
    raise ForwardError(" ".join(said.decode(errors="replace").split())[-300:] or "it does not answer")
