# GPL-3.0-or-later
"""Language packs of a site: which newer ones there are, as the controller's catalogue says, and how one is put into the copy.

Asked for is what the site will have after the releases that were chosen, in the languages that its WordPress has. The
catalogue is the controller's alone (docs/updates.md): where it does not answer, packs are left out with that reason.
"""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Mapping, Sequence

from . import package_source, tree
from .language_packs import ENDINGS, FOLDERS, LOCALE, MOMENT, NONE, TRANSLATION, Pack, pack_of
from .packages import SLUG, Change, PackageError, differences, pack_members
from .wordpress import installed

LANGUAGES = FOLDERS["core"]
# The controller may have to ask WordPress.org for each plugin and theme by itself.
ASK_SECONDS = 300.0
LARGEST_ANSWER = 8 * 1024 * 1024
MOST_LOCALES = 20
MOST_OF_A_KIND = 300
HEAD_BYTES = 16384
VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]{0,39}\Z")
# In a .po and in what WordPress 6.5 and later have beside it.
REVISION = re.compile(
    r"(?:PO-Revision-Date|translation-revision-date)(?:: |'\s*=>\s*')"
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?(?:([+-])(\d\d):?(\d\d)|Z)?"
)
# Not a locale's own files: parts of the core's, and those of a network of old.
NO_LOCALE = ("continents-cities", "ms-", "admin-")


@dataclass
class OnOffer:
    """What there is: offers as those of releases, what was left out before anybody was asked, and who answered."""

    offers: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)


def on_offer(root: str, observed: Mapping[str, Any], changes: Sequence[Change], gateway: str) -> OnOffer:
    """Return the packs that are newer than those of the site below `root`, for what it will have with `changes`.

    `observed` is what wordpress.versions() saw there.
    """
    wanted = locales(root)[:MOST_LOCALES]
    if not wanted:
        return OnOffer()
    try:
        _at_home(root)
        if not gateway:
            raise PackageError("language packs are asked for through the controller alone, and no way leads there")
        question = {"locales": wanted, **_versions(observed, changes)}
        answer = package_source.asked(gateway, "catalogue/translations", question, LARGEST_ANSWER, ASK_SECONDS)
        packs = list(answer["packs"])
        offers = [offer for offer in (_offer(root, each, question) for each in packs) if offer]
        since = str(answer.get("since", ""))
    except (PackageError, KeyError, TypeError, ValueError) as error:
        reason = f"not asked for: {error}"[:300]
        left_out = {"kind": TRANSLATION, "slug": "all", "from": "", "to": "", "reason": reason}
        return OnOffer(skipped=[left_out], asked=[{"kind": "translations", "origin": "", "note": reason}])
    return OnOffer(offers, [], [{"kind": "translations", "origin": "controller", "since": since}])


def locales(root: str) -> list[str]:
    """Return the languages that the WordPress below `root` has, as its get_available_languages() finds them."""
    found = set()
    try:
        names = os.listdir(os.path.join(root, LANGUAGES))
    except OSError:
        return []
    for name in names:
        stem = next((name[: -len(ending)] for ending in (".l10n.php", ".mo") if name.endswith(ending)), "")
        if re.fullmatch(LOCALE, stem) and not stem.startswith(NO_LOCALE) and stem != "en_US":
            found.add(stem)
    return sorted(found)


def revision(root: str, pack: Pack) -> str:
    """Return the moment of which the installed words of a pack are, by UTC, or NONE when nothing there says one."""
    for ending in ENDINGS:
        try:
            with open(os.path.join(root, pack.folder, pack.stem + ending), "rb") as file:
                found = REVISION.search(file.read(HEAD_BYTES).decode("utf-8", "replace"))
        except OSError:
            continue
        if found and (moment := _moment(found)):
            return moment
    return NONE


def installs_nothing(change: Change, root: str) -> bool:
    """Whether all files of a pack are there already: a publisher may call one newer that has the same bytes."""
    return change.kind == TRANSLATION and not differences(change, root)


def version_there(change: Change, observed: dict[str, Any], root: str) -> str:
    """Return the version of a change that is really there, or "". A pack is there when all of its files are, by their bytes."""
    if change.kind == TRANSLATION:
        return "" if differences(change, root) else change.to
    return installed(observed, change.kind, change.slug, change.file)


def install(change: Change, root: str) -> None:
    """Put the files of a checked pack into the copy below `root`, in the place of those that were there.

    It is not left to WordPress's own upgrader: that writes to WP_LANG_DIR, wherever it leads. Raises PackageError, OSError.
    """
    pack = pack_of(change.slug)
    if pack is None:
        raise PackageError(f"{change.slug} is no language pack")
    _at_home(root)
    folder = os.path.join(root, pack.folder)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    for name in os.listdir(folder):
        if pack.owns(name):
            tree.remove(os.path.join(folder, name))
    with zipfile.ZipFile(change.zip) as archive:
        for member in pack_members(archive):
            with open(os.path.join(folder, member.filename), "xb") as file:
                file.write(archive.read(member))


def _at_home(root: str) -> None:
    """Raise PackageError where what is written into the folders of languages would land somewhere else."""
    home = os.path.realpath(root)
    for folder in FOLDERS.values():
        if os.path.realpath(os.path.join(root, folder)) != os.path.join(home, folder):
            raise PackageError(f"{folder} is a link")


def _versions(observed: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """Return what the site will have: the core's version, and those of plugins and themes by their slugs."""
    core = str(observed["core"])
    found: dict[str, dict[str, str]] = {
        "plugins": {each["slug"]: each["version"] for each in observed["plugins"].values()},
        "themes": {slug: each["version"] for slug, each in observed["themes"].items()},
    }
    for change in changes:
        if change.kind == "core":
            core = change.to
        elif change.kind + "s" in found:
            found[change.kind + "s"][change.slug] = change.to
    fitting = {
        kind: {slug: version for slug, version in each.items() if SLUG.match(slug) and VERSION.match(version)}
        for kind, each in found.items()
    }
    return {"core": core, **{kind: dict(sorted(each.items())[:MOST_OF_A_KIND]) for kind, each in fitting.items()}}


def _offer(root: str, told: Mapping[str, Any], question: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a pack as an offer, None when the site's is as new or nobody asked for it."""
    pack = pack_of(f"{told['type']}.{told['slug']}.{told['language']}")
    asked = pack and pack.locale in question["locales"]
    if pack is None or not asked or (pack.kind != "core" and pack.slug not in question[pack.kind + "s"]):
        return None
    to = str(told["updated"]).replace(" ", ".").replace(":", "-")
    now = revision(root, pack)
    if re.fullmatch(MOMENT, to) and now != NONE and to <= now:
        return None
    return {
        "kind": TRANSLATION,
        "slug": pack.named(),
        "file": "",
        "from": now,
        "to": to,
        "package": str(told["package"]),
    }


def _moment(found: re.Match[str]) -> str:
    day, clock, seconds, sign, hours, minutes = found.groups()
    try:
        moment = datetime.strptime(f"{day} {clock}{seconds or ':00'}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        if sign:
            away = timedelta(hours=int(hours), minutes=int(minutes))
            moment -= away if sign == "+" else -away
    except (ValueError, OverflowError):
        return ""
    return moment.strftime("%Y-%m-%d.%H-%M-%S")
