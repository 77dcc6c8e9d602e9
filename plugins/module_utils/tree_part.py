# GPL-3.0-or-later
"""The next tree when only some paths of a restore point are wanted: the live tree with these paths replaced."""

from __future__ import annotations

import os
import stat
from typing import Mapping

from . import tree
from .parts import Part
from .restic import Node
from .tree import TreeError


def graft(root: str, target: str, restored: str, part: Part, stored: Mapping[str, Node]) -> None:
    """Build `target` as hard links to the live tree in `root`, and move the wanted paths of `restored` into it.

    What is wanted keeps owner, group and mode of the restore point; a folder above it that is no longer there comes
    back with it. Raises TreeError when a wanted path would lie behind a link or below a file.
    """
    tree.remove(target)
    tree.link_farm(root, target)
    for path in outermost(part):
        made = []
        for folder in above(path):
            there = tree.entry(target, folder)
            if there is None:
                os.mkdir(os.path.join(target, folder), 0o700)
                made.append(folder)
            elif there.kind != "folder":
                raise TreeError(f"{path} cannot be put back: {folder} is a {there.kind} now")
        with tree.writable(target, [path]):
            tree.remove(os.path.join(target, path))
            _move(os.path.join(restored, path), os.path.join(target, path))
        for folder in reversed(made):
            _give(os.path.join(target, folder), stored[folder])


def follow(root: str, target: str, part: Part) -> list[str]:
    """Make the next tree follow what changed in the live one since graft(), but for what is wanted. Returns the paths."""
    kept = {folder for path in part.paths for folder in above(path)}
    return tree.bring_up_to_date(root, target, lambda path: path not in kept and not part.covers(path))


def outermost(part: Part) -> list[str]:
    """Return the wanted paths without those that lie in another one."""
    return [path for path in sorted(part.paths) if not any(path.startswith(other + "/") for other in part.paths)]


def above(path: str) -> list[str]:
    """Return the folders above a path, the outermost first."""
    pieces = path.split("/")[:-1]
    return ["/".join(pieces[: number + 1]) for number in range(len(pieces))]


def _move(start: str, end: str) -> None:
    """Rename a path; a folder that its owner has protected is opened meanwhile, for it learns of another parent."""
    seen = os.lstat(start)
    protected = stat.S_ISDIR(seen.st_mode) and not seen.st_mode & stat.S_IWUSR
    if protected:
        os.chmod(start, stat.S_IMODE(seen.st_mode) | stat.S_IWUSR)
    os.rename(start, end)
    if protected:
        os.chmod(end, stat.S_IMODE(seen.st_mode))


def _give(folder: str, node: Node) -> None:
    if os.stat(folder).st_gid != node.group:
        try:
            os.chown(folder, -1, node.group)
        except PermissionError as error:
            raise TreeError(f"{folder} belonged to the group {node.group}, in which the site's owner is not") from error
    os.chmod(folder, node.mode)
