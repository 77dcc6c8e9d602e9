"""(e) Updates of a site of a common size, of one ten times as big, and with orders that come in meanwhile."""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.big_site import TABLE, fill, upload
from bench.outage import OLD_BANNER
from bench.rows import Goal, Row
from bench.site import BAD_BANNER, CORE, HOST, BenchError, Site, run_of, say
from bench.visitor import Visit, settle, visiting
from tests.lab import BAD
from tests.lab.bad_releases import GREEK
from tests.lab.hosts import USERS
from tests.lab.layout import SITE_NAME

PART = "e"
IN_PLACE, ARCHIVE = "WordPress's own upgrader, in place", "the archive of before, unpacked and loaded"
UPLOADS, FILES = 1_000_000_000, 5_000
BIG, BIG_FILES = 10_000_000_000, 100
QUIET = 4.0
KEPT = "/srv/bench-kept"
ROOT = "/srv/shop/htdocs"
PLUGIN = {"newspack-blocks": "4.33.0"}
ORDERS, EVERY = 1_000, 1 / 20
# Each is one update; the bad ones are bad in production only, and the second changes the table that the orders are in.
GOOD: tuple[Mapping[str, str], ...] = (
    {"lab-alpha": "1.1"}, {"lab-banner": "1.1"}, {"lab-alpha": "1.2"}, {"lab-beta": "1.1"}, {"lab-beta": "1.2"},
)  # fmt: skip
WRONG = (BAD_BANNER, BAD["schema-moves-forward-only-in-production"])


