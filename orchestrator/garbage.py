"""Python looks for garbage once more when it ends: through a million objects, for memory that is given back anyhow."""

from __future__ import annotations

import atexit
import gc


def not_at_the_end() -> None:
    """Let this process end without that. Measured with Python 3.11: 0.2 s of a call of Ansible, 0.15 s of `upkeep plan`."""
    atexit.register(gc.freeze)
