# GPL-3.0-or-later
"""Trees of files: copy one, build the next one beside the old, and exchange the two in one moment."""

from __future__ import annotations

import ctypes
import errno
import fnmatch
import os
import platform
import shutil
import stat
from dataclasses import dataclass
from typing import Callable, Iterator

from . import command

# linux/fs.h; the system call's numbers are in each architecture's unistd.h.
RENAME_EXCHANGE = 2
AT_FDCWD = -100
RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "armv7l": 382, "ppc64le": 357, "s390x": 347, "riscv64": 276}

FROZEN = (".maintenance", ".upkeep-freeze")


class TreeError(Exception):
    """A tree cannot be handled safely: another filesystem, files of somebody else, no atomic exchange."""


@dataclass(frozen=True)
class Entry:
    """What is compared of one path: its kind, size, time of change (ns), permissions, owner, group, inode, link target."""

    kind: str
    size: int
    mtime: int
    mode: int
    owner: int
    group: int
    inode: int
    target: str

    def same_content(self, other: Entry) -> bool:
        """Whether both stand for the same content; a folder's own time says nothing."""
        if self.kind != other.kind:
            return False
        return self.kind == "folder" or (self.size, self.mtime, self.target) == (other.size, other.mtime, other.target)


def scan(root: str) -> dict[str, Entry]:
    """Return every path below `root` with its Entry; names are kept byte for byte (surrogateescape)."""
    return dict(_walk(root, ""))


def clone(source: str, target: str, *, timeout: float = 3600.0) -> str:
    """Copy a tree with owners, modes, times, links and attributes; shares blocks where the filesystem can.

    Returns the method. Raises CommandFailed.
    """
    os.makedirs(target, mode=0o700)
    command.run(["cp", "-a", "--reflink=auto", source + "/.", target + "/"], timeout=timeout)
    shutil.copystat(source, target)
    return "cp --reflink=auto"


def link_farm(source: str, target: str) -> int:
    """Build `target` as folders of its own and hard links to `source`'s files. Returns the number of paths.

    A hard link is the same file: owner, group, mode, ACLs and content stay, and it takes no room. Folders that take
    new files later are real, so nothing that is put into `target` shows in `source`.
    """
    os.mkdir(target, 0o700)
    paths = scan(source)
    for path in sorted(paths):
        _place(source, target, path, paths[path])
    _restore_folder(source, target)
    return len(paths)


def bring_up_to_date(source: str, target: str, untouched: Callable[[str], bool]) -> list[str]:
    """Make `target` follow what changed in `source` since link_farm, except for paths that `untouched` refuses.

    Returns the paths that were brought over.
    """
    now, there = scan(source), scan(target)
    changed = []
    for path in sorted(now):
        if not untouched(path) or path in FROZEN:
            continue
        entry, other = now[path], there.get(path)
        if other is not None and (entry.inode == other.inode or (entry.kind == "folder" and other.kind == "folder")):
            continue
        if other is not None:
            remove(os.path.join(target, path))
        _place(source, target, path, entry)
        changed.append(path)
    for path in sorted(set(there) - set(now), reverse=True):
        if untouched(path) and path not in FROZEN:
            remove(os.path.join(target, path))
            changed.append(path)
    return changed


def put_in(source: str, target: str, paths: list[str], before: dict[str, Entry]) -> None:
    """Put copies of `paths` of tree `source` into tree `target`; a path that `source` lacks is removed.

    A path that was there `before` keeps its mode and group; a new one takes the group of its folder.
    """
    for path in sorted(paths):
        start, end = os.path.join(source, path), os.path.join(target, path)
        if not os.path.lexists(start):
            continue
        old = before.get(path)
        if os.path.isdir(start) and not os.path.islink(start):
            if os.path.islink(end) or (os.path.lexists(end) and not os.path.isdir(end)):
                os.unlink(end)
            if not os.path.isdir(end):
                os.mkdir(end)
        else:
            _replace_file(start, end)
        if not os.path.islink(end):
            os.chmod(end, old.mode if old else stat.S_IMODE(os.lstat(start).st_mode))
        group = old.group if old else os.stat(os.path.dirname(end)).st_gid
        if os.lstat(end).st_gid != group:
            os.chown(end, -1, group, follow_symlinks=False)
            if old and not os.path.islink(end):
                os.chmod(end, old.mode)  # a change of group clears the set-group-id bit
    for path in sorted(paths, reverse=True):
        if not os.path.lexists(os.path.join(source, path)):
            remove(os.path.join(target, path))


