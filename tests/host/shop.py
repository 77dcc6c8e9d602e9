"""The lab's shop as a test sees it: the host, its store, and a client's folder that names them."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.contract.model import Store
from orchestrator.run.bucket import Keys
from tests.lab import Lab
from tests.lab.hosts import Host
from tests.repository import place

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "inventories" / "example"
SERVED_BY_DEMO = "10.77.0.1:9000"


@dataclass(frozen=True)
class Played:
    """What ansible-playbook left: its exit code and everything that it printed."""

    code: int
    text: str


@dataclass(frozen=True)
class Shop:
    """One lab host, the client's folder for it, and a short folder for Ansible's sockets."""

    lab: Lab
    host: Host
    inventory: Path
    sockets: Path
    bucket: str

    @property
    def store(self) -> Path:
        """Return the machine's view of what lies in the store for this site."""
        return self.lab.s3.data.parent / self.bucket / "example" / "shop"

    @property
    def workshop(self) -> Path:
        """Return the machine's view of the folder of ours beside the document root."""
        return self.host.disk / ".upkeep"

    @property
    def secrets(self) -> dict[str, str]:
        """Return what the client's vault holds."""
        found: dict[str, str] = yaml.safe_load((self.inventory / "group_vars" / "all" / "vault.yml").read_text())
        return found

    def play(self, *names: str, check: bool = True, **variables: Any) -> Played:
        """Run playbooks as a person does; with `check`, success is part of the bargain."""
        flags = [name for name in names if name.startswith("-")]
        books = [str(REPOSITORY / "playbooks" / f"{name}.yml") for name in names if not name.startswith("-")]
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(self.inventory), *flags, "-v", *books,
            "-e", json.dumps(variables),
        ]  # fmt: skip
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.sockets),
        }
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        played = Played(done.returncode, done.stdout + done.stderr)
        assert not check or played.code == 0, played.text
        return played

    def snapshot(self, **variables: Any) -> dict[str, Any]:
        """Take a restore point and return the manifest that lies in the store."""
        self.play("snapshot", **variables)
        return self.manifest(self.points()[-1])

    def points(self) -> list[str]:
        """Return the restore points that exist, oldest first."""
        return sorted(path.stem for path in (self.store / "points").glob("*.json"))

    def manifest(self, point: str) -> dict[str, Any]:
        """Return a manifest as it lies in the store."""
        value: dict[str, Any] = json.loads((self.store / "points" / f"{point}.json").read_text())
        return value

    def restic(self, *arguments: str) -> Any:
        """Ask restic on this machine about the repository, as a client who leaves would."""
        store = self.lab.s3
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": store.access_key,
            "AWS_SECRET_ACCESS_KEY": store.secret_key,
            "RESTIC_PASSWORD": self.secrets["site_snapshot_password"],
            "RESTIC_REPOSITORY": f"s3:{store.endpoint}/{self.bucket}/example/shop/restic",
            "RESTIC_CACHE_DIR": str(self.sockets / "restic"),
        }
        done = subprocess.run(
            ["restic", *arguments], env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    def programs(self, **paths: str) -> None:
        """Make the contract name other programs on the host."""
        path = self.inventory / "contract.yml"
        text = path.read_text()
        for name, program in paths.items():
            text, changed = re.subn(rf"(?m)^( +{name}: )\S+$", rf"\g<1>{program}", text)
            assert changed == 1, f"the example's contract names no program {name}"
        path.write_text(text)

    def install(self, path: str, script: str) -> str:
        """Put a program on the host, owned by the site's owner, and return its path."""
        self.host.run(["sh", "-c", f"cat >{path} && chmod 755 {path}"], user="shop", input=script, check=True)
        return path


def shop_of(
    lab: Lab, name: str, inventory: Path, sockets: Path, *, reset: bool = True, repository: bool = True
) -> Shop:
    """Bring the host back to the template, and make a client's folder for it that names a bucket of its own.

    Without `reset`, for tests that only look at the site, no more than our own traces are removed. The bucket has an empty
    repository, so that no test waits for one to be made; without `repository` there is no such bucket.
    """
    if reset:
        lab.reset(name)
    host = lab.host(name)
    if not reset:
        host.run(["rm", "-rf", f"{Path(host.root).parent}/.upkeep"], check=True)
    bucket = f"test-{secrets.token_hex(6)}"
    write_inventory(lab, host, inventory, bucket)
    shop = Shop(lab, host, inventory, sockets, bucket)
    if repository:
        store, keys = Store(lab.s3.endpoint, bucket, lab.s3.region), Keys(lab.s3.access_key, lab.s3.secret_key)
        place(store, keys, "example/shop", shop.secrets["site_snapshot_password"])
    return shop


def write_inventory(lab: Lab, host: Host, folder: Path, bucket: str) -> None:
    """Copy the sample client and let it name this lab's addresses and keys, and a bucket that does not exist yet."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("vault.yml", "vault.password"))
    contract = (folder / "contract.yml").read_text()
    assert SERVED_BY_DEMO in contract
    contract = contract.replace(SERVED_BY_DEMO, lab.s3.endpoint.removeprefix("http://"))
    (folder / "contract.yml").write_text(contract.replace("bucket: upkeep-example", f"bucket: {bucket}"))
    hosts = yaml.safe_load((folder / "hosts.yml").read_text())
    hosts["all"]["hosts"]["shop"] |= {
        "ansible_host": host.address,
        "ansible_user": host.ssh_user,
        "ansible_ssh_private_key_file": str(host.ssh_key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={host.known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes",
        # A version has other bytes in another test, so nothing is kept of it; and no test asks the real WordPress.org.
        "cms_update_wordpress_org": {},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    vault = folder / "group_vars" / "all" / "vault.yml"
    vault.touch(mode=0o600)
    vault.write_text(
        yaml.safe_dump(
            {
                "site_snapshot_access_key": lab.s3.access_key,
                "site_snapshot_secret_key": lab.s3.secret_key,
                "site_snapshot_password": secrets.token_hex(16),
            }
        )
    )
