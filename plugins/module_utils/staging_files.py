# GPL-3.0-or-later
"""Production's files in the staging copy: copied once, and put back path by path between rounds.

`base` holds what the copy began with, and never changes. It leaves out pictures, films and the like below the uploads, most
of what a site weighs, because no release changes them: where one does, production has the same file. Where the copy's PHP
can only read production, the copy itself has links to them instead of files: those are never followed here.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from typing import Any, Iterable, Mapping

from . import tree
from .lease import write_whole

UPLOADS = os.path.join("wp-content", "uploads")
# A persistent object cache is shared with production and would be filled with staging's rows; a page cache hides PHP.
DROP_INS = ("object-cache.php", "advanced-cache.php")
# Nobody appends to these or writes into them; logs, styles and data below the uploads are in `base` like all else.
COPIED_ONCE = (
    ".avi", ".avif", ".bmp", ".doc", ".docx", ".eps", ".flac", ".gif", ".gz", ".heic", ".ico", ".jpeg", ".jpg", ".m4a", ".m4v",
    ".mkv", ".mov", ".mp3", ".mp4", ".mpeg", ".mpg", ".odt", ".ogg", ".ogv", ".pdf", ".png", ".ppt", ".pptx", ".psd", ".rar",
    ".tar", ".tif", ".tiff", ".wav", ".webm", ".webp", ".wmv", ".xls", ".xlsx", ".zip",
)  # fmt: skip
# Links to production's uploads go by this one, which lies beside the copy: a target of less than 60 bytes is kept in a link
# itself by ext4, and a longer one takes a block.
ALIAS = "p"
# A file's time of change comes from the kernel's clock, which ticks coarsely.
TICK_NS = 1_000_000_000


def create(production: str, root: str, base: str, folder: str, *, links: bool = False) -> dict[str, Any]:
    """Copy production's files into `root`, and what a reset needs into `base`; return {files, bytes, method, …} for the evidence.

    With `links` what is copied once is not copied at all: the copy leads to production's own, which its PHP must not be
    able to write to. Raises CommandFailed, TreeError, OSError.
    """
    for path in (root, base):
        tree.remove(path)
    began = time.time_ns()
    linked: dict[str, tree.Entry] = {}
    if links:
        linked = copied_once(production)
        method = _keep(production, base)
        for name in tree.FROZEN:
            tree.remove(os.path.join(base, name))
        tree.clone(base, root)
        _link(production, base, root, folder, linked)
    else:
        method = tree.clone(production, root)
        for name in tree.FROZEN:
            tree.remove(os.path.join(root, name))
        _keep(root, base)
    for name in DROP_INS:
        tree.remove(os.path.join(root, "wp-content", name))
    found = marks(root)
    _note(folder, began, found, links=links)
    sizes = [int(mark[5]) for mark in found.values() if stat.S_ISREG(int(mark[0]))]
    told = {"linked": len(linked), "linked_bytes": sum(seen.size for seen in linked.values())} if links else {}
    return {"files": len(sizes) + len(linked), "bytes": sum(sizes), "method": method, **told}


def keep(root: str, base: str, folder: str) -> str:
    """Let a copy that was not made of production here begin with what it is: all of it is kept, pictures too.

    Returns the method. Raises CommandFailed, OSError.
    """
    tree.remove(base)
    began, method = time.time_ns(), tree.clone(root, base)
    _note(folder, began, marks(root), links=False)
    return method


def copied_once(root: str) -> dict[str, tree.Entry]:
    """Return the files below a site's uploads that no release changes: pictures, films and the like."""
    if not _has_uploads(root):
        return {}
    uploads = tree.scan(os.path.join(root, UPLOADS))
    return {os.path.join(UPLOADS, path): seen for path, seen in uploads.items() if _is_copied_once(path, seen)}


def has_links(folder: str) -> bool:
    """Whether the copy in this folder leads to production's files."""
    return bool(_noted(folder).get("links"))


def a_link(production: str, root: str, folder: str) -> str:
    """Return one of the copy's links that leads to a file that can be read, or ""."""
    for path, mark in _noted(folder).get("marks", {}).items():
        if mark[4] == _target(path) and os.access(os.path.join(production, path), os.R_OK):
            return os.path.join(root, path)
    return ""


