"""One run at a time on a site, whatever is killed, whoever comes second."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.module_utils import lease
from plugins.module_utils.site import Site

from .sites import OTHER_RUN, RUN, site_at

REPOSITORY = Path(__file__).parents[3]

# Another process that wants the site: it says what it got, and works until it is told to stop.
HOLDER = """
import sys
from pathlib import Path
from plugins.module_utils import lease
from tests.unit.pipeline.sites import site_at
try:
    with lease.hold(site_at(Path(sys.argv[1])), sys.argv[2], keep=sys.argv[3] == "keep"):
        print("mine", flush=True)
        sys.stdin.readline()
except lease.LeaseBusy as busy:
    print("busy:", busy, flush=True)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site with an empty document root."""
    (tmp_path / "htdocs").mkdir()
    return site_at(tmp_path)


def holder(site: Site, run: str, keep: str = "") -> subprocess.Popen[str]:
    """Start another process that wants the site."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(Path(site.root).parent), run, keep],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    """Return the line that the other process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def age(site: Site, seconds: float) -> None:
    """Let the lease have been written so many seconds earlier."""
    path = Path(site.workshop, "lease.json")
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "expires": value["expires"] - seconds, "since": value["since"] - seconds}))


def test_a_lease_ends_with_its_block_unless_it_is_kept(site: Site) -> None:
    with lease.hold(site, RUN, keep=False) as held:
        assert lease.read(site) == held
    assert lease.read(site) == {}

    with lease.hold(site, RUN, keep=True):
        pass
    assert lease.read(site)["run"] == RUN


def test_a_lease_that_ends_with_an_error_is_given_back_too(site: Site) -> None:
    with pytest.raises(ZeroDivisionError), lease.hold(site, RUN, keep=False):
        raise ZeroDivisionError
    assert lease.read(site) == {}


def test_another_run_is_told_who_has_the_site_and_touches_nothing(site: Site) -> None:
    with lease.hold(site, RUN, keep=True):
        pass
    before = lease.read(site)

    with pytest.raises(lease.LeaseBusy, match=f"run {RUN} has this site until 20.*Z, since 20.*Z; nothing was touched"):
        lease.hold(site, OTHER_RUN, keep=True).__enter__()
    assert lease.read(site) == before
    assert not Path(site.run_folder(OTHER_RUN)).exists()


def test_the_same_run_renews_its_lease_and_remembers_since_when(site: Site) -> None:
    with lease.hold(site, RUN, keep=True) as first:
        pass
    age(site, 600)
    with lease.hold(site, RUN, keep=True) as second:
        pass

    assert float(str(second["expires"])) >= float(str(first["expires"]))
    assert second["since"] == pytest.approx(float(str(first["since"])) - 600)


def test_an_expired_lease_binds_nobody(site: Site) -> None:
    with lease.hold(site, RUN, keep=True):
        pass
    age(site, lease.LEASE_SECONDS + 1)

    with lease.hold(site, OTHER_RUN, keep=True):
        assert lease.read(site)["run"] == OTHER_RUN
    assert not lease.release(site, RUN)
    assert lease.read(site)["run"] == OTHER_RUN


def test_a_run_that_was_overtaken_is_refused_whatever_it_wants(site: Site) -> None:
    with lease.hold(site, RUN, keep=True) as first:
        pass
    age(site, lease.LEASE_SECONDS + 1)
    with lease.hold(site, OTHER_RUN, keep=True) as second:
        pass
    assert (first["token"], second["token"]) == (1, 2)
    # Whether the other one still has the site or has given it back.
    with pytest.raises(lease.LeaseBusy, match=f"run {OTHER_RUN} has this site until"):
        lease.hold(site, RUN, keep=True).__enter__()
    assert lease.release(site, OTHER_RUN)

    with pytest.raises(
        lease.LeaseBusy, match=f"run {OTHER_RUN} took this site at 20.*token 2, this run's is 1"
    ) as busy:
        lease.hold(site, RUN, keep=True).__enter__()

    assert busy.value.holder["run"] == OTHER_RUN
    assert lease.read(site) == {}
    # It may still ask what became of it, and then nobody else is the newest.
    with lease.hold(site, RUN, keep=True, truth=True) as third:
        assert third["token"] == 3
    lease.release(site, RUN)
    with pytest.raises(lease.LeaseBusy, match=f"run {RUN} took this site at"):
        lease.hold(site, OTHER_RUN, keep=True).__enter__()


def test_a_token_is_kept_by_its_run_and_never_given_twice(site: Site) -> None:
    given = []
    for number in range(lease.REMEMBERED + 3):
        run = f"20261122T020000Z-{number:08x}"
        with lease.hold(site, run, keep=True) as held:
            given.append(held["token"])
        age(site, lease.LEASE_SECONDS + 1)
        with lease.hold(site, run, keep=False) as again:
            assert again["token"] == held["token"]
    assert given == list(range(1, lease.REMEMBERED + 4))
    assert len(lease.tokens(site)["runs"]) == lease.REMEMBERED


