"""Say where everything of the lab lies: names, folders and addresses. Nothing is touched here."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

STATE = Path("/var/lib/upkeep-lab")
CACHE = Path("/var/cache/upkeep-lab")
SCRIPTS = Path(__file__).parent / "scripts"
REPOSITORY = Path(__file__).parents[2]

SITE_URL = "http://shop.example.test"
SITE_NAME = "shop.example.test"
SITE_ROOT = Path("/srv/shop/htdocs")
OWNER = "shop"
SUDO_USER = "deploy"
BUCKET = "upkeep-example"

# The value of this variable names the instance; every process that the lab starts on the machine carries it.
MARK = "UPKEEP_LAB_INSTANCE"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_INSTANCE_NAME = re.compile(r"[a-z]{1,8}")
_INSTANCES = {"demo": 77, "test": 78, "bench": 79, "testa": 80, "testb": 81}


class LabError(Exception):
    """Say in one sentence what the lab could not do, and what to type next."""


@dataclass(frozen=True)
class Instance:
    """Name one lab: its bridge, its addresses and its folder."""

    name: str

    def __post_init__(self) -> None:
        if not _INSTANCE_NAME.fullmatch(self.name):
            raise LabError(f"{self.name!r} is no name for a lab: one to eight small letters, such as demo or test.")

    @property
    def bridge(self) -> str:
        """Return the name of the bridge on the machine."""
        return f"upk{self.name}"

    @property
    def number(self) -> int:
        """Return the second byte of the instance's addresses; names that are not known well get one of 100 to 249."""
        return _INSTANCES.get(self.name) or 100 + zlib.crc32(self.name.encode()) % 150

    @property
    def controller_address(self) -> str:
        """Return the machine's own address in this lab."""
        return f"10.{self.number}.0.1"

    @property
    def mirror_address(self) -> str:
        """Return the address under which the hosts see WordPress.org.

        WordPress refuses downloads from private addresses (wp_http_validate_url), so 10.x would not do. This one is
        from the range for documentation and exists on the bridge only.
        """
        return f"198.51.100.{self.number}"

    def host_address(self, number: int) -> str:
        """Return the address of host 11, 12, …"""
        return f"10.{self.number}.0.{number}"

    def cable(self, number: int) -> str:
        """Return the name of the machine's end of a host's network cable."""
        return f"{self.bridge}{number}"

    @property
    def up(self) -> str:
        """Return what to type to get this lab."""
        return f"python -m tests.lab up --instance {self.name}"

    @property
    def folder(self) -> Path:
        """Return the folder of this lab's state."""
        return STATE / self.name

    @property
    def hosts(self) -> Path:
        """Return the folder of all hosts."""
        return self.folder / "hosts"

    @property
    def on_disk(self) -> bool:
        """Say whether the hosts' files are on the disk, and their databases wait for it: not in tests, whose machine never fails."""
        return not self.name.startswith("test")

    @property
    def ssh(self) -> Path:
        """Return the folder of the login key and of known_hosts."""
        return self.folder / "ssh"

    def host_folder(self, name: str) -> Path:
        """Return the folder of one host."""
        return self.hosts / check_name(name)


def instances() -> list[Instance]:
    """Return every instance that there is a trace of, and those that are known well."""
    found = {path.name for path in STATE.glob("*") if path.is_dir() and _INSTANCE_NAME.fullmatch(path.name)}
    return [Instance(name) for name in sorted(found | set(_INSTANCES))]


def check_name(name: str) -> str:
    """Return the host's name, or refuse one that could not be a host name and a folder."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is no name for a host: use small letters, digits and '-'.")
    return name


def digest(parts: list[bytes]) -> str:
    """Return one short name for exactly these bytes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:16]
