# GPL-3.0-or-later
"""What a change touches, as staging saw it: files, rows, definitions of tables; its class, and the way back that follows.

Every look at a site writes a little: transients, the list of cron, a session, an empty draft. Such *notes* of WordPress
are told apart here, so that a release which only brings files is seen to do so. What is copied aside is every table that
changed at all, notes included.
"""

from __future__ import annotations

import filecmp
import os
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence

from . import tree, wordpress
from .database import NO_SUM, Database, quoted
from .packages import Change

CODE_ONLY, DATA, SCHEMA, UNKNOWN = "code-only", "data", "schema", "unknown"
# As many names as a report shows of one list; how many there are stands beside them.
MOST = 50
DRAFTS = "SELECT ID FROM {posts} WHERE post_status = 'auto-draft'"
# The tables of WordPress that hold notes, and what of them is none: columns, and a condition.
NOTED = {
    "options": (
        "option_name, option_value",
        (
            "option_name NOT LIKE '%\\_transient\\_%' AND option_name NOT LIKE '%.lock'"
            " AND option_name NOT IN ('cron', 'recently_activated')"
        ),
    ),
    "posts": (
        (
            "ID, post_author, post_date, post_title, post_content, post_excerpt, post_status, post_type, post_name,"
            " post_parent, post_modified, guid, menu_order, comment_count"
        ),
        "post_status <> 'auto-draft'",
    ),
    "postmeta": ("post_id, meta_key, meta_value", f"post_id NOT IN ({DRAFTS})"),
    "usermeta": (
        "user_id, meta_key, meta_value",
        (
            "meta_key NOT IN ('session_tokens', 'community-events-location')"
            " AND meta_key NOT LIKE '%dashboard\\_quick\\_press\\_last\\_post\\_id'"
        ),
    ),
}


@dataclass(frozen=True)
class Tables:
    """All tables of a database at one moment: Database.checksums(), definitions(), and the sums of what is no note."""

    sums: dict[str, str]
    definitions: dict[str, str]
    kept: dict[str, str]


@dataclass(frozen=True)
class Effect:
    """What changed in the tables between two moments, by their names."""

    rows: frozenset[str] = frozenset()
    schema: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    """Could not be compared."""

    @property
    def all(self) -> frozenset[str]:
        """Every table that a copy has to stand for: whatever changed, and what cannot be excluded."""
        return self.rows | self.schema | self.new | self.gone | self.notes | self.unknown

    def kind(self, outside: Sequence[str] = ()) -> str:
        """Return the class of a change with this effect; `outside` are paths that it touched and that are not its own."""
        if self.unknown or outside:
            return UNKNOWN
        if self.schema or self.new or self.gone:
            return SCHEMA
        return DATA if self.rows else CODE_ONLY

    def evidence(self) -> dict[str, Any]:
        """Return what the ledger keeps of it."""
        named = {
            "rows": self.rows,
            "schema": self.schema,
            "new": self.new,
            "gone": self.gone,
            "notes": self.notes,
            "not_compared": self.unknown,
        }
        return {key: sorted(names)[:MOST] for key, names in named.items() if names}


@dataclass
class Touches:
    """What each round of a rehearsal changed in the tables, by the releases that it tried."""

    seen: dict[frozenset[str], Effect] = field(default_factory=dict)

    def saw(self, changes: Iterable[Change], effect: Effect) -> None:
        """Remember a round."""
        self.seen[frozenset(change.named() for change in changes)] = effect

    def of(self, changes: Iterable[Change]) -> Effect | None:
        """Return what these releases, and no others, changed; None when they were not tried so."""
        return self.seen.get(frozenset(change.named() for change in changes))


def look(database: Database, prefix: str) -> Tables:
    """Look at every table of a database. Raises DatabaseError."""
    sums, definitions = database.looked_at(database.tables())
    names = {kind: prefix + kind for kind in NOTED if prefix + kind in sums}
    asked = []
    for kind, table in names.items():
        columns, which = NOTED[kind]
        if "{posts}" in which:
            which = which.format(posts=quoted(names["posts"])) if "posts" in names else "1"
        asked.append(
            f"SELECT '{table}', COUNT(*), COALESCE(SUM(CRC32(CONCAT_WS('|', {columns}))), 0)"  # noqa: S608 - a quoted name
            f" FROM {quoted(table)} WHERE {which}"
        )
    rows = database.query("; ".join(asked), timeout=600) if asked else []
    return Tables(sums, definitions, {row[0]: " ".join(row[1:]) for row in rows})


