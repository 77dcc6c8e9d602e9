"""The commands about a client's own packages, those that no publisher delivers: `upkeep artefact add|list|remove`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli_options import HERE, Content, Inventories, Json, LedgerUrl, Name, Vault
from orchestrator.cli_run import Client, Settings, read_client, say
from orchestrator.errors import Refused
from orchestrator.ledger.ledger import peek
from orchestrator.results import Answer
from orchestrator.run import artefacts, package_store
from orchestrator.run.artefacts import Artefact
from orchestrator.run.bucket import Bucket, opened
from orchestrator.screen import safe, show_rows
from orchestrator.storekeeper import OWNER_KEYS, secrets_of

Make = Callable[..., Settings]
# Back so far it is looked which sites have a plugin.
MOST_RUNS = 200
COLUMNS = ("kind", "slug", "version", "name", "author", "bytes", "added", "sha256")


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
        from orchestrator.run.archive import read_archive  # noqa: PLC0415  # only wanted here

        settings = settings_of(inventories, ledger, as_json, vault, content)
        found = read_archive(file, kind or "")
        found = dataclasses.replace(found, added=settings.clock().isoformat(timespec="seconds"))
        known = [read_client(settings, name) for name in dict.fromkeys(clients)]
        for client in known:
            _refuse_shared_key(settings, client)
        # All are asked first: one that refuses leaves the others as they were.
        for client in known:
            with _store(settings, client) as bucket:
                artefacts.refuse_clash(artefacts.read_index(bucket, client.id), found, file, client.id, replace=replace)
        states: list[Answer] = []
        for client in known:
            with _store(settings, client) as bucket:
                state = artefacts.add(bucket, client.id, file, found, replace=replace)
            states.append({"client": client.id, "state": state, "sites": _sites_with(settings, client.id, found)})
            if not as_json:
                _show_added(settings, found, states[-1])
        next_type = f"upkeep rehearse {known[0].id}"
        answer = {"exit_code": 0, "artefact": found.json(), "clients": states, "next": next_type}
        say(settings, answer, lambda: settings.console.print(f"Next: {next_type}", markup=False, style="bold"))

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
        settings = settings_of(inventories, ledger, as_json, vault, content)
        with _store(settings, read_client(settings, client)) as bucket:
            found = [each.json() for each in artefacts.read_index(bucket, client)]
            public = package_store.stored(bucket, client)

        def show() -> None:
            rows = [{**each, "sha256": each["sha256"][:12]} for each in found]
            show_rows(settings.console, f"Packages in the store of {client}", rows, COLUMNS)
            if public:
                size = sum(each.bytes for each in public)
                settings.console.print(f"And {len(public)} releases of WordPress.org ({size} bytes).", markup=False)

        listed = [each.json() for each in public]
        say(settings, {"exit_code": 0, "client": client, "artefacts": found, "wordpress_org": listed}, show)

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
        settings = settings_of(inventories, ledger, as_json, vault, content)
        with _store(settings, read_client(settings, client)) as bucket:
            gone = artefacts.remove(bucket, client, slug, version)
        if not gone:
            raise Refused(
                f"the store of {client} has no {slug[:100]} {version[:40]}; nothing was removed.",
                f"upkeep artefact list {client}",
            )
        words = ", ".join(each.words() for each in gone)
        say(
            settings,
            {"exit_code": 0, "client": client, "removed": [each.json() for each in gone]},
            lambda: settings.console.print(f"{client}: {safe(words)} removed.", markup=False),
        )


def _sites_with(settings: Settings, client: str, artefact: Artefact) -> dict[str, str] | None:
    """Return which sites had the plugin or theme when a run last looked, each with the version; None when none has looked."""
    ledger = peek(settings.ledger)
    if ledger is None:
        return None
    try:
        runs = ledger.runs(client, limit=MOST_RUNS)
    finally:
        ledger.close()
    seen: dict[str, str] = {}
    for run in runs:
        observed = next((step.evidence["versions"] for step in run.steps if step.evidence.get("versions")), None)
        if observed is not None and run.site not in seen:
            of_kind = _mapping(_mapping(observed).get(f"{artefact.kind}s"))
            seen[run.site] = str(_mapping(of_kind.get(artefact.file or artefact.slug)).get("version") or "")
    return {site: version for site, version in sorted(seen.items()) if version} if seen else None


def _mapping(value: Any) -> Mapping[str, Any]:
    # A host has told it.
    return value if isinstance(value, dict) else {}


def _show_added(settings: Settings, artefact: Artefact, added: Answer) -> None:
    settings.console.print(f"{added['client']}: {safe(artefact.words())} {added['state']}.", markup=False)
    sites = added["sites"]
    if sites:
        had = ", ".join(f"{site} ({safe(version)})" for site, version in sites.items())
        settings.console.print(f"  In the last run these sites had it: {had}.", markup=False)
    elif sites is not None:
        settings.console.print(
            f"  No site of {added['client']} had {safe(artefact.file or artefact.slug)} in its last run. Is the folder in the"
            " archive named as it is on the site?",
            markup=False,
            style="yellow",
        )


def _refuse_shared_key(settings: Settings, client: Client) -> None:
    """Raise Refused where hosts are given the key that writes packages: one of them could say what the others are offered."""
    for site in client.contract.sites:
        secrets = secrets_of(settings, client, site.name)
        if secrets.host is not None and not secrets.apart:
            raise Refused(
                f"{site.name} of {client.id} is given the only key of the store (site_snapshot_transport: direct), and would be"
                " able to write packages for the other sites; nothing was stored.",
                f"make a second key at the store; put the first one into the vault as {' and '.join(OWNER_KEYS)}; then type: "
                f"upkeep store policy {client.id} --apply",
            )


@contextmanager
def _store(settings: Settings, client: Client) -> Iterator[Bucket]:
    """Reach a client's store with the key that no host has."""
    owner = secrets_of(settings, client, client.contract.sites[0].name).owner
    with opened(client.contract.store, owner) as bucket:
        yield bucket
