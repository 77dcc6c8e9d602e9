"""Read what stands on Ansible's side of the seam: roles, their specs and the playbooks. Each file is read once: hundreds of tests ask."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
PLAYBOOKS = ROOT / "playbooks"


def role_names() -> list[str]:
    """Return the name of every role."""
    return sorted(path.name for path in ROLES.iterdir() if path.is_dir())


@cache
def verbs(role: str) -> list[str]:
    """Return the task files of a role."""
    return sorted(path.stem for path in (ROLES / role / "tasks").glob("*.yml"))


@cache
def specs(role: str) -> dict[str, dict[str, Any]]:
    """Return verb -> option -> specification."""
    document = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())
    return {verb: entry.get("options") or {} for verb, entry in document["argument_specs"].items()}


@cache
def defaults(role: str) -> dict[str, Any]:
    """Return the defaults of a role as they are written, templates included."""
    file = ROLES / role / "defaults" / "main.yml"
    return (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}


def playbooks() -> list[Path]:
    """Return every playbook."""
    return sorted(PLAYBOOKS.glob("*.yml"))
