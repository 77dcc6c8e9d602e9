"""How often Python looks for garbage. A command of ours, and Ansible, live for seconds, make a million objects and hardly any garbage.

By default Python looks through them after every 700 new ones, and through all of them once more when it ends: measured with
Python 3.11, that was a fifth of a second of each call of Ansible and a quarter of what `upkeep plan` takes.
"""

from __future__ import annotations

import atexit
import gc

OBJECTS_BEFORE_A_LOOK = 100_000


def look_seldom() -> None:
    """Look for garbage seldom from now on, in this process and those that are forked from it, and not at the end."""
    gc.set_threshold(OBJECTS_BEFORE_A_LOOK, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)
