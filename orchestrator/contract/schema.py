"""Give the shape of a contract, schema version 1, as JSON Schema, for the loader, for editors and for the reference.

Beside JSON Schema's own words each pattern carries `x-allowed`: what the pattern allows, said to a person.
"""

from __future__ import annotations

import json

from orchestrator.contract.schema_function import function_schema
from orchestrator.contract.schema_update import update_schema
from orchestrator.contract.schema_words import Schema, day
from orchestrator.contract.schema_words import choice as _choice
from orchestrator.contract.schema_words import listed as _list
from orchestrator.contract.schema_words import mapping as _mapping
from orchestrator.contract.schema_words import number as _number
from orchestrator.contract.schema_words import text as _text
from orchestrator.contract.schema_words import word as _word

SCHEMA_VERSION = 1

LATER_DUTIES = {
    "monitoring": "Watching the sites day and night.",
    "security": "Finding and closing security holes.",
    "corrective": "Repairing what is broken.",
    "preventive": "Looking for what will break.",
    "evolutionary": "Small improvements.",
    "remote": "Help from afar.",
    "on_site": "Help on the client's premises.",
    "billing": "What is paid, and when.",
    "response_times": "How fast an answer and a repair are promised.",
    "advice": "Advising the client.",
    "client_duties": "What the client does.",
    "report": "What is reported to the client, and when.",
}

NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
NAME_ALLOWED = "small letters, digits and hyphens, at most 63, beginning with a letter or digit"
ABSOLUTE = r"^/[A-Za-z0-9._@+/-]{1,250}$"
ABSOLUTE_ALLOWED = "an absolute path of letters, digits and . _ @ + - /"
PERIOD_DAYS = {"daily": 1, "weekly": 7, "monthly": 31}


def _client() -> Schema:
    return _mapping(
        "Who was promised something.",
        {
            "id": _word(
                "The same as the name of the contract's folder.", "example", pattern=NAME, allowed=NAME_ALLOWED
            ),
            "name": _text("The client's name as it stands in reports.", "Example Bakery"),
            "language": _word(
                "The language of the client's reports.",
                "en",
                "pt-BR",
                pattern=r"^[a-z]{2}(-[A-Z]{2})?$",
                allowed="a language such as en, de or pt-BR",
            ),
        },
    )


def _agreement() -> Schema:
    return _mapping(
        "The paper behind this contract.",
        {
            "number": _word(
                "The agreement's number.",
                "UPK-2026-001",
                pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$",
                allowed="letters, digits, '.', '_', '/' and '-', at most 64, beginning with a letter or digit",
            ),
            "signed": day("The day of the signatures.", "2026-01-15"),
            "begins": day("The first day of the promise.", "2026-02-01"),
            "ends": day("The last day of the promise.", "2027-01-31"),
            "time_zone": _text("The IANA time zone by which dates, windows and reports are read.", "Europe/Berlin"),
        },
    )


def _contact() -> Schema:
    return _mapping(
        "A person on either side.",
        {
            "name": _text("The person's name.", "Ada Baker"),
            "role": _choice("Which side the person is on.", "client", "agency"),
            "email": _word(
                "The person's address for mail.",
                "ada@example.test",
                pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+%-]{0,63}@[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+$",
                allowed="an address such as ada@example.test",
            ),
        },
        {
            "phone": _word(
                "The person's telephone.",
                "+49 30 0000000",
                pattern=r"^\+?[0-9][0-9 ()./-]{2,30}$",
                allowed="digits, spaces and ( ) . / -, with a leading + if need be, in quotes",
            )
        },
    )


def _store() -> Schema:
    return _mapping(
        "The S3 store that holds the restore points. Its keys are in group_vars/all/vault.yml, never here.",
        {
            "endpoint": _text("The store's address, http or https.", "http://10.77.0.1:9000"),
            "bucket": _word(
                "The bucket.",
                "upkeep-example",
                pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
                allowed="small letters, digits, '.' and '-', 3 to 63 of them",
            ),
            "region": _word(
                "The region that requests are signed for.", "us-east-1", pattern=NAME, allowed=NAME_ALLOWED
            ),
        },
        {
            "lock_days": _number(
                "For so many days after it was written nobody can remove or change what lies in the store, the agency "
                "included. The store must enforce object lock: `upkeep store check` tries it. Without it: not promised.",
                30,
                1,
                3650,
            )
        },
    )


def _program(name: str) -> Schema:
    return _word(
        f"How the host calls {name}: a name, or an absolute path.",
        name,
        pattern=r"^(/[A-Za-z0-9._@+/-]{1,250}|[A-Za-z0-9_][A-Za-z0-9._+-]{0,62})$",
        allowed="a program's name, or " + ABSOLUTE_ALLOWED,
    )


def _database() -> Schema:
    word = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$"
    word_allowed = "letters, digits, '_', '.' and '-', at most 63"
    return _mapping(
        "The database of a site with `cms: other`; WordPress says it itself. The password is `upkeep_database_password` in "
        "group_vars/all/vault.yml, or in host_vars where sites have different ones; never here.",
        {"engine": _choice("What kind of database it is.", "postgresql", "mariadb", "sqlite")},
        {
            "name": _word("Its name. All of it must be the site's own.", "notes", pattern=word, allowed=word_allowed),
            "user": _word("The site's account, which owns it.", "notes", pattern=word, allowed=word_allowed),
            "host": _word(
                "Where the host reaches its server: a name, name:port, or the folder of a socket. Without it: localhost.",
                "localhost",
                "/var/run/postgresql",
                pattern=r"^(/[A-Za-z0-9._@+/-]{1,250}|[A-Za-z0-9][A-Za-z0-9.-]{0,250}(:[0-9]{1,5})?)$",
                allowed="a host's name or address, host:port, or " + ABSOLUTE_ALLOWED,
            ),
            "file": _word(
                "For sqlite: the file.", "/srv/notes/data/notes.sqlite", pattern=ABSOLUTE, allowed=ABSOLUTE_ALLOWED
            ),
        },
    )


