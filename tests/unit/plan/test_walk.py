"""The walk: what comes next after whatever was seen so far, the interrupted runs included."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from orchestrator.plan.plan import AWAY, AWAY_BATCHES, BATCHES, Duty
from orchestrator.plan.step import STEPS, Ending, Outcome, Seen, Step, step
from orchestrator.plan.walk import RECOVER_ATTEMPTS, Batch, Finish, next_move

HOST = "shop"
MOST_MOVES = 12


def batches(duty: Duty) -> tuple[tuple[object, ...], ...]:
    return tuple(tuple(step(name, HOST) for name in batch) for batch in BATCHES[duty])


def seen(words: str) -> Seen:
    """Read `promote=put-back`, `stage=silent` or `recover=finished` as what was seen of a step."""
    name, _, word = words.partition("=")
    word = word or "done"
    if name == "recover" and word in ("untouched", "finished", "put-back", "not-put-back"):
        outcome = Outcome.NOT_PUT_BACK if word == "not-put-back" else Outcome.DONE
        return Seen(name, Ending.REPORTED, outcome, word, word)
    if word in [ending.value for ending in Ending]:
        return Seen(name, Ending(word), None, word)
    return Seen(name, Ending.REPORTED, Outcome(word), word)


def move(duty: Duty, history: str, resumed_at: int | None = None) -> str:
    """Say the next move as a line: `start promote release`, or `finish done`."""
    answer = next_move(batches(duty), tuple(map(seen, history.split())), resumed_at=resumed_at)  # type: ignore[arg-type]
    if isinstance(answer, Batch):
        return "start " + " ".join(each.name for each in answer.steps)
    return f"finish {answer.outcome.value if answer.outcome else 'open'}"


REHEARSED = "preflight snapshot stage rehearse"

UPDATE = {
    # the good way
    "": "start preflight snapshot stage rehearse promote release",
    # a call that ended early
    REHEARSED: "start promote release",
    f"{REHEARSED} promote release": "finish done",
    # nothing that production should get
    "preflight snapshot stage rehearse=nothing-to-do": "start release",
    "preflight snapshot stage rehearse=nothing-to-do release": "finish nothing-to-do",
    f"{REHEARSED} promote=nothing-to-do release": "finish nothing-to-do",
    # before production is touched: tidy up, and say what it was
    "preflight=unhealthy": "start release",
    "preflight=unhealthy release": "finish unhealthy",
    "preflight=refused": "start release",
    "preflight=refused release=silent": "finish refused",
    "preflight snapshot=refused": "start release",
    "preflight snapshot=silent": "start release",
    "preflight snapshot=silent release": "finish refused",
    "preflight snapshot stage=silent rehearse": "start release",
    "preflight snapshot stage=not-put-back": "finish not-put-back",
    # another run has the site: its lease is not ours to give back
    "preflight=busy": "finish busy",
    f"{REHEARSED} promote=busy": "finish busy",
    # production drifted since staging
    f"{REHEARSED} promote=refused": "start release",
    f"{REHEARSED} promote=refused release": "finish refused",
    # the host put production back by itself
    f"{REHEARSED} promote=put-back": "start release",
    f"{REHEARSED} promote=put-back release": "finish put-back",
    f"{REHEARSED} promote=put-back release=silent": "finish put-back",
    # it could not: the way back is a step
    f"{REHEARSED} promote=not-put-back": "start back",
    f"{REHEARSED} promote=not-put-back back": "start release",
    f"{REHEARSED} promote=not-put-back back release": "finish put-back",
    f"{REHEARSED} promote=not-put-back back=put-back": "start release",
    f"{REHEARSED} promote=not-put-back back=put-back release": "finish put-back",
    f"{REHEARSED} promote=not-put-back back=not-put-back": "finish not-put-back",
    f"{REHEARSED} promote=not-put-back back=refused": "finish not-put-back",
    # it was back already when promote saw that it is not well: nothing is claimed, nothing is tidied away
    f"{REHEARSED} promote=not-put-back back=nothing-to-do": "finish not-put-back",
    # nobody said what happened to production: ask the host
    f"{REHEARSED} promote=silent": "start recover",
    f"{REHEARSED} promote=silent recover=untouched": "finish refused",
    f"{REHEARSED} promote=silent recover=finished": "finish done",
    f"{REHEARSED} promote=silent recover=put-back": "finish put-back",
    f"{REHEARSED} promote=silent recover=not-put-back": "finish not-put-back",
    f"{REHEARSED} promote=silent recover=silent": "finish open",
    f"{REHEARSED} promote=silent recover": "finish open",
    f"{REHEARSED} promote=not-put-back back=silent": "start recover",
    # Ctrl-C
    "preflight=cancelled": "start recover",
    "preflight snapshot=cancelled recover=untouched": "finish refused",
    f"{REHEARSED} promote=cancelled": "start recover",
    f"{REHEARSED} promote=cancelled recover=finished": "finish done",
    f"{REHEARSED} promote release=cancelled": "start recover",
    # the first module is still at work when the host is asked
    f"{REHEARSED} promote=cancelled recover=busy": "start recover",
    f"{REHEARSED} promote=cancelled recover=busy recover=busy": "start recover",
    f"{REHEARSED} promote=cancelled recover=busy recover=busy recover=busy": "finish open",
    f"{REHEARSED} promote=cancelled recover=busy recover=put-back": "finish put-back",
    # the host went away
    "preflight=unreachable": "finish refused",
    "preflight snapshot=unreachable": "finish open",
    f"{REHEARSED} promote=unreachable": "finish open",
    f"{REHEARSED} promote release=unreachable": "finish open",
    f"{REHEARSED} promote=silent recover=unreachable": "finish open",
    # what was done stays done when only the tidying fails
    f"{REHEARSED} promote release=silent": "finish done",
    f"{REHEARSED} promote release=refused": "finish done",
}

OTHERS = [
    (Duty.BACKUP, "", "start preflight snapshot release"),
    (Duty.BACKUP, "preflight snapshot release", "finish done"),
    (Duty.BACKUP, "preflight snapshot=refused", "start release"),
    (Duty.BACKUP, "preflight snapshot release=silent", "finish done"),
    (Duty.RESTORE, "", "start preflight restore release"),
    (Duty.RESTORE, "preflight restore release", "finish done"),
    (Duty.RESTORE, "preflight restore=refused", "start release"),
    (Duty.RESTORE, "preflight restore=put-back", "start release"),
    (Duty.RESTORE, "preflight restore=silent", "start recover"),
    # A restore has no way back of its own: a person needs what is lying there.
    (Duty.RESTORE, "preflight restore=not-put-back", "finish not-put-back"),
    (Duty.REBUILD, "", "start rebuild release"),
    (Duty.REBUILD, "rebuild=unhealthy", "start release"),
    (Duty.REBUILD, "rebuild=unhealthy release", "finish unhealthy"),
    (Duty.REBUILD, "rebuild=silent", "start recover"),
    (Duty.REHEARSE, "", "start preflight stage rehearse release"),
    (Duty.REHEARSE, "preflight stage rehearse release", "finish done"),
    (Duty.REHEARSE, "preflight stage rehearse=nothing-to-do release", "finish nothing-to-do"),
    (Duty.REHEARSE, "preflight stage=unhealthy", "start release"),
    (Duty.DRILL, "", "start preflight drill release"),
    (Duty.DRILL, "preflight drill=unhealthy", "start release"),
    (Duty.DRILL, "preflight drill=unhealthy release", "finish unhealthy"),
    # Production was only read: there is nothing to ask the host for.
    (Duty.DRILL, "preflight drill=silent", "start release"),
]


BROUGHT = "preflight snapshot bring stage rehearse"

# With a staging host of its own.
ELSEWHERE = {
    "": "start preflight snapshot bring stage rehearse deliver promote release leave",
    f"{BROUGHT} deliver promote release leave": "finish done",
    f"{BROUGHT}=nothing-to-do deliver=nothing-to-do promote=nothing-to-do release leave": "finish nothing-to-do",
    # The copy there is removed, whatever became of production, and what becomes of that says nothing of production.
    f"{BROUGHT} deliver=refused": "start release",
    f"{BROUGHT} deliver=refused release": "start leave",
    f"{BROUGHT} deliver=refused release leave": "finish refused",
    f"{BROUGHT} deliver promote=put-back release": "start leave",
    f"{BROUGHT} deliver promote=put-back release leave=silent": "finish put-back",
    f"{BROUGHT} deliver promote=silent": "start recover",
    f"{BROUGHT} deliver promote=silent recover=finished": "start leave",
    f"{BROUGHT} deliver promote release": "start leave",
    f"{BROUGHT} deliver promote release leave=unreachable": "finish done",
    f"{BROUGHT} deliver promote release leave=cancelled": "finish done",
    f"{BROUGHT} deliver promote=not-put-back back=refused": "start leave",
    "preflight snapshot bring stage=unhealthy": "start release",
    "preflight snapshot bring stage=unhealthy release": "start leave",
    "preflight snapshot bring stage=unhealthy release leave": "finish unhealthy",
    # It was never reached: production is given free, and there is nothing to tidy.
    "preflight snapshot bring=unreachable": "start release",
    "preflight snapshot bring=unreachable release": "finish refused",
    "preflight snapshot bring stage=unreachable release": "start leave",
    "preflight snapshot bring stage rehearse=unreachable release leave=unreachable": "finish refused",
    # Another run has its place.
    "preflight snapshot bring=busy": "start release",
    "preflight snapshot bring=busy release": "finish busy",
    # Production's host itself goes away.
    "preflight=unreachable": "finish refused",
    "preflight snapshot=unreachable": "finish open",
    f"{BROUGHT} deliver promote=unreachable": "finish open",
    "preflight snapshot bring=unreachable release=unreachable": "finish open",
    # Ctrl-C
    "preflight snapshot bring stage=cancelled": "start recover",
    "preflight snapshot bring stage=cancelled recover=untouched": "start leave",
    "preflight snapshot bring stage=cancelled recover=untouched leave": "finish refused",
    "preflight=cancelled recover=untouched": "finish refused",
}


def away_batches(duty: Duty) -> list[list[Step]]:
    return [[step(name, "yard" if name in AWAY else HOST) for name in batch] for batch in AWAY_BATCHES[duty]]


def away(history: str, resumed_at: int | None = None) -> str:
    answer = next_move(away_batches(Duty.UPDATE), tuple(map(seen, history.split())), resumed_at=resumed_at)
    if isinstance(answer, Batch):
        return "start " + " ".join(each.name for each in answer.steps)
    return f"finish {answer.outcome.value if answer.outcome else 'open'}"


@pytest.mark.parametrize(("history", "answer"), ELSEWHERE.items())
def test_an_update_with_a_staging_host_goes_on_with(history: str, answer: str) -> None:
    assert away(history) == answer


def test_a_resumed_run_tidies_the_staging_host_too() -> None:
    killed = f"{BROUGHT} deliver promote=begun"
    assert away(killed, 7) == "start recover"
    assert away(f"{killed} recover=finished", 7) == "start leave"
    assert away(f"{killed} recover=finished leave", 7) == "finish done"
    assert away("preflight snapshot bring stage=begun recover=untouched leave=begun", 6) == "start recover"
    assert (
        away("preflight snapshot bring stage=begun recover=untouched leave=begun recover=untouched", 6) == "start leave"
    )


def test_a_staging_host_that_was_not_tidied_or_not_reached_is_named() -> None:
    steps = away_batches(Duty.UPDATE)
    left = next_move(steps, tuple(map(seen, f"{BROUGHT} deliver promote release leave=silent".split())))
    assert isinstance(left, Finish)
    assert "The copy on the staging host yard was not removed" in left.reason
    lost = next_move(steps, tuple(map(seen, ["preflight", "snapshot", "bring=unreachable", "release"])))
    assert isinstance(lost, Finish)
    assert lost.reason == "The staging host was not reached: unreachable. Production was not touched."


@pytest.mark.parametrize(("history", "answer"), UPDATE.items())
def test_an_update_goes_on_with(history: str, answer: str) -> None:
    assert move(Duty.UPDATE, history) == answer


@pytest.mark.parametrize(("duty", "history", "answer"), OTHERS)
def test_another_duty_goes_on_with(duty: Duty, history: str, answer: str) -> None:
    assert move(duty, history) == answer


@pytest.mark.parametrize("length", range(7))
def test_a_controller_that_was_killed_in_any_step_asks_the_host(length: int) -> None:
    names = ["preflight", "snapshot", "stage", "rehearse", "promote", "release"]
    history = " ".join([*names[:length], *([f"{names[length]}=begun"] if length < len(names) else [])])
    steps = len(history.split())
    assert move(Duty.UPDATE, history, resumed_at=steps) == "start recover"
    for state, outcome in (("finished", "done"), ("put-back", "put-back"), ("untouched", "refused")):
        assert move(Duty.UPDATE, f"{history} recover={state}", resumed_at=steps) == f"finish {outcome}"


def test_a_resumed_run_does_not_believe_what_an_earlier_recover_said() -> None:
    history = f"{REHEARSED} promote=unreachable recover=unreachable"
    assert move(Duty.UPDATE, history, resumed_at=6) == "start recover"
    assert move(Duty.UPDATE, f"{history} recover=put-back", resumed_at=6) == "finish put-back"


def test_a_run_killed_while_the_host_was_asked_is_asked_again() -> None:
    assert move(Duty.UPDATE, f"{REHEARSED} promote=begun recover=begun", resumed_at=6) == "start recover"


def test_the_reason_is_the_one_of_the_step_that_decided() -> None:
    history = tuple(map(seen, f"{REHEARSED} promote=put-back release".split()))
    answer = next_move(batches(Duty.UPDATE), history)  # type: ignore[arg-type]
    assert isinstance(answer, Finish)
    assert answer.reason == "put-back"


def _answers(name: str) -> list[str]:
    if name == "recover":
        words = ["untouched", "finished", "put-back", "not-put-back", "busy", "silent", "unreachable"]
    else:
        words = [each.value for each in Outcome] + ["silent", "unreachable", "cancelled"]
    return [f"{name}={word}" for word in words]


def _play(steps: Any, history: tuple[Seen, ...]) -> list[tuple[tuple[Seen, ...], Finish]]:
    """Go through everything that steps can answer, from here to the end."""
    assert len(history) < MOST_MOVES + 3 * len(_away_of(steps)), "the walk does not come to an end"
    answer = next_move(steps, history)
    if isinstance(answer, Finish):
        return [(history, answer)]
    ends = []
    names = [each.name for each in answer.steps]
    # A batch stops at its first step that is not fine.
    for stop in range(len(names)):
        fine = tuple(seen(f"{name}=done") for name in names[:stop])
        for word in _answers(names[stop]):
            last = seen(word)
            if last.fine and stop < len(names) - 1 and last.step != "rehearse":
                continue
            ends += _play(steps, (*history, *fine, last))
    return ends


def _away_of(steps: Any) -> list[Step]:
    return [each for batch in steps for each in batch if each.host != HOST]


@pytest.mark.parametrize(
    "steps",
    [*map(batches, Duty), *map(away_batches, AWAY_BATCHES)],
    ids=[*Duty, *(f"{each}, elsewhere" for each in AWAY_BATCHES)],
)
def test_every_walk_ends_and_claims_only_what_was_seen(steps: Any) -> None:
    elsewhere = {each.name for each in _away_of(steps)}
    for history, finish in itertools.chain(_play(steps, ())):
        touched = [each for each in history if STEPS[each.step].changes_production and each.step != "recover"]
        recovered = [each.state for each in history if each.step == "recover" and each.state]
        if finish.outcome is Outcome.DONE and not recovered:
            assert all(each.fine for each in history if each.step not in ("release", "leave")), history
        reached = any(
            each.step in elsewhere - {"leave"}
            and each.ending is not Ending.UNREACHABLE
            and each.outcome is not Outcome.BUSY
            for each in history
        )
        if not finish.unfinished:
            # The staging host is tidied once, where there is something of this run.
            assert sum(each.step == "leave" for each in history) == reached, history
        if finish.outcome is Outcome.PUT_BACK:
            assert "put-back" in recovered or any(
                each.outcome is Outcome.PUT_BACK or (each.step == "back" and each.outcome is Outcome.DONE)
                for each in history
            ), history
        if finish.outcome in (Outcome.REFUSED, Outcome.UNHEALTHY, Outcome.NOTHING_TO_DO, Outcome.BUSY) and touched:
            # "Nothing was touched" is said by the step that would have touched it, or by the host.
            said = (Outcome.REFUSED, Outcome.UNHEALTHY, Outcome.BUSY)
            assert "untouched" in recovered or touched[-1].outcome in said, history
        assert sum(each.step == "recover" for each in history) <= RECOVER_ATTEMPTS
