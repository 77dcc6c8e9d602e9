# GPL-3.0-or-later
"""Trees of files: copy one, build the next one beside the old, and exchange the two in one moment."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import os
import shutil
import stat
from dataclasses import dataclass
from typing import Callable, Iterable, Iterator

from . import command, own_way_back

FROZEN = (own_way_back.MARKER, own_way_back.SEAL)
ACCESS = "system.posix_acl_access"
FICLONE = 0x40049409  # linux/fs.h
REFLINK, COPY = "reflink", "copy"


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
    return {path: _entry(seen, target) for path, seen, target in walk(root)}


def walk(root: str) -> Iterator[tuple[str, os.stat_result, str]]:
    """Yield every path below `root` with what the kernel says of it and, of a link, where it leads."""
    return _walk(root, "")


def entry(root: str, path: str) -> Entry | None:
    """Return the Entry of one path below `root`, or None when nothing is there."""
    try:
        seen = os.lstat(os.path.join(root, path))
        target = os.readlink(os.path.join(root, path)) if stat.S_ISLNK(seen.st_mode) else ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _entry(seen, target)


def clone(source: str, target: str, *, timeout: float = 3600.0) -> str:
    """Copy a tree with owners, modes, times, links and attributes; shares blocks where the filesystem can.

    Returns the method, REFLINK or COPY. Raises CommandFailed.
    """
    os.makedirs(target, mode=0o700)
    method = copy([source + "/."], target, timeout=timeout)
    shutil.copystat(source, target)
    return method


def copy(sources: list[str], target: str, *, timeout: float = 3600.0) -> str:
    """Copy files and whole folders into a folder, as clone() does. Returns the method. Raises CommandFailed."""
    if not sources:
        return COPY
    done = command.Finished(1, "", "")
    method = REFLINK if _shares(sources, target) else COPY
    if method == REFLINK:
        # What cp was told to share and has copied without a word is shared.
        done = _cp("always", sources, target, timeout)
    if done.code != 0:
        method = COPY
        done = _cp("auto", sources, target, timeout)
    # A site at work removes its own temporary files while they are copied.
    if done.code != 0 and not all(line.endswith(": No such file or directory") for line in done.err.splitlines()):
        raise command.CommandFailed(f"cp ended with exit code {done.code}: {command.last_line(done.err)}")
    return method


def link_farm(source: str, target: str) -> int:
    """Build `target` as folders of its own and hard links to `source`'s files. Returns the number of paths.

    A hard link is the same file: owner, group, mode, ACLs and content stay, and it takes no room. Folders that take
    new files later are real, so nothing that is put into `target` shows in `source`.
    """
    os.mkdir(target, 0o700)
    paths = scan(source)
    for path in sorted(paths):
        _place(source, target, path, paths[path])
    restore_folders(source, target, ["", *(path for path in paths if paths[path].kind == "folder")])
    return len(paths)


def bring_up_to_date(
    source: str,
    target: str,
    untouched: Callable[[str], bool],
    *,
    now: dict[str, Entry] | None = None,
    there: dict[str, Entry] | None = None,
) -> list[str]:
    """Make `target` follow what changed in `source` since link_farm, except for paths that `untouched` refuses.

    `now` and `there` are what `source` and `target` hold, where that is known already. Returns the paths that were brought
    over.
    """
    now, there = now or scan(source), there or scan(target)
    wanted = {path for path in {*now, *there} if untouched(path) and path not in FROZEN}
    gone = [path for path in there if path in wanted and path not in now]
    new, folders = [], []
    for path in sorted(wanted & set(now)):
        seen, other = now[path], there.get(path)
        folder = seen.kind == "folder"
        if other is None or seen.kind != other.kind or (not folder and seen.inode != other.inode):
            new.append(path)
        kept = (other.kind, other.mode, other.group) if other else ()
        if folder and (seen.kind, seen.mode, seen.group) != kept:
            folders.append(path)
    with writable(target, [*gone, *new]):
        for path in sorted(gone, reverse=True):
            remove(os.path.join(target, path))
        for path in new:
            if path in there:
                remove(os.path.join(target, path))
            _place(source, target, path, now[path])
    restore_folders(source, target, folders)
    return sorted({*gone, *new, *folders})


def put_in(source: str, target: str, paths: list[str], before: dict[str, Entry]) -> None:
    """Put copies of `paths` of tree `source` into tree `target`; a path that `source` lacks is removed.

    A path that was there `before` keeps its mode, group and access list; a new one takes the group of its folder.
    """
    there = _there(source, sorted(paths))
    with writable(target, paths):
        for path in reversed(_there(target, sorted(set(paths) - set(there)))):
            remove(os.path.join(target, path))
        access = {path: _access(os.path.join(target, path)) for path in there}
        for path in there:
            _copy(os.path.join(source, path), os.path.join(target, path))
        # Folders after what is in them: their own mode may forbid to write there.
        groups: dict[str, int] = {}
        for path in there:
            old, folder = before.get(path), os.path.dirname(path)
            groups[path] = old.group if old else groups.get(folder, os.stat(os.path.join(target, folder)).st_gid)
        for path in reversed(there):
            _give(source, target, path, before.get(path), groups[path])
            # An access list that a link had in the place of a file would be set where it leads.
            if access[path] and before.get(path) and not os.path.islink(os.path.join(target, path)):
                os.setxattr(os.path.join(target, path), ACCESS, access[path])


def _there(root: str, paths: list[str]) -> list[str]:
    ours = _own(root, map(os.path.dirname, paths))
    return [path for path in paths if os.path.dirname(path) in ours and os.path.lexists(os.path.join(root, path))]


def _own(root: str, folders: Iterable[str]) -> set[str]:
    """Leave out what tree `root` has only by a link: that belongs to the place where the link leads."""
    top = os.path.realpath(root)
    reached = {folder: os.path.realpath(os.path.join(root, folder)) for folder in set(folders)}
    return {folder for folder, real in reached.items() if real == os.path.normpath(os.path.join(top, folder))}


def exchange(one: str, other: str) -> None:
    """Exchange two paths of one filesystem in one atomic step (renameat2 with RENAME_EXCHANGE). Raises TreeError."""
    try:
        own_way_back.exchange(one, other)
    except OSError as error:
        told = f"the trees cannot be exchanged: {error.strerror}" if error.errno else str(error)
        raise TreeError(told) from error


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
    seen, parent = os.stat(root), os.path.dirname(root)
    if os.stat(parent).st_dev != seen.st_dev:
        found.append(f"{root} is a filesystem of its own")
    me = os.geteuid()
    for folder in (parent, root):
        if not os.access(folder, os.W_OK, effective_ids=True):
            found.append(f"{folder} cannot be written by the site's owner")
    foreign = sorted(path for path, held in paths.items() if held.owner != me)
    if seen.st_uid != me:
        foreign.insert(0, root)
    if foreign and me != 0:
        found.append(f"{len(foreign)} files belong to somebody else, such as {foreign[0]}")
    groups = {os.getegid(), *os.getgroups()}
    others = sorted(path for path, held in paths.items() if held.kind == "folder" and held.group not in groups)
    if others and me != 0:
        found.append(f"{len(others)} folders belong to a group in which the site's owner is not, such as {others[0]}")
    mounts = [
        path for path, held in paths.items() if held.kind == "folder" and os.path.ismount(os.path.join(root, path))
    ]
    found += [f"{path} is a filesystem of its own" for path in sorted(mounts)]
    return found


def leads_out(path: str, link: Entry) -> bool:
    """Whether a path is a link that leads out of its tree, or back into it by its full name: a copy's would, too."""
    end = os.path.normpath(os.path.join(os.path.dirname(path), link.target))
    return link.kind == "link" and (os.path.isabs(link.target) or end.split("/")[0] == "..")


