"""Keep a folder in memory: a file system on a disk takes seconds for the thousands of files that each test makes and removes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tests.lab.processes import call

# Of what the machine has; only what is written takes any.
SIZE = "40%"


def hold(folder: Path) -> None:
    """Mount a file system in memory here, if the kernel's can do what the hosts' files need. May be repeated.

    Extended attributes of users, which tests of restores write, came to tmpfs with Linux 6.6: before that the folder stays on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_mount():
        return
    call(["mount", "-t", "tmpfs", "-o", f"mode=0755,size={SIZE}", "upkeep-lab", str(folder)])
    try:
        os.setxattr(folder, "user.upkeep", b"")
        os.removexattr(folder, "user.upkeep")
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        call(["umount", str(folder)])
