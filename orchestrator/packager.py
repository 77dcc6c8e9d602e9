"""Answer the commands about a client's own packages, those that no publisher delivers: add, list, remove."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.errors import Refused
from orchestrator.ledger.address import peek
from orchestrator.planning import Client, read_client
from orchestrator.results import Answer
from orchestrator.run import artefacts, package_store
from orchestrator.run.archive import read_archive
from orchestrator.run.artefacts import Artefact
from orchestrator.run.bucket import Bucket, opened
from orchestrator.screen import safe, show_rows
from orchestrator.settings import Settings
from orchestrator.storekeeper import OWNER_KEYS, secrets_of

# Back so far it is looked which sites have a plugin.
MOST_RUNS = 200
COLUMNS = ("kind", "slug", "version", "name", "author", "bytes", "added", "sha256")


def add(settings: Settings, file: Path, clients: Sequence[str], kind: str, *, replace: bool) -> Answer:
    """Put a package into the stores of clients; each is shown as it is done. Raises Refused before anything is stored."""
    found = read_archive(file, kind)
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
        if not settings.as_json:
            _show_added(settings, found, states[-1])
    return {"exit_code": 0, "artefact": found.json(), "clients": states, "next": f"upkeep rehearse {known[0].id}"}


def listing(settings: Settings, client: str) -> Answer:
    """List the packages that a client's store has."""
    with _store(settings, read_client(settings, client)) as bucket:
        found = [each.json() for each in artefacts.read_index(bucket, client)]
        public = [each.json() for each in package_store.stored(bucket, client)]
    return {"exit_code": 0, "client": client, "artefacts": found, "wordpress_org": public}


def show_listing(settings: Settings, answer: Answer) -> None:
    """Show the packages that a client's store has."""
    rows = [{**each, "sha256": each["sha256"][:12]} for each in answer["artefacts"]]
    show_rows(settings.console, f"Packages in the store of {answer['client']}", rows, COLUMNS)
    if public := answer["wordpress_org"]:
        size = sum(each["bytes"] for each in public)
        settings.console.print(f"And {len(public)} releases of WordPress.org ({size} bytes).", markup=False)


def remove(settings: Settings, client: str, slug: str, version: str) -> list[Artefact]:
    """Take a package out of a client's store; returns what is gone. Raises Refused when it was not there."""
    with _store(settings, read_client(settings, client)) as bucket:
        gone = artefacts.remove(bucket, client, slug, version)
    if not gone:
        raise Refused(
            f"the store of {client} has no {slug[:100]} {version[:40]}; nothing was removed.",
            f"upkeep artefact list {client}",
        )
    return list(gone)


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