def in_unit(path: str, units: list[str]) -> bool:
    """Whether a path belongs to one of the units: a folder, a pattern of files in one, or with a slash at its end a folder alone."""
    for unit in units:
        if path == unit or path.startswith(unit + "/") or path + "/" == unit or _matches(path, unit):
            return True
    return False


def _matches(path: str, pattern: str) -> bool:
    folder, _, name = path.rpartition("/")
    place, _, names = pattern.rpartition("/")
    return folder == place and fnmatch.fnmatchcase(name, names)


def remove(path: str) -> None:
    """Remove a file or a whole folder; nothing there is fine. Links are removed, not followed."""
    try:
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return
        try:
            shutil.rmtree(path, onerror=_fail_unless_gone)
        except PermissionError:
            # Modes of a client's tree are copied too.
            _unlock(path)
            shutil.rmtree(path, onerror=_fail_unless_gone)
    except (FileNotFoundError, NotADirectoryError):
        pass


def _walk(root: str, inside: str) -> Iterator[tuple[str, os.stat_result, str]]:
    try:
        with os.scandir(os.path.join(root, inside)) as entries:
            listed = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        if not inside:
            raise
        return  # the site works on: a folder may go while we look
    for found in listed:
        path = os.path.join(inside, found.name)
        try:
            seen = found.stat(follow_symlinks=False)
            target = os.readlink(found.path) if stat.S_ISLNK(seen.st_mode) else ""
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINVAL):
                continue  # and so may a file, or a link become one
            raise
        yield path, seen, target
        if stat.S_ISDIR(seen.st_mode):
            yield from _walk(root, path)


