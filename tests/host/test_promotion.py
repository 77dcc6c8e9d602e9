"""Production gets what staging tested: whole, in seconds, with what visitors wrote meanwhile, or goes back to what it was."""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.host.interrupted import Interrupted
from tests.lab.releases import release_file
from tests.pipeline import WHOLE, Site

pytestmark = pytest.mark.root

STAGED = ("preflight", "stage", "rehearse")
THEME = "twentytwentythree"
# Good in staging, and dies in production, where PHP's memory is small.
BAD_IN_PRODUCTION = "2.12"

# Every moment in which the process of a promotion may die, and what a visitor finds then.
MOMENTS = {
    "before Promotion.freeze": 200,
    "before freeze.freeze": 200,
    "after freeze.freeze": 503,
    "after freeze.drain": 503,
    "after tree.bring_up_to_date": 503,
    "after Promotion.freeze": 503,
    "after Database.put_aside": 503,
    "after Promotion.put_aside": 503,
    "before tree.exchange": 503,
    "after tree.exchange": 503,
    "after freeze.refresh_opcodes": 503,
    "after Promotion.exchange": 503,
    "after Promotion.look": 503,
    "after Promotion.observe": 503,
}
MOMENTS_OF_A_WAY_BACK = (
    "before promotion.back",
    "before tree.exchange@2",
    "after tree.exchange@2",
    "before Database.put_back",
    "after Database.put_back",
    "after Promotion.look@2",
    "before Promotion.thaw",
    "after Promotion.thaw",
)


@contextmanager
def visited(site: Site) -> Iterator[Counter[int]]:
    """Visit a page again and again while the block lasts; yields how often each status came (0: no answer)."""
    seen: Counter[int] = Counter()
    over = threading.Event()

    def visit() -> None:
        while not over.wait(0.02):
            try:
                page = site.get()
            except OSError:
                seen[0] += 1
                continue
            seen[page.status] += 1
            if page.status == 200:
                assert page.body.rstrip().endswith("</html>")

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield seen
    finally:
        over.set()
        visitor.join()


def write_meanwhile(site: Site) -> None:
    """Write what visitors and editors write: a file, rows, a comment."""
    uploads = f"{site.host.root}/wp-content/uploads/2024/07"
    site.host.run(["mkdir", "-p", uploads], user="shop", check=True)
    site.host.run(["tee", f"{uploads}/order.pdf"], user="shop", input="paid", check=True)
    site.host.sql(
        "INSERT INTO wp_options (option_name, option_value, autoload) VALUES ('lab_written', 'meanwhile', 'no')"
    )
    site.host.sql(
        "INSERT INTO wp_comments (comment_post_ID, comment_author, comment_content) VALUES (1, 'Bo', 'meanwhile')"
    )


def assert_written(site: Site) -> None:
    """Assert that all of it is there."""
    assert (site.root / "wp-content/uploads/2024/07/order.pdf").read_text() == "paid"
    assert site.host.sql("SELECT option_value FROM wp_options WHERE option_name = 'lab_written'") == "meanwhile\n"
    assert site.host.sql("SELECT COUNT(*) FROM wp_comments WHERE comment_content = 'meanwhile'") == "1\n"


def test_a_good_update_arrives_whole_and_in_seconds(site: Site) -> None:
    site.offer("6.5.5", {THEME: "1.2"}, newspack_blocks="4.33.0")
    before = site.state()
    staged = site.run(*STAGED)
    assert staged["rehearse"].outcome == "done", staged["rehearse"]
    assert staged["rehearse"].delivered == ["newspack-blocks", THEME, "wordpress"]
    assert before.differences(site.state()) == []
    write_meanwhile(site)

    with visited(site) as seen:
        promoted = site.run("promote")["promote"]

    assert promoted.outcome == "done", promoted
    after = promoted.evidence["after"]
    assert (after["core"], after["db_version"]) == ("6.5.5", "57155")
    assert after["plugins"]["newspack-blocks/newspack-blocks.php"] == {
        "name": "Newspack Blocks", "slug": "newspack-blocks", "version": "4.33.0", "active": True,
    }  # fmt: skip
    assert after["themes"][THEME] == {"version": "1.2", "active": True}
    assert site.host.sql("SELECT option_value FROM wp_options WHERE option_name = 'db_version'") == "57155\n"
    assert promoted.evidence["verdict"]["healthy"] is True
    # Nobody got anything but the old site, the new one, or "in a moment".
    assert set(seen) <= {200, 503}, seen
    assert 0 < promoted.evidence["frozen_seconds"] < 30
    assert_written(site)
    assert_is_release(site, "plugin", "newspack-blocks", "4.33.0", "wp-content/plugins/")
    assert_is_release(site, "theme", THEME, "1.2", "wp-content/themes/")
    assert_is_release(site, "core", "wordpress", "6.5.5", "")
    owners = {(kind, owner, group) for kind, owner, group, *_ in site.state().paths.values()}
    assert {(owner, group) for _, owner, group in owners} == {(21001, 21001)}
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()