def test_a_lease_of_the_same_run_does_not_let_two_modules_work_at_once(site: Site) -> None:
    with holder(site, RUN, "keep") as other:
        assert said(other) == "mine"
        with pytest.raises(lease.LeaseBusy, match="another task of Upkeep is at work"):
            lease.hold(site, RUN, keep=True).__enter__()
        other.communicate("\n", timeout=20)


def test_an_expired_lease_of_a_module_still_at_work_does_not_let_another_run_in(site: Site) -> None:
    with holder(site, RUN, "keep") as other:
        assert said(other) == "mine"
        age(site, lease.LEASE_SECONDS + 1)
        with pytest.raises(lease.LeaseBusy, match="another task of Upkeep is at work"):
            lease.hold(site, OTHER_RUN, keep=True).__enter__()
        other.communicate("\n", timeout=20)


def test_kill_9_gives_the_lock_back_at_once_and_the_lease_stays_with_its_run(site: Site) -> None:
    with holder(site, RUN, "keep") as other:
        assert said(other) == "mine"
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=20)

    with lease.hold(site, RUN, keep=False, wait=0):
        pass
    with lease.hold(site, OTHER_RUN, keep=False, wait=0):
        pass


def test_who_waits_gets_the_lock_when_the_other_ends(site: Site) -> None:
    with holder(site, RUN, "keep") as other:
        assert said(other) == "mine"
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        with lease.hold(site, RUN, keep=False, wait=20):
            pass


def test_of_many_that_race_exactly_one_has_the_site(site: Site) -> None:
    racers = [holder(site, f"20261122T02000{number}Z-1f0c9a2b", "keep") for number in range(6)]
    try:
        answers = [said(racer) for racer in racers]
        winners = [number for number, answer in enumerate(answers) if answer == "mine"]
        assert len(winners) == 1, answers
        assert all(answer.startswith("busy:") for answer in answers if answer != "mine")
        assert lease.read(site)["run"] == f"20261122T02000{winners[0]}Z-1f0c9a2b"
    finally:
        for racer in racers:
            racer.communicate("\n", timeout=20)


def test_what_lies_beside_the_site_is_the_owners_alone(site: Site) -> None:
    Path(site.workshop).mkdir(mode=0o755)
    with lease.hold(site, RUN, keep=True):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(site.workshop).iterdir()}

    assert stat.S_IMODE(Path(site.workshop).stat().st_mode) == 0o700
    assert modes["lease.json"] == 0o600
    assert modes[RUN] == 0o700


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_lease_that_cannot_be_read_is_no_lease(site: Site, text: str) -> None:
    Path(site.workshop).mkdir()
    Path(site.workshop, "lease.json").write_text(text)

    with lease.hold(site, RUN, keep=False) as held:
        assert held["run"] == RUN


@pytest.mark.parametrize("run", ["", "..", RUN + "\n", "../" + RUN, RUN + "/x", RUN.upper() + "g", " " + RUN])
def test_a_run_is_named_by_an_id_and_nothing_else(site: Site, run: str) -> None:
    with pytest.raises(ValueError, match="not a run id"):
        site.run_folder(run)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    lease.write_whole(str(path), "first")
    with pytest.raises(UnicodeEncodeError):
        lease.write_whole(str(path), "x" * 100000 + "\udcff")

    assert path.read_text() == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("root", ["", "htdocs", "/", "//", "/srv/.."])
def test_a_root_that_is_no_document_root_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(ValueError, match="is not a document root"):
        site_at(tmp_path, root=root)


def test_a_document_root_that_is_a_link_stands_for_its_folder(tmp_path: Path) -> None:
    (tmp_path / "releases" / "7").mkdir(parents=True)
    (tmp_path / "htdocs").symlink_to("releases/7")
    site = site_at(tmp_path, root=f"{tmp_path}/htdocs/")

    assert site.root == f"{tmp_path}/releases/7"
    assert site.workshop == f"{tmp_path}/releases/.upkeep"


def test_the_clock_of_a_lease_is_said_in_utc() -> None:
    assert lease.utc(0) == "1970-01-01T00:00:00Z"


def test_folders_of_runs_are_spread_over_the_disk_where_the_file_system_knows_how(site: Site, tmp_path: Path) -> None:
    with lease.hold(site, RUN, keep=False):
        pass
    (tmp_path / "other").mkdir()
    knows = subprocess.run(["chattr", "+T", str(tmp_path / "other")], check=False, capture_output=True).returncode == 0
    told = subprocess.run(["lsattr", "-d", site.workshop], check=False, capture_output=True, text=True).stdout
    assert ("T" in told.partition(" ")[0]) == knows
