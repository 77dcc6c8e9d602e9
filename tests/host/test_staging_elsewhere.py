"""Staging on a host of its own: production gets what was tested there, and bears nothing of the test itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host.second_host import HOST, know, second_host
from tests.host.shop import Shop, shop_of
from tests.lab import Lab, packs
from tests.lab.hosts import Host
from tests.lab.releases import read_zip, release_file
from tests.pipeline import Said, Site, State
from tests.trials import AsTemplate

pytestmark = pytest.mark.root

PACK, LANGUAGES = "plugin.lab-alpha.de_DE", "wp-content/languages/plugins"
MOMENT = "2024-02-05 12:34:56"


@dataclass(frozen=True)
class Ran:
    """An update that was rehearsed on the other host: the site, what it was before, and what was answered."""

    site: Site
    before: State
    said: Said
    yard: Host


@pytest.fixture(scope="module")
def yard(lab: Lab) -> Iterator[Host]:
    """Return a host without a site, with PHP, a database server and an account."""
    with second_host(lab) as host:
        host.run(["sh", "-c", f"rm -rf {host.root} {Path(host.root).parent}/.upkeep"], check=True)
        host.sql("DROP DATABASE IF EXISTS shop; GRANT ALL ON shop_staging.* TO shop@localhost", database="mysql")
        yield host


@pytest.fixture(scope="module")
def ran(
    lab: Lab, yard: Host, sockets: Path, tmp_path_factory: pytest.TempPathFactory, as_template: AsTemplate
) -> Iterator[Ran]:
    """Return a site after an update with a good release and a bad one. Production has no staging database meanwhile."""
    as_template.taken("shop")
    folder = tmp_path_factory.mktemp("staging-elsewhere")
    shop = shop_of(lab, "shop", folder / "inventories" / "example", sockets)
    site = Site(shop, folder)
    site.fetched_here()
    # What is on offer changes between the tests.
    know(shop, yard, cms_update_catalogue_minutes=0)
    _stages_there(shop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(sockets))
        lab.mirror.offer(plugins={"lab-alpha": "1.1", "lab-banner": "2.2"}, translations={PACK: MOMENT})
        site.put_file("wp-content/languages/de_DE.mo", "what makes German a language of this site")
        before = site.state()
        site.host.sql("DROP DATABASE shop_staging", database="mysql")
        try:
            yield Ran(site, before, site.upkeep("run", "example", "--now"), yard)
        finally:
            site.host.sql("CREATE DATABASE IF NOT EXISTS shop_staging", database="mysql")


def _stages_there(shop: Shop) -> None:
    """Write the second host into the contract as the place of staging, and that words are updated, too."""
    contract = shop.inventory / "contract.yml"
    text = contract.read_text()
    text = text.replace("translations: none", "translations: all")
    contract.write_text(text.replace("      staging:", f"      staging:\n        host: {HOST} #", 1))


def _is_tidy(yard: Host) -> None:
    """Assert that nothing of the site is left on the staging host."""
    assert yard.sql("SHOW TABLES", database="shop_staging") == ""
    assert not (yard.disk / "htdocs").exists()
    left = {path.name for path in (yard.disk / ".upkeep").iterdir()}
    assert left <= {"bin", "cache", "lock", "token.json"}, left
    assert yard.run(["pgrep", "-a", "-u", "shop", "php$"]).stdout == ""


def test_production_gets_the_very_bytes_that_were_tested_on_the_other_host(ran: Ran) -> None:
    said, site = ran.said, ran.site
    assert said.code == 0, said.text
    (run,) = said.answer["runs"]
    assert (run["outcome"], [step["name"] for step in run["steps"]]) == ("done", [
        "preflight", "snapshot", "bring", "stage", "rehearse", "deliver", "promote", "release", "leave",
    ])  # fmt: skip
    package = release_file("plugin", "lab-alpha", "1.1")
    assert [
        (each["slug"], each["to"], each["sha256"]) for each in site.evidence(run["run"], "promote")["delivered"]
    ] == [
        ("lab-alpha", "1.1", hashlib.sha256(package.read_bytes()).hexdigest()),
        (PACK, "2024-02-05.12-34-56", hashlib.sha256(packs.pack(PACK, MOMENT)).hexdigest()),
    ]
    folder = site.root / "wp-content" / "plugins"
    there = {str(path.relative_to(folder)) for path in (folder / "lab-alpha").rglob("*") if path.is_file()}
    files = {name: data for name, data in read_zip(package).items() if not name.endswith("/")}
    assert there == set(files)
    assert [name for name in sorted(files) if (folder / name).read_bytes() != files[name]] == []
    words = packs.words("lab-alpha-de_DE", MOMENT)
    assert {name: (site.root / LANGUAGES / name).read_bytes() for name in words} == words
    # Owners, modes and all other files as they were.
    differences = [path for path in ran.before.differences(site.state()) if not path.startswith("table ")]
    assert [path for path in differences if not path.startswith(("wp-content/plugins/lab-alpha", LANGUAGES))] == []
    site.serves("1.0")


def test_the_bad_release_was_held_by_the_other_host_and_production_bore_no_copy(ran: Ran) -> None:
    (run,) = ran.said.answer["runs"]
    assert [(each["slug"], each["to"]) for each in run["held"]] == [("lab-banner", "2.2")]
    staged = ran.site.evidence(run["run"], "stage")
    assert (staged["clone"]["method"], staged["point"]) == ("restore point", run["run"])
    wheres = {each["where"] for each in run["verdicts"]}
    assert {"staging, before", "staging, updated", "production, updated"} <= wheres
    # There was no database for a copy there, and there is none now; the copies of tables have gone with the run.
    assert "shop_staging" not in ran.site.host.sql("SHOW DATABASES").split()
    expected = ran.site.evidence(run["run"], "promote")["expected"]
    assert expected["measured"].startswith("copying and comparing here")
    # Also of what staging did not change there is a copy: on the other host it would be out of reach.
    assert expected["tables"] > len(ran.site.evidence(run["run"], "rehearse")["tables_changed"])
    _is_tidy(ran.yard)


def test_what_changes_in_production_alone_goes_back_although_staging_holds_no_copy_there(ran: Ran) -> None:
    site = ran.site
    site.offer(lab_alpha="1.1", lab_banner="2.60")
    before = site.state()

    said = site.upkeep("run", "example", "--now")

    assert said.code == 3, said.text
    (run,) = said.answer["runs"]
    promoted = site.evidence(run["run"], "promote")
    assert promoted["tables_only_here"] == ["wp_comments", "wp_lab_only_here"]
    # No table of staging's is within reach: it was copied here, for this.
    assert {"wp_comments"} <= {*promoted["tables_aside"]} & {*promoted["tables_back"]}
    assert "tables_from_staging" not in promoted
    assert before.differences(site.state()) == []
    site.serves("1.0")
    _is_tidy(ran.yard)


def test_a_staging_host_that_is_not_reached_leaves_production_untouched(ran: Ran) -> None:
    site, yard = ran.site, ran.yard
    before = site.state()
    # Nobody listens there.
    know(site.shop, yard, ansible_port=9)

    said = site.upkeep("rehearse", "example")

    assert said.code == 12, said.text
    (run,) = said.answer["runs"]
    assert [step["name"] for step in run["steps"]] == ["preflight", "bring", "release"]
    assert run["message"].startswith("The staging host was not reached: ")
    assert run["message"].endswith("Production was not touched.")
    assert run["next"] == "upkeep rehearse example --site shop"
    assert before.differences(site.state()) == []
    site.host.sql("CREATE DATABASE shop_staging", database="mysql")
    site.tidy()
    assert not (site.workshop / "lease.json").exists()