def compare(before: Tables, after: Tables) -> Effect:
    """Say what changed between two looks."""
    new = set(after.sums) - set(before.sums)
    gone = set(before.sums) - set(after.sums)
    both = set(before.sums) & set(after.sums)
    unknown = {name for name in both if any(each.sums[name].startswith(NO_SUM) for each in (before, after))}
    schema = {name for name in both - unknown if before.definitions.get(name) != after.definitions.get(name)}
    changed = {name for name in both - unknown - schema if before.sums[name] != after.sums[name]}
    notes = {name for name in changed if name in before.kept and before.kept[name] == after.kept.get(name)}
    return Effect(*map(frozenset, (changed - notes, schema, new, gone, notes, unknown)))


def files(paths: Sequence[str], old: str, new: str) -> dict[str, int]:
    """Count the files among `paths` that tree `new` has more than tree `old`, other than it, and no more."""
    counted = {"added": 0, "changed": 0, "removed": 0}
    for path in paths:
        before, after = tree.entry(old, path), tree.entry(new, path)
        was, there = (each is not None and each.kind != "folder" for each in (before, after))
        if was and there:
            counted["changed"] += not same_bytes(before, after, os.path.join(old, path), os.path.join(new, path))
        elif was or there:
            counted["added" if there else "removed"] += 1
    return counted


def told(
    delivered: Sequence[Change], touches: Touches, paths: Mapping[str, Sequence[str]], base: str, now: str
) -> dict[str, Any]:
    """Return what the delivered releases touch, together and each, as the evidence of a rehearsal.

    `paths` are those that changed, `inside` the releases' own units and `outside`. Whose a change of a table is, is known of
    a release that was tried alone, and of all where none changed.
    """
    effect = touches.of(delivered) or Effect()
    outside = paths["outside"]
    kind = effect.kind(outside)
    releases = []
    for change in delivered:
        unit = wordpress.unit(change.kind, change.slug, change.file)
        own = [path for path in paths["inside"] if tree.in_unit(path, unit)]
        alone = effect if len(delivered) == 1 else touches.of([change])
        known = alone.kind(outside) if alone else kind if kind == CODE_ONLY else UNKNOWN
        releases.append(
            {
                "kind": change.kind,
                "slug": change.slug,
                "to": change.to,
                "class": known,
                "files": files(own, base, now),
                "tables": alone.evidence() if alone else {},
                **({} if alone or known == CODE_ONLY else {"tried_together": True}),
            }
        )
    return {
        "class": kind,
        "files": files([*paths["inside"], *outside], base, now),
        "outside": folders(outside),
        "tables": effect.evidence(),
        "releases": releases,
        "way_back": way_back(kind, len(effect.all - effect.new)),
    }


def folders(paths: Sequence[str]) -> list[str]:
    """Return the folders in which these paths lie, a file at the top by its own name."""
    return sorted({os.path.dirname(path) or path for path in paths})[:MOST]


def way_back(kind: str, tables: int) -> str:
    """Say in plain words how production comes back from a change of this class."""
    if kind == CODE_ONLY:
        notes = f"; {_tables(tables)} with WordPress's own notes go back with them" if tables else ""
        return "the trees are exchanged back: no content and no definition of a table has to" + notes
    told = f"the trees are exchanged back and {_tables(tables)} renamed back, together"
    return told + ("; what could not be told apart is counted in" if kind == UNKNOWN else "")


def _tables(count: int) -> str:
    return f"{count} table" if count == 1 else f"{count} tables"


def same_bytes(before: tree.Entry | None, after: tree.Entry | None, old: str, new: str) -> bool:
    """Whether two paths, which these entries are of, are the same but for time, mode and owner."""
    if before is None or after is None or (before.kind, before.target) != (after.kind, after.target):
        return False
    # A release that is unpacked anew has other times on the same bytes.
    return before.kind != "file" or (before.size == after.size and filecmp.cmp(old, new, shallow=False))
