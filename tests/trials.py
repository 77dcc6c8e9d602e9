"""A staging copy that is left open, so that one bad release after another is tried in it: making one costs more than a try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host.shop import shop_of
from tests.lab import Lab
from tests.pipeline import Site, State, Steps


@dataclass
class Trials:
    """A run that has come as far as its staging copy, and production as it was before."""

    site: Site
    before: State
    said_before: str
    is_whole: bool = True
    """The last try ended as it should: whoever comes next may go on from there."""

    @classmethod
    def begun(cls, lab: Lab, name: str, sockets: Path, folder: Path, *, reset: bool) -> Trials:
        """Make a staging copy of a host's site."""
        site = Site(shop_of(lab, name, folder / "inventories" / "example", sockets, reset=reset), folder)
        lab.mirror.offer()
        trials = cls(site, site.state(), site.host.php_log())
        steps = trials._run("preflight", "stage")
        assert steps["stage"].outcome == "done", steps["stage"]
        return trials

    def held(self, version: str) -> str:
        """Offer one release of lab-banner; assert that it is held and all of production as it was; return the reason."""
        site, self.is_whole = self.site, False
        site.offer(lab_banner=version)
        steps = self._run("rehearse", "promote")
        rehearsed = steps["rehearse"]
        assert rehearsed.outcome == "nothing-to-do", rehearsed.message
        assert list(rehearsed.held) == ["lab-banner"]
        assert steps["promote"].outcome == "nothing-to-do"
        assert site.version() == "1.0"
        assert site.host.php_log() == self.said_before
        site.serves("1.0")
        assert self.before.differences(site.state()) == []
        self.is_whole = True
        return rehearsed.held["lab-banner"]

    def end(self) -> None:
        """Release the run; assert that nothing of it is left."""
        assert self._run("release")["release"].outcome == "done"
        assert self.before.differences(self.site.state()) == []
        self.site.serves("1.0")
        self.site.tidy()

    def _run(self, *steps: str) -> Steps:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(self.site.shop.sockets))
            return self.site.run(*steps)


class AsTemplate(set[str]):
    """The hosts whose site is known to be as its template has it; on one of them trials may have been left open."""

    trials: Trials | None = None

    def taken(self, host: str) -> None:
        """Somebody wants this host for changes of his own."""
        self.end_trials()
        self.discard(host)

    def end_trials(self) -> None:
        """End what was left open; that host is then as its template has it."""
        trials, self.trials = self.trials, None
        if trials is not None:
            trials.end()
            self.add(trials.site.host.name)
