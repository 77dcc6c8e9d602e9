"""Language packs: which are newer than what a site has, whose files they are, and what is refused of their archives."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import package_source, packages, supply_chain, translations, tree
from plugins.module_utils.language_packs import Pack, pack_of
from plugins.module_utils.packages import Change, PackageError
from tests.unit.pipeline.choices import chosen

MOMENT = "2024-02-05.12-34-56"
SLUG = "plugin.forms.de_DE"
OBSERVED = {
    "core": "6.5.2",
    "plugins": {
        "forms/forms.php": {"slug": "forms", "version": "2.0"},
        "odd/odd.php": {"slug": "odd", "version": "unknown"},
    },
    "themes": {"leaf": {"version": "1.0"}},
}
POLICY = {"core": "major", "plugins": "all", "themes": "all"}
HASH = "0123456789abcdef0123456789abcdef"


def offer(slug: str = SLUG, to: str = MOMENT) -> dict[str, Any]:
    """Return a pack as it is on offer."""
    return {
        "kind": "translation",
        "slug": slug,
        "file": "",
        "from": "none",
        "to": to,
        "package": "https://x.test/a.zip",
    }


def packed(folder: Path, *names: str, slug: str = SLUG, link: str = "", content: bytes = b"words") -> Change:
    """Return a change whose archive has files of these names."""
    path = folder / "pack.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK if name == link else stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return Change("translation", slug, "", "none", MOMENT, "", zip=str(path))


def site(root: Path, **files: str) -> str:
    """Make a site with German words of WordPress; more files below the folder of languages by their names."""
    for name, text in {"de_DE.mo": "", **files}.items():
        path = root / "wp-content" / "languages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("offers", "policy", "holds", "taken", "reasons"),
    [
        ([offer()], {**POLICY, "translations": "all"}, [], [SLUG], []),
        ([offer()], POLICY, [], [], ["the contract does not list it under translations"]),
        ([offer()], {**POLICY, "translations": "none"}, [], [], ["the contract does not list it under translations"]),
        (
            [offer()],
            {**POLICY, "translations": "all"},
            [{"kind": "translation", "slug": SLUG, "version": MOMENT, "reason": "rude"}],
            [],
            ["rude"],
        ),
        (
            [offer()],
            {**POLICY, "translations": "all", "cool_down_days": 7},
            [],
            [],
            ["waits until 2026-11-30: first seen on 2026-11-23, and the contract waits 7 days"],
        ),
        *[
            ([wrong], {**POLICY, "translations": "all"}, [], [], ["its name or version is not one that a release has"])
            for wrong in (
                offer("forms"),
                offer("core.forms.de_DE"),
                offer("plugin.forms.de_DE/.."),
                offer("plugin.a..b.de_DE"),
                offer("plugin.forms."),
                offer(to="2.0"),
                offer(to="2024-02-05 12:34:56"),
            )
        ],
    ],
)
def test_a_contract_takes_or_leaves_a_pack(
    offers: list[dict[str, Any]],
    policy: dict[str, Any],
    holds: list[dict[str, str]],
    taken: list[str],
    reasons: list[str],
) -> None:
    assert chosen(offers, policy, holds) == (taken, reasons)


@pytest.mark.parametrize(
    ("slug", "names"),
    [
        (SLUG, ["forms-de_DE.po", "forms-de_DE.mo", "forms-de_DE.l10n.php", f"forms-de_DE-{HASH}.json"]),
        (
            "core.default.de_DE",
            ["de_DE.mo", "admin-de_DE.po", "admin-network-de_DE.mo", "continents-cities-de_DE.l10n.php"],
        ),
        (SLUG, ["forms-de_DE.mo", "__MACOSX/._forms-de_DE.mo"]),
    ],
)
def test_a_sound_pack_is_put_in_the_place_of_what_was_there(tmp_path: Path, slug: str, names: list[str]) -> None:
    pack = pack_of(slug)
    assert pack is not None
    old = {"plugins/forms-de_DE-ffffffffffffffffffffffffffffffff.json": "", "plugins/forms-de_DE_formal.mo": ""}
    root, change = site(tmp_path / "site", **old), packed(tmp_path, *names, slug=slug)

    packages.inspect(change)
    assert translations.version_there(change, OBSERVED, root) == ""
    before = tree.scan(root)
    translations.install(change, root)

    assert translations.version_there(change, OBSERVED, root) == MOMENT
    assert translations.installs_nothing(change, root)
    after = tree.scan(root)
    assert all(f"{pack.folder}/{name}" in after for name in names if not name.startswith("__MACOSX"))
    assert "wp-content/languages/plugins/forms-de_DE_formal.mo" in after
    assert ("wp-content/languages/plugins/forms-de_DE-ffffffffffffffffffffffffffffffff.json" in after) == (slug != SLUG)
    changed = [path for path in {*before, *after} if before.get(path) != after.get(path)]
    assert [path for path in changed if path.count("/") > 2 and not tree.in_unit(path, pack.unit())] == []


@pytest.mark.parametrize(
    "names",
    [
        ["forms-de_DE.mo", "index.php"],
        ["forms-de_DE.mo", "shop-de_DE.mo"],
        ["forms-de_DE.mo", "forms-de_DE.php"],
        ["forms-de_DE.mo", "forms-de_DE-1.json"],
        ["forms-de_DE.mo", "forms-de_DE_formal.mo"],
        ["forms-de_DE/forms-de_DE.mo"],
        ["forms-de_DE.mo", "folder/"],
        ["forms-de_DE.mo", "../forms-de_DE.po"],
        ["de_DE.mo"],
        ["forms-de_DE.po"],
        [],
    ],
)
def test_an_archive_with_anything_else_is_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(PackageError):
        packages.inspect(packed(tmp_path, *names))


def test_a_link_and_a_file_that_is_there_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="symbolic link"):
        packages.inspect(packed(tmp_path, "forms-de_DE.mo", link="forms-de_DE.mo"))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = packed(tmp_path, "forms-de_DE.mo", "forms-de_DE.mo")
    with pytest.raises(PackageError, match="twice"):
        packages.inspect(twice)


@pytest.mark.parametrize(
    ("name", "text", "moment"),
    [
        ("forms-de_DE.po", '"PO-Revision-Date: 2024-02-05 12:34:56+0000\\n"', MOMENT),
        ("forms-de_DE.po", '"PO-Revision-Date: 2024-02-05 14:34:56+0200\\n"', MOMENT),
        ("forms-de_DE.po", '"PO-Revision-Date: 2024-02-05 12:34\\n"', "2024-02-05.12-34-00"),
        ("forms-de_DE.po", '"PO-Revision-Date: YEAR-MO-DA HO:MI+ZONE\\n"', "none"),
        ("forms-de_DE.po", '"PO-Revision-Date: 2024-02-31 12:34\\n"', "none"),
        ("forms-de_DE.l10n.php", "<?php\nreturn ['translation-revision-date'=>'2024-02-05 12:34:56+0000'];", MOMENT),
        ("forms-de_DE.l10n.php", "<?php\nreturn ['po-revision-date'=>'']", "none"),
        ("shop-de_DE.po", '"PO-Revision-Date: 2024-02-05 12:34:56+0000\\n"', "none"),
    ],
)
def test_a_pack_says_of_which_moment_it_is(tmp_path: Path, name: str, text: str, moment: str) -> None:
    root = site(tmp_path, **{f"plugins/{name}": text})

    assert translations.revision(root, Pack("plugin", "forms", "de_DE")) == moment


def test_the_languages_of_a_site_are_those_of_its_wordpress(tmp_path: Path) -> None:
    names = (
        "admin-de_DE.mo",
        "continents-cities-fr_FR.mo",
        "de_DE_formal.l10n.php",
        "es_ES.po",
        "ms-pt_BR.mo",
        "../x.mo",
        "en_US.mo",
    )

    assert translations.locales(site(tmp_path, **dict.fromkeys(names, ""))) == ["de_DE", "de_DE_formal"]
    assert translations.locales(str(tmp_path / "nothing")) == []


def test_asked_for_is_what_the_site_will_have_and_only_newer_packs_are_on_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = site(tmp_path, **{"plugins/forms-de_DE.po": '"PO-Revision-Date: 2024-02-05 12:34:56+0000\\n"'})
    questions: list[dict[str, Any]] = []
    told = {"package": "https://x.test/a.zip", "language": "de_DE"}
    packs = [
        {"type": "plugin", "slug": "forms", "updated": "2024-02-05 12:34:56", **told},
        {"type": "theme", "slug": "leaf", "updated": "2020-01-01 00:00:00", **told},
        {"type": "theme", "slug": "nobody-asked", "updated": "2024-02-05 12:34:56", **told},
        {"type": "core", "slug": "default", "updated": "2024-02-05 12:34:56", **told, "language": "fr_FR"},
    ]

    def asked(_: str, path: str, question: dict[str, Any], *__: Any) -> dict[str, Any]:
        questions.append({"path": path, **question})
        return {"packs": packs, "since": "2026-11-24T00:00:00+00:00"}

    monkeypatch.setattr(package_source, "asked", asked)
    changes = [
        Change("plugin", "forms", "forms/forms.php", "2.0", "2.1", ""),
        Change("core", "wordpress", "", "6.5.2", "6.5.5", ""),
    ]

    found = translations.on_offer(root, OBSERVED, changes, "http://u:p@127.0.0.1:1/")

    assert questions == [
        {
            "path": "catalogue/translations",
            "locales": ["de_DE"],
            "core": "6.5.5",
            "plugins": {"forms": "2.1"},
            "themes": {"leaf": "1.0"},
        }
    ]
    assert [(each["slug"], each["from"], each["to"]) for each in found.offers] == [
        ("theme.leaf.de_DE", "none", "2020-01-01.00-00-00")
    ]
    packs[0]["updated"] = "2024-02-05 12:34:57"
    newer = translations.on_offer(root, OBSERVED, changes, "http://u:p@127.0.0.1:1/")
    assert (newer.offers[0]["from"], newer.offers[0]["to"]) == (MOMENT, "2024-02-05.12-34-57")


@pytest.mark.parametrize("gateway", ["", "http://u:p@127.0.0.1:1/"])
def test_where_nobody_answers_packs_are_left_out_with_the_reason(tmp_path: Path, gateway: str) -> None:
    found = translations.on_offer(site(tmp_path), OBSERVED, [], gateway)

    assert found.offers == []
    (left_out,) = found.skipped
    assert left_out["reason"].startswith("not asked for: ")
    assert translations.on_offer(str(tmp_path / "no languages"), OBSERVED, [], gateway) == translations.OnOffer()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    site(elsewhere)
    root = tmp_path / "site"
    (root / "wp-content").mkdir(parents=True)
    (root / "wp-content" / "languages").symlink_to(elsewhere / "wp-content" / "languages")
    change = packed(tmp_path, "forms-de_DE.mo")

    with pytest.raises(PackageError, match="wp-content/languages is a link"):
        translations.install(change, str(root))
    assert "is a link" in translations.on_offer(str(root), OBSERVED, [], "http://u:p@127.0.0.1:1/").skipped[0]["reason"]
    assert not (elsewhere / "wp-content" / "languages" / "plugins").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            b"<?php\nreturn ['language'=>'de_DE','messages'=>['a // b'=>'/* \xc3\xa4 */','one'=>'ein' . \"\\0\" . 'zwei']];\n",
            [],
        ),
        (b"<?php\nreturn ['messages'=>['a'=>system('id')]];\n", ["code in a folder named languages"]),
        (b"<?php\nreturn ['messages'=>[\"{$_GET['a']}\"]];\n", ["code in a folder named languages"]),
    ],
)
def test_words_in_php_are_looked_at_as_other_code_is(tmp_path: Path, content: bytes, found: list[str]) -> None:
    change = packed(tmp_path, "forms-de_DE.l10n.php", content=content)

    seen = supply_chain.look(change, site(tmp_path / "site"))

    assert [(each.what, each.level) for each in seen] == [(what, "high") for what in found]
