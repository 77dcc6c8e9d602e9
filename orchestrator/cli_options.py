"""The arguments and options that several commands share, and what every command's help says."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from orchestrator.settings import Settings

CODES = """
**Exit codes**: 0 done, or nothing to do · 1 a bug of ours · 2 the command was not understood · 3 put back, the site is
healthy · 4 not put back, a person is needed · 5 something is due (`upkeep due`) · 6 degraded: updated, but not all of
it is done yet · 10 a contract has mistakes · 11 another run has the site · 12 refused,
nothing was touched · 130 interrupted, nothing was touched. Any other code is a failure.
"""


def show_version(wanted: bool) -> None:
    """Print which upkeep this is, and what it carries its work out with: the words that a report of a bug begins with."""
    if wanted:
        import platform
        from importlib.metadata import version

        parts = [f"{name} {version(name)}" for name in ("ansible-core", "ansible-runner", "boto3")]
        print(f"upkeep {version('upkeep')} (Python {platform.python_version()}, {', '.join(parts)})")
        raise typer.Exit


Which = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Say which upkeep this is.")
]
Name = Annotated[str, typer.Argument(metavar="CLIENT", help="The client: the name of a folder in inventories/.")]
Sites = Annotated[list[str] | None, typer.Option("--site", metavar="SITE", help="Only this site. May be repeated.")]
Inventories = Annotated[
    Path, typer.Option("--inventories", envvar="UPKEEP_INVENTORIES", metavar="DIR", help="The folder of the clients.")
]
LedgerUrl = Annotated[
    str,
    typer.Option(
        "--ledger",
        envvar="UPKEEP_LEDGER",
        metavar="FILE|URL",
        help="The ledger. Without it: ~/.local/state/upkeep/ledger.sqlite",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The answer as JSON on stdout, an error as JSON on stderr.")]
Vault = Annotated[
    Path | None,
    typer.Option("--vault-password-file", envvar="ANSIBLE_VAULT_PASSWORD_FILE", metavar="FILE", help="As for Ansible."),
]
Content = Annotated[
    Path | None,
    typer.Option("--content", envvar="UPKEEP_CONTENT", metavar="DIR", hidden=True, help="Other playbooks than ours."),
]
Program = Annotated[
    str,
    typer.Option(
        "--ansible-playbook", envvar="UPKEEP_ANSIBLE_PLAYBOOK", metavar="PROGRAM", hidden=True, help="Another one."
    ),
]
Restic = Annotated[str, typer.Option("--restic", metavar="PATH", envvar="UPKEEP_RESTIC", help="restic, here.")]
HERE = Path("inventories")
# What gathers what a command was told; it knows the clock and where things lie.
Make: TypeAlias = "Callable[..., Settings]"


class AskedDuty(StrEnum):
    """The duties that a person may ask for. A restore has its own command."""

    BACKUP = "backup"
    UPDATE = "update"
    REHEARSE = "rehearse"


class AskedPart(StrEnum):
    """The halves of a restore point."""

    FILES = "files"
    DATABASE = "database"


RestoredSite = Annotated[str, typer.Option("--site", metavar="SITE", help="The site to restore.")]
RestoredPoint = Annotated[
    str,
    typer.Option(
        "--point", metavar="ID|newest", help="The restore point, as `upkeep points` shows it; `newest` with --to."
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="HOST|staging",
        help="Onto this host, which has no site yet; or into the staging place.",
        show_default=False,
    ),
]
AskOnly = Annotated[AskedPart | None, typer.Option("--only", help="Only the files, or only the database.")]
Tables = Annotated[list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table. May be repeated.")]
Paths = Annotated[
    list[str] | None,
    typer.Option("--path", metavar="PATH", help="Only this file or folder below the site's folder. May be repeated."),
]
OtherVersion = Annotated[
    bool,
    typer.Option("--accept-other-version", help="A part of it, although WordPress has another version now."),
]
Together = Annotated[
    int,
    typer.Option(
        "--together",
        metavar="N",
        min=1,
        max=20,
        help="So many sites at once, each on another machine. 1: one after the other.",
    ),
]
AskDuty = Annotated[AskedDuty | None, typer.Option("--duty", help="Without it: update, if it was promised.")]
