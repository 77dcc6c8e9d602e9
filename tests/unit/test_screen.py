"""The ink: signs of life, harmless texts, and a run that survives its reader."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from rich.console import Console

from orchestrator import progress as progress_module
from orchestrator import screen
from orchestrator.plan.step import Ending, Outcome, Seen
from orchestrator.progress import Progress
from orchestrator.report.touches import touches
from orchestrator.run.events import StepReport
from orchestrator.screen import make_console, safe, size
from tests.unit.report.entries import TOUCHES
from tests.unit.run.desks import planned

REPORT = StepReport(Seen("stage", Ending.REPORTED, Outcome.DONE, "a copy"), {}, datetime(2026, 11, 22, tzinfo=UTC), 3.0)


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    paper = io.StringIO()
    return Console(file=paper, force_terminal=terminal, width=120, highlight=False), paper


def test_a_long_step_gives_signs_of_life_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "HEARTBEAT_SECONDS", 0.0)
    ink, paper = console(terminal=False)
    progress = Progress(ink)
    progress.tick()
    progress.step_began(planned(), "stage")
    progress.tick()
    progress.step_ended(planned(), REPORT)
    lines = paper.getvalue().splitlines()
    assert lines[0].split()[:2] == ["Ansible", "still"]
    assert lines[1].split()[0] == "stage"
    assert lines[2].split()[:4] == ["stage", "still", "at", "it,"]
    assert lines[3].split() == ["stage", "done", "3.0", "s", "a", "copy"]


def test_a_sign_of_life_comes_before_ten_seconds_are_over() -> None:
    # The tick comes once a second.
    assert screen.HEARTBEAT_SECONDS + 1 < 10


def test_a_terminal_gets_colour_and_one_moving_line() -> None:
    ink, paper = console(terminal=True)
    progress = Progress(ink)
    progress.step_began(planned(), "stage")
    progress.tick()
    progress.step_ended(planned(), REPORT)
    assert "\x1b[32mdone" in paper.getvalue()


def test_what_a_host_says_cannot_steer_the_terminal() -> None:
    assert safe("a\x1b[2Jb\u202ec\nd") == "a\\x1b[2Jb\\u202ec\nd"


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (71_000_000, "71.0 MB"), (2e12, "2.0 TB")])
def test_bytes_in_words(count: float, words: str) -> None:
    assert size(count) == words


def test_a_reader_who_has_gone_does_not_end_the_program() -> None:
    program = (
        "from orchestrator.screen import make_console\n"
        "console = make_console()\n"
        "for number in range(2000): console.print('line of some length ' * 20)\n"
        "import sys; sys.stderr.write('went on to the end')\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=os.getcwd()
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "went on to the end")


def test_lines_stay_whole_where_nobody_watches() -> None:
    assert make_console().width >= 200 or make_console().is_terminal


def test_what_an_update_touches_is_a_line_for_each_release_and_one_for_all() -> None:
    told = touches({"touches": TOUCHES})
    assert told is not None
    assert screen.touch_rows(told) == [
        (
            "touches",
            "wordpress 6.5.5: unknown; 1400 files changed, 40 files added, its tables are known of all releases together only",
        ),
        ("touches", "newspack-blocks 4.33.0: code-only; 100 files changed, 1 file added"),
        ("together", "schema; 1500 files changed, 41 files added, rows of wp_options, the definition of wp_posts"),
        ("way back", "the trees are exchanged back and 3 tables renamed back, together"),
    ]
