"""Run on the lab's host as the site's owner: put all tables aside, empty them, put them back, and say how long that took.

The request comes by standard input: {site, folder}. The answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time

from plugins.module_utils import wordpress
from plugins.module_utils.database import opened, quoted
from plugins.module_utils.site import Site

request = json.load(sys.stdin)
site = Site.from_parameters(request["site"])
configuration = wordpress.configuration(site, request["folder"])
database = opened(configuration.credentials, request["folder"], site.programs)
known = database.tables()
before = database.checksums(known)
copies = database.lay_out(known)
database.put_aside(copies)
for table in known:
    database.query(f"DELETE FROM {quoted(table)} LIMIT 1")  # noqa: S608 - quoted
began = time.monotonic()
database.put_back(copies, known, configuration.prefix)
seconds = time.monotonic() - began
if database.checksums(known) != before:
    sys.exit("the tables are not what they were")
print(json.dumps({"seconds": seconds}))
