"""The steps of a run against a lab host, carried out by the product's own runner, and what is left there afterwards."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path, PurePosixPath
from threading import Event, Thread
from typing import Any

import yaml

from orchestrator.cli import main
from orchestrator.ledger.ledger import open_ledger
from orchestrator.ledger.values import RunEntry
from orchestrator.run.ansible import Call, Listener, Project, carry_out
from plugins.module_utils import tree
from tests.host.shop import Shop
from tests.lab.hosts import USERS, Host, Page
from tests.lab.releases import read_zip, release_file

WHOLE = ("preflight", "stage", "rehearse", "promote", "release")
RESTART_PHP = (
    "for folder in /etc/php/*/fpm; do version=${folder#/etc/php/}; systemctl restart php${version%/fpm}-fpm; done"
)
OWN_WAY_BACK = "own_way_back"
NOT_OURS = ("sshd", "systemd", "(sd-pam)", "php-fpm", "bash")
# Tables that WordPress writes whenever an administrator looks at the dashboard: what to compare, and in which rows.
LIVELY = {
    "wp_options": (
        "option_name, option_value",
        "option_name NOT LIKE '%\\_transient\\_%' AND option_name NOT IN ('cron', 'recently_activated')",
    ),
    "wp_posts": ("ID, post_title, post_content, post_status", "post_status <> 'auto-draft'"),
    "wp_postmeta": ("post_id, meta_key, meta_value", "1"),
    "wp_usermeta": (
        "user_id, meta_key, meta_value",
        "meta_key NOT IN ('session_tokens', 'wp_dashboard_quick_press_last_post_id')",
    ),
}


@dataclass(frozen=True)
class Step:
    """How one step ended, as the orchestrator is told."""

    name: str
    outcome: str
    message: str
    evidence: dict[str, Any]

    @property
    def delivered(self) -> list[str]:
        """Return the slugs that reached production."""
        return sorted(change["slug"] for change in self.evidence["delivered"])

    @property
    def held(self) -> dict[str, str]:
        """Return slug -> reason of every release that was tried and is held."""
        return {change["slug"]: change["reason"] for change in self.evidence["held"]}


class Steps(dict[str, Step]):
    """The steps that began, by their names."""

    def __missing__(self, name: str) -> Step:
        told = "; ".join(f"{step.name} ended with {step.outcome}: {step.message}" for step in self.values())
        raise AssertionError(f"the run did not come to {name}: {told}")


@dataclass(frozen=True)
class Said:
    """What `upkeep` answered: its exit code, and what it printed."""

    code: int
    text: str
    answer: Any


@dataclass(frozen=True)
class State:
    """All of a site that an update could change: every path, every row."""

    paths: dict[str, tuple[Any, ...]]
    tables: dict[str, str]

    def differences(self, other: State) -> list[str]:
        """Return the paths and tables in which two states differ."""
        files = {path for path in {*self.paths, *other.paths} if self.paths.get(path) != other.paths.get(path)}
        rows = {name for name in {*self.tables, *other.tables} if self.tables.get(name) != other.tables.get(name)}
        return sorted(files) + sorted(f"table {name}" for name in rows)


@dataclass
class Site:
    """The lab's shop under contract."""

    shop: Shop
    folder: Path
    run_id: str = ""
    is_tidy: bool = False
    rehearsed: Step | None = None

    @property
    def host(self) -> Host:
        """Return the host."""
        return self.shop.host

    @property
    def root(self) -> Path:
        """Return the machine's view of the document root."""
        return self.host.disk / "htdocs"

    @property
    def workshop(self) -> Path:
        """Return the machine's view of the folder of ours on the host."""
        return self.shop.workshop

    # ---- act --------------------------------------------------------------------------------------------------------

    def offer(self, core: str | None = None, themes: dict[str, str] | None = None, **plugins: str) -> None:
        """Put releases on offer; a plugin's hyphens are written as underscores."""
        named = {slug.replace("_", "-"): version for slug, version in plugins.items()}
        self.shop.lab.mirror.offer(core, named, themes)

    def fetched_here(self) -> Path:
        """Let the controller fetch what WordPress.org, which is the lab's mirror, delivers; return where that is kept."""
        mirror, kept = f"http://{self.shop.lab.instance.mirror_address}", self.folder / "packages"
        hosts = self.shop.inventory / "hosts.yml"
        inventory = yaml.safe_load(hosts.read_text())
        inventory["all"]["hosts"]["shop"] |= {
            "cms_update_wordpress_org": {"downloads": mirror, "api": mirror},
            "cms_update_package_cache": str(kept),
        }
        hosts.write_text(yaml.safe_dump(inventory))
        return kept

    def begin(self) -> str:
        """Make the id of another run; the steps that follow belong to it."""
        self.run_id = f"{datetime.now(tz=UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        return self.run_id

    def run(self, *steps: str, **variables: Any) -> Steps:
        """Carry out steps in one call of Ansible and return those that began, by their names.

        A call that begins with preflight begins another run.
        """
        if steps[0] == "preflight" or not self.run_id:
            self.begin()
        call = Call(
            steps=steps,
            host="shop",
            variables={"upkeep_run": self.run_id, "upkeep_point": self.run_id, "upkeep_keep_lease": True, **variables},
            scratch=self.folder / "work",
            log=self.folder / "ansible.log",
        )
        quiet = Listener(lambda *_: None, lambda *_: None, lambda: False)
        reports = carry_out(Project(self.shop.inventory), call, quiet)
        ended = Steps()
        for report in reports:
            seen = report.seen
            outcome = seen.outcome.value if seen.outcome else seen.ending.value
            ended[seen.step] = Step(seen.step, outcome, seen.message, report.evidence)
        return ended

    def put_back_in_production(self, *, state: State) -> Step:
        """Run the steps with what is on offer; assert that staging saw nothing and production went back to `state`."""
        steps = self.run(*WHOLE)
        self.rehearsed = steps["rehearse"]
        assert self.rehearsed.outcome == "done", self.rehearsed.evidence
        promoted = steps["promote"]
        assert promoted.outcome == "put-back", promoted
        assert promoted.evidence["back_verdict"]["healthy"] is True
        assert self.run("release")["release"].outcome == "done"
        assert state.differences(self.state()) == []
        self.tidy()
        return promoted

    def put_file(self, path: str, text: str) -> None:
        """Put a file of the site's owner below the document root, by hand."""
        target = f"{self.host.root}/{path}"
        self.host.run(["mkdir", "-p", str(PurePosixPath(target).parent)], user="shop", check=True)
        self.host.run(["tee", target], user="shop", input=text, check=True)
        # PHP looks at a file again after two seconds only.
        self.host.run(["sh", "-c", RESTART_PHP], check=True)

    def put_release(self, slug: str, version: str) -> None:
        """Put a release of a plugin into production, as somebody does who updates by hand."""
        for name, data in read_zip(release_file("plugin", slug, version)).items():
            self.put_file(f"wp-content/plugins/{name}", data.decode())

    def upkeep(self, *words: str) -> Said:
        """Type `upkeep …` with --json."""
        out, err = StringIO(), StringIO()
        verb = 2 if words[0] in ("artefact", "store") else 1
        arguments = [*words[:verb], "--inventories", str(self.shop.inventory.parent), "--json", *words[verb:]]
        if words[0] not in ("check", "explain"):
            arguments += ["--ledger", str(self.folder / "state" / "ledger.sqlite")]
        with redirect_stdout(out), redirect_stderr(err):
            code = main(arguments)
        return Said(code, out.getvalue() + err.getvalue(), json.loads(out.getvalue() or "null"))

    def recorded(self, run: str) -> RunEntry:
        """Return what the ledger has of a run that `upkeep` carried out."""
        ledger = open_ledger(f"sqlite:///{self.folder / 'state' / 'ledger.sqlite'}")
        try:
            entry = ledger.run(run)
        finally:
            ledger.close()
        assert entry is not None
        return entry

    def evidence(self, run: str, step: str) -> dict[str, Any]:
        """Return the evidence of one step of a run that `upkeep` carried out."""
        (found,) = [each.evidence for each in self.recorded(run).steps if each.name == step]
        return found

    # ---- look -------------------------------------------------------------------------------------------------------

    def get(self, path: str = "/lab-post-1/") -> Page:
        """Ask for a page as a visitor does."""
        return self.host.fetch(path)

    def serves(self, banner: str = "1.0") -> None:
        """Assert that a visitor gets whole pages, made by this version of lab-banner."""
        page = self.get()
        assert page.status == 200, page.body[:500]
        assert "LAB-1" in page.body
        assert "</html>" in page.body
        assert f"Lab Banner {banner}: 1 orders, 12.50 in all" in page.body, page.body[-500:]
        assert self.get("/wp-json/").status == 200

    def version(self, slug: str = "lab-banner") -> str:
        """Return the version of a plugin that its file on disk states."""
        text = (self.root / "wp-content" / "plugins" / slug / f"{slug}.php").read_text(encoding="utf-8")
        found = re.search(r"Version:\s*(\S+)", text)
        assert found is not None
        return found.group(1)

    def state(self) -> State:
        """Return every path with its owner, mode and content, and every table's rows and definition."""
        paths: dict[str, tuple[Any, ...]] = {}
        for path, entry in tree.scan(str(self.root)).items():
            content = (entry.size, entry.mtime, entry.target) if entry.kind != "folder" else ()
            paths[path] = (entry.kind, entry.owner, entry.group, stat.filemode(entry.mode), *content)
        return State(paths, self._tables())

    def _tables(self) -> dict[str, str]:
        names = self.host.sql("SHOW TABLES").split()
        whole = [name for name in names if name not in LIVELY]
        rows = [
            f"SELECT '{name}', MD5(CONCAT_WS('|', {what})) FROM {name} WHERE {which} ORDER BY 2"  # noqa: S608 - words of this file
            for name, (what, which) in LIVELY.items()
        ]
        definitions = [f"SHOW CREATE TABLE {name}" for name in names]
        told = self.host.sql("; ".join(["CHECKSUM TABLE " + ", ".join(whole), *rows, *definitions]))
        tables: dict[str, str] = {}
        for line in told.splitlines():
            name, _, value = line.partition("\t")
            name = name.removeprefix("shop.")
            tables[name] = tables.get(name, "") + re.sub(r"AUTO_INCREMENT=\d+", "", value) + "\n"
        return tables

    def tidy(self) -> None:
        """Assert that nothing of ours is left: no marker, no helper, no table, no folder of a run, no staging server."""
        left = [
            path.name for path in self.root.iterdir() if path.name.startswith((".maintenance", ".upkeep", "upkeep-"))
        ]
        assert left == []
        if self.workshop.exists():
            assert sorted(path.name for path in self.workshop.iterdir() if re.match(r"\d{8}T|lease", path.name)) == []
        assert [name for name in self.host.sql("SHOW TABLES").split() if name.startswith("upkeep_")] == []
        # What stays there is the mark that says that this database may be emptied.
        assert self.host.sql("SHOW TABLES", database="shop_staging").split() in ([], ["upkeep_staging"])
        assert self.host.run(["pgrep", "-a", "-u", "shop", "php$"]).stdout == ""
        self.is_tidy = True


