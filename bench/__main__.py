"""Measure: python -m bench [--only a,b,c,d,e] [--repeat 3]"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from bench import big_updates, controller, outage, restore_points, snapshots
from bench.rows import keep, put_in, table
from bench.site import BenchError, opened
from tests.lab import LabError

HERE = Path(__file__).parent
PARTS = {part.PART: part.measure for part in (outage, controller, snapshots, restore_points, big_updates)}


def main() -> int:
    """Measure the parts that were asked for and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, with peers beside us. Needs root.")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help="which parts: a, b, c, d, e (default: all)"
    )
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="how often each is measured (default: 3)")
    parser.add_argument("--first", action="store_true", help="go before whatever else this machine is doing (nice -15)")
    arguments = parser.parse_args()
    wanted = [part for part in PARTS if part in arguments.only.split(",")]
    if not wanted or set(arguments.only.split(",")) - set(PARTS) or arguments.repeat < 1:
        parser.error(f"--only takes {', '.join(PARTS)}; --repeat at least 1")
    if os.geteuid() != 0:
        print("bench: the lab needs root. Type: make bench", file=sys.stderr)
        return 2
    if arguments.first:
        # Hosts and programs inherit it, ours and the peers' alike.
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    # A polite kill cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with opened() as site:
            rows = [row for part in wanted for row in PARTS[part](site, arguments.repeat)]
        shown = table(keep(HERE / "results.json", rows, wanted))
        put_in(HERE / "README.md", shown)
        print(f"\n{shown}\n")
    except (BenchError, LabError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped by you", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
