"""Production gets what staging tested: whole, in seconds, with what visitors wrote meanwhile; and again it changes nothing."""

from __future__ import annotations

import json
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.host.written import assert_written, write_meanwhile
from tests.lab import Lab
from tests.lab.releases import release_file
from tests.pipeline import WHOLE, Site
from tests.staged import STAGED, Staged, staged
from tests.trials import AsTemplate

pytestmark = pytest.mark.root

THEME = "twentytwentythree"


@pytest.fixture(scope="module")
def ready(
    lab: Lab, sockets: Path, tmp_path_factory: pytest.TempPathFactory, as_template: AsTemplate
) -> Iterator[Staged]:
    """Stage once a good release; each test begins from there."""
    with staged(lab, sockets, tmp_path_factory.mktemp("good"), as_template, lab_banner="1.1") as ready:
        yield ready


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


def test_a_journal_that_cannot_be_written_is_no_reason_to_leave_production_half_way(
    ready: Staged, subtests: pytest.Subtests
) -> None:
    """A disk that fills after the exchange ended with "Production was not touched", in front of a frozen site."""
    for number, state in enumerate(("frozen", "aside", "exchanged", "confirmed"), start=2):
        with subtests.test(state):
            ended = ready.host.ask("promote", stop=f"full Promotion.note@{number}")
            assert ended["outcome"] == "put-back", ended
            assert "No space left on device" in ended["message"]
            ready.again()
            ready.site.serves("1.0")


@pytest.mark.parametrize("moment", ["before Promotion.thaw", "after freeze.thaw", "after Promotion.thaw"])
def test_a_promotion_that_dies_when_it_is_confirmed_is_finished(ready: Staged, moment: str) -> None:
    ready.host.ask("promote", stop=moment)

    recovered = ready.host.ask("recover")

    assert (recovered["outcome"], recovered["state"]) == ("done", "finished")
    assert recovered["verdict"]["healthy"] is True
    ready.site.serves("1.1")
    ready.again()


def test_after_an_interruption_only_the_way_back_goes_on(ready: Staged) -> None:
    site, run = ready.site, ready.site.run_id
    ready.host.ask("promote", stop="after Promotion.exchange")

    refused = site.run("release")["release"]
    assert refused.outcome == "refused", refused
    assert "Type: upkeep run --resume example" in refused.message
    assert site.get().status == 503
    # The lease of a dead controller ends some day, and another run must not begin on top of this.
    (site.workshop / "lease.json").unlink(missing_ok=True)
    refused = site.run("preflight")["preflight"]
    assert refused.outcome == "refused"
    assert f"Run {run} was interrupted" in refused.message
    assert site.run("release")["release"].outcome == "refused"  # it gives the lease back, and removes nothing

    # It was overtaken, and who asks for the truth may take the site again. Ansible asks for a promotion a second time
    # when the connection broke: that is no second try.
    site.run_id = run
    assert site.run("promote")["promote"].outcome == "busy"
    assert ready.host.ask("recover")["state"] == "put-back"
    ready.again()
    ready.host.ask("promote", stop="after Promotion.exchange")
    again = site.run("promote")["promote"]
    assert (again.outcome, again.message) == ("put-back", "This promotion was put back: the run was interrupted")
    ready.again()
    site.serves("1.0")


def test_a_freeze_that_would_be_too_long_is_refused_before_anything_is_touched(ready: Staged) -> None:
    refused = ready.site.run("promote", cms_update_freeze_seconds=0.2)["promote"]

    assert refused.outcome == "refused", refused
    assert "the contract allows 0.2 s (scope.update.freeze_seconds)" in refused.message
    assert "Production was not touched" in refused.message
    assert refused.evidence["expected"]["seconds"] > 0.2
    assert ready.journal() == {}
    assert ready.before.differences(ready.site.state()) == []


def test_copies_that_were_made_ahead_are_whole(ready: Staged) -> None:
    """A server that is slow at copying: the copies are full before the freeze, and one of them is old in it."""
    path = ready.folder / "staged.json"
    stored = path.read_text()
    staged = json.loads(stored)
    # Far over the 60 s that are allowed: what the server says of the size of a table, and so what a copy takes, changes by itself.
    path.write_text(json.dumps({**staged, "pace": {**staged["pace"], "copy_seconds": 6000.0}}))

    promoted = ready.host.ask("promote")

    assert (promoted["outcome"], promoted["expected"]["copied"]) == ("done", "ahead"), promoted
    ready.site.serves("1.1")
    # An administrator was signed in after they were made; production comes back from them row for row.
    ready.again()
    path.write_text(stored)


def test_a_run_that_has_the_site_is_not_disturbed(ready: Staged) -> None:
    site, first = ready.site, ready.site.run_id
    lease = (site.workshop / "lease.json").read_text()
    there = sorted(path.name for path in site.workshop.iterdir())

    for steps in (("preflight", "stage"), ("promote",), ("release",), ("recover",)):
        site.run_id = ""
        busy = site.run(*steps)[steps[0]]
        assert busy.outcome == "busy", busy
        assert f"run {first} has this site until" in busy.message
        assert (site.workshop / "lease.json").read_text() == lease
    site.run_id = first
    assert sorted(path.name for path in site.workshop.iterdir()) == there
    assert ready.before.differences(site.state()) == []

    promoted = site.run("promote")["promote"]
    assert promoted.outcome == "done"
    # Ansible asks again when the connection broke before it heard the answer: it is told the same.
    again = site.run("promote")["promote"]
    assert (again.outcome, again.message) == ("done", "this run was promoted already")
    assert again.evidence["after"] == promoted.evidence["after"]
    assert site.run("back")["back"].outcome == "refused"
    site.serves("1.1")
    ready.again()


def test_a_good_update_arrives_whole_and_in_seconds(site: Site) -> None:
    site.offer("6.5.5", {THEME: "1.2"}, newspack_blocks="4.33.0")
    before = site.state()
    staged = site.run(*STAGED)
    assert staged["rehearse"].outcome == "done", staged["rehearse"]
    assert staged["rehearse"].delivered == ["newspack-blocks", THEME, "wordpress"]
    touches = staged["rehearse"].evidence["touches"]
    assert (touches["class"], touches["outside"]) == ("data", [])
    assert [each["class"] for each in touches["releases"]] == ["unknown"] * 3
    assert all(each["tried_together"] for each in touches["releases"])
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
    assert promoted.evidence["expected"]["seconds"] < 60
    assert_written(site)
    assert_is_release(site, "plugin", "newspack-blocks", "4.33.0", "wp-content/plugins/")
    assert_is_release(site, "theme", THEME, "1.2", "wp-content/themes/")
    assert_is_release(site, "core", "wordpress", "6.5.5", "")
    owners = {(kind, owner, group) for kind, owner, group, *_ in site.state().paths.values()}
    assert {(owner, group) for _, owner, group in owners} == {(21001, 21001)}
    assert site.run("release")["release"].outcome == "done"
    site.serves("1.0")
    site.tidy()
    assert [step.outcome for step in site.run(*WHOLE).values()] == [
        *("done", "done", "nothing-to-do", "nothing-to-do", "done")
    ]


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
