"""Reach the code that hosts are given, so that a package is looked at here as it is looked at there.

It lies beside the playbooks: in a checkout beside this package, in an installed wheel inside of it.
"""

from __future__ import annotations

from orchestrator.run.host_points import points

# Found there after the line above.
from plugins.module_utils import language_packs, packages, wordpress

__all__ = ["language_packs", "packages", "points", "wordpress"]
