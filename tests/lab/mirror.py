"""Decide what the lab's own WordPress.org offers. The server itself is mirror_server.py; both meet in two files."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.layout import REPOSITORY, LabError
from tests.lab.releases import RELEASES, release_file
from tests.lab.services import Service

NO_PACKAGE = "no-package"


class Mirror(Service):
    """api.wordpress.org and downloads.wordpress.org as the hosts of one instance see them."""

    name = "mirror"
    port = 80

    def start(self) -> None:
        """Start the server if it does not run; nothing is on offer until `offer` is called."""
        if self.running:
            self.resume()  # a test may have left it paused
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._offers_file().exists():
            self.offer()
        command = [sys.executable, "-m", "tests.lab.mirror_server", str(self.folder),
                   self.instance.controller_address, self.instance.mirror_address]  # fmt: skip
        self._launch(command, {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"})

    def offer(
        self,
        core: str | Sequence[str] | None = None,
        plugins: Mapping[str, str] | None = None,
        themes: Mapping[str, str] | None = None,
        translations: Mapping[str, str] | None = None,
    ) -> None:
        """Put exactly these releases on offer, from the next request on; without arguments nothing.

        A version may name a variant: `4.33.0+old-header` is offered as 4.33.0 with other bytes, `1.1+no-package` as
        1.1 without a download (a licence is missing). A translation, such as plugin.lab-banner.de_DE, is of a moment such as
        `2024-02-05 12:34:56`, for every version.
        """
        cores = [core] if isinstance(core, str) else list(core or [])
        offers = {
            "core": [_release("core", "wordpress", version) for version in cores],
            "plugins": {slug: _release("plugin", slug, version) for slug, version in (plugins or {}).items()},
            "themes": {slug: _release("theme", slug, version) for slug, version in (themes or {}).items()},
            "translations": dict(translations or {}),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._offers_file().with_suffix(".part")
        partial.write_text(json.dumps(offers, indent=1), encoding="utf-8")
        os.replace(partial, self._offers_file())

    def offers(self) -> dict[str, Any]:
        """Return what is on offer."""
        try:
            found: dict[str, Any] = json.loads(self._offers_file().read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"core": [], "plugins": {}, "themes": {}, "translations": {}}
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Return every request that the hosts made, oldest first."""
        try:
            lines = (self.folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def forget_requests(self) -> None:
        """Empty the list of requests."""
        (self.folder / "requests.jsonl").unlink(missing_ok=True)

    def _offers_file(self) -> Path:
        return self.folder / "offers.json"


def _release(kind: str, slug: str, version: str) -> dict[str, str]:
    """Return one offer: the version that is shown, and the file that is served."""
    shown, _, variant = version.partition("+")
    if variant == NO_PACKAGE:
        return {"version": shown, "file": ""}
    file = release_file(kind, slug, version)
    if not file.exists():
        raise LabError(
            f"There is no release {version} of {slug}. There are: {', '.join(RELEASES.get(slug, {})) or 'none'}."
        )
    return {"version": shown, "file": str(file)}