def put_back(production: str, root: str, base: str, folder: str) -> list[str]:
    """Make `root` what it was when production was copied. Returns the paths that were not. Raises TreeError, OSError."""
    noted = _noted(folder)
    then, now = noted["marks"], marks(root)
    changed = sorted(path for path in {*then, *now} if then.get(path) != now.get(path))
    if not changed:
        return []
    back = [path for path in changed if path in then and not _only_its_time(then[path], now.get(path))]
    missing = [path for path in back if not os.path.lexists(os.path.join(base, path))]
    links = [path for path in missing if stat.S_ISLNK(int(then[path][0]))]
    missing = sorted(set(missing) - set(links))
    _refuse_other(production, missing, then, noted["began"])
    # Where a link stands for a folder now, what is put below it would land where the link leads.
    gone = [path for path in changed if path in now and (path not in then or _kind(then[path]) != _kind(now[path]))]
    with tree.writable(root, gone):
        for path in reversed(gone):
            tree.remove(os.path.join(root, path))
    for source, paths in ((base, sorted({*back} - {*missing, *links})), (production, missing)):
        before = {path: seen for path in paths for seen in [tree.entry(source, path)] if seen}
        tree.put_in(source, root, paths, before)
        if os.geteuid() == 0:
            _give_owners(root, paths, then)
    _link_again(root, links, then)
    _give_times(root, changed, then)
    after = marks(root)
    wrong = [path for path in {*then, *after} if _kept(then.get(path)) != _kept(after.get(path))]
    if wrong:
        raise tree.TreeError(f"{len(wrong)} files of the copy could not be put back, such as {min(wrong)}")
    _note(folder, noted["began"], after, links=bool(noted.get("links")))
    return changed


def marks(root: str) -> dict[str, list[int | str]]:
    """Return what changes of each path below `root` when it is touched in any way: the kernel sets the time of change."""
    found: dict[str, list[int | str]] = {}
    for path, seen, target in tree.walk(root):
        mark: list[int | str] = [seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, target]
        # A folder is as it was when it has its mode, its owner and its time again.
        found[path] = mark if stat.S_ISDIR(seen.st_mode) else [*mark, seen.st_size, seen.st_ino, seen.st_ctime_ns]
    return found


def _keep(root: str, base: str) -> str:
    """Copy `root`, which may be a site at work, into `base`, without what is copied once. Returns the method."""
    if not _has_uploads(root):
        return tree.clone(root, base)
    inside = {
        os.path.join(UPLOADS, path): seen
        for path, seen in tree.scan(os.path.join(root, UPLOADS)).items()
        if not _is_copied_once(path, seen)
    }
    steps, methods = _steps(UPLOADS), []
    for folder, onward in zip(("", *steps), steps):
        start, end = os.path.join(root, folder), os.path.join(base, folder)
        os.makedirs(os.path.join(base, onward), mode=0o700)
        names = [name for name in sorted(os.listdir(start)) if os.path.join(folder, name) != onward]
        methods.append(tree.copy([os.path.join(start, name) for name in names], end))
    for path in sorted(inside):
        # What is gone by now was a site's own temporary file.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            tree.put_in(root, base, [path], {path: inside[path]})
    folders = [path for path in inside if inside[path].kind == "folder" and os.path.isdir(os.path.join(base, path))]
    tree.restore_folders(root, base, ["", *steps, *folders])
    return methods[0]


def _has_uploads(root: str) -> bool:
    """Whether the site's uploads are a folder of its tree: a link is not followed."""
    uploads = os.path.join(root, UPLOADS)
    return os.path.isdir(uploads) and os.path.realpath(uploads) == os.path.join(os.path.realpath(root), UPLOADS)


def _is_copied_once(path: str, seen: tree.Entry) -> bool:
    return seen.kind == "file" and path.lower().endswith(COPIED_ONCE)


def _target(path: str) -> str:
    """Return where the copy's link at this path below the uploads leads, by way of ALIAS, which lies beside `root`."""
    return os.path.join("../" * path.count(os.sep), "..", ALIAS, os.path.relpath(path, UPLOADS))


