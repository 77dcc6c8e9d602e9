"""The commands that prove restore points: `upkeep verify` reads them back, `upkeep drill` recovers from one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from orchestrator.cli_options import HERE, Content, Inventories, Json, LedgerUrl, Name, Program, Sites, Vault
from orchestrator.cli_restore import check_host
from orchestrator.cli_run import Settings, carry_out_plan, end_with, planned, read_client
from orchestrator.cli_store import Restic
from orchestrator.errors import Usage
from orchestrator.plan.plan import ID, Duty, choose_sites
from orchestrator.results import Answer, worst
from orchestrator.screen import HEARTBEAT_SECONDS, safe, show_rows
from orchestrator.verifier import Watch, verify_sites

Make = Callable[..., Settings]
Full = Annotated[bool, typer.Option("--full", help="Read all of the data back, not only the part whose turn it is.")]
Heal = Annotated[
    bool,
    typer.Option(
        "--heal",
        help="Bring back what was written over, take out garbage and what is damaged, so that snapshots bring it again.",
    ),
]


MENDED = {
    "brought_back": "was written over and is brought back",
    "quarantined": "was garbage and is in quarantine",
    "stale_locks": "is a lock of a dead run and is gone",
}
End = Callable[[Settings, Sequence[Answer]], None]
NEWEST = "newest"
Point = Annotated[
    str, typer.Option("--point", metavar="ID", help="This restore point instead, as `upkeep points` shows it.")
]


On = Annotated[str, typer.Option("--on", metavar="HOST", help="In a scratch place of this host.", show_default=False)]


def add_commands(app: typer.Typer, settings_of: Make, end: End) -> None:
    """Put the commands of this module on the command line.

    `settings_of` knows the clock and where things lie, `end` closes a command of several runs.
    """

    @app.command("drill")
    def drill(
        client: Name,
        sites: Sites = None,
        point: Point = NEWEST,
        on: On = "",
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        program: Program = "",
        as_json: Json = False,
    ) -> None:
        """Bring the newest restore point back in a scratch place on its host, try every function, and remove it again.

        Measures how long a recovery takes and how old its data are, beside what the contract promises. Production is
        only read. Code 12 when the site cannot be recovered from that point. A staging host of its own (`places.staging.host`)
        is that host.

        With `--on HOST` it is another host of hosts.yml, which need not have a site: what is needed of production is then
        nothing, as in an emergency.

        Examples: `upkeep drill acme` · `upkeep drill acme --site shop` · `upkeep drill acme --on spare-host`
        """
        settings = settings_of(inventories, ledger, as_json, vault, content, program)
        if point != NEWEST and not ID.fullmatch(point):
            raise Usage(f"'{point[:60]}' is not the id of a restore point.", f"upkeep points {client}")
        known = read_client(settings, client)
        for site in choose_sites(known.contract, sites or ()) if on else ():
            check_host(settings, known, site, on)
        end(settings, carry_out_plan(settings, known, planned(settings, known, sites or (), Duty.DRILL, point, to=on)))

    @app.command("verify")
    def verify(
        client: Name,
        sites: Sites = None,
        full: Full = False,
        heal: Heal = False,
        restic: Restic = "restic",
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        as_json: Json = False,
    ) -> None:
        """Hold every restore point against the store, and read a part of the data back: another part each time.

        Damage is named by restore point, site and object. Code 4: something is damaged, a person is needed. Code 3: it
        was put right, and every restore point is complete. Nothing is changed without `--heal`, which is also what to type
        after a break-in, or when restic stops at what lies in the repository.

        Examples: `upkeep verify acme` · `upkeep verify acme --site shop --full` · `upkeep verify acme --heal`
        """
        settings = settings_of(inventories, ledger, as_json, vault, content)
        known = read_client(settings, client)
        with _watching(settings) as watch:
            answers = verify_sites(settings, known, sites or (), full=full, healing=heal, program=restic, watch=watch)
        code = worst(answer["exit_code"] for answer in answers)
        whole = {"client": client, "exit_code": code, "sites": answers}
        end_with(settings, whole, answers, lambda: _show_all(settings.console, answers))


@contextmanager
def _watching(settings: Settings) -> Iterator[Watch]:
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


def _show_all(console: Console, answers: Sequence[Answer]) -> None:
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
