"""`upkeep artefact add|list|remove`, typed against a real store: what it answers, and what it leaves there."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ledger.ledger import open_ledger
from orchestrator.ledger.values import RunEntry, StepEntry
from tests.archives import pack
from tests.depot import BUCKET, Depot

pytest_plugins = ["tests.depot_fixtures"]


def by_gateway(depot: Depot) -> Depot:
    """Let no host have a key, as it is where nobody says otherwise."""
    vault = depot.contract.parent / "group_vars" / "all" / "vault.yml"
    vault.write_text(vault.read_text().replace("site_snapshot_transport: direct", "site_snapshot_transport: gateway"))
    return depot


def package(folder: Path, version: str = "2.1", text: str = "words") -> Path:
    """Write a plugin's package."""
    path = folder / f"{version}-{text}.zip"
    header = f"<?php\n/*\n * Plugin Name: Forms\n * Version: {version}\n * Author: Forms [red]Ltd\n */\n"
    pack(path, {"forms/forms.php": header, "forms/readme.txt": text})
    return path


@pytest.fixture
def depot(empty_depot: Depot) -> Depot:
    empty_depot.objects.mkdir()
    return by_gateway(empty_depot)


def test_what_is_put_in_is_listed_and_goes_again(depot: Depot, tmp_path: Path) -> None:
    path = package(tmp_path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    added = depot.upkeep("artefact", "add", str(path), "example", "--json")

    assert added.code == 0, added.err
    expected = {
        "kind": "plugin", "slug": "forms", "file": "forms/forms.php", "version": "2.1", "name": "Forms",
        "author": "Forms [red]Ltd", "sha256": sha256, "bytes": path.stat().st_size, "added": "2026-11-22T11:00:00+00:00",
    }  # fmt: skip
    assert added.answer == {
        "exit_code": 0, "artefact": expected, "clients": [{"client": "example", "state": "added", "sites": None}],
        "next": "upkeep rehearse example",
    }  # fmt: skip
    assert sorted(depot.everything()) == [f"example/artefacts/{sha256}.zip", "example/artefacts/index.json"]
    assert depot.upkeep("artefact", "list", "example", "--json").answer["artefacts"] == [expected]
    shown = depot.upkeep("artefact", "list", "example").out
    assert "forms" in shown
    assert "Forms [red]Ltd" in shown
    again = depot.upkeep("artefact", "add", str(path), "example")
    assert (again.code, again.out) == (0, "example: plugin forms 2.1 was so.\nNext: upkeep rehearse example\n")

    public = depot.objects / "example" / "artefacts" / "wordpress.org" / "theme" / "leaf.1.4" / f"{'a' * 64}.zip"
    public.parent.mkdir(parents=True)
    public.write_bytes(b"12345")
    listed = depot.upkeep("artefact", "list", "example", "--json").answer["wordpress_org"]
    assert [(each["path"], each["bytes"]) for each in listed] == [("theme/leaf.1.4.zip", 5)]
    assert "And 1 releases of WordPress.org (5 bytes)." in depot.upkeep("artefact", "list", "example").out
    public.unlink()

    gone = depot.upkeep("artefact", "remove", "example", "forms", "2.1")

    assert (gone.code, gone.out) == (0, "example: plugin forms 2.1 removed.\n")
    assert depot.upkeep("artefact", "list", "example").out == "Packages in the store of example: none\n"
    assert list(depot.everything()) == ["example/artefacts/index.json"]


def test_the_same_version_with_other_bytes_needs_a_word(depot: Depot, tmp_path: Path) -> None:
    first, second = package(tmp_path), package(tmp_path, text="others")
    depot.upkeep("artefact", "add", str(first), "example")
    before = depot.everything()

    refused = depot.upkeep("artefact", "add", str(second), "example")

    assert (refused.code, refused.out) == (12, "")
    assert "plugin forms 2.1 is in the store of example already with other bytes" in refused.err
    assert depot.everything() == before
    assert "replaced." in depot.upkeep("artefact", "add", str(second), "example", "--replace").out


def test_it_is_said_which_sites_have_it(depot: Depot, tmp_path: Path) -> None:
    plugins = {"forms/forms.php": {"version": "2.0"}}
    looked_at(depot, {"plugins": plugins, "themes": {}})

    # Made once: an archive has the time in it.
    path = str(package(tmp_path))

    added = depot.upkeep("artefact", "add", path, "example")

    assert "In the last run these sites had it: shop (2.0)." in added.out
    looked_at(depot, {"plugins": {}, "themes": {}}, "20261122T090000Z-1f0c9a2b")
    again = depot.upkeep("artefact", "add", path, "example")
    assert "No site of example had forms/forms.php in its last run." in " ".join(again.out.split())


def looked_at(depot: Depot, versions: dict[str, Any], run: str = "20261122T080000Z-1f0c9a2b") -> None:
    """Let the ledger have a run that has seen these versions."""
    began = datetime.strptime(run[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ledger = open_ledger(f"sqlite:///{depot.folder / 'state' / 'ledger.sqlite'}")
    try:
        ledger.begin_run(
            RunEntry(
                id=run, client="example", site="shop", host="shop", duty="update", digest="", point=run, promised={},
                variables={}, began=began, process="",
            )
        )  # fmt: skip
        position = ledger.begin_step(run, "preflight", began)
        ledger.end_step(
            run, StepEntry(position=position, name="preflight", began=began, evidence={"versions": versions})
        )
        ledger.end_run(run, outcome="done", message="", ended=began)
    finally:
        ledger.close()


def test_what_cannot_be_done_says_why_and_changes_nothing(depot: Depot, tmp_path: Path) -> None:
    path = package(tmp_path)
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"<html>404</html>")

    for words, code, said in (
        (("add", str(bad), "example"), 12, "is not a sound archive"),
        (("add", str(tmp_path / "none.zip"), "example"), 2, "cannot be read"),
        (("add", str(path), "exampel"), 2, "exampel"),
        # One that is unknown leaves those before it as they were.
        (("add", str(path), "example", "exampel"), 2, "exampel"),
        (("add", str(path), "example", "--kind", "theme"), 12, "has no header of a theme"),
        (("remove", "example", "forms", "2.1"), 12, "has no forms 2.1"),
    ):
        answered = depot.upkeep("artefact", *words, "--json")
        assert answered.code == code, answered.err
        assert said in json.loads(answered.err)["error"]["message"]
    assert depot.everything() == {}


def test_a_store_that_is_not_made_yet_is_made_first(empty_depot: Depot, tmp_path: Path) -> None:
    refused = by_gateway(empty_depot).upkeep("artefact", "add", str(package(tmp_path)), "example")

    assert refused.code == 12
    assert "Next: upkeep store init example" in refused.err
    assert not (empty_depot.folder / "store" / BUCKET).exists()


def test_where_a_host_has_the_key_that_writes_packages_there_are_none(empty_depot: Depot, tmp_path: Path) -> None:
    empty_depot.objects.mkdir()

    refused = empty_depot.upkeep("artefact", "add", str(package(tmp_path)), "example")

    assert refused.code == 12
    assert "shop of example is given the only key of the store" in refused.err
    assert empty_depot.everything() == {}


@pytest.mark.parametrize("verb", ["add", "list", "remove"])
def test_every_verbs_help_teaches_by_example(empty_depot: Depot, verb: str) -> None:
    said = empty_depot.upkeep("artefact", verb, "--help")

    assert said.code == 0
    assert f"upkeep artefact {verb}" in said.out
    assert "Example" in said.out
