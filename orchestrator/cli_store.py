"""The commands about the store itself: `upkeep store check|init|policy`, and `upkeep prune`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli_options import HERE, Content, Inventories, Json, LedgerUrl, Name, Sites, Vault
from orchestrator.cli_run import Settings, end_with, read_client, say
from orchestrator.results import Answer, worst
from orchestrator.screen import safe, show_rows
from orchestrator.storekeeper import check_store, init_store, prune_sites, store_policy

Make = Callable[..., Settings]
Principal = Annotated[
    str, typer.Option(metavar="ARN", help="Whose key the hosts have. Without it the store is asked (Ceph).")
]
Forget = Annotated[
    list[str] | None, typer.Option("--forget", metavar="ID", help="Remove this one too. May be repeated.")
]
Restic = Annotated[str, typer.Option("--restic", metavar="PATH", envvar="UPKEEP_RESTIC", help="restic, here.")]


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the commands of this module on the command line. `settings_of` knows the clock and where things lie."""
    store = typer.Typer(
        name="store",
        help="Make and check the bucket that the restore points lie in.",
        rich_markup_mode="markdown",
        no_args_is_help=True,
    )
    app.add_typer(store)

    @store.command("check")
    def check(
        client: Name,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Try which promises the client's store keeps: locks, versions, privacy, and what the hosts' key may do.

        Nothing is believed: small objects are put in, attacked, and taken out again. Code 12 when the contract
        promises something that this store does not keep.

        Example: `upkeep store check acme`
        """
        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        _announce(settings, client)
        _end_check(settings, check_store(settings, known, settings.new_id(settings.clock())))

    @store.command("init")
    def init(
        client: Name,
        restic: Restic = "restic",
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Make the client's bucket, set what guards it, then check it.

        Versions, object lock (the contract's `store.lock_days`), lifecycle rules, public access blocked. What is set
        more strictly already stays. Can be typed again at any time.

        Example: `upkeep store init acme`
        """
        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        _announce(settings, client)
        _end_check(settings, init_store(settings, known, settings.new_id(settings.clock()), program=restic))

    @store.command("policy")
    def policy(
        client: Name,
        principal: Principal = "",
        apply: Annotated[bool, typer.Option("--apply", help="Give the bucket this policy.")] = False,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Show the policies that leave the hosts' key what hosts need and no more; `--apply` sets the bucket's.

        The first is for the user at Amazon (IAM), the second for the bucket (Ceph, and Amazon too).

        Examples: `upkeep store policy acme` · `upkeep store policy acme --apply`
        """
        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        answer = store_policy(settings, known, principal, apply=apply)
        say(settings, answer, lambda: _show_policy(settings.console, answer))

    @app.command("prune")
    def prune(
        client: Name,
        sites: Sites = None,
        sure: Annotated[bool, typer.Option("--yes", help="Do it. Without this it is only shown.")] = False,
        forget: Forget = None,
        restic: Restic = "restic",
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Show which restore points the contract's retention keeps and which go, each with its reasons; `--yes` does it.

        Never removed: the newest good point, the two good ones before it, what a run needs, what is locked; and
        nothing at all while a clock is wrong. `--forget` names a point that no rule removes.

        Examples: `upkeep prune acme` · `upkeep prune acme --site shop --yes`
        """
        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        answers = prune_sites(settings, known, sites or (), frozenset(forget or ()), sure=sure, program=restic)
        code = worst(answer["exit_code"] for answer in answers)
        whole = {"client": client, "exit_code": code, "sites": answers}
        end_with(settings, whole, answers, lambda: _show_prunes(settings.console, answers))


def _announce(settings: Settings, client: str) -> None:
    if not settings.as_json:
        settings.console.print(f"Trying the store of {client}: some seconds, because locks are waited for …")


def _end_check(settings: Settings, answer: Answer) -> None:
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


def _show_policy(console: Console, answer: Mapping[str, Any]) -> None:
    for title, key in (("For the user (IAM)", "user_policy"), ("For the bucket", "bucket_policy")):
        console.print(Text(title, style="bold"))
        console.print(json.dumps(answer[key], indent=2), markup=False)
    told = {"set": "The bucket has this policy now.", "was so": "The bucket had this policy already."}
    console.print(
        told.get(str(answer["applied"]), f"Nothing was set. Next: upkeep store policy {answer['client']} --apply")
    )


def _show_prunes(console: Console, answers: Sequence[Mapping[str, Any]]) -> None:
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