@contextmanager
def struck(site: Site, moment: str, *, alone: bool = False) -> Iterator[None]:
    """Kill -9 the module that carries out a promotion at its moment `frozen` or `exchanged`.

    The host's own way back is killed too, unless the module dies `alone`.

    It is held there meanwhile: by somebody who is still writing to the database, or by a PHP that does not answer.
    """
    before = site.root.stat().st_ino
    hold = {"frozen": somebody_writing, "exchanged": php_asleep}[moment]

    def reached() -> bool:
        return (site.root / ".maintenance").exists() if moment == "frozen" else site.root.stat().st_ino != before

    over = Event()
    killed: list[int] = []

    def strike() -> None:
        while not over.wait(0.01) and not killed:
            # Between the two names of an exchange there is none for a moment.
            with suppress(FileNotFoundError):
                if reached():
                    killed.extend(kill_modules(site.host, alone=alone))

    watcher = Thread(target=strike)
    with hold(site):
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
    assert killed, f"no module was at work in the moment {moment}"


@contextmanager
def somebody_writing(site: Site) -> Iterator[None]:
    """Have the site's database account connected while the block lasts."""
    found = re.search(r"'DB_PASSWORD', '([^']+)'", (site.root / "wp-config.php").read_text(encoding="utf-8"))
    assert found is not None
    command = ["mariadb", "-u", "shop", "shop", "-e", "SELECT SLEEP(100)"]
    with subprocess.Popen(
        site.host.inside(command),
        env={**site.host.login(), "MYSQL_PWD": found.group(1)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        try:
            yield
        finally:
            asleep = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(100)'"
            for number in site.host.sql(asleep).split():
                site.host.sql(f"KILL {number}")


@contextmanager
def php_asleep(site: Site) -> Iterator[None]:
    """Let the site's PHP answer nobody while the block lasts."""
    for_all = "for folder in /etc/php/*/fpm; do version=${folder#/etc/php/}; systemctl kill -s %s php${version%%/fpm}-fpm; done"
    site.host.run(["sh", "-c", for_all % "STOP"], check=True)
    try:
        yield
    finally:
        site.host.run(["sh", "-c", for_all % "CONT"], check=True)


def processes_of_ours(host: Host) -> list[tuple[int, str]]:
    """Return number and command line of what works on the host as the site's owner: no logins, no web server."""
    namespace = Path(f"/proc/{host.pid}/ns/pid").readlink()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if folder.stat().st_uid == USERS[host.ssh_user] and (folder / "ns" / "pid").readlink() == namespace:
                name = (folder / "comm").read_text(encoding="utf-8").strip()
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words and not name.startswith(NOT_OURS):
                    found.append((int(folder.name), words))
    return found


def kill_modules(host: Host, *, alone: bool = False, number: int = signal.SIGKILL) -> list[int]:
    """Send a signal, kill -9, to the Python of every module that works on the host; return the numbers.

    The host's own way back gets it before them, unless they die `alone`.
    """
    killed = []
    ours = [
        (OWN_WAY_BACK not in words, process)
        for process, words in processes_of_ours(host)
        if "python" in words.partition(" ")[0]
    ]
    for is_module, process in sorted(ours):
        if is_module or not alone:
            with suppress(ProcessLookupError):
                os.kill(process, number)
                killed.append(process)
    return killed


@contextmanager
def php_settings(host: Host, text: str, *kinds: str) -> Iterator[None]:
    """Give the host's PHP other settings (kinds: fpm, cli) while the block lasts."""
    files = " ".join(f"/etc/php/*/{kind}/conf.d" for kind in kinds)
    write = f"for folder in {files}; do cat >$folder/99-test.ini <<'END'\n{text}\nEND\ndone"
    try:
        host.run(["sh", "-c", f"{write}\n{RESTART_PHP}"], check=True)
        yield
    finally:
        host.run(["sh", "-c", f"for folder in {files}; do rm -f $folder/99-test.ini; done; {RESTART_PHP}"], check=True)


@contextmanager
def without_program(host: Host, name: str) -> Iterator[None]:
    """Take a program away from the host while the block lasts."""
    place = host.run(["sh", "-c", f"command -v {name}"], check=True).stdout.strip()
    host.run(["mv", place, f"{place}.away"], check=True)
    try:
        yield
    finally:
        host.run(["mv", f"{place}.away", place], check=True)
