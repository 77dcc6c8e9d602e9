"""Find the playbooks, roles and plugins that belong to this package, and the folder of our state."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
REPOSITORY = PACKAGE.parent
PACKAGED = PACKAGE / "content"


def content_root() -> Path:
    """Return the folder that holds playbooks/, roles/, plugins/ and ansible.cfg.

    In a checkout that is the folder beside the package; an installed wheel carries them inside the package.
    """
    # ansible.cfg is asked for too: a stranger's site-packages may well hold a folder called "playbooks".
    if (REPOSITORY / "playbooks").is_dir() and (REPOSITORY / "ansible.cfg").is_file():
        return REPOSITORY
    return PACKAGED


def playbook(name: str) -> Path:
    """Return the playbook of a step."""
    return content_root() / "playbooks" / f"{name}.yml"


def ansible_config() -> Path:
    """Return the project's own ansible.cfg, which every run of ours uses."""
    return content_root() / "ansible.cfg"


def state_folder() -> Path:
    """Return the folder of our state, as the XDG rules have it."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "upkeep"


def cache_folder() -> Path:
    """Return the folder of what can be had again at any time, as the XDG rules have it."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "upkeep"


def pictures_folder(state: Path, run: str) -> Path:
    """Return where the pictures of a run lie."""
    return state / "pictures" / run
