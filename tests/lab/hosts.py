"""One host of a lab: start it, talk to it, bring it back to the template, cut its cable, end it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import network
from tests.lab.layout import MARK, OWNER, SITE_NAME, SITE_ROOT, SITE_URL, SUDO_USER, Instance, LabError
from tests.lab.processes import (
    CLEAN_ENVIRONMENT,
    call,
    cgroup,
    children,
    kill,
    read_pidfile,
    remove_cgroup,
    start,
    wait_for,
    write_pidfile,
)
from tests.lab.template import PARTS, TEMPLATES, copy, init_environment, namespace_command

USERS = {OWNER: 21001, SUDO_USER: 21002}
_RESET = Path(__file__).parent / "scripts" / "reset.sh"


@dataclass(frozen=True)
class Page:
    """What the host's web server answered."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Host:
    """A real web server of a client: its own network, its own root, its own systemd."""

    instance: Instance
    name: str
    number: int
    sudo: bool = False
    template: str = field(default="", repr=False)

    # ---- what the inventory needs -----------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Return the host's address."""
        return self.instance.host_address(self.number)

    @property
    def ssh_user(self) -> str:
        """Return who logs in: the site's owner, who has no sudo."""
        return OWNER

    @property
    def sudo_user(self) -> str:
        """Return the login that may use sudo, on hosts that were asked to have one."""
        if not self.sudo:
            raise LabError(f"{self.name} has no user with sudo. Type: {self.instance.up} --fresh {self.name}:sudo")
        return SUDO_USER

    @property
    def ssh_key(self) -> Path:
        """Return the private key of both logins."""
        return self.instance.ssh / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Return the file with the keys of all hosts of the instance."""
        return self.instance.ssh / "known_hosts"

    @property
    def root(self) -> str:
        """Return the site's document root on the host."""
        return str(SITE_ROOT)

    @property
    def url(self) -> str:
        """Return the site's address; only the host itself resolves the name."""
        return SITE_URL

    @property
    def folder(self) -> Path:
        """Return the folder of the host on the machine."""
        return self.instance.host_folder(self.name)

    @property
    def disk(self) -> Path:
        """Return the machine's view of the host's /srv/shop."""
        return self.folder / "srv" / "shop"

    # ---- life -------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Return the number of the host's systemd on the machine, or 0 when the host is down."""
        holder = read_pidfile(self.folder / "holder.pid")
        return next(iter(children(holder)), 0) if holder else 0

    def begin(self, template: Path) -> None:
        """Start the host as a copy of the template; `wait` tells when it serves."""
        self.folder.mkdir(parents=True)
        for part in PARTS:
            copy(template / part, self.folder / part, self.instance)
        for part in ("work", "root"):
            (self.folder / part).mkdir()
        self._make_keys()
        (self.folder / "host.json").write_text(
            json.dumps({"number": self.number, "sudo": self.sudo, "template": self.template}), encoding="utf-8"
        )
        environment = init_environment("run", self.folder, self.name) | {
            "LAB_ADDRESS": self.address,
            "LAB_GATEWAY": self.instance.controller_address,
            "LAB_MIRROR": self.instance.mirror_address,
            "LAB_SUDO": "yes" if self.sudo else "no",
            "LAB_WAITS_FOR_DISK": "yes" if self.instance.on_disk else "no",
        }
        holder = start(self.instance, self.name, namespace_command(), self.folder / "console.log", environment)
        write_pidfile(self.folder / "holder.pid", holder)
        network.plug_in(self.instance, self.number, holder)

    def wait(self, seconds: float = 60) -> None:
        """Wait until the site answers with 200 and people may log in."""
        wait_for(f"host {self.name} serves its site", self._serves, seconds)
        wait_for(f"host {self.name} lets people log in", self._lets_in, seconds)

    def usable(self) -> bool:
        """Say whether the host runs and serves its site; a cable that a test cut is put back first."""
        if not self.pid or not network.is_plugged_in(self.instance, self.number):
            return False
        self.plug()
        try:
            self.wait(5)
        except LabError:
            return False
        return True

    def end(self) -> None:
        """End the host at once and remove every trace of it."""
        remove_cgroup(cgroup(self.instance, self.name))
        holder = read_pidfile(self.folder / "holder.pid")
        if holder:
            kill(holder)
        network.remove(self.instance.cable(self.number))
        shutil.rmtree(self.folder, ignore_errors=False)
        with contextlib.suppress(FileNotFoundError):
            lines = self.known_hosts.read_text(encoding="utf-8").splitlines(keepends=True)
            self.known_hosts.write_text(
                "".join(line for line in lines if not line.startswith(f"{self.address} ")), encoding="utf-8"
            )

    def reset(self) -> None:
        """Bring files, database and logs of the site back to the template's state; what tests changed in /etc stays."""
        source = TEMPLATES / self.template
        if not source.is_dir():
            raise LabError(f"The template of {self.name} is gone. Type: {self.instance.up} --fresh {self.name}")
        self.plug()
        command = ["/bin/bash", str(_RESET), str(source), str(self.folder), str(self._alive())]
        environment = {**CLEAN_ENVIRONMENT, MARK: self.instance.name}
        subprocess.run(command, check=True, env=environment, timeout=60, stdin=subprocess.DEVNULL)
        self.wait(20)

    # ---- work on the host -------------------------------------------------------------------------------------------

    def run(
        self,
        command: Sequence[str],
        user: str = "root",
        *,
        input: str | None = None,
        check: bool = False,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host without ssh and return what it printed."""
        return subprocess.run(
            self.inside(command, user), input=input, stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True, text=True, check=check, timeout=timeout, env=self.login(user),
        )  # fmt: skip

    def inside(self, command: Sequence[str], user: str = "root") -> list[str]:
        """Return the machine's command that runs a command on the host."""
        enter = ["nsenter", "-t", str(self._alive()), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        if user != "root":
            enter += ["setpriv", f"--reuid={USERS[user]}", f"--regid={USERS[user]}", "--init-groups", "--"]
        return [*enter, *command]

    def login(self, user: str = "root") -> dict[str, str]:
        """Return the environment that a login of this user has."""
        home = "/root" if user == "root" else f"/home/{user}"
        return {
            **CLEAN_ENVIRONMENT,
            "HOME": home,
            "USER": user,
            "LOGNAME": user,
            "TERM": os.environ.get("TERM", "dumb"),
        }

    def ssh(self, *command: str, user: str = "") -> list[str]:
        """Return the command that logs in to the host."""
        return [
            "ssh", "-i", str(self.ssh_key), "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=5",
            "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2",
            f"{user or self.ssh_user}@{self.address}", *command,
        ]  # fmt: skip

    def sql(self, statement: str, database: str = "shop") -> str:
        """Run SQL as the database's root and return the rows, columns parted by tabs, without headings."""
        return self.run(["mariadb", "-N", "-B", database, "-e", statement], check=True).stdout

    def fetch(self, path: str, headers: Mapping[str, str] | None = None, port: int = 80, timeout: float = 30) -> Page:
        """Ask the host's web server as a visitor would."""
        connection = http.client.HTTPConnection(self.address, port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Host": SITE_NAME, **(headers or {})})
            answer = connection.getresponse()
            return Page(answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace"))
        finally:
            connection.close()

    def php_log(self) -> str:
        """Return the site's PHP error log."""
        return self.run(["cat", "/var/log/php/shop.log"], check=True).stdout

    def slow_requests(self) -> str:
        """Return where PHP was in requests that took more than five seconds."""
        return self.run(["sh", "-c", "cat /var/log/php/slow.log || true"]).stdout

    def mails(self) -> list[str]:
        """Return every mail that the host tried to send."""
        script = "for mail in /var/log/mail-sink/*.eml; do if [ -f $mail ]; then cat $mail; printf '\\0'; fi; done"
        return [text for text in self.run(["sh", "-c", script]).stdout.split("\0") if text]

    def unplug(self) -> None:
        """Cut the network cable."""
        network.set_cable(self.instance, self.number, up=False)

    def plug(self) -> None:
        """Put the network cable back."""
        network.set_cable(self.instance, self.number, up=True)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _alive(self) -> int:
        process = self.pid
        if not process:
            raise LabError(f"Host {self.name} is down. Type: {self.instance.up} {self.name}")
        return process

    def _serves(self) -> bool:
        if not self.pid and not read_pidfile(self.folder / "holder.pid"):
            console = (self.folder / "console.log").read_text(encoding="utf-8", errors="replace")
            raise LabError(f"Host {self.name} died while starting: {console.strip()[-1500:]}")
        try:
            return self.fetch("/", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _lets_in(self) -> bool:
        if Path(f"/proc/{self._alive()}/root/run/nologin").exists():
            return False
        try:
            with socket.create_connection((self.address, 22), timeout=2) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _make_keys(self) -> None:
        key = self.folder / "ssh_host_ed25519_key"
        call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key)])
        public = " ".join(key.with_name(key.name + ".pub").read_text(encoding="ascii").split()[:2])
        with self.known_hosts.open("a", encoding="ascii") as file:
            file.write(f"{self.address} {public}\n")
        login = self.ssh_key.with_name("id_ed25519.pub").read_bytes()
        for user, number in USERS.items():
            allowed = self.folder / "home" / user / ".ssh" / "authorized_keys"
            allowed.write_bytes(login)
            allowed.chmod(0o600)
            os.chown(allowed, number, number)


def known(instance: Instance) -> list[Host]:
    """Return every host of an instance that has a folder, alive or not."""
    found = []
    for folder in sorted(instance.hosts.glob("*")):
        try:
            noted = json.loads((folder / "host.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found.append(Host(instance, folder.name, noted["number"], noted["sudo"], noted["template"]))
    return found
