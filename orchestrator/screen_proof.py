"""The ink of `upkeep verify`: how far the reading back has come, and what was seen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from orchestrator.results import Answer
from orchestrator.screen import HEARTBEAT_SECONDS, safe, show_rows
from orchestrator.settings import Settings
from orchestrator.verifier import Watch

MENDED = {
    "brought_back": "was written over and is brought back",
    "quarantined": "was garbage and is in quarantine",
    "stale_locks": "is a lock of a dead run and is gone",
}


@contextmanager
def watching(settings: Settings) -> Iterator[Watch]:
    """Show how far the reading has come: a bar with bytes and time on a terminal, a line now and then elsewhere."""
    if settings.as_json:
        yield lambda _site, _read, _of: None
    elif settings.console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                   TimeRemainingColumn())  # fmt: skip
        with Progress(*columns, console=settings.console, transient=True) as progress:
            bars: dict[str, Any] = {}

            def draw(site: str, read: int, of: int) -> None:
                if site not in bars:
                    bars[site] = progress.add_task(f"{safe(site)}: reading back", total=of)
                progress.update(bars[site], completed=read, total=of)

            yield draw
    else:
        said = time.monotonic()

        def say(site: str, read: int, of: int) -> None:
            nonlocal said
            if time.monotonic() - said >= HEARTBEAT_SECONDS:
                said = time.monotonic()
                settings.console.print(f"  {site}: {megabytes(read)} of {megabytes(of)} read back", markup=False)

        yield say


def show_all(console: Console, answers: Sequence[Answer]) -> None:
    """Show what verifications have seen."""
    for answer in answers:
        _show(console, answer)


def _show(console: Console, answer: Mapping[str, Any]) -> None:
    points, read = answer["points"], answer["read"]
    complete = sum(1 for point in points if point["complete"])
    console.print(Text(f"{answer['site']}: {complete} of {len(points)} restore points complete", style="bold"))
    if read is not None:
        _show_read(console, read)
    for each in answer["damage"]:
        # An object's name is too long for a table, and has to be copied whole.
        console.print(Text.assemble((safe(each["object"]), "bold red"), f": {safe(each['problem'])}"))
        hit = f"needed by {', '.join(each['points'])}" if each["points"] else "no restore point needs it"
        console.print(f"  {hit}{_some(each['files'])}", markup=False)
    if bad := [point for point in points if not point["complete"]]:
        rows = [{"point": each["point"], "reasons": each["problems"]} for each in bad]
        show_rows(console, "Restore points that are not complete", rows, ("point", "reasons"))
    for key, words in MENDED.items():
        for name in (answer["mended"] or {}).get(key, ()):
            console.print(f"{safe(name)} {words}", markup=False)
    if answer["healed"]:
        for word, names in (("put aside", answer["healed"]["put_aside"]), ("back", answer["healed"]["brought_back"])):
            for name in names:
                console.print(f"{name} is {word}", markup=False)
    sentence = str(answer["message"])
    style = "bold red" if answer["exit_code"] else "green"
    console.print(safe(sentence[:1].upper() + sentence[1:]), markup=False, style=style)
    console.print(f"Next: {safe(answer['next'])}", markup=False, style="bold")


def _show_read(console: Console, read: Mapping[str, Any]) -> None:
    parts = ", ".join(str(part) for part in read["parts"])
    which = "all of it" if len(read["parts"]) == read["of"] else f"part {parts} of {read['of']}"
    since = str(read["all_since"])[:10] if read["all_since"] else ""
    all_since = f"; everything since {since}" if since else "; not everything yet"
    console.print(
        f"Read back: {read['packs']} of {read['of_packs']} packs, {megabytes(read['bytes'])} of"
        f" {megabytes(read['of_bytes'])} ({which}){all_since} (promised: within {read['all_within_days']} days)",
        markup=False,
    )


def _some(paths: Sequence[str]) -> str:
    """Name two files of many."""
    if not paths:
        return ""
    more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
    return f": {safe(', '.join(paths[:2]))}{more}"


def megabytes(size: float) -> str:
    """Say a number of bytes."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
