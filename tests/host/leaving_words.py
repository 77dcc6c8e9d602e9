"""What docs/leaving.md lets a client type who has another database than MariaDB."""

from __future__ import annotations

import re

from tests.host.shop import REPOSITORY


def typed(engine: str) -> str:
    """Return the commands of the page for this engine, as one script."""
    text = (REPOSITORY / "docs" / "leaving.md").read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^[^\n]*\*\*{engine}\*\*.*?^```console\n(.*?)^```$", text)
    assert found, f"the page says nothing about {engine}"
    return "set -eu\n" + "".join(line.removeprefix("$ ") + "\n" for line in found[1].splitlines())
