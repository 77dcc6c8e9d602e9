"""The ink of the commands about the store: `upkeep store check|init|policy`, and `upkeep prune`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.results import Answer
from orchestrator.screen import safe, show_rows
from orchestrator.settings import Settings, end_with


def announce(settings: Settings, client: str) -> None:
    """Say that a trial takes its time."""
    if not settings.as_json:
        settings.console.print(f"Trying the store of {client}: some seconds, because locks are waited for …")


def end_check(settings: Settings, answer: Answer) -> None:
    """End a command that has tried the store."""
    end_with(settings, answer, [answer], lambda: _show_check(settings.console, answer))


def _show_check(console: Console, answer: Mapping[str, Any]) -> None:
    if "done" in answer:
        done = [{**each, "how": each["how"] or None} for each in answer["done"]]
        show_rows(console, f"Bucket {answer['bucket']} at {answer['endpoint']}", done, ("what", "state", "how"))
        console.print()
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("kept")
    table.add_column("promise, how it is known, what to do", overflow="fold")
    for finding in answer["findings"]:
        words = Text.assemble((safe(finding["promise"]), "bold"), "\n", (safe(finding["how"]), "dim"))
        if finding["todo"]:
            words.append(f"\n→ {safe(finding['todo'])}")
        table.add_row(_kept(finding), words)
    console.print(Text(f"What the store {safe(answer['endpoint'])} keeps", style="bold"))
    console.print(table)
    if answer["left"]:
        stay = f"{len(answer['left'])} small objects of this trial are locked and stay for now: {answer['left'][0]}"
        console.print(safe(stay), markup=False)
    sentence = str(answer["message"])
    console.print(safe(sentence[:1].upper() + sentence[1:]), markup=False, style="" if answer["kept"] else "bold red")
    console.print(f"Next: {safe(answer['next'])}", markup=False, style="bold")


def _kept(finding: Mapping[str, Any]) -> Text:
    if finding["kept"]:
        return Text("yes", style="green")
    word = "not tried" if finding["kept"] is None else "NO"
    return Text(word, style="bold red") if finding["promised"] else Text(f"{word}, not promised", style="yellow")


def show_policy(console: Console, answer: Mapping[str, Any]) -> None:
    """Show the policies for a store."""
    for title, key in (("For the user (IAM)", "user_policy"), ("For the bucket", "bucket_policy")):
        console.print(Text(title, style="bold"))
        console.print(json.dumps(answer[key], indent=2), markup=False)
    told = {"set": "The bucket has this policy now.", "was so": "The bucket had this policy already."}
    console.print(
        told.get(str(answer["applied"]), f"Nothing was set. Next: upkeep store policy {answer['client']} --apply")
    )


def show_prunes(console: Console, answers: Sequence[Mapping[str, Any]]) -> None:
    """Show which restore points stay and which go."""
    for answer in answers:
        _show_prune(console, answer)


def _show_prune(console: Console, answer: Mapping[str, Any]) -> None:
    kept, removed = answer["kept"], answer["removed"]
    verb = "are removed" if answer["done"] else "would go"
    console.print(Text(f"{answer['site']}: {len(kept)} restore points stay, {len(removed)} {verb}", style="bold"))
    columns = ("point", "taken", "reasons")
    if kept:
        show_rows(console, "Stay", kept, columns)
    if removed:
        show_rows(console, "Removed" if answer["done"] else "Would go", removed, columns)
    if answer.get("foreign"):
        console.print(f"{len(answer['foreign'])} snapshots in the repository are none of ours and are left alone.")
    if answer["done"]:
        if answer["done"]["stale_locks"]:
            console.print(f"{len(answer['done']['stale_locks'])} locks of dead runs were taken away.")
        if answer["done"]["note"]:
            console.print(answer["done"]["note"], markup=False)
    if locks := answer.get("locks"):
        verb = "are renewed" if locks["renewed"] else "would be renewed"
        console.print(
            f"{len(locks['objects'])} locks ({locks['first']}) end before {locks['point']} needs them"
            f" ({locks['until'][:10]}) and {verb}."
        )
    if answer["message"]:
        words = str(answer["message"])
        console.print(safe(words[:1].upper() + words[1:]), markup=False, style="yellow")
    if answer["next"]:
        console.print(f"Next: {safe(answer['next'])}", markup=False, style="bold")
