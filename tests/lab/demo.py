"""Show the main job on a real host, in three acts: `make demo`, or `python -m tests.lab.demo up|down`.

Everything that the acts do they do through the command `upkeep`, as a person would.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.bad_releases import BAD
from tests.lab.cleanup import left_overs
from tests.lab.client import client_folder, secret_file
from tests.lab.lab import Lab
from tests.lab.layout import SITE_NAME, LabError

CLIENT = "example"
UPKEEP = Path(sys.executable).with_name("upkeep")
BAD_IN_STAGING = BAD["fatal-on-every-request"]
BAD_IN_PRODUCTION = BAD["bad-only-in-production"]

Story = Mapping[str, Any]


@dataclass(frozen=True)
class Act:
    """What is on offer, what is promised to happen, and what shows that it did."""

    title: str
    before: str
    code: int
    missing: Callable[[Story], list[str]]
    core: str | None = None
    plugins: Mapping[str, str] = field(default_factory=dict)
    themes: Mapping[str, str] = field(default_factory=dict)


def _good(story: Story) -> list[str]:
    changes = {(change["name"], change["before"], change["after"]) for change in story["changes"]}
    promised = {
        ("WordPress", "6.2.6", "6.5.5"),
        ("newspack-blocks", "2.0.0", "4.33.0"),
        ("twentytwentythree", "1.1", "1.2"),
    }
    missing = [
        f"{name} {before} → {after} did not reach production" for name, before, after in sorted(promised - changes)
    ]
    if story["point"] is None:
        missing.append("there is no restore point")
    return missing


def _one_held(story: Story) -> list[str]:
    missing = []
    held = {(release["slug"], release["to"]) for release in story["held"]}
    if held != {("lab-banner", BAD_IN_STAGING)}:
        missing.append(f"lab-banner {BAD_IN_STAGING} should be held, and nothing else; held: {sorted(held)}")
    changed = {change["name"] for change in story["changes"]}
    missing += [
        f"{slug} did not reach production" for slug in ("lab-alpha", "lab-beta", "lab-gamma") if slug not in changed
    ]
    if "lab-banner" in changed:
        missing.append("the bad release reached production")
    return missing


def _put_back(story: Story) -> list[str]:
    missing = []
    if story["put_back"] is not True:
        missing.append("production was not put back")
    if not (story["broken"] or {}).get("seconds"):
        missing.append("nothing says how long production was broken")
    after = [verdict for verdict in story["verdicts"] if verdict["where"] == "production, put back"]
    if not after or not after[-1]["healthy"]:
        missing.append("production was not seen well after it was put back")
    return missing


ACTS = (
    Act(
        "Act 1: good",
        "WordPress 6.2.6 → 6.5.5 with a migration of the database, the plugin newspack-blocks 2.0.0 → 4.33.0 and a theme are on "
        "offer. A restore point is taken, a copy gets the updates first, and what passes the probes there goes to production.",
        0,
        _good,
        core="6.5.5",
        plugins={"newspack-blocks": "4.33.0"},
        themes={"twentytwentythree": "1.2"},
    ),
    Act(
        "Act 2: bad in staging",
        f"Four plugins are on offer. One, lab-banner {BAD_IN_STAGING}, makes every page die. It should be found on the copy, named "
        "and held, and the other three should reach production.",
        0,
        _one_held,
        plugins={"lab-alpha": "1.1", "lab-banner": BAD_IN_STAGING, "lab-beta": "1.1", "lab-gamma": "1.1"},
    ),
    Act(
        "Act 3: bad only in production",
        f"lab-banner {BAD_IN_PRODUCTION} needs more memory than PHP has in production. The copy has no such limit and looks well. "
        "Production should go back by itself, and the screen should say what was broken for how many seconds: exit code 3.",
        3,
        _put_back,
        plugins={"lab-banner": BAD_IN_PRODUCTION},
    ),
)


def up(lab: Lab) -> int:
    """Start the lab, play the three acts, leave the lab up. Return 0 only if every act ended as it promised."""
    began = time.monotonic()
    _heading("The stage", "A real host on this machine: systemd, sshd, nginx, php-fpm, MariaDB and WordPress 6.2.6.")
    ran_before = any(host.name == "shop" and host.pid for host in lab.hosts())
    lab.up(["shop"])
    if ran_before:
        print("The host was up already: its site goes back to the beginning.", flush=True)
        lab.reset("shop")
        lab.s3.clear()
    settings = _settings(lab)
    failures = [(act.title, missing) for act in ACTS if (missing := _play(act, lab, settings))]
    report = _report(lab, settings)
    _epilogue(lab, report, failures, time.monotonic() - began)
    return 1 if failures else 0


def down(lab: Lab) -> int:
    """Remove every trace of the demo."""
    lab.down()
    left = left_overs(lab.instance)
    print(
        "\n".join(f"still there: {what}" for what in left)
        or "Nothing of the demo is left. (The cache stays: python -m tests.lab purge)"
    )
    return 1 if left else 0


def _settings(lab: Lab) -> dict[str, str]:
    """Write the client's folder; return the environment in which `upkeep` finds it, and keep it for the person."""
    folder = lab.instance.folder
    password = secret_file(folder / "vault.password")
    client_folder(lab, folder / "inventories" / CLIENT, password_file=password)
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        # The site begins anew, so the holds of the last time would be wrong.
        (folder / name).unlink(missing_ok=True)
    settings = {
        "UPKEEP_INVENTORIES": str(folder / "inventories"),
        "UPKEEP_LEDGER": str(folder / "ledger.sqlite"),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(password),
        "PATH": f"{UPKEEP.parent}:{os.environ['PATH']}",
    }
    lines = [f"export {name}={value}" for name, value in settings.items() if name != "PATH"]
    (folder / "environment").write_text(
        "\n".join([*lines, f'export PATH="{UPKEEP.parent}:$PATH"']) + "\n", encoding="utf-8"
    )
    return settings


