"""A real Ceph with its S3 gateway on one machine, for what the light store cannot do.

That is: versions, object lock that is enforced, policies, `If-None-Match`, and users who do not see each other's
buckets. It takes about 20 seconds and 400 MB of memory.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

from tests.lab import network
from tests.lab.layout import BUCKET, Instance, LabError
from tests.lab.processes import (
    CLEAN_ENVIRONMENT,
    call,
    cgroup,
    locked,
    read_pidfile,
    remove_cgroup,
    say,
    start,
    wait_for,
    write_pidfile,
)

USERS = ("one", "two")
_PORT = 9001
_PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
# name -> what it may do. Without keys (auth "none") the gateway never comes up.
_KEYS = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "client.rgw.a": ("mon", "allow rw", "osd", "allow rwx"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd"),
}
_CONFIGURATION = """[global]
fsid = {fsid}
mon_host = [v2:{address}:3300,v1:{address}:6789]
public_network = {address}/32
keyring = {folder}/keyring
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_osd_full_ratio = .99
mon_osd_nearfull_ratio = .98
run_dir = {folder}/run
log_file = {folder}/log/$name.log
admin_socket = {folder}/run/$name.asok
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
osd_objectstore = bluestore
bluestore_block_size = 6442450944
bluestore_fsck_on_mount = false
osd_memory_target = 939524096
osd_class_load_list = *
osd_class_default_list = *
osd_max_object_name_len = 256
osd_max_object_namespace_len = 64
rgw_frontends = beast endpoint={address}:{port}
rgw_dns_name = {address}
rgw_enable_usage_log = false
rgw_lc_debug_interval = 10
"""


class Ceph:
    """The Ceph of one instance: one monitor, one disk (a sparse file), one gateway, two users."""

    bucket = BUCKET
    region = "us-east-1"

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.folder = instance.folder / "ceph"
        self._configuration = self.folder / "ceph.conf"

    @property
    def endpoint(self) -> str:
        """Return the address that hosts and controller use."""
        return f"http://{self.instance.controller_address}:{_PORT}"

    @property
    def running(self) -> bool:
        """Say whether the gateway takes connections."""
        if not read_pidfile(self.folder / "run" / "radosgw.pid"):
            return False
        try:
            with socket.create_connection((self.instance.controller_address, _PORT), timeout=1):
                return True
        except OSError:
            return False

    def key(self, user: str = "one") -> tuple[str, str]:
        """Return a user's access key and secret key."""
        try:
            keys = json.loads((self.folder / "keys.json").read_text(encoding="ascii"))
        except FileNotFoundError as error:
            raise LabError(
                f"There is no Ceph. Type: python -m tests.lab ceph --instance {self.instance.name} up"
            ) from error
        access, secret = keys[user]
        return access, secret

    def up(self) -> None:
        """Make the cluster anew, with two users and a bucket of user `one`; leave one that runs alone."""
        with locked(self.instance.name):
            if self.running:
                say("Ceph is up already")
                return
            if missing := [name for name in _PROGRAMS if not shutil.which(name, path=CLEAN_ENVIRONMENT["PATH"])]:
                raise LabError(f"Missing on this machine: {', '.join(missing)}. Type: tests/lab/requirements.sh --ceph")
            self._remove()
            network.lay_bridge(self.instance)
            say("Ceph: making the cluster")
            self._configure()
            self._start_monitor()
            self._start_disk()
            self._make_users()
            self._daemon("radosgw", "-n", "client.rgw.a")
            wait_for("Ceph's gateway answers", lambda: self.running, 60)
            self.make_bucket(BUCKET)
            say(f"Ceph is up: {self.endpoint}")

    def down(self) -> None:
        """End the cluster and remove everything that is in it."""
        with locked(self.instance.name):
            self._remove()

    def make_bucket(self, name: str, user: str = "one", *, object_lock: bool = False) -> None:
        """Make a bucket; with `object_lock` its objects can be kept from being deleted."""
        access, secret = self.key(user)
        lines = [
            f'url = "{self.endpoint}/{name}"', 'request = "PUT"', f'user = "{access}:{secret}"',
            f'aws-sigv4 = "aws:amz:{self.region}:s3"',
            'header = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
        ]  # fmt: skip
        if object_lock:
            lines.append('header = "x-amz-bucket-object-lock-enabled: true"')
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--config", "-"]
        # The key comes by standard input: arguments can be read by everybody.
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"Ceph did not make the bucket {name}: {(done.stdout or done.stderr).strip()[-300:]}")

    def _remove(self) -> None:
        remove_cgroup(cgroup(self.instance, "ceph"))
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _configure(self) -> None:
        for name in ("run", "log", "mon", "osd", "rgw"):
            (self.folder / name).mkdir(parents=True)
        fsid, address = str(uuid.uuid4()), self.instance.controller_address
        self._configuration.write_text(
            _CONFIGURATION.format(fsid=fsid, address=address, folder=self.folder, port=_PORT), encoding="ascii"
        )
        keyring = str(self.folder / "keyring")
        create = ["--create-keyring"]
        for name, rights in _KEYS.items():
            pairs = [
                word for part, right in zip(rights[::2], rights[1::2], strict=True) for word in ("--cap", part, right)
            ]
            call(["ceph-authtool", keyring, *create, "--gen-key", "-n", name, *pairs])
            create = []
        Path(keyring).chmod(0o600)
        addresses = f"[v2:{address}:3300,v1:{address}:6789]"
        call(
            [
                "monmaptool",
                "--create",
                "--clobber",
                "--fsid",
                fsid,
                "--addv",
                "a",
                addresses,
                str(self.folder / "monmap"),
            ]
        )

    def _start_monitor(self) -> None:
        self._ceph(
            "ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{self.folder}/monmap", "--keyring", f"{self.folder}/keyring"
        )
        self._daemon("ceph-mon", "-i", "a")
        self._ceph("ceph", "--connect-timeout", "30", "-s")

    def _start_disk(self) -> None:
        say("Ceph: making its disk")
        identity = str(uuid.uuid4())
        self._ceph("ceph", "osd", "new", identity)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._daemon("ceph-osd", "-i", "0")
        wait_for(
            "Ceph's disk is in use",
            lambda: '"num_up_osds":1' in self._ceph("ceph", "osd", "stat", "-f", "json"),
            60,
            0.2,
        )

    def _make_users(self) -> None:
        keys = {}
        for user in USERS:
            say(f"Ceph: making user {user} (some seconds)")
            access, secret = f"ceph{secrets.token_hex(8)}", secrets.token_hex(20)
            self._ceph(
                "radosgw-admin",
                "user",
                "create",
                "--uid",
                user,
                "--display-name",
                user,
                "--access-key",
                access,
                "--secret-key",
                secret,
            )
            keys[user] = (access, secret)
        file = self.folder / "keys.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(keys), encoding="ascii")

    def _daemon(self, program: str, *arguments: str) -> None:
        command = [program, "-c", str(self._configuration), "-f", *arguments]
        environment = {**CLEAN_ENVIRONMENT, "HOME": str(self.folder)}
        process = start(self.instance, "ceph", command, self.folder / "log" / f"{program}.out", environment)
        write_pidfile(self.folder / "run" / f"{program}.pid", process)

    def _ceph(self, program: str, *arguments: str) -> str:
        return call([program, "-c", str(self._configuration), *arguments], timeout=90)
