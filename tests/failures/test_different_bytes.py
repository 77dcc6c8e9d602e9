"""The publisher replaces a release between staging and production: production gets the bytes that staging tested, or nothing."""

from __future__ import annotations

import pytest

from tests.lab.releases import read_zip, release_file
from tests.pipeline import Site
from tests.staged import STAGED

pytestmark = pytest.mark.root


def test_different_bytes(site: Site) -> None:
    site.offer(lab_alpha="1.1")
    before = site.state()
    staged = site.run(*STAGED)["rehearse"]
    assert staged.delivered == ["lab-alpha"]
    site.offer(lab_alpha="1.1+other-bytes")
    tested, other = (read_zip(release_file("plugin", "lab-alpha", version)) for version in ("1.1", "1.1+other-bytes"))
    assert tested.keys() == other.keys()
    assert tested != other

    # Somebody brings the other bytes into the copy that was tested.
    copy = site.workshop / site.run_id / "staging" / "htdocs" / "wp-content" / "plugins"
    for name, data in other.items():
        (copy / name).write_bytes(data)
    refused = site.run("promote")["promote"]
    assert refused.outcome == "refused"
    assert "the next tree is not what staging tested: " in refused.message
    assert "Production was not touched." in refused.message
    assert before.differences(site.state()) == []

    for name, data in tested.items():
        (copy / name).write_bytes(data)
    site.shop.lab.mirror.forget_requests()
    promoted = site.run("promote")["promote"]

    assert promoted.outcome == "done", promoted
    assert promoted.evidence["delivered"][0]["sha256"] == staged.evidence["delivered"][0]["sha256"]
    for name, data in tested.items():
        assert (site.root / "wp-content" / "plugins" / name).read_bytes() == data, name
    # WordPress may ask what is on offer, whenever it likes; nobody has fetched a release again.
    assert [each for each in site.shop.lab.mirror.requests() if each["host"] == "downloads.wordpress.org"] == []
    assert site.run("release")["release"].outcome == "done"
    site.tidy()
