"""Lay the cables of a lab: one bridge for each instance, one cable for each host.

Nothing is forwarded, nothing leaves the machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.lab.layout import Instance, LabError
from tests.lab.processes import call, wait_for

_LINKS = Path("/sys/class/net")


def lay_bridge(instance: Instance) -> None:
    """Make the bridge with the machine's addresses on it, if it is not there."""
    if not (_LINKS / instance.bridge).exists():
        call(["ip", "link", "add", instance.bridge, "type", "bridge"])
    for address in (f"{instance.controller_address}/24", f"{instance.mirror_address}/32"):
        call(["ip", "addr", "replace", address, "dev", instance.bridge])
    call(["ip", "link", "set", instance.bridge, "up"])


def plug_in(instance: Instance, number: int, process: int) -> None:
    """Lay a cable from the bridge into the network namespace of a process."""
    own = Path("/proc/self/ns/net").readlink()
    there = Path(f"/proc/{process}/ns/net")

    def has_namespace() -> bool:
        try:
            return there.readlink() != own
        except OSError as error:
            raise LabError("The host died before it had a network.") from error

    wait_for("the host's network namespace", has_namespace, 10, 0.005)
    cable = instance.cable(number)
    remove(cable)
    # A fixed hardware address: a host that is built anew is known under the same one at once.
    hardware = f"02:75:70:{instance.number:02x}:00:{number:02x}"
    call(
        ["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "address", hardware, "netns", str(process)]
    )
    call(["ip", "link", "set", cable, "master", instance.bridge, "up"])


def is_plugged_in(instance: Instance, number: int) -> bool:
    """Say whether a host's cable is there and ends at the bridge."""
    return (_LINKS / instance.cable(number) / "master").exists()


def set_cable(instance: Instance, number: int, up: bool) -> None:
    """Cut a host off, or let it back on the network."""
    call(["ip", "link", "set", instance.cable(number), "up" if up else "down"])


def links(instance: Instance) -> list[str]:
    """Return every network device of the instance, cables first."""
    name = re.compile(rf"{instance.bridge}(\d+)?")
    found = [path.name for path in _LINKS.iterdir() if name.fullmatch(path.name)]
    return sorted(found, key=lambda link: (link == instance.bridge, link))


def remove(link: str) -> None:
    """Remove a network device if it is there."""
    if not (_LINKS / link).exists():
        return
    try:
        call(["ip", "link", "del", link])
    except LabError:
        # A host that was killed takes its cable with it a moment later.
        if (_LINKS / link).exists():
            raise