def _link(production: str, base: str, root: str, folder: str, paths: Iterable[str]) -> None:
    """Let the copy lead to these files of production, and leave its folders as they are in `base`."""
    alias = os.path.join(folder, ALIAS)
    tree.remove(alias)
    os.symlink(os.path.join(production, UPLOADS), alias)
    with tree.writable(root, list(paths)):
        for path in paths:
            # A folder that went, or came after the copy was made, is no folder of the copy.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.symlink(_target(path), os.path.join(root, path))
    folders = {os.path.dirname(path) for path in paths}
    tree.restore_folders(base, root, [folder for folder in folders if os.path.isdir(os.path.join(base, folder))])


def _link_again(root: str, paths: list[str], then: Mapping[str, list[int | str]]) -> None:
    """Make links what they were; where they lead nothing is touched."""
    with tree.writable(root, paths):
        for path in paths:
            _, owner, group, changed, target = then[path][:5]
            place = os.path.join(root, path)
            tree.remove(place)
            os.symlink(str(target), place)
            made = os.lstat(place)
            if (made.st_uid, made.st_gid) != (owner, group):
                os.chown(place, int(owner), int(group), follow_symlinks=False)
            os.utime(place, ns=(int(changed), int(changed)), follow_symlinks=False)


def _steps(path: str) -> list[str]:
    """Return the folders on the way to a path, and itself."""
    parts = path.split(os.sep)
    return [os.path.join(*parts[: number + 1]) for number in range(len(parts))]


def _refuse_other(production: str, paths: list[str], then: dict[str, list[int | str]], began: int) -> None:
    """Raise TreeError when production's files are no longer those that were copied: nobody has those any more."""
    for path in paths:
        try:
            seen = os.lstat(os.path.join(production, path))
        except OSError:
            seen = None
        mark = then[path]
        same = seen and [seen.st_mode, seen.st_mtime_ns, seen.st_size] == [mark[0], mark[3], mark[5]]
        if not (seen and same and seen.st_ctime_ns < began - TICK_NS):
            raise tree.TreeError(f"{path} was changed in the copy, and in production since it was copied: stage anew")


def _only_its_time(then: list[int | str], now: list[int | str] | None) -> bool:
    """Whether this is a folder that differs in nothing but its time, because of what is in it."""
    return now is not None and len(then) == len(now) == 5 and (then[:3], then[4]) == (now[:3], now[4])


def _kind(mark: list[int | str]) -> int:
    return stat.S_IFMT(int(mark[0]))


def _kept(mark: list[int | str] | None) -> list[int | str] | None:
    """Return what of a mark comes back with a file: not its inode and its time of change."""
    return mark[:6] if mark else None


def _give_owners(root: str, paths: list[str], then: dict[str, list[int | str]]) -> None:
    """Give paths the owner that they had: root's copy of a file is not root's."""
    for path in paths:
        mode, owner, group = map(int, then[path][:3])
        os.chown(os.path.join(root, path), owner, group, follow_symlinks=False)
        if not stat.S_ISLNK(mode):
            os.chmod(os.path.join(root, path), stat.S_IMODE(mode))


def _give_times(root: str, changed: list[str], then: dict[str, list[int | str]]) -> None:
    """Give folders the times they had, what is inside first."""
    folders = {os.path.dirname(path) for path in changed} | set(changed)
    for path in sorted(folders, reverse=True):
        if path in then and len(then[path]) == 5:
            place = os.path.join(root, path)
            os.utime(place, ns=(os.stat(place).st_atime_ns, int(then[path][3])))


def _note(folder: str, began: int, found: dict[str, list[int | str]], *, links: bool) -> None:
    write_whole(_notes(folder), json.dumps({"began": began, "links": links, "marks": found}))


def _noted(folder: str) -> dict[str, Any]:
    """Return what was noted of the copy in this folder, {} when there is none."""
    try:
        with open(_notes(folder), encoding="utf-8") as file:
            noted: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return noted


def _notes(folder: str) -> str:
    return os.path.join(folder, "copied.json")
