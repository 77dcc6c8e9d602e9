# GPL-3.0-or-later
"""The names of WordPress's language packs: which pack a slug means, and which files are its own and nobody else's.

A pack is a change of its own: `plugin.forms.de_DE` are the German words of the plugin forms, `core.default.de_DE` those of
WordPress. Its version is the moment of which its translation is, by UTC: `2024-02-05.12-34-56`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TRANSLATION = "translation"
LOCALE = r"[A-Za-z]{2,3}(?:_[A-Za-z0-9]{1,20}){0,3}"
MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.[0-9]{2}-[0-9]{2}-[0-9]{2}"
SLUG = re.compile(rf"(core|plugin|theme)\.([A-Za-z0-9][A-Za-z0-9._-]{{0,70}})\.({LOCALE})\Z")
FOLDERS = {
    "core": "wp-content/languages",
    "plugin": "wp-content/languages/plugins",
    "theme": "wp-content/languages/themes",
}
# The core's words come in parts: for visitors, for the administration, for a network's, and the names of cities.
CORE_PARTS = ("", "admin-", "admin-network-", "continents-cities-")
ENDINGS = (".po", ".mo", ".l10n.php")
# Beside them, one file for each script: its name ends in the MD5 of the script's path.
SCRIPT = "-" + 32 * "[0-9a-f]" + ".json"
# Stands for the version where no pack is installed.
NONE = "none"


@dataclass(frozen=True)
class Pack:
    """Whose words in which language: `kind` is core, plugin or theme; the core's slug is `default`."""

    kind: str
    slug: str
    locale: str

    def named(self) -> str:
        """Return the slug of the change that brings it."""
        return f"{self.kind}.{self.slug}.{self.locale}"

    @property
    def folder(self) -> str:
        """Where its files lie, below the document root."""
        return FOLDERS[self.kind]

    @property
    def stem(self) -> str:
        """What the names of its files begin with, without a part of the core's."""
        return self.locale if self.kind == "core" else f"{self.slug}-{self.locale}"

    def words(self) -> list[str]:
        """Return the names that its files of words can have."""
        parts = CORE_PARTS if self.kind == "core" else ("",)
        return [part + self.stem + ending for part in parts for ending in ENDINGS]

    def owns(self, name: str) -> bool:
        """Whether a file of this name is one of the pack's."""
        return name in self.words() or re.fullmatch(re.escape(self.stem) + SCRIPT.replace(".", r"\."), name) is not None

    def unit(self) -> list[str]:
        """Return its paths below the document root, as tree.in_unit() reads them; of the folders none but themselves."""
        folders = ["wp-content/languages/", *([self.folder + "/"] if self.kind != "core" else [])]
        return [*folders, *(f"{self.folder}/{name}" for name in [*self.words(), self.stem + SCRIPT])]


def pack_of(slug: str) -> Pack | None:
    """Return the pack that the slug of a change means, None for a slug of something else."""
    found = SLUG.match(slug)
    if not found or ".." in slug or (found.group(1) == "core" and found.group(2) != "default"):
        return None
    return Pack(*found.groups())