def _play(act: Act, lab: Lab, settings: Mapping[str, str]) -> list[str]:
    """Play one act; return what it promised and did not keep."""
    lab.mirror.offer(act.core, act.plugins, act.themes)
    _heading(act.title, act.before)
    began = time.monotonic()
    code = _upkeep(["run", CLIENT, "--now"], settings)
    story = _last_story(settings)
    missing = [] if code == act.code else [f"the exit code is {code} instead of {act.code}"]
    missing += act.missing(story) if story else ["the ledger knows of no run"]
    verdict = "as promised" if not missing else "NOT as promised: " + "; ".join(missing)
    print(f"{act.title}: exit code {code}, {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return missing


def _upkeep(arguments: Sequence[str], settings: Mapping[str, str]) -> int:
    """Type `upkeep …`. It has the screen to itself: it says by itself what it is at."""
    print(f"$ upkeep {' '.join(arguments)}", flush=True)
    command = [str(UPKEEP), *arguments]
    return subprocess.run(command, env={**os.environ, **settings}, stdin=subprocess.DEVNULL, check=False).returncode


def _last_story(settings: Mapping[str, str]) -> Story | None:
    """Ask `upkeep` for what it recorded of the last run: data, not the screen."""
    answer = subprocess.run(
        [str(UPKEEP), "report", CLIENT, "--last", "1", "--json"],
        env={**os.environ, **settings}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if answer.returncode:
        print(answer.stderr, file=sys.stderr)
        return None
    runs: list[Story] = json.loads(answer.stdout)["runs"]
    return runs[-1] if runs else None


def _report(lab: Lab, settings: Mapping[str, str]) -> Path:
    page = lab.instance.folder / "report.html"
    _heading("The report", "What was promised and what was done, side by side.")
    _upkeep(["report", CLIENT, "--last", str(len(ACTS)), "--out", str(page)], settings)
    return page


def _epilogue(lab: Lab, report: Path, failures: Sequence[tuple[str, list[str]]], seconds: float) -> None:
    host = lab.host("shop")
    minutes = f"{int(seconds // 60)} min {seconds % 60:.0f} s"
    sudo = "sudo " if "SUDO_USER" in os.environ else ""
    _heading(
        "The end",
        f"{'Every act ended as it promised' if not failures else 'Not every act ended as it promised'}, after {minutes}.",
    )
    for title, missing in failures:
        print(f"  {title}: {'; '.join(missing)}")
    print(
        textwrap.dedent(f"""\
        Report of the three runs   {report}
        The site                   http://{host.address}/  (Host: {SITE_NAME}), for instance
                                   curl -s -H 'Host: {SITE_NAME}' http://{host.address}/ | head
        The host                   {sudo}.venv/bin/python -m tests.lab ssh shop
        The store                  {lab.s3.endpoint}  bucket {lab.s3.bucket}
        The contract               {lab.instance.folder}/inventories/{CLIENT}/contract.yml

        The host stays up. What to try next{" (as root: sudo -s)" if sudo else ""}:
          . {lab.instance.folder}/environment
          upkeep status {CLIENT}
          upkeep explain {CLIENT}
          upkeep points {CLIENT}
          upkeep restore {CLIENT} --site shop --point ID
          ansible-playbook -i $UPKEEP_INVENTORIES/{CLIENT} playbooks/probe.yml
          make demo-down
        """),
        flush=True,
    )


def _heading(title: str, words: str) -> None:
    print(f"\n==== {title} ".ljust(100, "="), flush=True)
    print(textwrap.fill(words, 100), flush=True)


def main() -> int:
    """Play the demo, or remove it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.demo", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("what", choices=("up", "down"))
    try:
        return {"up": up, "down": down}[parser.parse_args().what](Lab("demo"))
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped by you. Type: make demo, or make demo-down", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
