"""Decide which restore points stay and which go, each with its reasons. Decides only: nothing is removed here.

Spans are counted by the points that there are, not back from today: the last seven days *that have a point*. So a
clock that is wrong, or a site that was quiet for a year, costs no restore point. Ages are those of the points' own ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NoReturn

from orchestrator.contract.model import Retention
from orchestrator.errors import Refused

ID = re.compile(r"(?P<taken>[0-9]{8}T[0-9]{6}Z)-[0-9a-f]{8}")
FLOOR = 3
# So long may what has no manifest yet belong to a run that nobody here knows of: another controller's, for instance.
UNFINISHED_FOR = timedelta(days=2)

# The beginning of a span's name, and how a day of the client's calendar is put into it.
SPANS: tuple[tuple[str, Callable[[datetime], str]], ...] = (
    ("daily", lambda day: f"{day:%Y-%m-%d}"),
    ("weekly", lambda day: "{}-W{:02}".format(*day.isocalendar()[:2])),
    ("monthly", lambda day: f"{day:%Y-%m}"),
    ("yearly", lambda day: f"{day:%Y}"),
)


@dataclass(frozen=True)
class KnownPoint:
    """What is known of one restore point, or of a snapshot that never became one."""

    id: str
    client: str
    site: str
    has_manifest: bool = True
    # Without a manifest: whether it had one once, and whether a removal that was interrupted took it.
    was_complete: bool = False
    removal_begun: bool = False
    # What keeps it from being restored, as far as is known. Without a problem and with a manifest it is good.
    problems: tuple[str, ...] = ()
    # By object lock: before that moment the store removes it for nobody.
    locked_until: datetime | None = None

    @property
    def good(self) -> bool:
        """Whether the site can be restored from it."""
        return self.has_manifest and not self.problems


@dataclass(frozen=True)
class Judged:
    """A point and why it stays, or why it goes."""

    point: KnownPoint
    taken: datetime
    reasons: tuple[str, ...]

    @property
    def id(self) -> str:
        """The point's id."""
        return self.point.id


@dataclass(frozen=True)
class Decision:
    """What stays and what goes, the newest first. `halted` says why nothing at all is removed; empty when that is not so."""

    kept: tuple[Judged, ...]
    removed: tuple[Judged, ...]
    halted: str = ""


