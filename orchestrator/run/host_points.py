"""Reach what hosts know of restore points. Apart from their other code (host_code.py), which is slower to load."""

from __future__ import annotations

import sys

from orchestrator.run.places import content_root

_CONTENT = str(content_root())
if _CONTENT not in sys.path:
    sys.path.insert(0, _CONTENT)

from plugins.module_utils import points  # noqa: E402

__all__ = ["points"]
