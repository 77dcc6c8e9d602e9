"""The walk through a run: from what was planned and what was seen so far to what comes next.

A pure state machine. It never waits and it never starts anything, so it can be asked again at any moment, also by
another process after the first one was killed, and gives the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.plan.step import STEPS, Ending, Outcome, Seen, Step, step

# A module that was cut off may still be at work on the host and hold the site's lock.
RECOVER_ATTEMPTS = 3

# The steps that may find that there is nothing which production should get.
DECIDES_NOTHING = ("rehearse", "promote")

# Tidies the staging host, where it is another one than production's.
LEAVE = "leave"

RECOVERED = {
    "untouched": Outcome.REFUSED,
    "finished": Outcome.DONE,
    "put-back": Outcome.PUT_BACK,
    "not-put-back": Outcome.NOT_PUT_BACK,
}


@dataclass(frozen=True)
class Batch:
    """Steps to start now. Nothing has to be decided between them; the first that fails stops the rest."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Finish:
    """Nothing more to start. Without an outcome the truth is only known on the host: the run waits to be resumed."""

    outcome: Outcome | None
    reason: str = ""
    interrupted: bool = False

    @property
    def unfinished(self) -> bool:
        """Whether somebody has to come back to this run."""
        return self.outcome is None


Move = Batch | Finish


def next_move(batches: Sequence[Sequence[Step]], history: Sequence[Seen], *, resumed_at: int | None = None) -> Move:
    """Say what comes next.

    `resumed_at` is how long the history was when the run was taken up again. A resumed run never goes forward: what
    was proved before the interruption may have changed since, so the host is asked for the truth first.
    """
    if not history and resumed_at is None:
        return Batch(tuple(batches[0]))
    leave = next((each for batch in batches for each in batch if each.name == LEAVE), None)
    if leave is None:
        return _next(batches, history, resumed_at)
    since = resumed_at or 0
    # Whatever becomes of the copy on the staging host, it says nothing of production.
    before = None if resumed_at is None else sum(seen.step != LEAVE for seen in history[:since])
    move = _next(
        [[each for each in batch if each.name != LEAVE] for batch in batches],
        [seen for seen in history if seen.step != LEAVE],
        before,
    )
    return _left(move, leave, _away(batches), history, since) if isinstance(move, Finish) else move


def _away(batches: Sequence[Sequence[Step]]) -> frozenset[str]:
    """Return the names of the steps that are carried out on another host than the first one."""
    return frozenset(each.name for batch in batches for each in batch if each.host != batches[0][0].host)


def _left(finish: Finish, leave: Step, away: frozenset[str], history: Sequence[Seen], since: int) -> Move:
    """See that the staging host is tidied once, before a run ends."""
    theirs = [seen for seen in history if seen.step in away and seen.step != LEAVE]
    # A host that was never reached, or whose place another run has, holds nothing of this one.
    nothing = all(seen.ending is Ending.UNREACHABLE or seen.outcome is Outcome.BUSY for seen in theirs)
    tried = [seen for seen in history[since:] if seen.step == LEAVE]
    if finish.unfinished or nothing or (tried and tried[-1].fine):
        return finish
    if not tried:
        return Batch((leave,))
    told = f"The copy on the staging host {leave.host} was not removed; the next run there removes it"
    return replace(finish, reason=f"{finish.reason}{' ' if finish.reason else ''}{told}: {tried[-1].message}")


def _next(batches: Sequence[Sequence[Step]], history: Sequence[Seen], resumed_at: int | None) -> Move:
    host, away = batches[0][0].host, _away(batches)
    if resumed_at is not None:
        return _recovering(history[resumed_at:], host)
    asked = [seen for seen in history if seen.step == "recover"]
    if asked:
        return _recovering(asked, host)
    last = history[-1]
    if last.ending in (Ending.CANCELLED, Ending.BEGUN):
        return Batch((step("recover", host),))
    if last.ending is Ending.UNREACHABLE and last.step not in away:
        return _unreachable(history)
    if last.ending is Ending.SILENT and STEPS[last.step].changes_production:
        return Batch((step("recover", host),))
    trouble = next((seen for seen in history if not seen.fine), None)
    if trouble is None:
        return _forward(batches, history)
    return _way_back(trouble, history, batches[0][0], away)


