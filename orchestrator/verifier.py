"""Answer `upkeep verify`: which restore points are complete, what is damaged, what a healing did. The ledger remembers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from orchestrator.contract.model import BackupDuty
from orchestrator.errors import Busy, NotPutBack, PutBack, UpkeepError
from orchestrator.ledger.ledger import Ledger, open_ledger
from orchestrator.ledger.values import POINTS, IncidentEntry, RunEntry, VerificationEntry
from orchestrator.plan.plan import choose_sites
from orchestrator.plan.rotation import ALL, Reading, Turn, all_read_since, next_turn
from orchestrator.planning import Client
from orchestrator.results import Answer
from orchestrator.run.bucket import Bucket, opened
from orchestrator.run.heal import Healing, heal
from orchestrator.run.prune import free_of_locks
from orchestrator.run.restic import Restic
from orchestrator.run.verify import RESTIC, Verification, verify
from orchestrator.settings import Settings
from orchestrator.storekeeper import Secrets, mended_repository, repository_of, secrets_of

# Told of which site how many bytes were read back, and of how many.
Watch = Callable[[str, int, int], None]
MOST_REASONS = 20


@dataclasses.dataclass(frozen=True)
class Mending:
    """What was done before anything was verified: all names below `<client>/<site>/`, and who is at work there."""

    brought_back: tuple[str, ...]
    quarantined: tuple[str, ...]
    stale_locks: tuple[str, ...]
    at_work: str = ""


def verify_sites(
    settings: Settings, client: Client, sites: Sequence[str], *, full: bool, healing: bool, program: str, watch: Watch
) -> list[Answer]:
    """Verify each site. What is wrong with one does not keep the others from being looked at."""
    answers = []
    ledger = open_ledger(settings.ledger)
    try:
        for name in choose_sites(client.contract, sites):
            try:
                answers.append(
                    _verify(settings, client, name, ledger, full=full, healing=healing, program=program, watch=watch)
                )
            except UpkeepError as error:
                answers.append(_not_verified(name, error))
    finally:
        ledger.close()
    return answers


def _verify(
    settings: Settings,
    client: Client,
    site: str,
    ledger: Ledger,
    *,
    full: bool,
    healing: bool,
    program: str,
    watch: Watch,
) -> Answer:
    contract, began = client.contract, settings.clock()
    before = ledger.verifications(client.id, site)
    readings = [Reading(each.began, each.parts, each.of) for each in before]
    promise = (contract.scope.backup or BackupDuty()).verify
    turn = ALL if full else next_turn(readings, promise, began)
    suspects = {str(each.get("object", "")).rpartition("/")[2] for each in before[0].damage} if before else set()
    secrets = secrets_of(settings, client, site)
    restic = repository_of(settings, client, site, secrets, program)
    asked: dict[str, Any] = {"client": client.id, "site": site, "password": secrets.password}
    healed: Healing | None = None
    mending: Mending | None = None
    with opened(contract.store, secrets.owner) as bucket:
        if healing and not _unfinished(ledger, client.id, site):
            mending = _mending(settings, client, bucket, site, secrets, restic)
        seen = found = verify(
            bucket, restic, **asked, turn=turn, suspects=suspects, watch=lambda read, of: watch(site, read, of)
        )
        if healing and (found.damage or found.aside) and not (mending and mending.at_work):
            _nobody_is_at_work(ledger, client.id, site)
            try:
                healed = heal(bucket, restic, found, **asked)
            except KeyboardInterrupt:
                raise NotPutBack(
                    f"interrupted while damaged objects of {client.id}/{site} were put aside: no snapshot should lean on "
                    "what is left.",
                    f"upkeep verify {client.id} --site {site} --heal",
                ) from None
            seen = dataclasses.replace(
                verify(bucket, restic, **asked, turn=Turn((), 1)),
                turn=turn,
                packs_read=found.packs_read,
                bytes_read=found.bytes_read,
            )
    ended = settings.clock()
    _remember(ledger, client.id, site, seen, found, began, ended)
    since = all_read_since([*readings, Reading(began, turn.parts, turn.of)])
    answer = {
        "site": site,
        "points": [
            {"point": each.id, "complete": not each.problems, "problems": list(each.problems), "lost": each.lost,
             "files": list(each.files)}
            for each in seen.points
        ],
        "damage": [_plain(each) for each in found.damage],
        "read": {
            "parts": list(turn.parts), "of": turn.of, "packs": seen.packs_read, "of_packs": seen.packs,
            "bytes": seen.bytes_read, "of_bytes": seen.bytes, "all_since": since.isoformat() if since else None,
            "all_within_days": promise.all_within_days,
        },
        "healed": _plain(healed) if healed else None,
        "mended": _plain(mending) if mending else None,
    }  # fmt: skip
    return {**answer, **_verdict(client.id, site, seen, found, healed), **_of_mending(client.id, site, seen, mending)}


def _mending(
    settings: Settings, client: Client, bucket: Bucket, site: str, secrets: Secrets, restic: Restic
) -> Mending:
    """Bring back what was written over, take out garbage and the locks of dead runs: what a thief leaves behind."""
    mended = mended_repository(settings, client, bucket, site, secrets)
    try:
        stale, at_work = free_of_locks(bucket, restic, f"{client.id}/{site}"), ""
    except Busy as error:
        stale, at_work = (), error.message
    return Mending(mended.brought_back, mended.quarantined, stale, at_work)


def _of_mending(client: str, site: str, seen: Verification, mending: Mending | None) -> Answer:
    """Say what follows from a mending, where it is more than what the verification says; {} where it is not."""
    again = f"upkeep verify {client} --site {site} --heal"
    if mending is not None and mending.at_work:
        else_ = "everything else is mended" if seen.clean else "what is damaged was not put aside"
        told = mending.at_work.replace(" Nothing was removed.", f" It stays; {else_}.")
        return _ended(Busy.exit_code, told, f"{again}, in half an hour")
    if mending is not None and seen.clean and (mending.brought_back or mending.quarantined):
        told = f"what was wrong in the store of {client}/{site} is put right; every restore point is complete."
        return _ended(PutBack.exit_code, told, f"upkeep verify {client} --site {site}")
    return {}


def _unfinished(ledger: Ledger, client: str, site: str) -> list[RunEntry]:
    return [run for run in ledger.unfinished(client) if run.site == site]


def _nobody_is_at_work(ledger: Ledger, client: str, site: str) -> None:
    if unfinished := _unfinished(ledger, client, site):
        raise Busy(
            f"run {unfinished[0].id} has {client}/{site} and has not ended; nothing was put aside.",
            f"upkeep status {client}; if it was interrupted: upkeep run --resume {client}",
        )


def _verdict(client: str, site: str, seen: Verification, found: Verification, healed: Healing | None) -> Answer:
    """Say in a sentence what came of it, and what to type."""
    again = f"upkeep verify {client} --site {site}"
    bad = [point for point in seen.points if point.problems]
    are = "is" if len(bad) == 1 else "are"
    points = (
        f"{len(bad)} of {len(seen.points)} restore points {are} not complete"
        if bad
        else "every restore point is complete"
    )
    if found.clean and not found.points:
        return _ended(
            0, f"{client}/{site} has no restore point yet.", f"upkeep run {client} --site {site} --duty backup"
        )
    if found.clean:
        return _ended(0, f"all restore points of {client}/{site} are complete.", f"upkeep drill {client} --site {site}")
    if seen.clean:
        told = f"what was damaged in the store of {client}/{site} is put right; every restore point is complete."
        return _ended(PutBack.exit_code, told, again)
    objects = f"{len(found.damage)} damaged object{'' if len(found.damage) == 1 else 's'}"
    newest_is_good = bool(seen.points) and not seen.points[0].problems
    lost_key = next((each for each in found.damage if each.object.startswith(("keys/", "config"))), None)
    if lost_key is not None:
        told = f"nothing opens the repository of {client}/{site}: {lost_key.object} is damaged; {points}"
        next_type = (
            f"bring back an older version of {client}/{site}/restic/{lost_key.object}, if the bucket keeps versions"
        )
    elif found.damage and found.damage[0].object == RESTIC:
        told, next_type = f"{client}/{site}: {points}", f"restic check, with the keys of {client}"
    elif healed is not None and (healed.put_aside or healed.brought_back):
        told = f"{objects} in the store of {client}/{site} put aside; {points}"
        next_type = f"upkeep run {client} --site {site} --duty backup, then {again} --heal"
    elif found.wrong or found.aside:
        told = f"{objects} in the store of {client}/{site}; {points}"
        next_type = f"{again} --heal"
    elif newest_is_good:
        # Nothing to heal: what is lost is on the site no more.
        told = f"{client}/{site}: {points}, and the newest one is complete"
        forget = " ".join(f"--forget {point.id}" for point in bad)
        next_type = (
            f"upkeep points {client}, and for those that are no use: upkeep prune {client} --site {site} {forget}"
        )
    else:
        told = f"{client}/{site}: {points}"
        next_type = f"upkeep run {client} --site {site} --duty backup, then {again} --heal"
    first = bad[0] if bad else None
    why = f". {first.id}: {first.problems[0]}" if first else ""
    return _ended(NotPutBack.exit_code, f"{told}{why}.", next_type)


def _ended(code: int, message: str, next_type: str) -> Answer:
    return {"exit_code": code, "message": message, "next": next_type}


def _remember(
    ledger: Ledger, client: str, site: str, seen: Verification, found: Verification, began: datetime, ended: datetime
) -> None:
    ledger.add_verification(
        VerificationEntry(
            id=0,
            client=client,
            site=site,
            began=began,
            ended=ended,
            parts=found.turn.parts,
            of=found.turn.of,
            packs=found.packs_read,
            bytes=found.bytes_read,
            points={point.id: point.problems for point in seen.points},
            damage=tuple(_plain(each) for each in seen.damage),
        )
    )
    if seen.clean:
        ledger.close_incidents(client, site, ended, about=POINTS)
        return
    reasons = [f"{each.object}: {each.problem}" for each in found.damage]
    reasons += [f"restore point {each.id}: {each.problems[0]}" for each in seen.points if each.problems]
    ledger.open_incident(IncidentEntry(0, client, site, "", ended, tuple(reasons[:MOST_REASONS]), about=POINTS))


def _not_verified(site: str, error: UpkeepError) -> Answer:
    ended = _ended(error.exit_code, error.message, error.next_step)
    return {"site": site, "points": [], "damage": [], "read": None, "healed": None, "mended": None, **ended}


def _plain(value: Any) -> dict[str, Any]:
    return {key: list(each) if isinstance(each, tuple) else each for key, each in dataclasses.asdict(value).items()}
