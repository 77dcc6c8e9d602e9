"""WordPress's SQLite drop-in 2.1.11: for a test that moves a site to SQLite. It is no part of the template."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.lab.layout import LabError
from tests.lab.releases import NPM, read_zip

_TOP = "sqlite-database-integration-main/"
_INSIDE = "package/src/sqlite-database-integration/sqlite-database-integration.zip"


def unpack_drop_in(plugins: Path) -> None:
    """Put the plugin into a folder of plugins; the package that the lab has WordPress from holds it as well."""
    archives = sorted(NPM.glob("wp-playground-wordpress-builds-*.tgz"))
    if not archives:
        raise LabError(f"There is no WordPress in {NPM}. Type: python -m tests.lab up")
    with tarfile.open(archives[-1]) as archive:
        handle = archive.extractfile(_INSIDE)
        files = read_zip(io.BytesIO(handle.read() if handle else b""))
    for name, content in files.items():
        path = plugins / "sqlite-database-integration" / name.removeprefix(_TOP)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
