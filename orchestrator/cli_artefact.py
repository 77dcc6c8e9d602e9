"""The commands about a client's own packages, those that no publisher delivers: `upkeep artefact add|list|remove`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli_options import HERE, Content, Inventories, Json, LedgerUrl, Make, Name, Vault


class AskedKind(StrEnum):
    """What a package can be. The CMS itself comes from its publisher."""

    PLUGIN = "plugin"
    THEME = "theme"


File = Annotated[Path, typer.Argument(metavar="FILE.zip", help="The package, as the publisher gave it to you.")]
Names = Annotated[list[str], typer.Argument(metavar="CLIENT …", help="The clients whose sites may get it.")]
Kind = Annotated[AskedKind | None, typer.Option("--kind", help="Where the archive could be both.")]
Replace = Annotated[bool, typer.Option("--replace", help="Although the same version is there with other bytes.")]
Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The folder of the plugin or theme.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="The version that goes.")]


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the commands of this module on the command line. `settings_of` knows the clock and where things lie."""
    artefact = typer.Typer(
        name="artefact",
        help="Packages that no publisher delivers without a licence: put them into the client's store, and updates find them.",
        rich_markup_mode="markdown",
        no_args_is_help=True,
    )
    app.add_typer(artefact)

    @artefact.command("add")
    def add(
        file: File,
        clients: Names,
        kind: Kind = None,
        replace: Replace = False,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Put a package of a plugin or theme into the stores of clients. What it is stands in its own header.

        Sites that have it in an older version are offered it by the next `upkeep run` or `upkeep rehearse`, under the
        contract's terms: policies, holds, cool-down, the look into it, staging and probes count as for every release.

        Examples: `upkeep artefact add premium-forms.zip acme` · `upkeep artefact add premium-forms.zip acme beta gamma`
        """
        from orchestrator import packager
        from orchestrator.settings import say

        settings = settings_of(inventories, ledger, as_json, vault, content)
        answer = packager.add(settings, file, clients, kind or "", replace=replace)
        say(settings, answer, lambda: settings.console.print(f"Next: {answer['next']}", markup=False, style="bold"))

    @artefact.command("list")
    def listing(
        client: Name,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """List the packages that a client's store has, and how much of WordPress.org's lies there; with `--json`, each of it.

        Example: `upkeep artefact list acme --json`
        """
        from orchestrator import packager
        from orchestrator.settings import say

        settings = settings_of(inventories, ledger, as_json, vault, content)
        answer = packager.listing(settings, client)
        say(settings, answer, lambda: packager.show_listing(settings, answer))

    @artefact.command("remove")
    def remove(
        client: Name,
        slug: Slug,
        version: Version,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Take a package out of a client's store: no site is offered it any more. Sites that have it keep it.

        Example: `upkeep artefact remove acme premium-forms 2.1`
        """
        from orchestrator import packager
        from orchestrator.screen import safe
        from orchestrator.settings import say

        settings = settings_of(inventories, ledger, as_json, vault, content)
        gone = packager.remove(settings, client, slug, version)
        words = ", ".join(each.words() for each in gone)
        say(
            settings,
            {"exit_code": 0, "client": client, "removed": [each.json() for each in gone]},
            lambda: settings.console.print(f"{client}: {safe(words)} removed.", markup=False),
        )
