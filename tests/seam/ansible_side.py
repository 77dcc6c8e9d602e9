"""Read what stands on Ansible's side of the seam: roles, their specs and the playbooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
PLAYBOOKS = ROOT / "playbooks"


def role_names() -> list[str]:
    """Return the name of every role."""
    return sorted(path.name for path in ROLES.iterdir() if path.is_dir())


def verbs(role: str) -> list[str]:
    """Return the task files of a role."""
    return sorted(path.stem for path in (ROLES / role / "tasks").glob("*.yml"))


def specs(role: str) -> dict[str, dict[str, Any]]:
    """Return verb -> option -> specification."""
    document = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())
    return {verb: entry.get("options") or {} for verb, entry in document["argument_specs"].items()}


def defaults(role: str) -> dict[str, Any]:
    """Return the defaults of a role as they are written, templates included."""
    file = ROLES / role / "defaults" / "main.yml"
    return (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}


def playbooks() -> list[Path]:
    """Return every playbook."""
    return sorted(PLAYBOOKS.glob("*.yml"))
