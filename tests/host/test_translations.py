"""Language packs that the contract promises: those that the site has are brought up to date, tested bytes and nothing else."""

from __future__ import annotations

import hashlib

import pytest

from tests.lab import packs
from tests.pipeline import Site

pytestmark = pytest.mark.root

LANGUAGES = "wp-content/languages"
OLD, NEW = "2023-11-05 08:00:00", "2024-02-05 12:34:56"
BANNER, BETA, THEME = "plugin.lab-banner.de_DE", "plugin.lab-beta.de_DE", "theme.twentytwentythree.de_DE"


def test_language_packs_of_the_site_are_brought_up_to_date(site: Site) -> None:
    contract = site.shop.inventory / "contract.yml"
    text = contract.read_text()
    contract.write_text(text.replace("translations: none", "translations: all"))
    assert contract.read_text() != text
    kept, mirror = site.fetched_here(), site.shop.lab.mirror
    old, new = packs.words("lab-banner-de_DE", OLD), packs.words("lab-banner-de_DE", NEW)
    site.put_file(f"{LANGUAGES}/plugins/lab-banner-de_DE.po", old["lab-banner-de_DE.po"].decode())
    site.put_file(f"{LANGUAGES}/plugins/lab-alpha-de_DE.po", old["lab-banner-de_DE.po"].decode())
    site.put_file(f"{LANGUAGES}/de_DE.mo", "what makes German a language of this site")
    mirror.forget_requests()
    mirror.offer(
        plugins={"lab-beta": "1.1"},
        # Newer, as old, not installed yet; another language; and one with a file that no pack has.
        translations={
            BANNER: NEW,
            "plugin.lab-alpha.de_DE": OLD,
            BETA: NEW,
            "plugin.lab-gamma.fr_FR": NEW,
            THEME: f"{NEW}+{packs.STRANGE_FILE}",
        },
    )

    ran = site.upkeep("run", "example", "--now")

    assert ran.code == 0, ran.text
    (run,) = ran.answer["runs"]
    rehearsed = site.evidence(run["run"], "rehearse")
    moment = "2024-02-05.12-34-56"
    assert [(each["slug"], each["from"], each["to"]) for each in run["delivered"]] == [
        ("lab-beta", "1.0", "1.1"),
        (BANNER, "2023-11-05.08-00-00", moment),
        (BETA, "none", moment),
    ]
    assert [(each["name"], each["before"]) for each in run["changes"] if each["kind"] == "translation"] == [
        (BANNER, "2023-11-05.08-00-00"),
        (BETA, "none"),
    ]
    (left_out,) = run["skipped"]
    assert left_out["slug"] == THEME
    assert "has a file that is none of its own: 'index.php'" in left_out["reason"]
    # Production has the bytes that staging tested, of the plugin's old words none, and of others what it had.
    folder = site.root / LANGUAGES
    for name, content in {**new, **packs.words("lab-beta-de_DE", NEW)}.items():
        assert (folder / "plugins" / name).read_bytes() == content
    assert sorted(path.name for path in (folder / "plugins").iterdir()) == sorted(
        [*new, *packs.words("lab-beta-de_DE", NEW), "lab-alpha-de_DE.po"]
    )
    assert not (folder / "themes").exists()
    assert (
        site.host.run(["stat", "-c", "%U", f"{site.host.root}/{LANGUAGES}/plugins/lab-beta-de_DE.mo"]).stdout
        == "shop\n"
    )
    # Each is a unit of its own, and the controller has fetched it.
    touched = {each["slug"]: each for each in rehearsed["touches"]["releases"]}
    assert touched[BANNER]["files"] == {"added": 1, "changed": 1, "removed": 0}
    assert touched[BANNER]["class"] == "code-only"
    assert rehearsed["outside"] == []
    (package,) = [each for each in rehearsed["packages"] if each["slug"] == BANNER]
    sha256 = hashlib.sha256(packs.pack(BANNER, NEW)).hexdigest()
    assert (package["origin"], package["sha256"], (kept / f"{sha256}.zip").exists()) == ("controller", sha256, True)
    # Asked for is what the site was about to have, by the controller.
    asked = [each for each in mirror.requests() if each["path"].startswith("/translations/")]
    assert {each["client"] for each in asked} == {site.shop.lab.instance.mirror_address}
    assert "slug=lab-beta&version=1.1" in {each["query"] for each in asked}
    site.serves("1.0")
