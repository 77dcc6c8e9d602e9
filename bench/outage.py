"""(a) For how long a visitor sees no healthy page: while an update is put in place, and while a bad one is taken back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.rows import Goal, Row
from bench.site import AFTER, BAD_BANNER, BEFORE, CORE, PLUGINS, THEMES, BenchError, Site, run_of, say
from bench.visitor import Visit, settle, visiting

PART = "a"
PEER = "WordPress's own upgrader, in place"
# The opcode cache looks at files every two seconds: what is still wrong after that stays wrong.
QUIET = 4.0
# A healthy page takes less than a tenth of a second here.
CALM, ATTEMPTS = 1.0, 3
OLD_BANNER = "http://downloads.wordpress.org/plugin/lab-banner.1.0.zip"


@dataclass
class Seen:
    """What the visitor saw in each repetition: seconds without a healthy page, those after the verdict, HTTP 500s."""

    bad: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(self, visit: Visit, known: float) -> None:
        """Take in one repetition; `known` is when it was known that the release is bad."""
        self.bad.append(visit.bad_seconds())
        self.after.append(visit.bad_seconds(known))
        self.errors.append(visit.count(500))


def measure(site: Site, repeat: int) -> list[Row]:
    """Measure both, ours and the peer one after the other, as often as asked."""
    ours, peer, ours_back, peer_back = Seen(), Seen(), Seen(), Seen()
    for number in range(1, repeat + 1):
        for work, seen in (
            (_update_ours, ours), (_update_in_place, peer), (_back_ours, ours_back), (_back_in_place, peer_back)
        ):  # fmt: skip
            say(f"a, {number} of {repeat}: {(work.__doc__ or '').splitlines()[0]}")
            seen.add(*_calm(work, site))
    return _rows(ours, peer, ours_back, peer_back)


def _calm(work: Callable[[Site], tuple[Visit, float]], site: Site) -> tuple[Visit, float]:
    """Do the work; again, when healthy pages took so long that the machine was too busy to say anything."""
    for attempt in range(1, ATTEMPTS + 1):
        visit, known = work(site)
        say(
            f"    {visit.bad_seconds():.1f} s without a healthy page, the slowest took {visit.slowest():.1f} s: {visit.story()}"
        )
        if visit.slowest() < CALM:
            break
        say("    the machine was too busy" + (": once more" if attempt < ATTEMPTS else ", and it stays so"))
    return visit, known


def _update_ours(site: Site) -> tuple[Visit, float]:
    """Update with upkeep."""
    site.begin(CORE, PLUGINS, THEMES)
    with visiting(site.address) as visit:
        _, answer = site.upkeep("run", "example", "--now")
        settle(visit, QUIET)
    run_of(answer, "done")
    site.must_have(AFTER)
    return visit, 0.0


def _update_in_place(site: Site) -> tuple[Visit, float]:
    """Update in place."""
    site.begin(CORE, PLUGINS, THEMES)
    with visiting(site.address) as visit:
        for command in ("core", "database", "plugins", "themes"):
            site.in_place(command)
        settle(visit, QUIET)
    site.must_have(AFTER)
    return visit, 0.0


def _back_ours(site: Site) -> tuple[Visit, float]:
    """A way back with upkeep."""
    site.begin(plugins={"lab-banner": BAD_BANNER})
    with visiting(site.address) as visit:
        _, answer = site.upkeep("run", "example", "--now")
        settle(visit, QUIET)
    story = run_of(answer, "put-back")
    site.must_have(BEFORE)
    # The way back ends with the thaw, where the last bad answer was seen, and began so many seconds before.
    seconds = float(site.evidence(str(story["run"]), "promote")["way_back_seconds"])
    return visit, visit.last_bad() - seconds


def _back_in_place(site: Site) -> tuple[Visit, float]:
    """A way back in place: the release of before is installed over the bad one as soon as one page was seen broken."""
    site.begin(plugins={"lab-banner": BAD_BANNER})
    with visiting(site.address) as visit:
        site.in_place("plugins")
        deadline = time.monotonic() + 30
        while site.lab.host("shop").fetch("/").status == 200:
            if time.monotonic() > deadline:
                raise BenchError("the bad release does not break the site in place")
        known = time.monotonic()
        site.in_place("plugin", OLD_BANNER)
        settle(visit, QUIET)
    site.must_have(BEFORE)
    return visit, known


def _rows(ours: Seen, peer: Seen, ours_back: Seen, peer_back: Seen) -> list[Row]:
    a_third, never = Goal(ours_at_most=3, ratio_at_most=1 / 3), Goal(ours_at_most=0, always=True)
    visitor = (
        "a visitor asks for a post ten times a second from before the first step until four seconds after the last bad answer; "
        "a healthy page has status 200, the post's text and </html>, and each request stands for the time until the next one; a "
        "repetition in which a healthy page took a second or more is done again, at most twice"
    )
    update = (
        "WordPress 6.2.6 → 6.5.5 with migration, newspack-blocks 2.0.0 → 4.33.0, theme 1.1 → 1.2. Ours: `upkeep run`, all six steps. "
        "Peer: core, then plugins, then themes, as an administrator's clicks on that screen call them, with its own maintenance mode; the "
        "mirror is on the same machine, so its downloads, which it makes while the site is in maintenance, take no time"
    )
    back = (
        "lab-banner 2.12, which dies only under the web server's memory limit. Ours: `upkeep run` puts production back by itself. Peer: "
        "the update in place, then, without any time for a person to notice, the release of before installed over it"
    )
    return [
        Row(PART, "update: no healthy page", "s", ours.bad, peer.bad, PEER, a_third, f"{update}; {visitor}"),
        Row(PART, "update: HTTP 500", "answers", ours.errors, peer.errors, PEER, never, f"the same visits; {update}"),
        Row(PART, "way back, all of it: no healthy page", "s", ours_back.bad, peer_back.bad, PEER, a_third,
            f"{back}; ours from freeze to thaw; {visitor}"),
        Row(PART, "way back, from the verdict: no healthy page", "s", ours_back.after, peer_back.after, PEER, a_third,
            f"{back}; counted from the moment at which it was known that the release is bad; {visitor}"),
        Row(PART, "way back: HTTP 500", "answers", ours_back.errors, peer_back.errors, PEER, never,
            f"the same visits; {back}"),
    ]  # fmt: skip
