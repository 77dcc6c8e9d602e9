"""What Ansible has built is found again as long as nothing that it is made of has changed, and only what is ours."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from orchestrator.run.kept_builds import KEEP_SECONDS, KeptBuilds

NAME = "ansible.legacy.site_step-ZIP_DEFLATED-none"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "site_step.py"
    file.write_text("print(1)\n")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def builds(folder: Path, source: Path, version: str = "2.19") -> KeptBuilds:
    return KeptBuilds(folder, "site_step", (version,), [source])


def built(tmp_path: Path, name: str = "call") -> Path:
    place = tmp_path / name / "ansiballz_cache"
    place.mkdir(parents=True)
    for other in (f"{NAME}.lock", f"{NAME}-part", "ansible.legacy.ping-ZIP_DEFLATED-none"):
        (place / other).write_bytes(b"no")
    (place / NAME).write_bytes(b"a build")
    return place


def laid_out(tmp_path: Path, kept: KeptBuilds) -> list[str]:
    place = tmp_path / "later" / "ansiballz_cache"
    kept.lay_out(place)
    return sorted(file.name for file in place.iterdir()) if place.exists() else []


def test_a_build_is_there_in_the_next_call_and_nothing_else(tmp_path: Path, source: Path, folder: Path) -> None:
    builds(folder, source).keep(built(tmp_path))
    assert laid_out(tmp_path, builds(folder, source)) == [NAME]
    assert (tmp_path / "later" / "ansiballz_cache" / NAME).read_bytes() == b"a build"


def test_another_source_is_another_build(tmp_path: Path, source: Path, folder: Path) -> None:
    builds(folder, source).keep(built(tmp_path))
    source.write_text("print(2)\n")
    assert laid_out(tmp_path, builds(folder, source)) == []


def test_another_ansible_is_another_build(tmp_path: Path, source: Path, folder: Path) -> None:
    builds(folder, source).keep(built(tmp_path))
    assert laid_out(tmp_path, builds(folder, source, "2.20")) == []


def test_what_somebody_else_could_have_written_is_not_used(tmp_path: Path, source: Path, folder: Path) -> None:
    builds(folder, source).keep(built(tmp_path))
    (kept,) = folder.iterdir()
    kept.chmod(0o770)
    assert laid_out(tmp_path, builds(folder, source)) == []


def test_a_folder_behind_a_link_is_not_used(tmp_path: Path, source: Path, folder: Path) -> None:
    builds(folder, source).keep(built(tmp_path))
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert laid_out(tmp_path, builds(folder, source)) == []


def test_what_ansible_has_built_already_stays(tmp_path: Path, source: Path, folder: Path) -> None:
    builds(folder, source).keep(built(tmp_path))
    place = built(tmp_path, "another")
    (place / NAME).write_bytes(b"its own")
    builds(folder, source).lay_out(place)
    assert (place / NAME).read_bytes() == b"its own"


def test_a_build_that_nobody_used_for_long_goes_when_another_comes(tmp_path: Path, source: Path, folder: Path) -> None:
    builds(folder, source).keep(built(tmp_path))
    (old,) = folder.iterdir()
    past = time.time() - KEEP_SECONDS - 60
    os.utime(old, (past, past))
    source.write_text("print(2)\n")
    builds(folder, source).keep(built(tmp_path, "another"))
    assert old not in list(folder.iterdir())
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_no_mistake(tmp_path: Path, source: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    builds(in_the_way / "kept", source).keep(built(tmp_path))
    assert laid_out(tmp_path, builds(in_the_way / "kept", source)) == []