@dataclass
class Outage:
    """Seconds without a healthy page, by what was done and who did it."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        """Take in one repetition."""
        say(f"    {name}: {seconds:.1f} s without a healthy page")
        self.seconds.setdefault(name, []).append(seconds)


def measure(site: Site, repeat: int) -> list[Row]:
    """Update and go back with 1 GB of uploads and with 10 GB more, search a culprit, and count orders."""
    site.begin()
    site.lab.s3.clear()
    what = fill(site, UPLOADS, FILES)
    say(f"e: {what}")
    _keep(site)
    small, big, clones = Outage(), Outage(), []
    for number in range(repeat):
        say(f"e, {number + 1} of {repeat}")
        clones += _round(site, small)
        _in_place(site, small)
    rows = _outage_rows(small, what)
    _grow(site)
    more: list[float] = []
    for _ in range(repeat):
        more += _round(site, big)
    rows += _growth_rows(small, big, what)
    rows.append(
        Row(PART, "staging clone", "s", clones, [_copied(site)], "cp -a, and the dump loaded", Goal(ours_at_most=3),
            f"{what}; the step `stage` on the host: files, database, probes of the copy included")
    )  # fmt: skip
    rows.append(
        Row(
            PART,
            "staging clone, 10 GB of uploads more",
            "s",
            more,
            clones,
            "ours, 1 GB",
            Goal(ratio_at_most=1.2),
            "the same",
        )
    )
    rows.append(_culprit(site))
    rows += _orders(site)
    return rows


def _round(site: Site, outage: Outage) -> list[float]:
    """Do with upkeep what is compared. Returns the seconds of the step `stage`."""
    clones = []
    for name, offers, outcome in (
        ("plugin", (None, PLUGIN), "done"),
        ("core", (CORE, None), "done"),
        ("back", (None, {"lab-banner": BAD_BANNER}), "put-back"),
    ):
        _rewind(site, *offers)
        with visiting(site.address) as visit:
            _, answer = site.upkeep("run", "example", "--now")
            settle(visit, QUIET)
        run = str(run_of(answer, outcome)["run"])
        outage.add(name, visit.bad_seconds(_verdict(site, run, visit) if name == "back" else 0.0))
        clones.append(float(site.evidence(run, "stage")["seconds"]))
    return clones


def _verdict(site: Site, run: str, visit: Visit) -> float:
    """Return when the bad release was condemned: the way back ends with the thaw and took so many seconds."""
    return visit.last_bad() - float(site.evidence(run, "promote")["way_back_seconds"])


def _in_place(site: Site, outage: Outage) -> None:
    """Do the same in place, and go back both ways that people go."""
    for name, offers, commands in (
        ("plugin, in place", (None, PLUGIN), ("plugins",)),
        ("core, in place", (CORE, None), ("core", "database")),
    ):
        _rewind(site, *offers)
        with visiting(site.address) as visit:
            for command in commands:
                site.in_place(command)
            settle(visit, QUIET)
        outage.add(name, visit.bad_seconds())
    ways: tuple[tuple[str, Callable[[], object], Callable[[], object]], ...] = (
        ("back, in place", lambda: None, lambda: site.in_place("plugin", OLD_BANNER)),
        ("back, archive", lambda: _pack(site), lambda: _unpack(site)),
    )
    for name, prepare, work in ways:
        _rewind(site, None, {"lab-banner": BAD_BANNER})
        prepare()
        with visiting(site.address) as visit:
            site.in_place("plugins")
            while site.lab.host(HOST).fetch("/").status == 200:
                time.sleep(0.05)
            known = time.monotonic()
            work()
            settle(visit, QUIET)
        outage.add(name, visit.bad_seconds(known))


def _outage_rows(small: Outage, what: str) -> list[Row]:
    how = (
        f"{what}; a visitor asks for a post ten times a second; a healthy page has status 200, the post's text and </html>; ours: "
        "`upkeep run`, all six steps; ways back are counted from the verdict"
    )
    found = small.seconds
    return [
        Row(PART, "plugin: no healthy page", "s", found["plugin"], found["plugin, in place"], IN_PLACE, Goal(ours_at_most=3), how),
        Row(PART, "core: no healthy page", "s", found["core"], found["core, in place"], IN_PLACE, Goal(ours_at_most=5), how),
        Row(PART, "way back: no healthy page", "s", found["back"], found["back, in place"], IN_PLACE, Goal(ours_at_most=3), how),
        Row(PART, "way back: no healthy page", "s", found["back"], found["back, archive"], ARCHIVE, Goal(ours_at_most=3),
            f"{how}; the archive is tar.gz of the tree and a dump, both on the host"),
    ]  # fmt: skip


def _growth_rows(small: Outage, big: Outage, what: str) -> list[Row]:
    how = f"{what}, and {BIG_FILES} sparse uploads more with {BIG / 1e9:.0f} GB; otherwise as above"
    names = {"plugin": "plugin", "core": "core", "back": "way back"}
    return [
        Row(PART, f"{shown}: no healthy page, 10 GB of uploads more", "s", big.seconds[name], small.seconds[name], "ours, 1 GB",
            Goal(ratio_at_most=1.2), how)
        for name, shown in names.items()
    ]  # fmt: skip


def _keep(site: Site) -> None:
    """Keep code and the small tables aside, so that the site can be brought back to its beginning without filling it again."""
    _root(site, f"mkdir -p {KEPT} && tar cf {KEPT}/code.tar --exclude=./wp-content/uploads -C {ROOT} . && "
                f"mariadb-dump shop --ignore-table=shop.{TABLE} > {KEPT}/small.sql")  # fmt: skip


def _rewind(site: Site, core: str | None = None, plugins: Mapping[str, str] | None = None) -> None:
    """Bring code and small tables back as they were kept, put these on offer, and warm the caches."""
    _root(site, f"cd {ROOT} && find . -mindepth 1 -maxdepth 1 ! -name wp-content -exec rm -rf {{}} + && "
                f"find wp-content -mindepth 1 -maxdepth 1 ! -name uploads -exec rm -rf {{}} + && "
                f"tar xpf {KEPT}/code.tar -C {ROOT} && mariadb shop < {KEPT}/small.sql && systemctl reload php8.2-fpm")  # fmt: skip
    site.lab.mirror.offer(core, plugins)
    site.forget()
    time.sleep(1)
    for _ in range(3):
        site.lab.host(HOST).fetch("/lab-post-1/")


def _pack(site: Site) -> None:
    _root(site, f"tar czf {KEPT}/all.tar.gz -C {ROOT} . && mariadb-dump shop | gzip > {KEPT}/all.sql.gz")


def _unpack(site: Site) -> None:
    _root(site, f"tar xzpf {KEPT}/all.tar.gz -C {ROOT} && gunzip < {KEPT}/all.sql.gz | mariadb shop")


def _copied(site: Site) -> float:
    """Return the seconds of a copy as one types it."""
    began = time.monotonic()
    _root(
        site,
        f"cp -a {ROOT} {KEPT}/copy && mariadb -e 'CREATE DATABASE bench_copy' && mariadb-dump shop | mariadb bench_copy",
    )
    seconds = time.monotonic() - began
    _root(site, f"rm -r {KEPT}/copy && mariadb -e 'DROP DATABASE bench_copy'")
    return seconds


def _grow(site: Site) -> None:
    """Add sparse uploads: as many bytes to a program that reads them, and none on the disk."""
    folder = upload(site, 0).parent.parent / "big"
    folder.mkdir()
    for number in range(BIG_FILES):
        with (folder / f"film-{number}.mp4").open("wb") as file:
            file.truncate(BIG // BIG_FILES)
    owner = USERS["shop"]
    _root(site, f"chown -R {owner}:{owner} {ROOT}/wp-content/uploads/bench/big")


def _root(site: Site, script: str) -> None:
    done = site.lab.host(HOST).run(["sh", "-c", script], timeout=900)
    if done.returncode:
        raise BenchError(f"{script[:80]}: {done.stderr[-300:]}")


def _small(site: Site) -> None:
    """Begin with the lab's small site, and without restore points of the big one: a smaller point would be refused."""
    site.lab.s3.clear()
    site.begin()


