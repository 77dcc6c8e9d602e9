"""A premium update is offered without a download: said so, the others still go, and the client hears what it has to do.

Then the package comes from the client's own store, under the same terms as every release.
"""

from __future__ import annotations

import hashlib

import pytest

from tests.lab.releases import release_file
from tests.pipeline import Site

pytestmark = pytest.mark.root


def test_update_without_package(site: Site) -> None:
    kept = site.fetched_here()
    mirror = site.shop.lab.mirror
    mirror.forget_requests()
    site.offer(lab_alpha="1.1+no-package", lab_beta="1.1")

    ran = site.upkeep("run", "example", "--now")

    assert ran.code == 0, ran.text
    (run,) = ran.answer["runs"]
    assert [change["slug"] for change in run["delivered"]] == ["lab-beta"]
    assert run["held"] == []
    assert [(each["slug"], each["to"]) for each in run["skipped"]] == [("lab-alpha", "1.1")]
    assert run["skipped"][0]["reason"].startswith("not updated: no licence")
    assert (site.version("lab-alpha"), site.version("lab-beta")) == ("1.0", "1.1")
    site.tidy()
    report = site.upkeep("report", "example", "--last", "1").answer
    (duty,) = report["client_duties"]
    assert (duty["site"], duty["duty"].partition(": not updated: no licence")[0]) == ("shop", "plugin lab-alpha 1.1")

    # Which releases there are, the controller has asked; and what there was to fetch, it has fetched, and has held against the publisher's checksums.
    first = run["run"]
    (package,) = site.evidence(first, "rehearse")["packages"]
    assert (package["slug"], package["origin"]) == ("lab-beta", "controller")
    assert package["checked"].startswith("the publisher's checksums of ")
    assert [path.stem for path in kept.glob("*.zip")] == [package["sha256"]]
    assert [path.name for path in (site.shop.store.parent / "artefacts" / "wordpress.org").rglob("*.zip")] == [
        f"{package['sha256']}.zip"
    ]
    assert {each["client"] for each in mirror.requests() if each["path"].endswith(".zip")} == {
        site.shop.lab.instance.mirror_address
    }
    # Of language packs, which its contract does not name, nobody was asked.
    assert [each["path"] for each in mirror.requests() if "translation" in each["path"]] == []

    # The agency has the package.
    file = release_file("plugin", "lab-alpha", "1.1")
    added = site.upkeep("artefact", "add", str(file), "example")
    assert added.code == 0, added.text
    assert added.answer["clients"] == [{"client": "example", "state": "added", "sites": {"shop": "1.0"}}]
    ran = site.upkeep("run", "example", "--now")

    assert ran.code == 0, ran.text
    (run,) = ran.answer["runs"]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert [(each["slug"], each["to"], each["sha256"]) for each in run["delivered"]] == [("lab-alpha", "1.1", sha256)]
    assert run["skipped"] == []
    assert [each["origin"] for each in site.evidence(run["run"], "rehearse")["packages"]] == ["catalogue"]
    assert site.version("lab-alpha") == "1.1"
    site.tidy()

    # Of what it knows it has not asked again, though there is another version of lab-beta now.
    controller = site.shop.lab.instance.mirror_address
    asked = [each["path"] for each in mirror.requests() if each["client"] == controller and "-check/" in each["path"]]
    assert asked == ["/core/version-check/1.7/", "/plugins/update-check/1.1/", "/themes/update-check/1.1/"]
    for each in (first, run["run"]):
        rehearsed = site.evidence(each, "rehearse")
        assert [(told["kind"], told["origin"]) for told in rehearsed["catalogue"]] == [
            ("core", "controller"), ("plugins", "controller"), ("themes", "controller"),
        ]  # fmt: skip
        assert rehearsed["asked"] == []