def assert_is_release(site: Site, kind: str, slug: str, version: str, place: str) -> None:
    """Assert that every file of a release is there, byte for byte, and no other in the folder of a plugin or theme."""
    found = set()
    with zipfile.ZipFile(release_file(kind, slug, version)) as archive:
        for member in archive.infolist():
            name = member.filename.partition("/")[2] if kind == "core" else member.filename
            if member.is_dir() or (kind == "core" and name.startswith(("wp-content/", "wp-config"))):
                continue
            content = (site.root / place / name).read_bytes()
            assert (len(content), zlib.crc32(content)) == (member.file_size, member.CRC), name
            found.add(name)
    if kind != "core":  # WordPress leaves files of older versions behind
        there = {
            str(path.relative_to(site.root / place)) for path in (site.root / place / slug).rglob("*") if path.is_file()
        }
        assert there == found


def test_what_was_written_meanwhile_survives_a_way_back(site: Site) -> None:
    site.offer(lab_banner=BAD_IN_PRODUCTION)
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    write_meanwhile(site)
    before = site.state()

    promoted = site.run("promote")["promote"]

    assert promoted.outcome == "put-back", promoted
    assert promoted.evidence["back_verdict"]["healthy"] is True
    assert promoted.evidence["tables_unexpected"] == []
    assert before.differences(site.state()) == []
    assert_written(site)
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()


def test_a_promotion_that_dies_at_any_moment_is_put_back(site: Site, subtests: pytest.Subtests) -> None:
    site.offer(lab_banner="1.1", lab_alpha="1.1")
    before = site.state()
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    host = Interrupted.of(site)
    for moment, status in MOMENTS.items():
        with subtests.test(moment):
            host.ask("promote", stop=moment)
            assert site.get().status == status

            recovered = host.ask("recover")

            assert recovered["outcome"] == "done"
            assert recovered["state"] == ("untouched" if moment == "before Promotion.freeze" else "put-back"), recovered
            assert before.differences(site.state()) == []
            site.serves("1.0")
            assert site.host.sql("SHOW TABLES LIKE 'upkeep_aside%'") == ""
    site.run("recover")
    site.tidy()


def test_a_way_back_that_dies_at_any_moment_is_taken_up_again(site: Site, subtests: pytest.Subtests) -> None:
    site.offer(lab_banner=BAD_IN_PRODUCTION)
    before = site.state()
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    host = Interrupted.of(site)
    for moment in MOMENTS_OF_A_WAY_BACK:
        with subtests.test(moment):
            host.ask("promote", stop=moment)
            assert site.get().status == (200 if moment == "after Promotion.thaw" else 503)

            assert host.ask("recover")["state"] == "put-back"

            assert before.differences(site.state()) == []
            site.serves("1.0")
    recovered = site.run("recover")["recover"]
    assert (recovered.outcome, recovered.evidence["state"]) == ("done", "put-back")
    site.tidy()


def test_a_journal_that_cannot_be_written_is_no_reason_to_leave_production_half_way(
    site: Site, subtests: pytest.Subtests
) -> None:
    """A disk that fills after the exchange ended with "Production was not touched", in front of a frozen site."""
    site.offer(lab_banner="1.1")
    before = site.state()
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    host = Interrupted.of(site)
    for number, state in enumerate(("frozen", "aside", "exchanged", "confirmed"), start=2):
        with subtests.test(state):
            ended = host.ask("promote", stop=f"full Promotion.note@{number}")
            assert ended["outcome"] == "put-back", ended
            assert "No space left on device" in ended["message"]
            assert before.differences(site.state()) == []
            site.serves("1.0")
    site.run("release")
    site.tidy()


