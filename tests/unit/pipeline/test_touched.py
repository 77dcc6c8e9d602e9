"""What a change touches, and its class: of looks at tables and trees of files."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.module_utils import tree
from plugins.module_utils.packages import Change
from plugins.module_utils.rehearsal import Rehearsal
from plugins.module_utils.touched import (
    CODE_ONLY,
    DATA,
    SCHEMA,
    UNKNOWN,
    Effect,
    Tables,
    Touches,
    compare,
    files,
    told,
    way_back,
)
from tests.unit.pipeline.sites import build, file, folder

ALPHA = Change("plugin", "alpha", "alpha/alpha.php", "1.0", "1.1", "")
BETA = Change("plugin", "beta", "beta/beta.php", "1.0", "1.1", "")


def seen(**tables: str) -> Tables:
    """A look: each table's `rows/definition/notes-free rows`."""
    parts = {name: [*text.split("/"), "", ""][:3] for name, text in tables.items()}
    return Tables(
        sums={name: f"{rows}:{definition}" for name, (rows, definition, _) in parts.items()},
        definitions={name: definition for name, (_, definition, _) in parts.items()},
        kept={name: kept for name, (_, _, kept) in parts.items() if kept},
    )


@pytest.mark.parametrize(
    ("before", "after", "expected", "kind"),
    [
        ({"a": "1/d"}, {"a": "1/d"}, {}, CODE_ONLY),
        ({"a": "1/d"}, {"a": "2/d"}, {"rows": ["a"]}, DATA),
        ({"o": "1/d/k"}, {"o": "2/d/k"}, {"notes": ["o"]}, CODE_ONLY),
        ({"o": "1/d/k"}, {"o": "2/d/l"}, {"rows": ["o"]}, DATA),
        ({"a": "1/d", "b": "1/d"}, {"a": "2/e", "b": "2/d"}, {"rows": ["b"], "schema": ["a"]}, SCHEMA),
        # An index alone changes no row.
        ({"a": "1/d"}, {"a": "1/e"}, {"schema": ["a"]}, SCHEMA),
        ({"a": "1/d"}, {"a": "1/d", "b": "1/d"}, {"new": ["b"]}, SCHEMA),
        ({"a": "1/d", "b": "1/d"}, {"a": "1/d"}, {"gone": ["b"]}, SCHEMA),
        # What the server cannot compare may have changed or not.
        ({"a": "NULL/d"}, {"a": "NULL/d"}, {"not_compared": ["a"]}, UNKNOWN),
    ],
)
def test_tables_are_compared_by_rows_and_by_definition(
    before: dict[str, str], after: dict[str, str], expected: Any, kind: str
) -> None:
    effect = compare(seen(**before), seen(**after))

    assert effect.evidence() == expected
    assert effect.kind() == kind
    assert effect.kind(outside=["wp-content/other.php"]) == UNKNOWN
    # A copy has to stand for all of them, whatever the class.
    assert sorted(effect.all) == sorted({name for names in expected.values() for name in names})


def test_files_are_counted_by_their_bytes_and_not_by_their_times(tmp_path: Path) -> None:
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    build(old, folder({b"same": file(b"x"), b"other": file(b"x"), b"gone": file(b"x"), b"f": folder({})}))
    build(new, folder({b"same": file(b"x"), b"other": file(b"y"), b"came": file(b"x"), b"g": folder({})}))

    counted = files(sorted({*tree.scan(old), *tree.scan(new)}), old, new)

    assert counted == {"added": 1, "changed": 1, "removed": 1}


def plugins(**content: bytes) -> Any:
    """A site with these plugins, each of one file."""
    inside = {slug.encode(): folder({f"{slug}.php".encode(): file(text)}) for slug, text in content.items()}
    return folder({b"wp-content": folder({b"plugins": folder(inside)})})


def tell(tmp_path: Path, delivered: list[Change], touches: Touches, outside: list[str] | None = None) -> Any:
    base, now = str(tmp_path / "base"), str(tmp_path / "now")
    build(base, plugins(alpha=b"1", beta=b"1"))
    build(now, plugins(alpha=b"2", beta=b"2"))
    inside = [f"wp-content/plugins/{change.slug}/{change.slug}.php" for change in delivered]
    return told(delivered, touches, {"inside": inside, "outside": outside or []}, base, now)


