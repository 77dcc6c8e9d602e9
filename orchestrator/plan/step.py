"""A step: one playbook against one place, with its way back; and what was seen of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Outcome(StrEnum):
    """What a step, and in the end a run, came to. The words are the ones that our modules return."""

    DONE = "done"
    NOTHING_TO_DO = "nothing-to-do"
    PUT_BACK = "put-back"
    NOT_PUT_BACK = "not-put-back"
    REFUSED = "refused"
    BUSY = "busy"
    UNHEALTHY = "unhealthy"


class Ending(StrEnum):
    """How a step ended, as far as the controller could see."""

    REPORTED = "reported"
    SILENT = "silent"  # Ansible failed, and no module of ours said what it had done by then
    UNREACHABLE = "unreachable"
    CANCELLED = "cancelled"
    BEGUN = "begun"  # no end was recorded: the controller died


@dataclass(frozen=True)
class Kind:
    """What is the same for every step of one name."""

    role: str
    tasks: str
    purpose: str
    changes_production: bool = False
    way_back: tuple[str, ...] = ("release",)


STEPS: Mapping[str, Kind] = MappingProxyType(
    {
        "preflight": Kind("site_probe", "baseline", "reach the host, take the lease, see that the site is well"),
        "snapshot": Kind("site_snapshot", "take", "a restore point of files and database in the store"),
        # Only where staging is on a host of its own: the restore point comes there, and what was tested goes to production.
        "bring": Kind("site_snapshot", "bring", "bring the restore point to the staging host"),
        "stage": Kind("site_staging", "create", "a copy that cannot talk to the world"),
        "rehearse": Kind("cms_update", "rehearse", "update the copy, probe it, hold what breaks it"),
        "deliver": Kind("cms_update", "deliver", "fetch to production's host exactly what the copy proved"),
        "promote": Kind(
            "cms_update",
            "promote",
            "give production what the copy proved",
            changes_production=True,
            way_back=("back", "release"),
        ),
        # The way back has none of its own: when it fails, the host is asked for the truth.
        "back": Kind("cms_update", "back", "put production back", changes_production=True, way_back=()),
        "restore": Kind(
            "site_snapshot", "restore", "put a restore point in the place of production", changes_production=True
        ),
        "drill": Kind("site_snapshot", "drill", "bring a restore point back in a scratch place, try it, remove it"),
        "rebuild": Kind(
            "site_snapshot",
            "rebuild",
            "make a site out of a restore point on a host that has none",
            changes_production=True,
        ),
        "show": Kind("site_snapshot", "show", "a restore point in the staging place, for a person to look at"),
        "unstage": Kind("site_staging", "remove", "take away what lies in the staging place"),
        "release": Kind("site_lease", "release", "tidy up and give the site free", way_back=()),
        "leave": Kind("site_lease", "release", "remove the copy from the staging host and give it free", way_back=()),
        "recover": Kind("site_lease", "recover", "ask the host what is true, finish or put back", True, ()),
    }
)


@dataclass(frozen=True)
class Step:
    """One playbook against one place, and how to come back from it."""

    name: str
    host: str
    way_back: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """What is the same for every step of this name."""
        return STEPS[self.name]

    @property
    def playbook(self) -> str:
        """The playbook, as a person would type it."""
        return f"playbooks/{self.name}.yml"


def step(name: str, host: str) -> Step:
    """Make the step of that name against that host."""
    return Step(name=name, host=host, way_back=STEPS[name].way_back)


@dataclass(frozen=True)
class Seen:
    """What the controller saw of one step. A run's history is a row of these."""

    step: str
    ending: Ending
    outcome: Outcome | None = None
    message: str = ""
    # Only `recover` has one: untouched, finished, put-back or not-put-back.
    state: str = ""

    @property
    def fine(self) -> bool:
        """Whether the run may go on after this."""
        return self.ending is Ending.REPORTED and self.outcome in (Outcome.DONE, Outcome.NOTHING_TO_DO)
