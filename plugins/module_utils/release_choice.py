# GPL-3.0-or-later
"""Which of the releases on offer a site gets by its contract, and for each of the others the reason why not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Mapping, Sequence

from .language_packs import MOMENT, TRANSLATION, pack_of
from .packages import PLUGIN_FILE, SLUG, VERSION, Change

NO_LICENCE = "not updated: no licence. The publisher offers this release without a download; the client has to renew it"
# Who has to do something about a release that was left out, where it is not us.
CLIENT_DUTY = "client"


@dataclass(frozen=True)
class Terms:
    """What decides besides the offers: the contract's policy and holds, the ledger's, and what day it is by UTC.

    `first_seen` says since which day a release has been on offer, as far as the ledger knows; `released` are the holds that
    a person has let go, each with the SHA-256 of what was held.
    """

    policy: Mapping[str, Any]
    holds: Sequence[Mapping[str, Any]]
    today: date
    first_seen: Sequence[Mapping[str, Any]] = field(default_factory=list)
    released: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def held(self, change: Change) -> str:
        """Return the reason why this very release is held, or ""."""
        for hold in lasting(self.holds, self.today):
            if (hold["kind"], hold["slug"]) != (change.kind, change.slug):
                continue
            until = f" (until {hold['until']})" if hold.get("until") else ""
            only = hold.get("only")
            if only and change.to != only:
                return f"only {only} is wanted: {hold.get('reason') or 'held'}{until}"
            if not only and change.to == hold.get("version"):
                return f"{hold.get('reason') or 'held'}{until}"
        return ""

    def cleared(self, change: Change) -> bool:
        """Whether a person has let these very bytes go after they were held."""
        this = (change.kind, change.slug, change.to, change.sha256)
        return any((each["kind"], each["slug"], each["version"], each["sha256"]) == this for each in self.released)

    def waits(self, change: Change) -> str:
        """Return until when a release that is too young waits, said as a reason, or ""."""
        days = int(self.policy.get("cool_down_days") or 0)
        if not days or change.slug in (self.policy.get("fast_lane") or ()):
            return ""
        known = {(each["kind"], each["slug"], each["version"]): str(each["day"]) for each in self.first_seen}
        first = date.fromisoformat(known.get((change.kind, change.slug, change.to)) or self.today.isoformat())
        over = first + timedelta(days=days)
        if over <= self.today:
            return ""
        return f"waits until {over.isoformat()}: first seen on {first.isoformat()}, and the contract waits {days} days"


def lasting(holds: Sequence[Mapping[str, Any]], today: date) -> list[Mapping[str, Any]]:
    """Return the holds that count today: one with a last day counts on that day, too."""
    return [hold for hold in holds if not hold.get("until") or date.fromisoformat(str(hold["until"])) >= today]


def as_hold(change: Mapping[str, Any]) -> dict[str, str]:
    """Return the hold of a change, from its evidence."""
    return {"kind": str(change["kind"]), "slug": str(change["slug"]), "version": str(change["to"])}


def choose(offers: list[dict[str, Any]], terms: Terms) -> tuple[list[Change], list[dict[str, Any]]]:
    """Split what is on offer into the changes that the contract takes and those it does not, each with its reason.

    Of several releases of one thing the newest is taken. The CMS itself comes first.
    """
    taken: dict[tuple[str, str], Change] = {}
    skipped: list[dict[str, Any]] = []
    for offer in offers:
        change = Change(
            kind=str(offer["kind"]),
            slug=str(offer["slug"]),
            file=str(offer["file"]),
            version=str(offer["from"]),
            to=str(offer["to"]),
            package=str(offer["package"]),
        )
        reason = malformed(change) or _against(change, terms.policy) or terms.held(change)
        licence = not reason and not change.package
        reason = reason or (NO_LICENCE if licence else terms.waits(change))
        if reason:
            left_out = {"kind": change.kind, "slug": change.slug, "to": change.to, "reason": reason}
            skipped.append({**left_out, "from": change.version, **({"duty_of": CLIENT_DUTY} if licence else {})})
            continue
        unit = (change.kind, change.file or change.slug)
        if unit not in taken or ordered(taken[unit].to) < ordered(change.to):
            taken[unit] = change
    return sorted(taken.values(), key=lambda change: change.kind != "core"), skipped


def ordered(version: str) -> list[tuple[int, str]]:
    """Return what puts versions in order. The end counts for more than a word: 6.5 comes after 6.5-RC1."""
    parts = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.\-+]", version)]
    return [*parts, (0, "")]


def malformed(change: Change) -> str:
    """Say why this is no release at all, "" when it may be one."""
    kinds = ("core", "plugin", "theme", TRANSLATION)
    whole = SLUG.match(change.slug) and VERSION.match(change.to) and change.kind in kinds
    pack = change.kind != TRANSLATION or (pack_of(change.slug) and re.fullmatch(MOMENT, change.to))
    if (
        not (whole and pack)
        or (change.kind == "plugin" and not PLUGIN_FILE.match(change.file))
        or ".." in change.file + change.slug
    ):
        return "its name or version is not one that a release has"
    return ""


def _against(change: Change, policy: Mapping[str, Any]) -> str:
    if change.kind == "core":
        level = policy["core"]
        if level == "none":
            return "the contract says core: none"
        if level == "minor" and change.version.split(".")[:2] != change.to.split(".")[:2]:
            return "the contract says core: minor, and this is another branch"
        return ""
    kinds = change.kind + "s"
    rule = policy.get(kinds, "none")
    if rule == "none" or (isinstance(rule, list) and change.slug not in rule):
        return f"the contract does not list it under {kinds}"
    if rule == "minor" and _first_number(change.version) != _first_number(change.to):
        return f"the contract says {kinds}: minor, and this has another first number"
    return ""


def _first_number(version: str) -> str:
    found = re.match(r"[vV]?0*(\d+)", version)
    return found.group(1) if found else version
