# GPL-3.0-or-later
"""Find out whether a CSS selector matches a page, with the standard library alone.

A small part of CSS, and nothing else: `tag`, `#id`, `.class`, `[attribute]`, `[attribute=value]`, these joined without a
space for one element (`input.wide[name=email]`), and a space between an element and one somewhere inside of it.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from html.parser import HTMLParser

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_STEP = re.compile(
    rf"(?P<tag>{_NAME})|#(?P<id>{_NAME})|\.(?P<class>{_NAME})"
    rf"|\[(?P<attribute>{_NAME})(?:=(?P<quote>[\"']?)(?P<value>[^\s\"'\[\]]*)(?P=quote))?\]"
)
# Elements that have no end tag: nothing is inside of them.
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
MAX_DEPTH = 500


@dataclass(frozen=True)
class _Wanted:
    """One element of a selector. `values` are attributes with the value that they must have, None for any."""

    tag: str
    classes: frozenset[str]
    values: tuple[tuple[str, str | None], ...]

    def fits(self, tag: str, attributes: dict[str, str]) -> bool:
        return (
            self.tag in ("", tag)
            and self.classes <= set(attributes.get("class", "").split())
            and all(name in attributes and value in (None, attributes[name]) for name, value in self.values)
        )


def matches(selector: str, page: str) -> bool:
    """Whether the selector matches any element of the page. Raises ValueError for what is not in the part of CSS above."""
    finder = _Finder([_wanted(word) for word in selector.split()])
    if not finder.wanted:
        raise ValueError("the selector is empty")
    read_page(finder, page)
    return finder.found


def read_page(reader: HTMLParser, page: str) -> None:
    """Let the reader see the page. What the parser gives up on, browsers read on: what was seen until there counts."""
    with contextlib.suppress(AssertionError):
        reader.feed(page)
        reader.close()


def _wanted(word: str) -> _Wanted:
    tag, classes, values, at = "", set(), [], 0
    while at < len(word):
        step = _STEP.match(word, at)
        if step is None or (step["tag"] and at):
            raise ValueError(f"{word!r} is not in the part of CSS that is known")
        at = step.end()
        if step["tag"]:
            tag = step["tag"].lower()
        elif step["id"]:
            values.append(("id", step["id"]))
        elif step["class"]:
            classes.add(step["class"])
        else:
            values.append((step["attribute"].lower(), step["value"]))
    return _Wanted(tag, frozenset(classes), tuple(values))


class _Finder(HTMLParser):
    """Keeps the open elements, each with how much of the selector its line of ancestors has matched."""

    def __init__(self, wanted: list[_Wanted]) -> None:
        super().__init__(convert_charrefs=True)
        self.wanted = wanted
        self.open: list[tuple[str, int]] = []
        self.found = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Of ancestors the first that fits is as good as any later one.
        matched = self.open[-1][1] if self.open else 0
        if not self.found and self.wanted[matched].fits(tag, {name: value or "" for name, value in reversed(attrs)}):
            matched += 1
            self.found = matched == len(self.wanted)
        if not self.found and tag not in _VOID and len(self.open) < MAX_DEPTH:
            self.open.append((tag, matched))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # In HTML the slash means nothing: <div/> is open.
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        # An end tag without a beginning is ignored; one that skips others closes them too.
        for at in range(len(self.open) - 1, -1, -1):
            if self.open[at][0] == tag:
                del self.open[at:]
                return
