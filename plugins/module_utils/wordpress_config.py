# GPL-3.0-or-later
"""Say in a wp-config.php which database it names, and touch no other byte of it."""

from __future__ import annotations

import os
import re
import stat
from typing import Mapping

# A line of its own, so that one in a line comment is none; PHP itself is asked afterwards whether it took effect.
_DEFINED = r"(?m)^(?P<before>[ \t]*define\s*\(\s*(?P<quote>['\"])%s(?P=quote)\s*,\s*)(?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\$]|\\.)*\")(?P<after>\s*\)\s*;)"
CONSTANTS = {"name": "DB_NAME", "user": "DB_USER", "password": "DB_PASSWORD", "host": "DB_HOST"}


class ConfigError(Exception):
    """A wp-config.php does not say plainly what it is to say otherwise."""


def rewritten(text: str, wanted: Mapping[str, str]) -> str:
    """Return the file with other values of these constants. Raises ConfigError unless each is said once, plainly."""
    for constant, value in wanted.items():
        found = list(re.finditer(_DEFINED % re.escape(constant), text))
        if len(found) != 1:
            often = "not in plain words" if not found else f"{len(found)} times"
            raise ConfigError(f"its wp-config.php says {constant} {often}: it has to be changed by hand")
        match = found[0]
        text = text[: match.start("value")] + _literal(value) + text[match.end("value") :]
    return text


def rewrite(path: str, wanted: Mapping[str, str]) -> None:
    """Change these constants in a file, which keeps its mode. Raises ConfigError, OSError."""
    with open(path, encoding="latin-1", newline="") as file:
        text = file.read()
    # As UTF-8 in the end, as bytes that were none of our business before.
    changed = rewritten(text, {name: value.encode().decode("latin-1") for name, value in wanted.items()})
    temporary = path + ".upkeep-tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="latin-1", newline="") as file:
        file.write(changed)
    os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
    os.replace(temporary, path)


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
