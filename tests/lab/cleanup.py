"""Remove a lab from the machine. It is found by names, control groups and marks, so it works after any accident."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from tests.lab import network
from tests.lab.layout import CACHE, STATE, Instance, LabError, instances
from tests.lab.processes import call, cgroup, cgroup_members, cgroup_root, kill, marked, remove_cgroup, say, wait_for


def end_strays(instance: Instance) -> None:
    """End what a killed `up` or `reset` left running outside the control groups, such as a copy of files."""
    group = cgroup(instance)

    def strays() -> set[int]:
        return marked(instance) - cgroup_members(group) - _own_family()

    for process in strays():
        kill(process)
    wait_for("the end of what an earlier call left running", lambda: not strays(), 20)


def sweep(instance: Instance) -> None:
    """Remove every process, control group, network device, mount and file of an instance. May be repeated."""
    remove_cgroup(cgroup(instance))
    end_strays(instance)
    for link in network.links(instance):
        network.remove(link)
    _unmount_below(instance.folder)
    if instance.folder.exists():
        shutil.rmtree(instance.folder)
    with contextlib.suppress(OSError):  # the last lab takes the group of all labs with it
        (cgroup_root() / "upkeep-lab").rmdir()
    say(f"lab {instance.name} is gone")


def purge() -> None:
    """Remove every lab, the template and all caches."""
    for instance in instances():
        sweep(instance)
    group = cgroup_root() / "upkeep-lab"
    remove_cgroup(group)
    for folder in (CACHE, STATE):
        _unmount_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
    say("no trace of the lab is left")


def left_overs(instance: Instance) -> list[str]:
    """Return what is left of an instance on the machine; empty after `down`."""
    found = [f"network device {link}" for link in network.links(instance)]
    found += [f"process {process}" for process in sorted(marked(instance) - _own_family())]
    found += [f"mount {place}" for place in _mounts_below(instance.folder)]
    found += [f"folder {place}" for place in (instance.folder, cgroup(instance)) if place.exists()]
    return found


def _own_family() -> set[int]:
    """Return this process and its ancestors: they may carry the mark, and they are not to be ended."""
    family, process = set(), os.getpid()
    while process > 1:
        family.add(process)
        process = int(
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
        )
    return family


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    places = [line.split()[4] for line in lines]
    return [place for place in places if Path(place).is_relative_to(folder)]


def _unmount_below(folder: Path) -> None:
    for place in reversed(_mounts_below(folder)):
        call(["umount", "-l", place])
    if _mounts_below(folder):
        # Never delete files while something else may be mounted among them.
        raise LabError(f"Something is still mounted below {folder}. Type: findmnt | grep {folder}")
