"""The ink of errors: a sentence and the next thing to type, on stderr; or the same as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def help_for(error: Exception) -> str:
    """Say which help fits an error of the parser."""
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context is not None else 'upkeep'} --help"


def complain(as_json: bool, code: int, message: str, next_type: str, mistakes: Sequence[Any] = ()) -> None:
    """Say what went wrong and what to type next."""
    if as_json:
        complain_json(code, message, next_type, mistakes)
        return
    from orchestrator.screen import make_console, safe  # noqa: PLC0415  # few commands have anything to complain of

    console = make_console(stderr=True)
    console.print(f"upkeep: {safe(message)}", markup=False)
    console.print(f"Next: {safe(next_type)}", markup=False, style="bold")


def complain_json(code: int, message: str, next_type: str, mistakes: Sequence[Any] = ()) -> None:
    """Say it to a program."""
    error: dict[str, Any] = {"code": code, "message": message, "next": next_type}
    if mistakes:
        error["mistakes"] = [dataclasses.asdict(mistake) for mistake in mistakes]
    sys.stderr.write(json.dumps({"error": error}, ensure_ascii=False) + "\n")


def write_crash(error: Exception, folder: Path, name: str) -> Path:
    """Keep the traceback for the one who reports the bug; only the owner can read it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{name}.txt"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        traceback.print_exception(error)
        return Path("the lines above")
    return path