def _production() -> Schema:
    programs = {
        name.replace("-", "_"): _program(name)
        for name in ("php", "mariadb", "mariadb-dump", "psql", "pg_dump", "restic")
    }
    return _mapping(
        "The place that visitors see.",
        {
            "host": _word(
                "The inventory host in hosts.yml. One inventory host is one place of one site.",
                "shop",
                pattern=NAME,
                allowed=NAME_ALLOWED,
            ),
            "root": _word("The site's document root.", "/srv/shop/htdocs", pattern=ABSOLUTE, allowed=ABSOLUTE_ALLOWED),
        },
        {
            "address": _text("Where the host itself reaches its web server. Without it: 127.0.0.1.", "127.0.0.1"),
            "port": _number("The port there. Without it: the port of the URL.", 80, 1, 65535),
            "database": _database(),
            "programs": _mapping("How the host calls the programs that are needed.", {}, programs),
            "error_log": _word(
                "PHP's error log. Without it PHP is asked.",
                "/var/log/php/shop.log",
                pattern=ABSOLUTE,
                allowed=ABSOLUTE_ALLOWED,
            ),
        },
    )


def _staging() -> Schema:
    return _mapping(
        "The place for rehearsals: on production's own host, or on another one.",
        {
            "port": _number("The port on 127.0.0.1 at which the copy answers.", 8081, 1024, 65535),
            "database": _word(
                "The database of the copy. It exists already, and everything in it is thrown away. MariaDB and MySQL only: "
                "with SQLite or PostgreSQL nothing is ever put into it, and any name will do.",
                "shop_staging",
                pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$",
                allowed="letters, digits, '_' and '-', at most 64",
            ),
        },
        {
            "host": _word(
                "Another inventory host in hosts.yml, on which rehearsals take place, out of the newest restore point. Its "
                "database is there too. WordPress with MariaDB only. Without it: production's own host.",
                "shop-staging",
                pattern=NAME,
                allowed=NAME_ALLOWED,
            ),
        },
    )


def _site() -> Schema:
    return _mapping(
        "One website.",
        {
            "cms": _choice(
                "The software that runs the site. `other`: it is backed up, restored and tried, but not updated.",
                "wordpress",
                "other",
            ),
            "url": _text("The site's address as visitors type it.", "https://www.example.test"),
            "places": _mapping("Where the site lives.", {"production": _production(), "staging": _staging()}),
            "functions": _list("What the site must do.", function_schema(), 1, 200),
        },
    )


def _backup() -> Schema:
    verify = _mapping(
        "How the restore points are verified. Without it: weekly, and all of the data within 30 days.",
        {
            "every": _choice("How often `upkeep verify` is due.", *PERIOD_DAYS),
            "all_within_days": _number(
                "Within so many days all of the data is read back from the store, a part each time.", 30, 1, 366
            ),
        },
    )
    recovery = _mapping(
        "What a recovery promises; a drill measures it. Without it nothing is promised.",
        {
            "rto_hours": _number("Within so many hours the site is back.", 4, 1, 720),
            "rpo_hours": _number("No more than so many hours of data are lost.", 24, 1, 8784),
        },
        {"drill": _choice("How often that is tried with `upkeep drill`. Without it: monthly.", *PERIOD_DAYS)},
    )
    return _mapping(
        "The promise of a restore point of every site: files and database, proven complete.",
        {},
        {"verify": verify, "recovery": recovery},
    )


def _scope() -> Schema:
    later = {
        duty: _mapping(
            f"{description} Nothing serves this yet: `upkeep explain` says so.",
            {"promise": _text("What was promised, in the contract's words.", "By hand, each month.", longest=2000)},
        )
        for duty, description in LATER_DUTIES.items()
    }
    scope = _mapping("The duties that were promised.", {}, {"backup": _backup(), "update": update_schema(), **later})
    return {**scope, "minProperties": 1}


def contract_schema() -> Schema:
    """Build the schema of a contract."""
    sites = {
        "type": "object",
        "description": "The websites, each under its name.",
        "minProperties": 1,
        "maxProperties": 200,
        "propertyNames": {"pattern": NAME, "x-allowed": NAME_ALLOWED},
        "additionalProperties": _site(),
    }
    retention = _mapping(
        "How many restore points are kept. Not all may be 0.",
        {
            "daily": _number("One for each of that many days.", 7, 0, 3660),
            "weekly": _number("One for each of that many weeks.", 4, 0, 520),
            "monthly": _number("One for each of that many months.", 12, 0, 240),
            "yearly": _number("One for each of that many years.", 2, 0, 50),
        },
    )
    version = {
        "description": "The version of this schema.",
        "examples": [SCHEMA_VERSION],
        "enum": [SCHEMA_VERSION],
    }
    shape = _mapping(
        "One client's promise.",
        {
            "schema": version,
            "client": _client(),
            "agreement": _agreement(),
            "contacts": _list("Whom to talk to.", _contact(), 1, 50),
            "store": _store(),
            "sites": sites,
            "scope": _scope(),
            "retention": retention,
        },
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:upkeep:contract:{SCHEMA_VERSION}",
        "title": f"upkeep contract, schema {SCHEMA_VERSION}",
        **shape,
    }


def schema_text() -> str:
    """Return the schema as the text of docs/contract.schema.json."""
    return json.dumps(contract_schema(), indent=2, ensure_ascii=False) + "\n"