def _entry(seen: os.stat_result, target: str) -> Entry:
    return Entry(
        _kind(seen.st_mode),
        seen.st_size,
        seen.st_mtime_ns,
        stat.S_IMODE(seen.st_mode),
        seen.st_uid,
        seen.st_gid,
        seen.st_ino,
        target,
    )


def _cp(share: str, sources: list[str], target: str, timeout: float) -> command.Finished:
    arguments = ["cp", "-a", "--reflink=" + share, "-t", target, "--", *sources]
    return command.run(arguments, timeout=timeout, check=False)


def _shares(sources: list[str], target: str) -> bool:
    """Whether the file system lets files in `target` share blocks with the sources', tried with one of them."""
    trial = os.path.join(target, ".upkeep-shares")
    try:
        with open(_some_file(sources), "rb") as file, open(trial, "wb") as new:
            fcntl.ioctl(new, FICLONE, file.fileno())
        return True
    except OSError:
        return False
    finally:
        remove(trial)


def _some_file(sources: list[str]) -> str:
    """Return a file with something in it, among the sources or in the folders that they are. Raises OSError."""
    for source in sources:
        for path in [source] if os.path.isfile(source) else [found.path for found in os.scandir(source)]:
            if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path):
                return path
    raise FileNotFoundError(errno.ENOENT, "no file to try with")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_ISREG(mode) else "special"


def _place(source: str, target: str, path: str, seen: Entry) -> None:
    start, end = os.path.join(source, path), os.path.join(target, path)
    if seen.kind == "folder":
        os.makedirs(end, mode=0o700, exist_ok=True)
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


def restore_folders(source: str, target: str, folders: list[str]) -> None:
    """Give folders the group, mode and times of their originals: what is inside first, or it could not be reached."""
    for path in sorted(folders, reverse=True):
        start, end = os.path.join(source, path), os.path.join(target, path)
        try:
            seen = os.stat(start)
        except FileNotFoundError:
            continue  # it went while we looked, and bring_up_to_date follows
        if os.stat(end).st_gid != seen.st_gid:
            os.chown(end, -1, seen.st_gid)
        shutil.copystat(start, end)


def _copy(start: str, end: str) -> None:
    """Put a copy of a file or link, or an empty folder, in the place of whatever is there."""
    folder = os.path.isdir(start) and not os.path.islink(start)
    if not (folder and os.path.isdir(end) and not os.path.islink(end)):
        remove(end)
        if folder:
            os.mkdir(end, 0o700)
        else:
            shutil.copy2(start, end, follow_symlinks=False)


def _give(source: str, target: str, path: str, old: Entry | None, group: int) -> None:
    """Give a path its group and mode: those it had, where it was the same kind of thing."""
    seen, end = os.lstat(os.path.join(source, path)), os.path.join(target, path)
    made = os.lstat(end)
    if made.st_gid != group:
        try:
            os.chown(end, -1, group, follow_symlinks=False)
        except PermissionError as error:
            raise TreeError(f"{path} belongs to the group {group}, in which the site's owner is not") from error
    if not os.path.islink(end):
        # After the group: a change of group clears the set-group-id bit. A new folder has inherited that bit.
        fresh = stat.S_IMODE(seen.st_mode) | (made.st_mode & stat.S_ISGID)
        os.chmod(end, old.mode if old and old.kind == _kind(seen.st_mode) else fresh)


def _access(path: str) -> bytes:
    """Return a path's POSIX access list as the kernel keeps it, or nothing when it has none."""
    try:
        return os.getxattr(path, ACCESS, follow_symlinks=False)
    except OSError:
        return b""


@contextlib.contextmanager
def writable(target: str, paths: list[str]) -> Iterator[None]:
    """Let folders take and give these paths although their owner has protected them, and protect them again."""
    protected = {}
    for folder in sorted(_own(target, map(os.path.dirname, paths))):
        path = os.path.join(target, folder)
        if os.path.isdir(path):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                protected[folder] = mode
                os.chmod(path, mode | stat.S_IRWXU)
    try:
        yield
    finally:
        for folder in sorted(_own(target, protected), reverse=True):
            path = os.path.join(target, folder)
            if os.path.isdir(path):
                os.chmod(path, protected[folder])


def _unlock(folder: str) -> None:
    os.chmod(folder, stat.S_IRWXU)
    for inside, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(inside, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)


def _fail_unless_gone(_: object, __: str, failure: tuple[object, BaseException, object]) -> None:
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]
