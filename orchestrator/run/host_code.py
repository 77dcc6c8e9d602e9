"""Reach the code that hosts are given, so that a package is looked at here as it is looked at there.

It lies beside the playbooks: in a checkout beside this package, in an installed wheel inside of it.
"""

from __future__ import annotations

import sys

from orchestrator.run.places import content_root

_CONTENT = str(content_root())
if _CONTENT not in sys.path:
    sys.path.insert(0, _CONTENT)

from plugins.module_utils import language_packs, packages, points, wordpress  # noqa: E402

__all__ = ["language_packs", "packages", "points", "wordpress"]
