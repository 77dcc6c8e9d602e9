"""A run that has come as far as promotion, once for many tests: each begins where the last one began."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host.interrupted import Interrupted
from tests.host.shop import shop_of
from tests.lab import Lab
from tests.pipeline import Site, State, processes_of_ours
from tests.trials import AsTemplate

OVER_SECONDS = 60
STAGED = ("preflight", "stage", "rehearse")


@dataclass
class Staged:
    """A site with an update that staging has tested, and production as it was before."""

    site: Site
    host: Interrupted
    before: State

    @property
    def folder(self) -> Path:
        """Return the machine's view of the run's folder on the host."""
        return self.site.workshop / self.site.run_id

    def journal(self) -> dict[str, object]:
        """Return what the run's folder says of the promotion, {} when none has begun."""
        path = self.folder / "promotion.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def until_nothing_works(self) -> None:
        """Wait until nothing of ours works on the host any more."""
        deadline = time.monotonic() + OVER_SECONDS
        while processes_of_ours(self.site.host):
            assert time.monotonic() < deadline, processes_of_ours(self.site.host)
            time.sleep(0.05)

    def again(self) -> None:
        """Bring production back to what it was before, also from a promotion that was confirmed, and forget it."""
        path, journal = self.folder / "promotion.json", self.journal()
        if journal.get("state") == "confirmed":
            # Its old tree and its old tables are there until the run is released.
            path.write_text(json.dumps({**journal, "state": "exchanged"}))
            home = f"{self.site.host.root.rpartition('/')[0]}/.upkeep/{self.site.run_id}"
            self.site.host.run(["python3", "-I", "-S", f"{home}/own_way_back.py"], user="shop", check=True)
        path.unlink(missing_ok=True)
        assert self.before.differences(whole(self.site.state())) == []

    def forget(self) -> None:
        """Forget a promotion that was put back, when production has just been seen to be what it was before."""
        assert self.journal().get("state") != "confirmed"
        (self.folder / "promotion.json").unlink(missing_ok=True)


def whole(state: State) -> State:
    """Return a state without the copies of tables, which a promotion lays out and which stay until the run is released."""
    tables = {name: rows for name, rows in state.tables.items() if not name.startswith("upkeep_aside_")}
    return State(state.paths, tables)


@contextmanager
def staged(lab: Lab, sockets: Path, folder: Path, as_template: AsTemplate, **offer: str) -> Iterator[Staged]:
    """Stage what is on offer; at the end the run is released and nothing of it may be left."""
    as_template.taken("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(sockets))
        site = Site(shop_of(lab, "shop", folder / "inventories" / "example", sockets), folder)
        site.offer(**offer)
        before = site.state()
        steps = site.run(*STAGED)
        assert steps["rehearse"].outcome == "done", steps["rehearse"]
        staged = Staged(site, Interrupted.of(site), before)
        yield staged
        assert site.run("release")["release"].outcome == "done"
        site.tidy()
