"""Make the folder of a client whose sites are the hosts of a lab: the sample contract, its hosts and its secrets.

python -m tests.lab.client --instance test FOLDER      prints the folder, ready for `ansible-playbook -i`
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from orchestrator.contract.model import Store
from orchestrator.run import passwords
from orchestrator.run.bucket import Keys
from tests.lab.lab import Lab
from tests.lab.layout import BUCKET, REPOSITORY, Instance
from tests.repository import place

SAMPLE = REPOSITORY / "inventories" / "example"
_DEMO = Instance("demo")


def client_folder(
    lab: Lab, folder: Path, *, password_file: Path | None = None, sites: Sequence[str] = ("shop",)
) -> Path:
    """Write the sample client into `folder`, with the addresses of this lab, and return it.

    Each site is the sample's, on the host of its name; the client's id is the folder's name.

    With a `password_file` the secrets are encrypted by ansible-vault; without one they lie there in the clear, which is good
    enough for a test that throws them away.
    """
    settings = folder / "group_vars" / "all"
    settings.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("contract.yml", "hosts.yml", "group_vars/all/vars.yml"):
        (folder / name).write_text(_of_this_lab((SAMPLE / name).read_text(encoding="utf-8"), lab), encoding="utf-8")
    if tuple(sites) != ("shop",):
        _several(lab, folder, sites)
    _write_vault(lab, settings / "vault.yml", password_file)
    return folder


def _several(lab: Lab, folder: Path, sites: Sequence[str]) -> None:
    contract = yaml.safe_load((folder / "contract.yml").read_text(encoding="utf-8"))
    sample = contract["sites"]["shop"]
    contract["client"]["id"] = folder.name
    # Every host of the lab serves the same address, each in a network of its own.
    contract["sites"] = {name: copy.deepcopy(sample) for name in sites}
    hosts = yaml.safe_load((folder / "hosts.yml").read_text(encoding="utf-8"))
    reached = hosts["all"]["hosts"]["shop"]
    hosts["all"]["hosts"] = {name: {**reached, "ansible_host": lab.host(name).address} for name in sites}
    for name, site in contract["sites"].items():
        site["places"]["production"]["host"] = name
    (folder / "contract.yml").write_text(yaml.safe_dump(contract), encoding="utf-8")
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")


def _of_this_lab(text: str, lab: Lab) -> str:
    """Exchange the demo's addresses and folders, which the sample has, for those of this lab."""
    return text.replace(
        _DEMO.controller_address.removesuffix("1"), lab.instance.controller_address.removesuffix("1")
    ).replace(str(_DEMO.folder), str(lab.instance.folder))


def _write_vault(lab: Lab, file: Path, password_file: Path | None) -> None:
    values = {
        "site_snapshot_access_key": lab.s3.access_key,
        "site_snapshot_secret_key": lab.s3.secret_key,
        "site_snapshot_password": _repository_password(lab),
        # The lab's releases are not WordPress.org's: hosts fetch them from the mirror by themselves.
        "cms_update_wordpress_org": {},
    }
    # JSON is YAML. The file is never readable by others, not even for a moment.
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(json.dumps(values, indent=1) + "\n")
    if password_file is not None:
        vault = Path(sys.executable).with_name("ansible-vault")
        subprocess.run(
            [str(vault), "encrypt", "--vault-password-file", str(password_file), str(file)],
            check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        )  # fmt: skip


def _repository_password(lab: Lab) -> str:
    """Return restic's password of this lab. It lives as long as the store, or old restore points could not be read."""
    return secret_file(lab.instance.folder / "restic.password").read_text(encoding="ascii").strip()


def secret_file(file: Path) -> Path:
    """Make a file with a password as `upkeep init` makes it, unless it is there."""
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as handle:
            handle.write(passwords.make(secrets.token_bytes(passwords.BYTES)) + "\n")
    return file


def main() -> int:
    """Write a client's folder for a lab that runs."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.client", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--instance", default="demo", metavar="NAME")
    parser.add_argument(
        "--repository", action="store_true", help="put an empty repository into the store, cheap to open"
    )
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    lab = Lab(arguments.instance)
    print(client_folder(lab, arguments.folder))
    if arguments.repository:
        store, keys = Store(lab.s3.endpoint, BUCKET, lab.s3.region), Keys(lab.s3.access_key, lab.s3.secret_key)
        place(store, keys, "example/shop", _repository_password(lab))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
