"""Hold one client's contract as frozen values. Whatever has one of these has a contract without mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time
from typing import Literal

Policy = Literal["all", "minor", "none"] | tuple[str, ...]
CorePolicy = Literal["none", "minor", "major"]
HoldKind = Literal["core", "plugin", "theme", "translation"]
TranslationPolicy = Literal["all", "none"]
FunctionKind = Literal["page", "feed", "sitemap", "rest", "search", "xmlrpc_off", "login", "admin", "editor", "steps"]
LookLevel = Literal["low", "high", "never"]
Period = Literal["daily", "weekly", "monthly"]


@dataclass(frozen=True)
class Client:
    """Who was promised something."""

    id: str
    name: str
    language: str


@dataclass(frozen=True)
class Agreement:
    """The paper behind the contract: its number, its dates and the clock they are read by."""

    number: str
    signed: date
    begins: date
    ends: date
    time_zone: str


@dataclass(frozen=True)
class Contact:
    """A person on either side. `phone` is empty when none was given."""

    name: str
    role: Literal["client", "agency"]
    email: str
    phone: str


@dataclass(frozen=True)
class Store:
    """The S3 store that holds the restore points. Its keys are in the vault, never here.

    `lock_days` is 0 when the contract does not promise that nobody can remove a restore point for a time.
    """

    endpoint: str
    bucket: str
    region: str
    lock_days: int = 0


@dataclass(frozen=True)
class Programs:
    """How the host calls the programs that are needed: names, or absolute paths."""

    php: str = "php"
    mariadb: str = "mariadb"
    mariadb_dump: str = "mariadb-dump"
    restic: str = "restic"
    psql: str = "psql"
    pg_dump: str = "pg_dump"


@dataclass(frozen=True)
class Database:
    """The database of a site that does not say it itself. Its password is in the vault, never here."""

    engine: Literal["mariadb", "postgresql", "sqlite"]
    name: str = ""
    user: str = ""
    host: str = ""
    file: str = ""


@dataclass(frozen=True)
class Production:
    """The place that visitors see. `error_log` is empty when PHP is to be asked for it.

    `database` is None for WordPress, whose wp-config.php says it.
    """

    host: str
    root: str
    address: str
    port: int
    programs: Programs
    error_log: str
    database: Database | None = None


@dataclass(frozen=True)
class Staging:
    """The place for rehearsals. `host` is empty when that is production's own host."""

    port: int
    database: str
    host: str = ""


@dataclass(frozen=True)
class Step:
    """One step of a visitor, and what its answer must be like. `hidden` are fields taken from the page before."""

    method: Literal["get", "post"]
    path: str
    form: tuple[tuple[str, str], ...] = ()
    hidden: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    selector: str = ""
    status: int = 200


@dataclass(frozen=True)
class Mail:
    """A mail that must have been sent."""

    to: str
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class Function:
    """Something the client says that the site must do, with the check that shows it. What is 0 or empty was not said."""

    name: str
    path: str
    text: tuple[str, ...] = ()
    status: int = 200
    kind: FunctionKind = "page"
    absent: tuple[str, ...] = ()
    selector: str = ""
    max_seconds: float = 0.0
    min_bytes: int = 0
    max_bytes: int = 0
    steps: tuple[Step, ...] = ()
    places: tuple[str, ...] = ()
    """Where it is looked at; empty: everywhere."""
    mail: Mail | None = None


@dataclass(frozen=True)
class Site:
    """One website with its places and functions. `url` has no closing slash."""

    name: str
    cms: Literal["wordpress", "other"]
    url: str
    production: Production
    staging: Staging
    functions: tuple[Function, ...]


@dataclass(frozen=True)
class Window:
    """When a duty may touch production, by the agreement's time zone. One that ends before it begins crosses midnight."""

    days: tuple[str, ...]
    begins: time
    ends: time


@dataclass(frozen=True)
class Hold:
    """A release that this client's sites do not get, with the reason.

    With `only`, all releases but that one are held, and `version` is empty. After `until` the hold counts no more.
    """

    kind: HoldKind
    slug: str
    version: str
    reason: str
    only: str = ""
    until: date | None = None


@dataclass(frozen=True)
class Verify:
    """How often restore points are looked at, and within how many days all of their data is read back."""

    every: Period = "weekly"
    all_within_days: int = 30


@dataclass(frozen=True)
class Recovery:
    """How long a recovery may take, how old the data may be then, and how often that is tried."""

    rto_hours: int
    rpo_hours: int
    drill: Period = "monthly"


@dataclass(frozen=True)
class BackupDuty:
    """The promise of a restore point of every site. Without `recovery` no times were promised."""

    verify: Verify = Verify()
    recovery: Recovery | None = None


@dataclass(frozen=True)
class Pictures:
    """A browser's look at the copy, before its update and after it."""

    of: tuple[str, ...] = ()
    """The functions whose pages are looked at; empty: all that are pages."""
    threshold: float = 0.01
    """The share of a picture, part of 1, that an update may change."""
    masks: tuple[str, ...] = ()
    """Selectors of what is left out of the pictures."""
    width: int = 1280


@dataclass(frozen=True)
class UpdateDuty:
    """The promise to bring what the policies allow, in the window, and to leave out what is held."""

    window: Window
    core: CorePolicy
    plugins: Policy
    themes: Policy
    holds: tuple[Hold, ...]
    # For so many minutes what an update leaves to be done in the background is awaited.
    wait_minutes: int = 2
    # After so many minutes the site is probed again; 0: it is not.
    soak_minutes: int = 0
    # For so many seconds visitors may be kept out while an update is put in place.
    freeze_seconds: int = 60
    cool_down_days: int = 0
    fast_lane: tuple[str, ...] = ()
    look_hold_at: LookLevel = "high"
    pictures: Pictures | None = None
    # Language packs of what is installed; none: nobody is asked for them.
    translations: TranslationPolicy = "none"


@dataclass(frozen=True)
class Promise:
    """A duty that is written down in the client's words and that nothing serves yet."""

    duty: str
    words: str


@dataclass(frozen=True)
class Scope:
    """The duties that were promised. A duty that is None was not."""

    backup: BackupDuty | None
    update: UpdateDuty | None
    promises: tuple[Promise, ...]


@dataclass(frozen=True)
class Retention:
    """How many restore points are kept for each span of time."""

    daily: int
    weekly: int
    monthly: int
    yearly: int


@dataclass(frozen=True)
class Contract:
    """One client's promise, complete and without mistakes."""

    schema: int
    client: Client
    agreement: Agreement
    contacts: tuple[Contact, ...]
    store: Store
    sites: tuple[Site, ...]
    scope: Scope
    retention: Retention

    def site(self, name: str) -> Site:
        """Return the site of that name. Raises KeyError."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)
