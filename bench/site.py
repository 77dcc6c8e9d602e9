"""The site that is measured: bring it to its beginning, put releases on offer, let ours or a peer work on it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import cpu
from orchestrator.ledger.address import peek
from orchestrator.ledger.ledger import open_ledger
from tests.lab import BAD, Lab
from tests.lab.cleanup import left_overs
from tests.lab.client import client_folder
from tests.lab.layout import REPOSITORY

HOST = "shop"
CLIENT = "example"
HERE = Path(__file__).parent

CORE, PLUGINS, THEMES = "6.5.5", {"newspack-blocks": "4.33.0"}, {"twentytwentythree": "1.2"}
BEFORE = {"core": "6.2.6", "newspack-blocks": "2.0.0", "twentytwentythree": "1.1", "lab-banner": "1.0"}
AFTER = {"core": CORE, **PLUGINS, **THEMES}
BAD_BANNER = BAD["bad-only-in-production"]

_STARTED = time.monotonic()


class BenchError(Exception):
    """Something did not do its work, so that its time says nothing."""


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {text}", flush=True)


@dataclass(frozen=True)
class Site:
    """The host of the measurement, its client's folder, and what Ansible is told."""

    lab: Lab
    folder: Path
    client: str = CLIENT
    hosts: tuple[str, ...] = (HOST,)

    @property
    def address(self) -> str:
        """Return the host's address."""
        return self.lab.host(HOST).address

    @property
    def inventory(self) -> Path:
        """Return the client's folder."""
        return self.folder / "inventories" / self.client

    def begin(self, core: str | None = None, plugins: Mapping[str, str] | None = None,
              themes: Mapping[str, str] | None = None) -> None:  # fmt: skip
        """Bring every site to its beginning, warm its caches and put these releases on offer."""
        self.lab.reset(*self.hosts)
        self.lab.mirror.offer(core, plugins, themes)
        self.forget()
        for _ in range(3):
            for name in self.hosts:
                self.lab.host(name).fetch("/lab-post-1/")

    def forget(self) -> None:
        """Forget what earlier runs of ours noted: a held release would not be tried again."""
        for file in self.folder.glob("ledger.sqlite*"):
            file.unlink()
        # An agency has a ledger: making its tables is not a part of a run.
        open_ledger(self.environment()["UPKEEP_LEDGER"]).close()

    def versions(self, host: str = HOST) -> dict[str, Any]:
        """Return what is installed, as WordPress itself says."""
        found: dict[str, Any] = self.in_place("versions", on=host)["result"]
        return found

    def must_have(self, wanted: Mapping[str, str]) -> None:
        """Raise BenchError unless every site has these versions: who did not do the work has no time."""
        for host in self.hosts:
            found = self.versions(host)
            wrong = [
                f"{name} of {host} is {found.get(name)}, not {version}"
                for name, version in wanted.items()
                if found.get(name) != version
            ]
            if wrong:
                raise BenchError("; ".join(wrong))

    def in_place(self, *command: str, check: bool = True, on: str = HOST) -> dict[str, Any]:
        """Let WordPress's own upgrader work on the live site, as the site's owner."""
        host = self.lab.host(on)
        script = (HERE / "wordpress.php").read_text(encoding="utf-8")
        done = host.run(["php", "--", host.root, *command], host.ssh_user, input=script, timeout=300)
        try:
            answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            answer = {"failed": f"PHP died: {done.stdout[-300:]} {done.stderr[-300:]}", "result": None}
        if check and answer["failed"]:
            raise BenchError(f"in place, {' '.join(command)}: {answer['failed']}")
        return answer

    def upkeep(self, *arguments: str) -> tuple[cpu.Spent, dict[str, Any]]:
        """Type `upkeep …` and return what it cost and what it answered."""
        environment = self.environment()
        command = [sys.executable, "-m", "orchestrator.cli", *arguments, "--json"]
        with (self.folder / "answer.json").open("w+", encoding="utf-8") as answer:
            # Complaints stay apart from the answer, which is JSON.
            wrapped = ["/bin/sh", "-c", 'exec "$@" >"$0"', answer.name, *command]
            spent = cpu.run(wrapped, folder=REPOSITORY, environment=environment)
            try:
                value: dict[str, Any] = json.load(answer)
            except ValueError:
                raise BenchError(
                    f"upkeep {' '.join(arguments)} ended with {spent.code}: {spent.output[-800:]}"
                ) from None
        return spent, value

    def evidence(self, run: str, step: str) -> Mapping[str, Any]:
        """Return what the ledger remembers of one step."""
        ledger = peek(self.environment()["UPKEEP_LEDGER"])
        entry = ledger.run(run) if ledger else None
        found = entry.step(step) if entry else None
        if found is None:
            raise BenchError(f"the ledger knows of no step {step} of run {run}")
        return found.evidence

    def playbooks(self, *arguments: str, inventory: Sequence[str] = ()) -> cpu.Spent:
        """Run `ansible-playbook` with the project's own settings."""
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [str(program), *(inventory or ("-i", str(self.inventory))), *arguments]
        spent = cpu.run(command, folder=REPOSITORY, environment=self.environment())
        if spent.code:
            raise BenchError(f"{' '.join(arguments)} ended with {spent.code}: {spent.output[-2500:]}")
        return spent

    def environment(self) -> dict[str, str]:
        """Return what ours finds in its environment."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            # Nobody pays for compiling each time, and nothing is written into the checkout.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.folder / "pycache"),
            "PYTHONPATH": str(REPOSITORY),
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            # Nobody else's open connection is used, and each measurement pays for its own.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "UPKEEP_INVENTORIES": str(self.folder / "inventories"),
            "UPKEEP_LEDGER": f"sqlite:///{self.folder / 'ledger.sqlite'}",
        }


@contextmanager
def opened() -> Iterator[Site]:
    """Start the lab, let every program of ours run once so that its code is compiled, and remove every trace at the end."""
    lab = Lab("bench")
    # A short path: that of a socket may not be longer than 107 characters.
    with tempfile.TemporaryDirectory(prefix="upkeep-bench-", ignore_cleanup_errors=True) as folder:
        try:
            lab.up([HOST])
            lab.s3.clear()
            site = Site(lab, Path(folder))
            client_folder(lab, site.inventory)
            say("every program runs once, so that its code is compiled")
            _, answer = site.upkeep("run", CLIENT, "--duty", "backup")
            run_of(answer, "done")
            yield site
        finally:
            say("removing the lab")
            lab.down()
            for what in left_overs(lab.instance):
                say(f"still there: {what}")


@contextmanager
def several(site: Site, number: int) -> Iterator[Site]:
    """Start more hosts beside that of the measurement, and give one client as many sites; the hosts go at the end."""
    hosts = (HOST, *(f"{HOST}{index}" for index in range(2, number + 1)))
    site.lab.up(hosts)
    try:
        many = Site(site.lab, site.folder, "several", hosts)
        client_folder(site.lab, many.inventory, sites=hosts)
        _, answer = many.upkeep("run", many.client, "--duty", "backup")
        run_of(answer, "done")
        yield many
    finally:
        site.lab.down(*hosts[1:])


def run_of(answer: Mapping[str, Any], outcome: str) -> Mapping[str, Any]:
    """Return the first run of an answer of `upkeep`. Raises BenchError when one of them did not end like this."""
    runs: Sequence[Mapping[str, Any]] = answer.get("runs") or []
    if not runs or any(run.get("outcome") != outcome for run in runs):
        raise BenchError(f"upkeep should have ended with {outcome}: {json.dumps(answer)[:1500]}")
    return runs[0]
