"""Put other people's words into our messages: quoted, harmless, and with what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST_QUOTE = 60
PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


def quoted(value: object) -> str:
    """Quote a value for a message, shortened, with everything escaped that could forge a line or drive a terminal."""
    # A hostile value may be 250 kB long, or deep: only the beginning of a string is ever shown.
    if isinstance(value, str):
        return repr(value) if len(value) <= LONGEST_QUOTE else repr(value[:LONGEST_QUOTE]) + "…"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value)


def printable(text: str) -> str:
    """Escape whatever a terminal would not show as one plain line."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def dotted(path: Iterable[str | int]) -> str:
    """Write a path as a person reads it: `sites.shop.functions[2].path`."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part + 1}]"
        else:
            name = part if PLAIN_KEY.fullmatch(part) else quoted(part)
            written += f".{name}" if written else name
    return written


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?`, or nothing when no allowed word is near."""
    # The length is limited because the comparison takes quadratic time.
    if not isinstance(word, str) or not 0 < len(word) <= 64:
        return ""
    by_small_letters = {each.lower(): each for each in allowed}
    near = difflib.get_close_matches(word.lower(), by_small_letters, n=1, cutoff=0.6)
    return f" Did you mean {quoted(by_small_letters[near[0]])}?" if near else ""


def one_of(allowed: Iterable[object]) -> str:
    """List what is allowed: `'a', 'b' or 'c'`."""
    words = [quoted(each) for each in allowed]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