def _forward(batches: Sequence[Sequence[Step]], history: Sequence[Seen]) -> Move:
    begun = {seen.step for seen in history}
    nothing = _nothing_to_do(history)
    for batch in batches:
        left = tuple(each for each in batch if each.name not in begun)
        if nothing is not None:
            # No release is on offer, or all are held: production has nothing to get.
            left = tuple(each for each in left if not each.kind.changes_production)
        if left:
            return Batch(left)
    if nothing is not None:
        return Finish(Outcome.NOTHING_TO_DO, nothing.message)
    main = [seen for seen in history if seen.step != "release"]
    return Finish(Outcome.DONE, main[-1].message if main else "")


def _nothing_to_do(history: Sequence[Seen]) -> Seen | None:
    return next(
        (seen for seen in history if seen.step in DECIDES_NOTHING and seen.outcome is Outcome.NOTHING_TO_DO), None
    )


def _way_back(trouble: Seen, history: Sequence[Seen], first: Step, away: frozenset[str]) -> Move:
    host = first.host
    if trouble.step == "release":
        return _not_released(trouble, history)
    if trouble.outcome is Outcome.BUSY and trouble.step not in away:
        # The lease is somebody else's. Releasing it is not ours to do.
        return Finish(Outcome.BUSY, trouble.message)
    after = list(history[history.index(trouble) + 1 :])
    outcome, reason = _meaning(trouble), trouble.message
    if trouble.ending is Ending.UNREACHABLE:
        reason = f"The staging host was not reached: {reason.rstrip('.')}. Production was not touched."
    if outcome is Outcome.NOT_PUT_BACK:
        if "back" not in STEPS[trouble.step].way_back:
            # Nothing is tidied away: a person needs what is lying there.
            return Finish(Outcome.NOT_PUT_BACK, reason)
        back = next((seen for seen in after if seen.step == "back"), None)
        if back is None:
            # Alone: what is lying there is only tidied away once the way back has worked.
            return Batch((step("back", host),))
        if back.outcome not in (Outcome.DONE, Outcome.PUT_BACK):
            # "Nothing to do" too: it was back already, and was not well.
            return Finish(Outcome.NOT_PUT_BACK, reason if back.fine else back.message or reason)
        outcome = Outcome.PUT_BACK
    if not any(seen.step == "release" for seen in after):
        return Batch((step("release", host),))
    return Finish(outcome, reason)


def _meaning(trouble: Seen) -> Outcome:
    # A step that failed silently and does not touch production has left production as it was.
    if trouble.ending is Ending.SILENT or trouble.outcome is None:
        return Outcome.REFUSED
    return trouble.outcome


def _not_released(trouble: Seen, history: Sequence[Seen]) -> Move:
    # What was promised has been done and proved; an untidied host does not undo that, but it is said.
    before = _forward((), history[: history.index(trouble)])
    outcome = before.outcome if isinstance(before, Finish) else None
    return Finish(outcome, f"The site was not given free: {trouble.message or 'release failed'}")


def _unreachable(history: Sequence[Seen]) -> Finish:
    last = history[-1]
    if len(history) == 1 and last.step == "preflight":
        return Finish(Outcome.REFUSED, last.message or "the host could not be reached")
    if last.step == "release":
        # The verdict is in and production is as it should be; only the tidying is left, and resume does it.
        return Finish(None, last.message or "the host went away before it was tidied")
    return Finish(None, last.message or "the host went away in the middle of a step")


def _recovering(asked: Sequence[Seen], host: str) -> Move:
    again = Batch((step("recover", host),))
    if not asked:
        return again
    last = asked[-1]
    if last.ending is Ending.REPORTED and last.state in RECOVERED:
        outcome = Outcome.UNHEALTHY if last.outcome is Outcome.UNHEALTHY else RECOVERED[last.state]
        return Finish(outcome, last.message, interrupted=True)
    if last.outcome is Outcome.NOT_PUT_BACK:
        return Finish(Outcome.NOT_PUT_BACK, last.message, interrupted=True)
    if last.outcome is Outcome.BUSY and len(asked) < RECOVER_ATTEMPTS:
        return again
    # Nothing is claimed that was not observed: without a state the run stays open.
    return Finish(None, last.message or "the host did not say in which state the site is", interrupted=True)
