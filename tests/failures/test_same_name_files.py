"""Equal basenames in different folders [wpmgr 147]: the restored tree is byte for byte the original, modes and links included."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.host.shop import Shop

pytestmark = pytest.mark.root

TREE = """
set -e
cd "$1"/wp-content/uploads
mkdir -p names/a/photo names/b/photo 'names/with space/photo' names/ünï/photo names/empty
for folder in a b 'with space' ünï; do
    for name in index.php style.css photo.jpg .htaccess; do echo "$folder/$name" >"names/$folder/photo/$name"; done
done
cp names/a/photo/photo.jpg names/b/same-bytes.jpg
ln -s ../a/photo/photo.jpg names/b/link.jpg
ln -s nowhere names/b/dangling
ln names/a/photo/style.css names/a/hard.css
printf 'x' >"names/$(printf 'not-utf8-\\377')"
chmod 640 names/a/photo/index.php; chmod 751 names/b/photo; chmod 444 names/b/photo/style.css; chmod 2775 names/empty
truncate -s 1M names/sparse; : >names/nothing
touch -d '2001-02-03 04:05:06.789012345' names/b/photo/photo.jpg
"""


def seen(root: Path) -> dict[bytes, tuple[Any, ...]]:
    """Return what there is to know of every path below a folder."""
    found: dict[bytes, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = (hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest(), status.st_mtime_ns)
            found[os.path.relpath(path, os.fsencode(root))] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


def test_same_name_files(shop: Shop) -> None:
    shop.host.run(["sh", "-c", TREE, "sh", shop.host.root], user="shop", check=True)
    tree = shop.host.disk / "htdocs"
    before = seen(tree)
    point = shop.snapshot()["point"]
    shop.host.run(
        ["sh", "-c", f"cd {shop.host.root}/wp-content/uploads/names && mv a/photo b/a-photo && rm -rf empty b/photo"],
        user="shop",
        check=True,
    )
    assert seen(tree) != before

    shop.play("restore", upkeep_point=point)

    after = seen(tree)
    assert {path: value for path, value in after.items() if before.get(path) != value} == {}
    assert set(after) == set(before)
