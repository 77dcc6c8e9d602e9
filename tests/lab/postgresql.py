"""A lab host with PostgreSQL: a small site of its own, `notes`, stands in the place of WordPress until the next reset."""

from __future__ import annotations

import secrets

from tests.lab.hosts import Host
from tests.lab.layout import SCRIPTS


def serve_notes(host: Host) -> str:
    """Give the host PostgreSQL and the site; return the password of the site's account. Takes about three seconds."""
    password = secrets.token_hex(12)
    script = "/tmp/postgresql.sh"
    host.run(["sh", "-c", f"cat >{script}"], input=(SCRIPTS / "postgresql.sh").read_text(encoding="utf-8"), check=True)
    notes = (SCRIPTS / "notes.php").read_text(encoding="utf-8")
    host.run(["bash", script, password], input=notes, check=True)
    return password


def end_notes(host: Host) -> None:
    """End PostgreSQL; Lab.reset() brings the shop back."""
    host.run(["systemctl", "stop", "lab-postgresql"], check=True)
