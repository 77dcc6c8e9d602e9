"""Run on a lab host as the site's owner: copy production's database for staging, change it, and put it back.

The request comes by standard input: {site, folder, first, small, rounds}. The answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from plugins.module_utils import staging_database, wordpress
from plugins.module_utils.database import STAGED, Database, opened
from plugins.module_utils.site import Site


def state(database: Database) -> dict[str, Any]:
    """Return every table's sum, and how everything is made."""
    # A dump begins with the database's name.
    made = asdict(staging_database.definitions(database)) | {"head": ""}
    return {"sums": database.checksums(database.tables()), **made}


request = json.load(sys.stdin)
site, folder = Site.from_parameters(request["site"]), request["folder"]
configuration = wordpress.configuration(site, folder)
production = opened(configuration.credentials, folder, site.programs)
staging = opened(configuration.credentials, folder, site.programs, site.staging_database)
if request["first"]:
    # By the site itself: nobody else can make the triggers and views of somebody else.
    production.carry_out(request["first"])
staging_database.SMALL = request["small"]
answer: dict[str, Any] = {"evidence": staging_database.create(production, staging, folder), "rounds": []}
answer["production"], answer["staged"] = state(production), state(staging)
answer["kept"] = [len(staging.ours(STAGED))]
for change in request["rounds"]:
    if change:
        staging.carry_out(change)
    again = staging_database.put_back(staging, folder, staging.checksums(staging.tables()))
    answer["rounds"].append({"again": again, "exact": state(staging) == answer["staged"]})
    answer["kept"].append(len(staging.ours(STAGED)))
staging.leave()
answer["left"] = staging.query("SHOW TABLES")
print(json.dumps(answer))
