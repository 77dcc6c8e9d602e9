"""The commands about the store itself: `upkeep store check|init|policy`, and `upkeep prune`."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli_options import HERE, Content, Inventories, Json, LedgerUrl, Make, Name, Restic, Sites, Vault

Principal = Annotated[
    str, typer.Option(metavar="ARN", help="Whose key the hosts have. Without it the store is asked (Ceph).")
]
Forget = Annotated[
    list[str] | None, typer.Option("--forget", metavar="ID", help="Remove this one too. May be repeated.")
]


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
        from orchestrator.planning import read_client
        from orchestrator.screen_store import announce, end_check
        from orchestrator.storekeeper import check_store

        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        announce(settings, client)
        end_check(settings, check_store(settings, known, settings.new_id(settings.clock())))

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
        from orchestrator.planning import read_client
        from orchestrator.screen_store import announce, end_check
        from orchestrator.storekeeper import init_store

        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        announce(settings, client)
        end_check(settings, init_store(settings, known, settings.new_id(settings.clock()), program=restic))

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
        from orchestrator.planning import read_client
        from orchestrator.screen_store import show_policy
        from orchestrator.settings import say
        from orchestrator.storekeeper import store_policy

        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        answer = store_policy(settings, known, principal, apply=apply)
        say(settings, answer, lambda: show_policy(settings.console, answer))

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
        from orchestrator.planning import read_client
        from orchestrator.results import worst
        from orchestrator.screen_store import show_prunes
        from orchestrator.settings import end_with
        from orchestrator.storekeeper import prune_sites

        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        answers = prune_sites(settings, known, sites or (), frozenset(forget or ()), sure=sure, program=restic)
        code = worst(answer["exit_code"] for answer in answers)
        whole = {"client": client, "exit_code": code, "sites": answers}
        end_with(settings, whole, answers, lambda: show_prunes(settings.console, answers))