def classes(answer: Any) -> list[str]:
    return [answer["class"], *(each["class"] for each in answer["releases"])]


def test_what_one_release_touches_is_known_of_it(tmp_path: Path) -> None:
    touches = Touches()
    touches.saw([ALPHA], Effect(rows=frozenset({"wp_a"}), schema=frozenset({"wp_b"})))

    answer = tell(tmp_path, [ALPHA], touches)

    assert classes(answer) == [SCHEMA, SCHEMA]
    assert answer["releases"][0]["files"] == {"added": 0, "changed": 1, "removed": 0}
    assert answer["tables"] == {"rows": ["wp_a"], "schema": ["wp_b"]}
    assert answer["way_back"] == "the trees are exchanged back and 2 tables renamed back, together"


def test_of_releases_that_were_tried_together_the_class_belongs_to_all(tmp_path: Path) -> None:
    touches = Touches()
    touches.saw([ALPHA, BETA], Effect(rows=frozenset({"wp_a"})))

    answer = tell(tmp_path, [ALPHA, BETA], touches)

    assert classes(answer) == [DATA, UNKNOWN, UNKNOWN]
    assert [each["tried_together"] for each in answer["releases"]] == [True, True]


def test_a_round_of_the_search_that_tried_one_alone_says_what_it_touches(tmp_path: Path) -> None:
    touches = Touches()
    touches.saw([ALPHA, BETA], Effect(rows=frozenset({"wp_a"})))
    touches.saw([BETA], Effect())

    answer = tell(tmp_path, [ALPHA, BETA], touches)

    assert classes(answer) == [DATA, UNKNOWN, CODE_ONLY]


def test_where_no_table_changed_every_release_brings_code_only(tmp_path: Path) -> None:
    touches = Touches()
    touches.saw([ALPHA, BETA], Effect(notes=frozenset({"wp_options"})))

    answer = tell(tmp_path, [ALPHA, BETA], touches)

    assert classes(answer) == [CODE_ONLY] * 3
    assert answer["way_back"].startswith("the trees are exchanged back: no content")


def test_files_outside_of_the_releases_own_folders_make_the_class_unknown(tmp_path: Path) -> None:
    touches = Touches()
    touches.saw([ALPHA], Effect())

    answer = tell(tmp_path, [ALPHA], touches, ["wp-content/mu-plugins/a.php", "wp-content/mu-plugins/b.php", "x.php"])

    assert classes(answer) == [UNKNOWN, UNKNOWN]
    assert answer["outside"] == ["wp-content/mu-plugins", "x.php"]


def test_the_way_back_is_said_in_plain_words() -> None:
    assert way_back(CODE_ONLY, 0) == "the trees are exchanged back: no content and no definition of a table has to"
    assert "1 table with WordPress's own notes go back" in way_back(CODE_ONLY, 1)
    assert way_back(DATA, 1) == "the trees are exchanged back and 1 table renamed back, together"
    assert "counted in" in way_back(UNKNOWN, 3)


def test_a_file_that_came_anew_with_the_same_bytes_is_not_touched(tmp_path: Path) -> None:
    """Production keeps its own, and PHP need not compile it again."""
    base, root = tmp_path / "base", tmp_path / "root"
    for place, old in ((base, b"<?php // 1"), (root, b"<?php // 2")):
        folder = place / "wp-content" / "plugins" / "alpha"
        folder.mkdir(parents=True)
        (folder / "same.php").write_bytes(b"<?php // as ever")
        (folder / "other.php").write_bytes(old)
        (folder / "link").symlink_to("same.php")
    os.utime(root / "wp-content/plugins/alpha/same.php", ns=(1, 1))
    (root / "wp-content/plugins/alpha/new.php").write_bytes(b"<?php")
    (base / "wp-content/plugins/alpha/gone.php").write_bytes(b"<?php")
    rehearsal: Any = SimpleNamespace(staging=SimpleNamespace(base=str(base), root=str(root)), tried=[ALPHA])

    assert Rehearsal.touched(rehearsal) == {
        "inside": [f"wp-content/plugins/alpha/{name}.php" for name in ("gone", "new", "other")],
        "outside": [],
    }
