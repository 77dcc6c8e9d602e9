"""Programs on the host: their deadline, what they leave behind, and what is said about them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plugins.module_utils import command

REPOSITORY = Path(__file__).parents[3]


def ended(process: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in ("Z", "X")


def soon(process: int) -> bool:
    """Whether a process is gone within some seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if ended(process):
            return True
        time.sleep(0.01)
    return False


def test_output_errors_and_exit_code_come_back() -> None:
    done = command.run(["sh", "-c", "cat; echo bad >&2; exit 3"], timeout=10, stdin="grüß", check=False)

    assert done == command.Finished(3, "grüß", "bad\n")


def test_a_failure_names_the_program_and_its_last_line_but_no_argument() -> None:
    with pytest.raises(command.CommandFailed) as failure:
        command.run(["sh", "-c", "echo first >&2; echo last >&2; exit 7", "s3cret"], timeout=10)

    assert str(failure.value) == "sh ended with exit code 7: last"


@pytest.mark.parametrize("program", ["/nowhere/php", "/etc/passwd", "/"])
def test_a_program_that_cannot_be_started_is_named(program: str) -> None:
    with pytest.raises(command.CommandFailed, match="cannot be started"):
        command.run([program], timeout=10)


def test_a_deadline_ends_the_program_and_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(command.CommandFailed, match=r"sh did not end within 0\.5 s"):
        command.run(["sh", "-c", f"sleep 600 & echo $! >{tmp_path}/child; sleep 600"], timeout=0.5)

    assert time.monotonic() - began < 5
    assert soon(int((tmp_path / "child").read_text(encoding="ascii")))


def test_what_a_program_leaves_running_is_ended_too(tmp_path: Path) -> None:
    command.run(["sh", "-c", f"sleep 600 >/dev/null 2>&1 & echo $! >{tmp_path}/child"], timeout=10)

    assert soon(int((tmp_path / "child").read_text(encoding="ascii")))


def test_a_program_that_holds_the_pipe_open_does_not_outlast_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(command.CommandFailed, match="did not end"):
        command.run(["sh", "-c", f"sleep 600 & echo $! >{tmp_path}/child"], timeout=0.5)

    assert soon(int((tmp_path / "child").read_text(encoding="ascii")))


def test_with_grace_a_program_may_tidy_up(tmp_path: Path) -> None:
    script = f"trap 'echo tidy >{tmp_path}/said; exit 1' INT; while :; do sleep 0.05; done"
    with pytest.raises(command.CommandFailed, match="did not end"):
        command.run(["sh", "-c", script], timeout=0.5, grace=5)

    assert (tmp_path / "said").read_text(encoding="ascii") == "tidy\n"


def test_a_program_that_ignores_the_grace_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(command.CommandFailed, match="did not end"):
        command.run(["sh", "-c", "trap '' INT; while :; do sleep 0.05; done"], timeout=0.3, grace=0.3)

    assert time.monotonic() - began < 5


def test_kill_9_of_the_module_ends_its_programs(tmp_path: Path) -> None:
    """A PHP that goes on migrating after its module died writes into what the way back has just put there."""
    script = (
        "from plugins.module_utils import command;"
        f"command.run(['sh', '-c', 'echo $$ >{tmp_path}/child.part; mv {tmp_path}/child.part {tmp_path}/child; exec sleep 600'],"
        " timeout=600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY) as module:
        deadline = time.monotonic() + 20
        while not (tmp_path / "child").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = int((tmp_path / "child").read_text(encoding="ascii"))
        assert not ended(child)
        module.send_signal(signal.SIGKILL)

    assert soon(child)


def test_an_interruption_ends_the_program(tmp_path: Path) -> None:
    class Interrupted(Exception):
        """What a signal handler raises."""

    def stop(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Interrupted):
            command.run(["sh", "-c", f"echo $$ >{tmp_path}/child; exec sleep 600"], timeout=600)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert soon(int((tmp_path / "child").read_text(encoding="ascii")))


def test_the_environment_is_small_and_knows_no_secret_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    done = command.run(["env"], timeout=10, extra_environment={"UPKEEP_TOKEN": "t"})

    assert "s3cret" not in done.out
    assert "de_DE" not in done.out
    assert "UPKEEP_TOKEN=t" in done.out.splitlines()


def test_much_output_on_both_sides_does_not_block() -> None:
    script = "import sys; sys.stdout.write('o' * 3000000); sys.stderr.write('e' * 3000000); sys.stdout.write('o')"
    done = command.run([sys.executable, "-c", script], timeout=60)

    assert (len(done.out), len(done.err)) == (3000001, 3000000)


def test_output_goes_to_a_file_and_input_comes_from_one(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\xff\x00rows")
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        done = command.run(["cat"], timeout=10, stdin=source.fileno(), output=target.fileno())

    assert done.out == ""
    assert (tmp_path / "out").read_bytes() == b"\xff\x00rows"


@pytest.mark.parametrize(
    ("text", "line"),
    [("", "(it said nothing)"), ("\n \n", "(it said nothing)"), ("a\nb\n\n", "b"), ("x" * 400, "x" * 300)],
)
def test_the_last_line_that_says_something(text: str, line: str) -> None:
    assert command.last_line(text) == line
