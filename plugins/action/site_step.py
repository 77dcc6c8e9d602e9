# GPL-3.0-or-later
"""Carry out the module site_step as Ansible does, with what it is built of kept from one call of Ansible to the next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action.normal import ActionModule as Normal
from ansible.release import __version__

# In a checkout the package stands beside plugins/; installed, it is where Ansible's own Python looks.
CONTENT = str(Path(__file__).resolve().parents[2])
if CONTENT not in sys.path:
    sys.path.insert(0, CONTENT)
from orchestrator.run.kept_builds import KeptBuilds
from orchestrator.run.places import cache_folder

PLUGINS = Path(__file__).resolve().parents[1]
# Where Ansible looks for a module that it has built in this call already (ansible.executor.module_common).
BUILT = "ansiballz_cache"
SOURCES = [PLUGINS / "modules" / "site_step.py", *(PLUGINS / "module_utils").glob("*.py")]
# Read while Ansible imports this, before it forks: no worker reads the sources again.
BUILDS = KeptBuilds(cache_folder() / "modules", "site_step", (__version__, sys.version, str(PLUGINS)), SOURCES)


class ActionModule(Normal):  # type: ignore[misc]
    """What Ansible does with any module."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Run the module."""
        here = Path(constants.DEFAULT_LOCAL_TMP) / BUILT
        BUILDS.lay_out(here)
        result: dict[str, Any] = super().run(tmp, task_vars)
        BUILDS.keep(here)
        return result
