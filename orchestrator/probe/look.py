"""Judge a browser's look at a page after an update, beside two looks at it before. Values in, values out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.probe.pictures import Box, Comparison, compare

MOST_NAMED = 5
LONGEST_WORDS = 200
# What differs between two messages of the same fault: places in a file, numbers, what stands behind a question mark.
_PASSING = re.compile(r"\?[^\s'\"]*|\b0x[0-9a-f]+\b|\d+")


@dataclass(frozen=True)
class Look:
    """What a browser saw of one page. `error`, after an update only, says why it saw nothing of it."""

    name: str
    status: int = 0
    picture: bytes = b""
    errors: tuple[str, ...] = ()
    """What JavaScript complained of: errors on the console, and those that nobody caught."""
    parts: tuple[str, ...] = ()
    """Forms, fields and buttons, each as often as it is there."""
    links: tuple[str, ...] = ()
    """Paths of this site that the page links to."""
    masks: tuple[Box, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Judged:
    """What became of one page. Without objections it may go to production."""

    name: str
    objections: tuple[str, ...]
    notes: tuple[str, ...]
    comparison: Comparison | None

    @property
    def verdict(self) -> str:
        """Say it in a word: look (a person should), unstable (what moves by itself is left out), same."""
        if self.objections:
            return "look"
        return "unstable" if self.comparison is not None and self.comparison.unstable else "same"


def judge(first: Look, second: Look, after: Look, threshold: float) -> Judged:
    """Judge one page. `threshold` is the share of the picture, part of 1, that may change outside of what was left out."""
    if after.error:
        return Judged(after.name, (f"{after.name}: {after.error}",), (), None)
    objections, notes = [], []
    if after.status != first.status:
        objections.append(f"status {after.status}, and {first.status} before")
    objections += [f"JavaScript: {said}" for said in new_errors(first, second, after)]
    objections += [f"{part} is gone" for part in _whole(gone(first.parts, second.parts, after.parts))]
    lost = gone(first.links, second.links, after.links)
    if lost and Counter(first.links) == Counter(second.links):
        objections += [f"the link to {link} is gone" for link in lost]
    elif lost:
        notes.append(f"links change by themselves; gone: {', '.join(lost[:MOST_NAMED])}")
    seen = compare(first.picture, second.picture, after.picture, (*first.masks, *second.masks, *after.masks))
    if not seen.judged:
        notes.append(f"{percent(seen.unstable)} of the page changes by itself, so its picture is not judged")
    elif seen.changed > threshold:
        objections.append(f"{percent(seen.changed)} of the picture is different, and {percent(threshold)} may be")
    if seen.judged and seen.unstable:
        notes.append(f"{percent(seen.unstable)} of the page changes by itself and is left out")
    return Judged(after.name, tuple(f"{after.name}: {each}" for each in _few(objections)), tuple(notes), seen)


def new_errors(first: Look, second: Look, after: Look) -> list[str]:
    """Return what JavaScript complains of now and did not in either look before."""
    known = {_key(said) for said in (*first.errors, *second.errors)}
    found: dict[str, str] = {}
    for said in after.errors:
        if _key(said) not in known:
            found.setdefault(_key(said), said[:LONGEST_WORDS])
    return list(found.values())


def gone(first: Iterable[str], second: Iterable[str], after: Iterable[str]) -> list[str]:
    """Return what both looks before had and the one afterwards has not, or has less often."""
    left = (Counter(first) & Counter(second)) - Counter(after)
    return sorted(left)


def _whole(lost: Sequence[str]) -> list[str]:
    """Leave out what belonged to a form that is gone itself."""
    return [part for part in lost if not any(part.endswith(f" of {other}") for other in lost)]


def percent(share: float) -> str:
    """Say a share in words; what is not nothing is not called 0 %."""
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


def _key(said: str) -> str:
    return _PASSING.sub("N", said)


def _few(objections: Sequence[str]) -> list[str]:
    if len(objections) <= MOST_NAMED:
        return list(objections)
    return [*objections[:MOST_NAMED], f"and {len(objections) - MOST_NAMED} more"]