@pytest.mark.parametrize("moment", ["before Promotion.thaw", "after freeze.thaw", "after Promotion.thaw"])
def test_a_promotion_that_dies_when_it_is_confirmed_is_finished(site: Site, moment: str) -> None:
    site.offer(lab_banner="1.1")
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    Interrupted.of(site).ask("promote", stop=moment)

    recovered = site.run("recover")["recover"]

    assert (recovered.outcome, recovered.evidence["state"]) == ("done", "finished")
    site.serves("1.1")
    site.tidy()


def test_after_an_interruption_only_recovering_goes_on(site: Site) -> None:
    site.offer(lab_banner="1.1")
    before = site.state()
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    run = site.run_id
    Interrupted.of(site).ask("promote", stop="after Promotion.exchange")

    for steps in (("promote",), ("release",)):
        refused = site.run(*steps)[steps[0]]
        assert refused.outcome == "refused", refused
        assert "Type: upkeep run --resume example" in refused.message
        assert site.get().status == 503
    # The lease of a dead controller ends some day, and another run must not begin on top of this.
    (site.workshop / "lease.json").unlink(missing_ok=True)
    refused = site.run("preflight")["preflight"]
    assert refused.outcome == "refused"
    assert f"Run {run} was interrupted" in refused.message
    assert site.run("release")["release"].outcome == "refused"  # it gives the lease back, and removes nothing

    site.run_id = run
    assert site.run("recover")["recover"].evidence["state"] == "put-back"
    assert before.differences(site.state()) == []
    site.serves("1.0")
    site.tidy()


def test_production_that_changed_since_it_was_staged_is_not_touched(site: Site) -> None:
    site.offer(lab_banner="1.1", lab_alpha="1.1")
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    site.put_release("lab-alpha", "1.1")
    before = site.state()

    refused = site.run("promote")["promote"]

    assert refused.outcome == "refused"
    assert "Production changed since it was staged (wp-content/plugins/lab-alpha/lab-alpha.php and " in refused.message
    assert {path.rpartition("/")[0] for path in refused.evidence["drift"]} == {"wp-content/plugins/lab-alpha"}
    assert before.differences(site.state()) == []
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()


def test_a_change_at_the_last_moment_is_not_overwritten(site: Site) -> None:
    site.offer(lab_banner="1.1")
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    path = "wp-content/plugins/lab-banner/lab-banner.php"
    script = SAVES_A_FILE.format(path=f"{site.host.root}/{path}", run=site.run_id)
    site.shop.programs(mariadb=site.shop.install("/home/shop/slow-mariadb", script))

    refused = site.run("promote")["promote"]

    assert refused.outcome == "put-back"
    assert f"somebody changed {path} at the last moment" in refused.message
    assert (site.root / path).read_text().endswith("/* saved by hand */\n")
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()


# A database client that is slow enough for somebody to save a file after the site was found to be as it was staged.
SAVES_A_FILE = """#!/bin/sh
if [ -e /srv/shop/htdocs/.maintenance ] && [ ! -e /home/shop/saved ]; then
    touch /home/shop/saved
    echo '/* saved by hand */' >>{path}
fi
exec mariadb "$@"
"""


def test_a_run_that_has_the_site_is_not_disturbed(site: Site) -> None:
    site.offer(lab_banner="1.1")
    assert site.run(*STAGED)["rehearse"].outcome == "done"
    first, before = site.run_id, site.state()
    lease = (site.workshop / "lease.json").read_text()

    for steps in (("preflight", "stage"), ("promote",), ("release",), ("recover",)):
        site.run_id = ""
        busy = site.run(*steps)[steps[0]]
        assert busy.outcome == "busy", busy
        assert f"run {first} has this site until" in busy.message
        assert (site.workshop / "lease.json").read_text() == lease
    assert sorted(path.name for path in site.workshop.iterdir()) == sorted([first, "lease.json", "lock"])
    assert before.differences(site.state()) == []

    site.run_id = first
    assert site.run("promote")["promote"].outcome == "done"
    assert site.run("promote")["promote"].outcome == "nothing-to-do"
    assert site.run("back")["back"].outcome == "refused"
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.1")
    site.tidy()
    assert [step.outcome for step in site.run(*WHOLE).values()] == [
        "done",
        "done",
        "nothing-to-do",
        "nothing-to-do",
        "done",
    ]
