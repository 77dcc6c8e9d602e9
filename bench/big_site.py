"""A site of a common size, always the same one: WordPress, 8,000 uploads with 1.5 GB, a database of 250 MB, and how it changes."""

from __future__ import annotations

import os
import random
from pathlib import Path

from bench.site import CORE, HOST, BenchError, Site
from tests.lab.hosts import USERS

SEED = 1908
FILES, BYTES, PER_FOLDER, LEAST = 8_000, 1_500_000_000, 250, 2_000
ROWS, ROW_BYTES, PER_STATEMENT = 125_000, 1_800, 500
TABLE = "wp_bench_entries"
WORDS = 4_000


def fill(site: Site, size_of_all: int = BYTES, files: int = FILES) -> str:
    """Write uploads and rows below the site's beginning. Returns what there is now, in words."""
    chance = random.Random(SEED)
    weights = [chance.lognormvariate(0, 1) for _ in range(files)]
    whole, total = sum(weights), 0
    for number, weight in enumerate(weights):
        size = LEAST + int(weight / whole * (size_of_all - files * LEAST))
        write(upload(site, number), chance.randbytes(size))
        total += size
    load(site, f"CREATE TABLE {TABLE} (id BIGINT PRIMARY KEY, author VARCHAR(60), created DATETIME, body LONGTEXT)", [])
    load(site, "", [rows(chance, range(first, first + PER_STATEMENT)) for first in range(0, ROWS, PER_STATEMENT)])
    size = int(site.lab.host(HOST).sql(f"SELECT SUM(LENGTH(body) + 40) FROM {TABLE}"))  # noqa: S608 - our own name
    return (
        f"WordPress, {files} generated uploads (seed {SEED}, {total / 1e9:.2f} GB that do not compress, as pictures do not) and "
        f"{ROWS} generated rows ({size / 1e6:.0f} MB of text)"
    )


def change_a_hundredth(site: Site, seed: int) -> None:
    """Change one file in a hundred, and add one row to each hundred: what visitors and editors do in a day."""
    chance = random.Random(seed)
    for number in chance.sample(range(FILES), FILES // 100):
        path = upload(site, number)
        write(path, chance.randbytes(path.stat().st_size))
    first = int(site.lab.host(HOST).sql(f"SELECT MAX(id) + 1 FROM {TABLE}"))  # noqa: S608 - our own name
    load(site, "", [rows(chance, range(first, first + ROWS // 100))])


def update_core(site: Site) -> None:
    """Update WordPress, as its own upgrader does."""
    site.lab.mirror.offer(CORE)
    for command in ("core", "database"):
        site.in_place(command)
    if site.versions()["core"] != CORE:
        raise BenchError(f"WordPress is {site.versions()['core']}, not {CORE}")


def upload(site: Site, number: int) -> Path:
    """Return the path of an upload on this machine."""
    folder = site.lab.host(HOST).disk / "htdocs" / "wp-content" / "uploads" / "bench"
    return folder / f"{number // PER_FOLDER:02d}" / f"picture-{number}.jpg"


def write(path: Path, data: bytes) -> None:
    """Write a file that belongs to the site's owner."""
    owner = USERS["shop"]
    for folder in (path.parent.parent, path.parent):
        if not folder.exists():
            folder.mkdir(parents=True)
            os.chown(folder, owner, owner)
    path.write_bytes(data)
    os.chown(path, owner, owner)


def rows(chance: random.Random, numbers: range) -> str:
    """Return one statement that inserts these rows."""
    values = []
    for number in numbers:
        text = " ".join(f"word{chance.randrange(WORDS)}" for _ in range(ROW_BYTES // 9))
        values.append(f"({number},'author {chance.randrange(50)}','2024-01-01 00:00:00','{text}')")
    return f"INSERT INTO {TABLE} VALUES {','.join(values)}"  # noqa: S608 - made of numbers and our own words


def load(site: Site, first: str, statements: list[str]) -> None:
    """Carry out statements as the database's root, by standard input."""
    text = ";\n".join(["SET autocommit = 0", *([first] if first else []), *statements, "COMMIT"])
    done = site.lab.host(HOST).run(["mariadb", "shop"], input=text, timeout=600)
    if done.returncode:
        raise BenchError(f"the rows were not taken: {done.stderr[-300:]}")
