"""Show of a contract's data only what has the right shape, so that one mistake never hides another."""

from __future__ import annotations

from orchestrator.contract.tree import Data, Path


class View:
    """A contract's data without the parts that are already known to be wrong."""

    def __init__(self, data: Data, wrong: frozenset[Path]) -> None:
        self.data = data
        self.wrong = wrong

    def get(self, *path: str | int) -> Data:
        """Return the value at a path, or None when it is absent or wrong."""
        value = self.data
        for depth, part in enumerate(path, start=1):
            if isinstance(value, dict) and isinstance(part, str):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
            if path[:depth] in self.wrong:
                return None
        return value

    def text(self, *path: str | int) -> str | None:
        """Return the text at a path, or None."""
        value = self.get(*path)
        return value if isinstance(value, str) else None

    def number(self, *path: str | int) -> int | None:
        """Return the number at a path, or None."""
        value = self.get(*path)
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def below(self, *path: str | int) -> list[Path]:
        """Return the paths of a mapping's values or a list's items."""
        value = self.get(*path)
        if isinstance(value, dict):
            return [(*path, key) for key in value]
        return [(*path, index) for index in range(len(value))] if isinstance(value, list) else []
