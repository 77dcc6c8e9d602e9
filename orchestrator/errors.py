"""Name the few ways in which `upkeep` ends without having done what was asked.

One base, one line each. An error carries a sentence and the next thing to type; it prints and logs nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that is wrong in a client's file, and where. All texts are already safe to print."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        return f"{where}{self.path}: {self.message}" if self.path else where + self.message


class UpkeepError(Exception):
    """The base. `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class Usage(UpkeepError):
    """The command was typed in a way that cannot be understood."""

    exit_code = 2


class PutBack(UpkeepError):
    """A change was bad and was put back: the site is healthy."""

    exit_code = 3


class NotPutBack(UpkeepError):
    """A change was bad and is still there: a person is needed."""

    exit_code = 4


class ContractInvalid(UpkeepError):
    """A contract has mistakes. It carries all of them, in the order of their lines."""

    exit_code = 10

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = "\n".join(str(mistake) for mistake in mistakes)
        super().__init__(
            f"{count} in the contract; nothing was run.\n{lines}",
            "Correct the lines above, then type: upkeep check",
        )
        self.mistakes = mistakes


class Busy(UpkeepError):
    """Another run holds the site."""

    exit_code = 11


class Refused(UpkeepError):
    """What was asked is not safe now. Nothing was touched."""

    exit_code = 12
