"""The lab's command line: python -m tests.lab --help"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from tests.lab import releases
from tests.lab.ceph import USERS, Ceph
from tests.lab.cleanup import left_overs, purge
from tests.lab.lab import Lab
from tests.lab.layout import LabError
from tests.lab.processes import say


def main() -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args()
    try:
        return int(arguments.function(arguments) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: stopped by you; `python -m tests.lab down` cleans up", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab", description="Real client web servers on this machine. Needs root."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str, instance: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if instance:
            sub.add_argument(
                "--instance", default="demo", metavar="NAME", help="which lab: demo, test, bench, … (default: demo)"
            )
        sub.set_defaults(function=function)
        return sub

    sub = command("up", _up, "start hosts, the store and the mirror")
    sub.add_argument("hosts", nargs="*", default=["shop"], metavar="NAME[:sudo|:postgresql]")
    sub.add_argument("--fresh", action="store_true", help="build hosts anew that run already")
    sub = command("down", _down, "end everything of an instance and remove every trace, or end single hosts")
    sub.add_argument("hosts", nargs="*", metavar="NAME")
    sub = command("status", _status, "say what runs")
    sub.add_argument("--json", action="store_true")
    sub = command("reset", _reset, "bring sites back to the template: files, database, logs")
    sub.add_argument("hosts", nargs="*", metavar="NAME")
    sub = command("exec", _exec, "run a command on a host without ssh: exec shop -- ls /srv")
    sub.add_argument("--user", default="root", choices=("root", "shop", "deploy"))
    sub.add_argument("host")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = command("ssh", _ssh, "log in to a host")
    sub.add_argument("--user", default="", choices=("shop", "deploy"))
    sub.add_argument("host")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = command("offer", _offer, "put exactly these releases on offer (nothing named: nothing on offer)")
    sub.add_argument("--core", action="append", default=[], metavar="VERSION")
    sub.add_argument("--plugin", action="append", default=[], metavar="SLUG=VERSION")
    sub.add_argument("--theme", action="append", default=[], metavar="SLUG=VERSION")
    sub = command("mirror", _service, "show the mirror's requests, or stop, start, pause, resume it")
    sub.add_argument("action", choices=("log", "stop", "start", "pause", "resume"))
    sub.set_defaults(service="mirror")
    sub = command("s3", _service, "show the store's address and key, or stop, start, pause, resume, clear it")
    sub.add_argument("action", choices=("show", "stop", "start", "pause", "resume", "clear"))
    sub.set_defaults(service="s3")
    sub = command("ceph", _ceph, "a real Ceph as store: make it, remove it, or show its address and keys")
    sub.add_argument("action", choices=("up", "down", "show"))
    sub = command("releases", _releases, "build the cache of releases and list them", instance=False)
    sub.add_argument("--json", action="store_true")
    command("purge", _purge, "remove every lab, the template and all caches", instance=False)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    Lab(arguments.instance).up(arguments.hosts, fresh=arguments.fresh)


def _down(arguments: argparse.Namespace) -> int:
    lab = Lab(arguments.instance)
    lab.down(*arguments.hosts)
    left = [] if arguments.hosts else left_overs(lab.instance)
    for what in left:
        say(f"still there: {what}")
    return 1 if left else 0


def _status(arguments: argparse.Namespace) -> None:
    status = Lab(arguments.instance).status()
    if arguments.json:
        print(json.dumps(status, indent=2))
        return
    for host in status["hosts"]:
        state = ("up" if host["running"] else "DOWN") + (", with sudo" if host["sudo"] else "")
        print(f"{host['name']:12} {host['address']:14} {state}")
    for name in ("s3", "mirror"):
        where = status[name].get("endpoint") or status[name]["address"]
        print(f"{name:12} {where} {'up' if status[name]['running'] else 'down'}")


def _reset(arguments: argparse.Namespace) -> None:
    lab = Lab(arguments.instance)
    lab.reset(*arguments.hosts)
    say("reset")


def _rest(arguments: argparse.Namespace) -> list[str]:
    words: list[str] = arguments.command
    return words[1:] if words[:1] == ["--"] else words


def _exec(arguments: argparse.Namespace) -> int:
    host = Lab(arguments.instance).host(arguments.host)
    command = host.inside(_rest(arguments) or ["/bin/bash", "-l"], arguments.user)
    return subprocess.run(command, env=host.login(arguments.user), check=False).returncode


def _ssh(arguments: argparse.Namespace) -> None:
    command = Lab(arguments.instance).host(arguments.host).ssh(*_rest(arguments), user=arguments.user)
    os.execvp(command[0], command)  # noqa: S606 - ssh takes over this terminal


def _offer(arguments: argparse.Namespace) -> None:
    def pairs(words: list[str]) -> dict[str, str]:
        if bad := [word for word in words if "=" not in word]:
            raise LabError(f"{bad[0]!r}: write SLUG=VERSION. `python -m tests.lab releases` lists them.")
        return {slug: version for slug, _, version in (word.partition("=") for word in words)}

    mirror = Lab(arguments.instance).mirror
    mirror.offer(arguments.core, pairs(arguments.plugin), pairs(arguments.theme))
    print(json.dumps(mirror.offers(), indent=1))


def _service(arguments: argparse.Namespace) -> None:
    lab = Lab(arguments.instance)
    if arguments.action == "log":
        for line in lab.mirror.requests():
            print(json.dumps(line))
    elif arguments.action == "show":
        print(
            json.dumps(
                {name: lab.s3[name] for name in ("endpoint", "bucket", "region", "access_key", "secret_key")}, indent=1
            )
        )
    else:
        getattr(lab.mirror if arguments.service == "mirror" else lab.s3, arguments.action)()


def _ceph(arguments: argparse.Namespace) -> None:
    ceph = Ceph(Lab(arguments.instance).instance)
    if arguments.action == "up":
        ceph.up()
    elif arguments.action == "down":
        ceph.down()
    else:
        users = {user: dict(zip(("access_key", "secret_key"), ceph.key(user), strict=True)) for user in USERS}
        shown = {"endpoint": ceph.endpoint, "running": ceph.running, "bucket": ceph.bucket, "region": ceph.region}
        print(json.dumps({**shown, "users": users}, indent=1))


def _releases(arguments: argparse.Namespace) -> None:
    releases.build_all()
    if arguments.json:
        print(json.dumps(releases.RELEASES, indent=1))
        return
    for slug, versions in releases.RELEASES.items():
        for version, reason in versions.items():
            print(f"{slug:18} {version:20} {reason}")


def _purge(arguments: argparse.Namespace) -> None:
    purge()
