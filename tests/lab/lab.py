"""The lab as tests see it: hosts, a store, and a WordPress.org of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab import hosts, memory, network
from tests.lab.cleanup import end_strays, sweep
from tests.lab.hosts import Host
from tests.lab.layout import Instance, LabError, check_name, instances
from tests.lab.mirror import Mirror
from tests.lab.postgresql import serve_notes
from tests.lab.processes import call, locked, say
from tests.lab.s3 import S3
from tests.lab.template import template


class Lab:
    """One instance of the lab: `demo` for people, `test` for tests, `bench` for measurements."""

    def __init__(self, name: str = "demo") -> None:
        self.instance = Instance(name)
        self.mirror = Mirror(self.instance)
        self.s3 = S3(self.instance)

    def up(self, names: Sequence[str] = ("shop",), *, fresh: bool = False) -> list[Host]:
        """Start hosts (`name`, `name:sudo` or `name:postgresql`), the store and the mirror. What runs already stays, unless `fresh`."""
        begin = time.monotonic()
        with locked(self.instance.name):
            source = template()
            end_strays(self.instance)
            self._prepare()
            started = [host for name in names if (host := self._begin(name, source, fresh))]
            self.s3.start()
            self.mirror.start()
            for host in started:
                host.wait()
                say(f"host {host.name} serves http://{host.address}/ (Host: shop.example.test)")
        for name in names:
            if name.endswith(":postgresql"):
                serve_notes(self.host(name.partition(":")[0]))
        chosen = [self.host(name.partition(":")[0]) for name in names]
        listed = ", ".join(host.name for host in chosen)
        say(f"lab {self.instance.name} is up: {listed} ({time.monotonic() - begin:.1f} s)")
        return chosen

    def host(self, name: str) -> Host:
        """Return a host that was started."""
        for host in hosts.known(self.instance):
            if host.name == name:
                return host
        raise LabError(f"Lab {self.instance.name} has no host {name}. Type: {self.instance.up} {name}")

    def hosts(self) -> list[Host]:
        """Return every host of the instance."""
        return hosts.known(self.instance)

    def reset(self, *names: str) -> None:
        """Bring the sites of these hosts (of all, when none is named) back to the template."""
        with locked(self.instance.name):
            end_strays(self.instance)
            for host in [self.host(name) for name in names] or self.hosts():
                host.reset()

    def down(self, *names: str) -> None:
        """End these hosts; when none is named, everything of the instance, whatever state it is in."""
        with locked(self.instance.name):
            for name in names:
                self.host(name).end()
            if not names:
                sweep(self.instance)

    def status(self) -> dict[str, Any]:
        """Return what runs, as JSON values."""
        return {
            "instance": self.instance.name,
            "bridge": self.instance.bridge if self.instance.bridge in network.links(self.instance) else None,
            "hosts": [
                {"name": host.name, "address": host.address, "running": bool(host.pid), "sudo": host.sudo,
                 "ssh_user": host.ssh_user, "ssh_key": str(host.ssh_key), "known_hosts": str(host.known_hosts),
                 "root": host.root}
                for host in self.hosts()
            ],
            "s3": {"running": self.s3.running, "endpoint": self.s3.endpoint, "bucket": self.s3.bucket},
            "mirror": {"running": self.mirror.running, "address": self.instance.mirror_address,
                       "offers": self.mirror.offers()},
        }  # fmt: skip

    def _prepare(self) -> None:
        """Make the bridge, and the key with which people log in."""
        for other in instances():
            if other.name != self.instance.name and other.number == self.instance.number and other.folder.exists():
                raise LabError(f"Lab {other.name} has the same addresses as {self.instance.name}. Choose another name.")
        network.lay_bridge(self.instance)
        if not self.instance.on_disk:
            memory.hold(self.instance.hosts)
        folder = self.instance.ssh
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        key = folder / "id_ed25519"
        if not key.exists():
            call(
                [
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    f"upkeep-lab-{self.instance.name}",
                    "-f",
                    str(key),
                ]
            )
        (folder / "known_hosts").touch()
        give_to_caller(folder, key, folder / "id_ed25519.pub", folder / "known_hosts")

    def _begin(self, wanted: str, source: Path, fresh: bool) -> Host | None:
        """Start one host if it does not run yet; return it when it was started."""
        name, _, kind = wanted.partition(":")
        check_name(name)
        if kind not in ("", "sudo", "postgresql"):
            raise LabError(f"{wanted!r}: after ':' only 'sudo' and 'postgresql' are understood.")
        sudo = kind == "sudo"
        noted = {host.name: host for host in self.hosts()}
        old = noted.get(name)
        if old and old.sudo == sudo and not fresh and old.usable():
            say(f"host {name} is up already")
            return None
        number = (
            old.number
            if old
            else next(free for free in range(11, 250) if free not in {host.number for host in noted.values()})
        )
        host = Host(self.instance, name, number, sudo, source.name)
        if host.folder.exists():
            host.end()
        say(f"starting host {name} ({host.address})")
        host.begin(source)
        return host


def give_to_caller(*paths: Path) -> None:
    """Let the person who typed `sudo` read what he needs for logging in."""
    number = os.environ.get("SUDO_UID", "")
    if number.isdigit():
        for path in paths:
            with contextlib.suppress(LookupError, OSError):
                shutil.chown(path, user=int(number))
