"""docs/leaving.md as it is written: a client restores everything with restic, mariadb and curl, without our code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from plugins.module_utils import tree
from tests.host.shop import REPOSITORY, Shop

pytestmark = pytest.mark.root

DOCUMENT = REPOSITORY / "docs" / "leaving.md"
DATABASE = "restored"
WHERE = "/srv/restored"
# Whatever a dump can get wrong: line ends, bytes, nothing at all, what refers to others, what is computed, what runs.
DIFFICULT = """
SET NAMES utf8mb4;
CREATE TABLE wp_orders (id INT PRIMARY KEY, note TEXT, picture BLOB, twice INT AS (id * 2) STORED, told JSON)
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE wp_aitems (id INT PRIMARY KEY, item INT,
    CONSTRAINT items_of_orders FOREIGN KEY (item) REFERENCES wp_orders (id)) ENGINE=InnoDB;
CREATE TABLE wp_log (line TEXT) ENGINE=MyISAM;
INSERT INTO wp_orders (id, note, picture, told) VALUES (1, 'tea \\n(1,2);\\n🍵', x'00ff0a28', '{"a": "ü"}'), (2, NULL, NULL, NULL);
INSERT INTO wp_aitems VALUES (7, 1), (8, 2);
INSERT INTO wp_log VALUES ('twice'), ('twice'), ('');
"""


def script(**values: str) -> str:
    """Return the document's blocks in their order, with these values for the variables that they name."""
    blocks = re.findall(r"(?ms)^```bash\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"))
    text = "".join(blocks)
    assert set(re.findall(r"(?m)^([A-Z]+)=[^$\n]*$", text)) == set(values), "the document asks for other values"
    for name, value in values.items():
        text, changed = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        assert changed == 1, f"{name} is not said once"
    return text


def leave(shop: Shop, point: str, where: str = WHERE) -> subprocess.CompletedProcess[str]:
    """Do on the host what the document says, as root; the secrets come as if they were typed."""
    words = script(
        ENDPOINT=shop.lab.s3.endpoint, REGION=shop.lab.s3.region, BUCKET=shop.bucket, CLIENT="example", SITE="shop",
        POINT=point, WHERE=where, DATABASE=DATABASE,
    )  # fmt: skip
    typed = [shop.secrets[f"site_snapshot_{name}"] for name in ("access_key", "secret_key", "password")]
    return shop.host.run(["bash", "-c", words], input="\n".join(typed) + "\n")


def paths(root: Path) -> dict[str, tuple[object, ...]]:
    """Return every path below a folder with all that must come back; a folder's size is its filesystem's affair."""
    return {
        path: (seen.kind, seen.mode, seen.owner, seen.group, seen.mtime, seen.target, seen.kind == "file" and seen.size)
        for path, seen in tree.scan(str(root)).items()
    }


def sums(shop: Shop, database: str) -> tuple[str, list[str]]:
    """Return the checksums of all tables of a database, and how each of them is defined."""
    names = shop.host.sql("SHOW TABLES", database=database).split()
    told = shop.host.sql("CHECKSUM TABLE " + ", ".join(names), database=database).replace(f"{database}.", "")
    defined = shop.host.sql("; ".join(f"SHOW CREATE TABLE {name}" for name in names), database=database)
    return told, re.sub(r" AUTO_INCREMENT=\d+", "", defined).splitlines()


def test_a_client_who_leaves_restores_everything_as_the_document_says(shop: Shop) -> None:
    shop.host.sql(DIFFICULT)
    shop.host.run(
        ["sh", "-ec", f"cd {shop.host.root}; ln -s index.php 'a link'; mkdir -m 700 odd; touch \"odd/$(printf 'a\\351')\""],
        user="shop", check=True,
    )  # fmt: skip
    files, tables = paths(shop.host.disk / "htdocs"), sums(shop, "shop")
    manifest = shop.snapshot()
    # What has changed since stays out of it.
    shop.host.sql("UPDATE wp_orders SET note = 'newer'; DELETE FROM wp_posts")
    shop.host.run(["sh", "-c", f"echo newer >{shop.host.root}/index.php"], user="shop", check=True)

    done = leave(shop, manifest["point"])

    assert done.returncode == 0, done.stdout + done.stderr
    assert sums(shop, DATABASE) == tables
    restored = f"{WHERE}{shop.host.root}"
    assert paths(shop.host.folder / restored.lstrip("/")) == files
    # Byte for byte, but for the one page that is newer now.
    differing = shop.host.run(["diff", "-rq", "--no-dereference", restored, shop.host.root]).stdout
    assert differing == f"Files {restored}/index.php and {shop.host.root}/index.php differ\n"
    assert f"{manifest['files']['count']}\n" in done.stdout
    assert "wp_orders: 2\n" in done.stdout
    for secret in shop.secrets.values():
        assert secret not in done.stdout + done.stderr
    # A snapshot whose manifest is not there is no restore point: nothing is restored of it.
    missing = leave(shop, "20200101T000000Z-00000000", "/srv/other")
    assert "404" in missing.stderr
    assert shop.host.run(["ls", "-A", "/srv/other"], check=True).stdout == ""
