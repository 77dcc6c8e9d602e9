"""The walk: what comes next after whatever was seen so far, the interrupted runs included."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.plan.plan import BATCHES, Duty
from orchestrator.plan.step import STEPS, Ending, Outcome, Seen, step
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


def _play(duty: Duty, history: tuple[Seen, ...]) -> list[tuple[tuple[Seen, ...], Finish]]:
    """Go through everything that steps can answer, from here to the end."""
    assert len(history) < MOST_MOVES, "the walk does not come to an end"
    answer = next_move(batches(duty), history)  # type: ignore[arg-type]
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
            ends += _play(duty, (*history, *fine, last))
    return ends


@pytest.mark.parametrize("duty", list(Duty))
def test_every_walk_ends_and_claims_only_what_was_seen(duty: Duty) -> None:
    for history, finish in itertools.chain(_play(duty, ())):
        touched = [each for each in history if STEPS[each.step].changes_production and each.step != "recover"]
        recovered = [each.state for each in history if each.step == "recover" and each.state]
        if finish.outcome is Outcome.DONE and not recovered:
            assert all(each.fine for each in history if each.step != "release"), history
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
