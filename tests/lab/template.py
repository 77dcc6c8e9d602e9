"""Build the template once: what every host of every lab is a copy of."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.lab import bad_releases, releases
from tests.lab.layout import CACHE, MARK, REPOSITORY, SCRIPTS, STATE, Instance, LabError, digest
from tests.lab.processes import CLEAN_ENVIRONMENT, cgroup_root, locked, remove_cgroup, say

TEMPLATES = CACHE / "template"
PARTS = ("upper", "srv", "mysql", "home")
INITIAL_PLUGINS = {"newspack-blocks": "2.0.0", "lab-banner": "1.0"} | {
    f"lab-{word}": "1.0" for word in bad_releases.GREEK
}
_SERVER = ("nginx", "mariadbd", "php", "sshd", "restic", "rsync", "setpriv", "nsenter", "unshare")
_HIDDEN = ("/root", "/home", "/mnt", "/media", "/opt", "/var/tmp", "/usr/local", "/srv", "/boot", "/var/lib/mysql",
           str(STATE), str(CACHE), "/var/lib/docker", "/var/lib/containers")  # fmt: skip
# What a Debian server has in `/`; every other folder there belongs to the machine alone.
_STANDARD = {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "lost+found", "media", "mnt",
             "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"}  # fmt: skip


def hidden_places() -> str:
    """Return the machine's folders that a host must not see, this repository among them."""
    places = [*_HIDDEN, *(str(path) for path in Path("/").iterdir() if path.is_dir() and path.name not in _STANDARD)]
    if not any(REPOSITORY.is_relative_to(place) for place in places):
        places.append(str(REPOSITORY))
    return ":".join(places)


def namespace_command() -> list[str]:
    """Return the command that gives a host its own world and runs its first program there."""
    return [
        "unshare",
        "-C",
        "-m",
        "-p",
        "-u",
        "-i",
        "-n",
        "--fork",
        "--kill-child",
        "/bin/bash",
        str(SCRIPTS / "host-init.sh"),
    ]


def init_environment(mode: str, folder: Path, name: str) -> dict[str, str]:
    """Return what host-init.sh needs to know in both of its modes."""
    return {
        **CLEAN_ENVIRONMENT,
        "LAB_MODE": mode,
        "LAB_FOLDER": str(folder),
        "LAB_NAME": name,
        "LAB_HIDE": hidden_places(),
    }


def template() -> Path:
    """Return the folder of the template; build it when there is none for these scripts, releases and packages."""
    target = TEMPLATES / _key()
    if target.is_dir():
        return target
    _check_machine()
    releases.build_all()
    with locked("cache"):
        if not target.is_dir():
            _build(target)
    return target


def copy(source: Path, target: Path, instance: Instance) -> None:
    """Copy a folder with all that the file system knows of it; where it can, without copying the bytes."""
    # The mark lets `down` find this copy when whoever started it was killed.
    environment = {**CLEAN_ENVIRONMENT, MARK: instance.name}
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True, env=environment)


def _key() -> str:
    names = ["mariadb-server", "nginx-light", "php*-fpm", "openssh-server", "systemd"]
    packages = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names],
        capture_output=True, check=False, env=CLEAN_ENVIRONMENT,
    ).stdout  # fmt: skip
    scripts = [(SCRIPTS / name).read_bytes() for name in ("build-template.sh", "seed.php")]
    # The people of the machine are copied into the template: new packages bring new ones.
    people = [Path(name).read_bytes() for name in ("/etc/passwd", "/etc/group")]
    return digest([packages, releases.key().encode(), *scripts, *people])


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise LabError("The lab needs root: namespaces, mounts and a bridge. Type: sudo …")
    path = CLEAN_ENVIRONMENT["PATH"]
    missing = [name for name in _SERVER if not shutil.which(name, path=path)]
    if not Path("/lib/systemd/systemd").exists():
        missing.append("systemd")
    if missing:
        raise LabError(f"Missing on this machine: {', '.join(missing)}. Type: tests/lab/requirements.sh")


def _build(target: Path) -> None:
    say("building the template (once)")
    remove_cgroup(_group())  # a builder whose caller was killed
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    used = {json.loads(file.read_text(encoding="utf-8"))["template"] for file in STATE.glob("*/hosts/*/host.json")}
    for old in TEMPLATES.iterdir():
        if old.name not in used:  # a host is brought back to the template that it was made of
            shutil.rmtree(old)
    folder = TEMPLATES / "part"
    for part in (*PARTS, "work", "root", "share"):
        (folder / part).mkdir(parents=True)
    share = folder / "share"
    for name in ("build-template.sh", "seed.php"):
        shutil.copy(SCRIPTS / name, share)
    shutil.copy(releases.release_file("core", "wordpress", "6.2.6"), share / "core.zip")
    for slug, version in INITIAL_PLUGINS.items():
        shutil.copy(releases.release_file("plugin", slug, version), share / f"plugin-{slug}.zip")
    _run(init_environment("build", folder, "template"))
    if not (folder / "srv/.built").exists():
        raise LabError(f"The template was not built. Look into {folder}.")
    (folder / "srv/.built").unlink()
    for part in ("work", "root", "share"):
        shutil.rmtree(folder / part)
    folder.rename(target)


def _group() -> Path:
    return cgroup_root() / "upkeep-lab" / "template"


def _run(environment: Mapping[str, str]) -> None:
    """Run the builder in its own control group and show what it prints."""
    group = _group()
    with contextlib.suppress(FileExistsError):
        group.mkdir(parents=True)
    command = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs"), *namespace_command()]
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
            env={**environment, MARK: "template"},
        ) as process:  # fmt: skip
            for line in process.stdout or []:
                say(line.rstrip())
        if process.returncode != 0:
            raise LabError(f"Building the template ended with {process.returncode}; its last lines are above.")
    finally:
        remove_cgroup(group)
