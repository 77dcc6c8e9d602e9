"""Run on a lab host as the site's owner: copy tables aside, let them be changed, and put them back.

The request comes by standard input: {site, folder, tables, change, times}. The answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys

from plugins.module_utils import wordpress
from plugins.module_utils.database import PUT_ASIDE, DatabaseError, opened
from plugins.module_utils.site import Site

request = json.load(sys.stdin)
site = Site.from_parameters(request["site"])
configuration = wordpress.configuration(site, request["folder"])
database = opened(configuration.credentials, request["folder"], site.programs)
known = database.tables()
answer: dict[str, object] = {"stuck": database.cannot_put_aside(request["tables"])}
try:
    before = database.checksums(known)
    copies = database.lay_out(request["tables"])
    database.put_aside(copies)
    answer["hidden"] = database.tables() == known
    if request["change"]:
        database.query(request["change"])
    answer["changed"] = sorted(
        name for name, sum in database.checksums(database.tables()).items() if before.get(name) != sum
    )
    answer["back"] = [database.put_back(copies, known, configuration.prefix) for _ in range(2)]
    after = database.checksums(database.tables())
    answer["wrong"] = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    answer["left"] = database.ours(PUT_ASIDE)
except DatabaseError as error:
    answer["error"] = str(error)
print(json.dumps(answer))