def _culprit(site: Site) -> Row:
    """Offer all releases at once, one of them bad, and count the rounds of the search."""
    offers = {**dict.fromkeys((f"lab-{word}" for word in GREEK), "1.1"), "lab-banner": BAD["fatal-on-every-request"]}
    _small(site)
    site.lab.mirror.offer(None, offers)
    _, answer = site.upkeep("run", "example", "--now")
    run = str(run_of(answer, "done")["run"])
    evidence = site.evidence(run, "rehearse")
    if [held["slug"] for held in evidence["held"]] != ["lab-banner"]:
        raise BenchError(f"the culprit was not found: {evidence['held']}")
    bound = math.ceil(math.log2(len(offers))) + 2
    return Row(PART, "culprit search", "rounds", [evidence["rounds"]], [len(offers)], "one after the other",
               Goal(ours_at_most=bound), f"{len(offers)} releases on offer, one of which breaks every page; the lab's small site")  # fmt: skip


def _orders(site: Site) -> list[Row]:
    """Let a customer order twenty times a second during ten updates, half of them bad; count what is not there, or twice."""
    _small(site)
    accepted: set[str] = set()
    with _customer(site, accepted) as asked:
        for number, good in enumerate(GOOD):
            for plugins, outcome in ((good, "done"), ({"lab-banner": WRONG[number % 2]}, "put-back")):
                site.lab.mirror.offer(None, plugins)
                site.forget()
                _, answer = site.upkeep("run", "example", "--now")
                run_of(answer, outcome)
                say(f"e: {', '.join(plugins)}: {outcome}, {len(accepted)} orders taken so far")
        while len(accepted) < ORDERS:
            time.sleep(1)
    found = site.lab.host(HOST).sql(
        "SELECT customer, COUNT(*) FROM wp_lab_orders WHERE customer LIKE 'bench %' GROUP BY customer"
    )
    there = {name: int(count) for name, _, count in (line.rpartition("\t") for line in found.splitlines())}
    lost = len(accepted - set(there))
    doubled = sum(count > 1 for count in there.values())
    how = (
        f"{asked[0]} orders were sent, one at a time, twenty a second, during ten runs of `upkeep run`, five of them put back; "
        f"{len(accepted)} were answered with 200; all others got 503; the lab's small site"
    )
    none = Goal(ours_at_most=0, always=True)
    return [
        Row(PART, "orders lost", "orders", [lost], [0], "none", none, how),
        Row(PART, "orders doubled", "orders", [doubled], [0], "none", none, how),
    ]


@contextmanager
def _customer(site: Site, accepted: set[str]) -> Iterator[list[int]]:
    """Order while the block lasts, each time under another name; yields how often it was asked."""
    over, asked = threading.Event(), [0]
    unknown: list[str] = []

    def order() -> None:
        due = time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            asked[0] += 1
            name, due = f"bench {asked[0]}", due + EVERY
            connection = http.client.HTTPConnection(site.address, 80, timeout=30)
            try:
                connection.request("POST", "/wp-json/lab/v1/orders", json.dumps({"customer": name, "amount": 1}),
                                   {"Host": SITE_NAME, "Content-Type": "application/json"})  # fmt: skip
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                status = 0
                unknown.append(f"{name}: {error}")
            finally:
                connection.close()
            if status == 200:
                accepted.add(name)
            elif status != 503:
                unknown.append(f"{name}: {status}")

    customer = threading.Thread(target=order)
    customer.start()
    try:
        yield asked
    finally:
        over.set()
        customer.join()
    if unknown:
        raise BenchError(f"orders were answered with something else: {unknown[:5]}")
