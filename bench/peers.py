"""What others do for a restore point of a site, each as somebody would write it down: tar, borg, and restic by hand."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

from bench.site import HOST, BenchError, Site
from orchestrator.run import s3

TAR, BORG, RESTIC = "tar | gzip and mariadb-dump | gzip", "borg and sync", "restic and mariadb-dump by hand"
SCRATCH = "/srv/shop/.bench"
DUMP = f"mariadb-dump --defaults-extra-file={SCRATCH}/client.cnf --single-transaction --quick shop"
LOAD = f"mariadb --defaults-extra-file={SCRATCH}/client.cnf bench_loaded"
# Both ends of a pipe are looked at: a dump that dies is no copy.
STREAMS = {
    "files.tar.gz": "set -o pipefail; tar -C /srv/shop -cf - htdocs | gzip",
    "database.sql.gz": f"set -o pipefail; {DUMP} | gzip",
}


class Peers:
    """The peers on one site. Each keeps its copies in a bucket of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._host = site.lab.host(HOST)
        store = site.lab.s3
        self._s3 = s3.client(
            store.endpoint, store.region, access_key=store.access_key, secret_key=store.secret_key, read_seconds=300
        )

    def prepare(self) -> None:
        """Give the peers a folder on the host with the login of the database, and buckets."""
        config = self._site.in_place("config")["result"]
        options = f'[client]\nuser={config["user"]}\npassword="{config["password"]}"\nhost={config["host"]}\n'
        self.shell(f"mkdir -p -m 700 {SCRATCH}/dump; umask 077; cat >{SCRATCH}/client.cnf", options)
        there = {bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]}
        for name in {"bench-tar", "bench-borg", "bench-restic"} - there:
            self._s3.create_bucket(Bucket=name)

    def tar(self) -> None:
        """Stream an archive and a dump through ssh, and upload them in parts."""
        for name, command in STREAMS.items():
            with subprocess.Popen(
                self._host.ssh("bash", "-c", shlex.quote(command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            ) as stream:
                self._s3.upload_fileobj(stream.stdout, "bench-tar", name)
            if stream.returncode:
                raise BenchError(f"{command} ended with {stream.returncode}")

    def borg(self) -> None:
        """Dump, let borg take both into a repository on the host, and upload what is new of that."""
        environment = (
            f"export BORG_REPO={SCRATCH}/borg BORG_PASSPHRASE=bench BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes"
        )
        self.shell(
            f"{environment}; set -e; {DUMP} --result-file={SCRATCH}/dump/database.sql\n"
            f"if [ ! -d {SCRATCH}/borg ]; then borg init --encryption=repokey-blake2; fi\n"
            f"borg create --compression=zstd,1 ::now-$(date +%s%N) /srv/shop/htdocs {SCRATCH}/dump"
        )
        sync(self._s3, "bench-borg", self._host.disk / ".bench" / "borg")

    def restic(self) -> None:
        """Dump, and let restic take both into the store: the limit of what is possible with it."""
        self.shell(
            f"set -e; {DUMP} --result-file={SCRATCH}/dump/database.sql\n"
            f"{self._restic('cat config')} >/dev/null 2>&1 || {self._restic('init')} >/dev/null\n"
            f"{self._restic(f'backup --quiet /srv/shop/htdocs {SCRATCH}/dump')}"
        )

    def restic_restores(self, *, what: str) -> None:
        """Restore into an empty folder: all, the dump, or one file."""
        chosen = f" --include {what}" if what else ""
        self.shell(
            f"set -e; rm -rf {SCRATCH}/back; {self._restic(f'restore latest --target {SCRATCH}/back{chosen}')} >/dev/null"
        )

    def tar_restores(self) -> None:
        """Bring the archive back through ssh into an empty folder."""
        self.shell(f"rm -rf {SCRATCH}/back; mkdir {SCRATCH}/back")
        body = self._s3.get_object(Bucket="bench-tar", Key="files.tar.gz")["Body"]
        with subprocess.Popen(
            self._host.ssh("tar", "-C", f"{SCRATCH}/back", "-xzf", "-"), stdin=subprocess.PIPE
        ) as stream:
            assert stream.stdin is not None  # noqa: S101  # it is a pipe
            for block in body.iter_chunks(1024 * 1024):
                stream.stdin.write(block)
            stream.stdin.close()
        if stream.returncode:
            raise BenchError(f"tar ended with {stream.returncode}")

    def load(self) -> None:
        """Load the newest dump into an empty database of its own: ours refuses a staging database with somebody's tables."""
        self._host.sql(
            "DROP DATABASE IF EXISTS bench_loaded; CREATE DATABASE bench_loaded; GRANT ALL ON bench_loaded.* TO shop@localhost"
        )
        self.shell(f"{LOAD} <{SCRATCH}/dump/database.sql")

    def clean(self) -> None:
        """Remove what the peers left on the host."""
        # As root: what was put there for the local way back is root's.
        self._host.run(["rm", "-rf", SCRATCH], check=True)

    def shell(self, script: str, text: str = "") -> None:
        """Run a script on the host as the site's owner, through ssh as the others do."""
        done = subprocess.run(
            self._host.ssh("bash", "-c", shlex.quote(script)), input=text, capture_output=True, text=True, timeout=1200, check=False
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"{script} ended with {done.returncode}: {done.stderr[-400:]}")

    def _restic(self, command: str) -> str:
        store = self._site.lab.s3
        given = {
            "AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key, "RESTIC_PASSWORD": "bench",
            "RESTIC_REPOSITORY": f"s3:{store.endpoint}/bench-restic", "RESTIC_CACHE_DIR": f"{SCRATCH}/cache",
        }  # fmt: skip
        return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in given.items()), "restic", command])


def sync(store: Any, bucket: str, folder: Path) -> None:
    """Upload the files of a folder that the bucket lacks or has in another size."""
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    there = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
    for path in sorted(folder.rglob("*")):
        key = str(path.relative_to(folder))
        if path.is_file() and there.get(key) != path.stat().st_size:
            store.upload_file(str(path), bucket, key)