def exchange(one: str, other: str) -> None:
    """Exchange two paths of one filesystem in one atomic step (renameat2 with RENAME_EXCHANGE). Raises TreeError."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = RENAMEAT2.get(platform.machine())
    if number is None:
        raise TreeError(f"no atomic exchange is known for a {platform.machine()} machine")
    done = libc.syscall(number, AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    if done != 0:
        number = ctypes.get_errno()
        raise TreeError(f"the trees cannot be exchanged: {os.strerror(number)}")


def can_exchange(folder: str) -> str:
    """Try an exchange in `folder` and return "" or the reason why it does not work there."""
    pair = [os.path.join(folder, name) for name in ("try-one", "try-other")]
    try:
        for path in pair:
            remove(path)
            os.mkdir(path)
        exchange(pair[0], pair[1])
    except (OSError, TreeError) as error:
        return str(error)
    finally:
        for path in pair:
            remove(path)
    return ""


def obstacles(root: str, paths: dict[str, Entry]) -> list[str]:
    """Return why this tree cannot be exchanged as its owner: other filesystems inside, files of other owners."""
    found = []
    device = os.stat(root).st_dev
    parent = os.path.dirname(root)
    if os.stat(parent).st_dev != device:
        found.append(f"{root} is a filesystem of its own")
    if not os.access(parent, os.W_OK):
        found.append(f"{parent} cannot be written by the site's owner")
    me = os.geteuid()
    foreign = sorted(path for path, entry in paths.items() if entry.owner != me)
    if foreign and me != 0:
        found.append("%d files belong to somebody else, such as %s" % (len(foreign), foreign[0]))
    mounts = [
        path for path, entry in paths.items() if entry.kind == "folder" and os.path.ismount(os.path.join(root, path))
    ]
    found += [f"{path} is a filesystem of its own" for path in sorted(mounts)]
    return found


def in_unit(path: str, units: list[str]) -> bool:
    """Whether a path belongs to one of the units (folders, or patterns of files at the top)."""
    for unit in units:
        if path == unit or path.startswith(unit + "/") or ("/" not in path and fnmatch.fnmatchcase(path, unit)):
            return True
    return False


def remove(path: str) -> None:
    """Remove a file or a whole folder; nothing there is fine. Links are removed, not followed."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, onerror=_unlock_and_retry)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def _walk(root: str, inside: str) -> Iterator[tuple[str, Entry]]:
    with os.scandir(os.path.join(root, inside)) as entries:
        listed = list(entries)
    for entry in listed:
        path = os.path.join(inside, entry.name)
        try:
            seen = entry.stat(follow_symlinks=False)
            target = os.readlink(entry.path) if stat.S_ISLNK(seen.st_mode) else ""
        except FileNotFoundError:
            continue  # the site works on: a file may go while we look
        yield (
            path,
            Entry(
                _kind(seen.st_mode),
                seen.st_size,
                seen.st_mtime_ns,
                stat.S_IMODE(seen.st_mode),
                seen.st_uid,
                seen.st_gid,
                seen.st_ino,
                target,
            ),
        )
        if stat.S_ISDIR(seen.st_mode):
            yield from _walk(root, path)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_ISREG(mode) else "special"


def _place(source: str, target: str, path: str, entry: Entry) -> None:
    start, end = os.path.join(source, path), os.path.join(target, path)
    if entry.kind == "folder":
        os.makedirs(end, exist_ok=True)
        _restore_folder(start, end)
        return
    try:
        os.link(start, end, follow_symlinks=False)
    except FileNotFoundError:
        if os.path.lexists(start):
            raise
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM):
            raise TreeError(f"{path} cannot be linked: {error.strerror}") from error
        raise


def _restore_folder(source: str, target: str) -> None:
    seen = os.stat(source)
    if os.stat(target).st_gid != seen.st_gid:
        os.chown(target, -1, seen.st_gid)
    shutil.copystat(source, target)


def _replace_file(start: str, end: str) -> None:
    remove(end)
    shutil.copy2(start, end, follow_symlinks=False)


def _unlock_and_retry(function: Callable[..., object], path: str, _: object) -> None:
    """Remove what a missing write permission on its folder protects: modes of a client's tree are copied too."""
    os.chmod(os.path.dirname(path), 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        os.chmod(path, 0o700)
    function(path)
