"""What a host says of itself, and whether our restic can be lent to it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from orchestrator.run import lend
from orchestrator.run.lend import CannotLend, Told

OURS = f"{platform.system()} {platform.machine()} /srv/shop/.upkeep"


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ("", False),
        ("restic 0.9.6 compiled with go1.13", False),
        ("restic 0.13.1 compiled with go1.18", False),
        ("restic 0.14.0 compiled with go1.19.8 on linux/amd64", True),
        ("restic 0.18.0 compiled with go1.24", True),
        ("restic 1.0.0", True),
        ("sh: restic: not found", False),
    ],
)
def test_a_restic_is_good_enough_from_0_14_on(said: str, own: bool) -> None:
    assert lend.heard(f"{OURS}\n{said}\n").has_its_own is own


def test_what_was_lent_before_is_known_by_its_checksum() -> None:
    told = lend.heard(f"{OURS}\n{'ab' * 32}  /srv/shop/.upkeep/bin/restic\n")
    assert (told.lent, told.place) == ("ab" * 32, "/srv/shop/.upkeep/bin/restic")
    lend.fits(told)


def test_another_kind_of_machine_is_refused_with_what_to_do() -> None:
    with pytest.raises(CannotLend, match=r"not for Linux riscv64: install restic there, or name it in the contract"):
        lend.fits(Told("Linux", "riscv64", "/srv/shop/.upkeep", None, ""))


def test_a_host_that_says_something_else_is_not_believed() -> None:
    for said in ("", "hello", "Linux x86_64 relative/.upkeep"):
        with pytest.raises(CannotLend):
            lend.heard(said)


def test_the_question_is_one_that_any_shell_answers_whatever_the_folder_is_called(tmp_path: Path) -> None:
    root = tmp_path / "a 'b' $(touch c)" / "htdocs"
    (root.parent / ".upkeep" / "bin").mkdir(parents=True)
    path, wanted = lend.own()
    (root.parent / ".upkeep" / "bin" / "restic").write_bytes(Path(path).read_bytes())
    done = subprocess.run(
        ["sh", "-c", lend.question(str(root))], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    told = lend.heard(done.stdout)
    assert (told.lent, told.machine, told.has_its_own) == (wanted, platform.machine(), True)
    assert told.workshop == str(root.parent / ".upkeep")
    assert not (tmp_path / "c").exists()