def taken_at(point: str) -> datetime:
    """Return the moment that a point's id names. Raises Refused for what is no id."""
    match = ID.fullmatch(point)
    if match is None:
        _no_id(point)
    try:
        return datetime.strptime(match["taken"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        _no_id(point)


def decide(
    points: Iterable[KnownPoint],
    policy: Retention,
    now: datetime,
    *,
    client: str,
    site: str,
    zone: tzinfo,
    floor: int = FLOOR,
    in_use: Mapping[str, str] | None = None,
    unwanted: frozenset[str] = frozenset(),
) -> Decision:
    """Judge every point of a site. `in_use` says, for a point's id, who needs it; `zone` is the client's calendar.

    `unwanted` are points that a person has named to be removed. They count for no span, but the newest good point, the
    floor, what is in use and what is locked are kept from a person too. Raises Refused for a point of somebody else.
    """
    known = _in_order(points, client, site, unwanted)
    taken = {point.id: taken_at(point.id) for point in known}
    reasons: dict[str, list[str]] = {point.id: [] for point in known}
    future = [point for point in known if taken[point.id] > now]
    for point in future:
        if point.id not in unwanted:
            reasons[point.id].append("taken in the future: kept")
    # What is not yet taken says nothing about what can be restored today, and neither does what nobody wants.
    good = [point for point in known if point.good and point not in future and point.id not in unwanted]
    _spans(good, policy, {id_: moment.astimezone(zone) for id_, moment in taken.items()}, reasons)
    _protected(known, future, floor, reasons)
    _needed(known, now, in_use or {}, reasons)
    for point in known:
        if not point.good and point.id not in unwanted:
            reasons[point.id] += _unclear(point, now - taken[point.id])

    halted = _halted(known, policy, now, taken, unwanted)
    kept, removed = [], []
    for point in known:
        if reasons[point.id]:
            kept.append(Judged(point, taken[point.id], tuple(reasons[point.id])))
        elif halted and point.id not in unwanted:
            kept.append(Judged(point, taken[point.id], (halted,)))
        else:
            removed.append(Judged(point, taken[point.id], (_why_removed(point, policy, unwanted),)))
    return Decision(tuple(kept), tuple(removed), halted)


def _in_order(points: Iterable[KnownPoint], client: str, site: str, unwanted: frozenset[str]) -> tuple[KnownPoint, ...]:
    known: dict[str, KnownPoint] = {}
    for point in points:
        if (point.client, point.site) != (client, site) and point.id not in unwanted:
            raise Refused(
                f"restore point {point.id} is of {point.client or '?'}/{point.site or '?'} and lies among those of "
                f"{client}/{site}; nothing was removed.",
                f"look where it came from; if it is rubbish: upkeep prune {client} --site {site} --forget {point.id}",
            )
        if point.id in known:
            raise Refused(f"restore point {point.id} is there twice; nothing was removed.", f"upkeep points {client}")
        known[point.id] = point
    if strange := sorted(unwanted - known.keys()):
        raise Refused(
            f"{client}/{site} has no restore point {strange[0][:60]}; nothing was removed.",
            f"upkeep points {client} --site {site}",
        )
    return tuple(sorted(known.values(), key=lambda point: point.id, reverse=True))


def _spans(
    good: list[KnownPoint], policy: Retention, days: Mapping[str, datetime], reasons: dict[str, list[str]]
) -> None:
    """Give its reason to the newest good point of each of the last spans that have one."""
    for name, span_of in SPANS:
        spans: set[str] = set()
        for point in good:
            span = span_of(days[point.id])
            if span not in spans and len(spans) < getattr(policy, name):
                spans.add(span)
                reasons[point.id].append(f"{name} {span}")


def _protected(
    known: tuple[KnownPoint, ...], future: list[KnownPoint], floor: int, reasons: dict[str, list[str]]
) -> None:
    """Keep the newest good point and the floor below it, whoever wants them gone."""
    good = [point for point in known if point.good]
    for position, point in enumerate(([point for point in good if point not in future] or good)[: max(floor, 1)]):
        reasons[point.id].append(
            "newest good point" if position == 0 else f"floor: one of the newest {floor} good points"
        )


def _needed(
    known: tuple[KnownPoint, ...], now: datetime, in_use: Mapping[str, str], reasons: dict[str, list[str]]
) -> None:
    for point in known:
        if point.id in in_use:
            reasons[point.id].append(f"needed by {in_use[point.id]}")
        if point.locked_until is not None and point.locked_until > now:
            reasons[point.id].append(f"locked until {point.locked_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


def _unclear(point: KnownPoint, age: timedelta) -> list[str]:
    """Say why a point that is not good stays. In doubt it does: a newer upkeep may well understand its manifest."""
    if point.has_manifest:
        return [f"cannot be used ({'; '.join(point.problems)}): a person decides, with --forget"]
    if point.removal_begun:
        return []
    if point.was_complete:
        return ["it was complete once, and nobody of us took its manifest away: a person decides, with --forget"]
    if age < UNFINISHED_FOR:
        return ["no manifest yet: it may belong to a run that is still at work"]
    return []


def _halted(
    known: tuple[KnownPoint, ...],
    policy: Retention,
    now: datetime,
    taken: Mapping[str, datetime],
    unwanted: frozenset[str],
) -> str:
    newest = next((point for point in known if point.id not in unwanted), None)
    if newest is not None and taken[newest.id] > now:
        return (
            f"nothing is removed: {newest.id} was taken after now, {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC: "
            "a clock is wrong, or was"
        )
    if known and not any(point.good for point in known):
        return "nothing is removed: there is no good restore point among all of these"
    if max(policy.daily, policy.weekly, policy.monthly, policy.yearly) <= 0:
        return "nothing is removed: the contract's retention keeps nothing, which nobody can have meant"
    return ""


def _why_removed(point: KnownPoint, policy: Retention, unwanted: frozenset[str]) -> str:
    if point.id in unwanted:
        return "a person named it"
    if point.removal_begun:
        return "its removal was begun before"
    if not point.has_manifest:
        return f"no manifest after {UNFINISHED_FOR.days} days: it never became a restore point"
    spans = ", ".join(f"{getattr(policy, name)} {name}" for name, _ in SPANS)
    return f"no span needs it ({spans})"


def _no_id(point: str) -> NoReturn:
    raise Refused(f"{point[:60]!r} is not the id of a restore point; nothing was removed.", "upkeep points CLIENT")
