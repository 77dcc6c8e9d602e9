"""The command line: what it says, where it says it, and with which code it ends."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer.main

from orchestrator import cli, remembered
from orchestrator.contract.load import load_contract
from orchestrator.ledger.address import peek
from orchestrator.ledger.ledger import open_ledger
from orchestrator.run.passwords import is_by_chance
from tests.unit.contract.samples import SAMPLE, changed, sample_data, written
from tests.unit.run.fake_project import FakeProject

COMMANDS = (
    "init",
    "check",
    "explain",
    "plan",
    "run",
    "status",
    "points",
    "restore",
    "report",
    "release-hold",
    "verify",
    "rehearse",
    "drill",
    "due",
    "probe",
)
REPOSITORY = SAMPLE.parents[2]
# A Sunday, 03:30 in Berlin: inside of the sample's window.
NIGHT = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)
NOON = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)
# A process builds it once for its one command; here one process types many.
parser = functools.cache(typer.main.get_command)


class Desk:
    """A client with playbooks that do what a script says, and the command line in front of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._capsys = folder, capsys
        self.project = FakeProject(folder)
        self.inventories = folder / "inventories"
        self.contract = self.inventories / "example" / "contract.yml"
        self.contract.write_text(SAMPLE.read_text())
        self.ledger = folder / "state" / "ledger.sqlite"
        self.environment = {
            "UPKEEP_INVENTORIES": str(self.inventories),
            "UPKEEP_CONTENT": str(self.project.content),
            "UPKEEP_LEDGER": str(self.ledger),
            "UPKEEP_ANSIBLE_PLAYBOOK": str(self.project.program),
            "XDG_STATE_HOME": str(folder / "home"),
        }
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(cli, "now", lambda: NIGHT)
        monkeypatch.setattr(typer.main, "get_command", parser)

    def type(self, *words: str) -> tuple[int, str, str]:
        """Type a command; returns its code, what it printed, and what it complained."""
        code = cli.main(words)
        output = self._capsys.readouterr()
        return code, output.out, output.err

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        command = [sys.executable, "-m", "orchestrator.cli", *words]
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait_for(self, step: str) -> None:
        """Wait until a step has reached the host."""
        deadline = time.monotonic() + 60
        while step not in self.project.steps():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def wait_for_ledger(self, step: str) -> None:
        """Wait until a step has begun as far as the controller knows."""
        deadline = time.monotonic() + 60
        while [run["last_step"] for run in json.loads(self.type("status", "--json")[1])["running"]] != [step]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, capsys, monkeypatch)


def files_under(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in folder.rglob("*")}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help_teaches_by_example(desk: Desk, command: str) -> None:
    code, out, _ = desk.type(command, "--help")
    assert code == 0
    assert f"upkeep {command}" in out.replace("\n", " ")
    assert "Example" in out
    assert "\x1b" not in out


def test_it_says_which_one_it_is(desk: Desk) -> None:
    code, out, _ = desk.type("--version")
    assert code == 0
    assert re.fullmatch(
        r"upkeep \d+\.\d+\.\d+ \(Python [\d.]+, ansible-core [\d.]+, ansible-runner [\d.]+, boto3 [\d.]+\)\n", out
    )


def test_the_help_lists_every_exit_code(desk: Desk) -> None:
    words = " ".join(desk.type("--help")[1].split())
    for code in ("0 done", "1 a bug", "2 the command", "3 put back", "4 not put back", "10 a contract", "11 another run",
                 "12 refused", "130 interrupted"):  # fmt: skip
        assert code in words


@pytest.mark.parametrize(
    "words", [["rnu"], ["run"], ["run", "example", "--dutty", "x"], ["plan", "example", "--duty", "x"]]
)
def test_a_command_that_is_not_understood_ends_with_2_and_says_where_help_is(desk: Desk, words: list[str]) -> None:
    code, out, err = desk.type(*words)
    assert (code, out) == (2, "")
    assert re.search(r"^Next: upkeep.*--help$", err, re.MULTILINE)


def test_an_unknown_client_is_guessed(desk: Desk) -> None:
    code, _, err = desk.type("plan", "exampel")
    assert code == 2
    assert "Did you mean 'example'?" in err


def test_check_reports_all_mistakes_with_their_lines_and_code_10(desk: Desk) -> None:
    broken = changed(("scope", "update", "core"), "minorr", changed(("sites", "shop", "url"), "ftp://x"))
    desk.contract.write_text(written(broken))
    code, _, err = desk.type("check")
    assert code == 10
    assert len(re.findall(rf"^.*{re.escape(str(desk.contract))}:\d+:\d+: ", err, re.MULTILINE)) == 2
    assert "Did you mean 'minor'?" in err
    code, out, err = desk.type("check", "example", "--json")
    error = json.loads(err)["error"]
    assert (code, out, error["code"], len(error["mistakes"])) == (10, "", 10, 2)
    assert set(error["mistakes"][0]) == {"file", "line", "column", "path", "message"}


def test_check_is_quiet_about_what_is_right_and_gives_the_schema_to_an_editor(desk: Desk) -> None:
    assert desk.type("check")[:2] == (0, "No mistake in example.\n")
    assert json.loads(desk.type("check", "--json")[1]) == {"clients": ["example"], "mistakes": [], "warnings": []}
    hold = {"kind": "plugin", "slug": "a", "version": "1", "reason": "x", "until": "2026-01-01"}
    desk.contract.write_text(written(changed(("scope", "update", "holds"), [hold])))
    code, out, _ = desk.type("check")
    assert code == 0
    assert "Warning: example: the hold of plugin a 1 ended on 2026-01-01 and counts no more." in out
    assert json.loads(desk.type("check", "--schema")[1])["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("command", ["plan", "run", "explain", "points"])
def test_nothing_is_run_on_a_contract_with_a_mistake(desk: Desk, command: str) -> None:
    desk.contract.write_text(written(changed(("sites", "shop", "url"), "http://169.254.169.254")))
    assert desk.type(command, "example")[0] == 10
    assert desk.project.calls() == []


def test_explain_shows_what_each_duty_leads_to_and_what_nothing_serves(desk: Desk) -> None:
    code, out, _ = desk.type("explain", "example")
    assert code == 0
    for words in ("scope.backup", "scope.update", "playbooks/promote.yml", "cms_update/promote", "cms_update_policy",
                  "scope.response_times", "nothing serves"):  # fmt: skip
        assert words in out
    assert json.loads(desk.type("explain", "example", "--json")[1])["client"] == "example"


def test_plan_touches_nothing_at_all(desk: Desk) -> None:
    before = files_under(desk.folder)
    code, out, _ = desk.type("plan", "example")
    assert code == 0
    assert files_under(desk.folder) == before
    assert "back → release" in out
    assert "Nothing was touched." in out
    assert desk.project.calls() == []


def test_plan_as_json_names_the_steps_and_their_ways_back(desk: Desk) -> None:
    plan = json.loads(desk.type("plan", "example", "--duty", "backup", "--json")[1])
    assert [step["name"] for step in plan["runs"][0]["steps"]] == ["preflight", "snapshot", "release"]
    assert plan["runs"][0]["window"] is None


def test_an_update_outside_of_its_window_is_refused_and_told_when_it_opens(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "now", lambda: NOON)
    code, out, err = desk.type("run", "example", "--json")
    error = json.loads(err)["error"]
    assert (code, out, error["code"]) == (12, "", 12)
    assert "Mon 2026-11-23 at 02:00 (Europe/Berlin)" in error["message"]
    assert "--now" in error["next"]
    assert desk.project.calls() == []
    assert not desk.ledger.exists()
    assert desk.type("run", "example", "--now")[0] == 0


def test_a_good_run_says_each_step_the_verdict_and_what_to_type_next(desk: Desk) -> None:
    held = {"kind": "plugin", "slug": "bad", "from": "1", "to": "2", "sha256": "a" * 64, "reason": "white\x1b[2J page"}
    desk.project.script(rehearse={"evidence": {"held": [held]}}, promote={"evidence": {"frozen_seconds": 1.25}})
    code, out, err = desk.type("run", "example")
    assert (code, err) == (0, "")
    for step in ("preflight", "snapshot", "stage", "rehearse", "promote", "release"):
        assert re.search(rf"^  {step} +done +[0-9.]+ s", out, re.MULTILINE)
    assert re.search(r"held +plugin bad 2: white\\x1b\[2J page", out), "a host cannot write to the terminal"
    assert re.search(r"frozen +1\.\d s", out)
    assert "Next: upkeep status example" in out
    assert "\x1b" not in out
    assert [hold.slug for hold in peek(f"sqlite:///{desk.ledger}").holds("example")] == ["bad"]  # type: ignore[union-attr]
    # The next run gets what this one learnt.
    plan = json.loads(desk.type("plan", "example", "--json")[1])
    assert plan["runs"][0]["run_variables"]["upkeep_holds"] == [{"kind": "plugin", "slug": "bad", "version": "2"}]
    status = json.loads(desk.type("status", "example", "--json")[1])
    assert [run["outcome"] for run in status["runs"]] == ["done"]
    assert json.loads(desk.type("release-hold", "example", str(status["holds"][0]["id"]), "--json")[1])["released"]
    assert desk.type("release-hold", "example", "1")[0] == 2


def test_a_run_that_was_put_back_ends_with_3_the_answer_on_stdout_and_the_error_on_stderr(desk: Desk) -> None:
    desk.project.script(promote={"outcome": "put-back", "msg": "white page", "evidence": {"broken_seconds": 2.0}})
    code, out, err = desk.type("run", "example", "--json")
    answer = json.loads(out)
    assert code == answer["exit_code"] == 3
    assert answer["runs"][0]["outcome"] == "put-back"
    assert answer["runs"][0]["broken"] == {"seconds": 2.0, "reasons": []}
    error = json.loads(err)["error"]
    assert (error["code"], error["message"]) == (3, "white page")
    code, out, _ = desk.type("report", "example", "--last", "1", "--out", "page.html")
    assert code == 0
    assert str(desk.folder / "page.html") in out
    assert "white page" in (desk.folder / "page.html").read_text()
    assert desk.type("report", "example", "--month", "2026-11", "--json")[0] == 0


def test_a_plan_in_a_file_is_carried_out_once_and_not_after_the_contract_changed(desk: Desk) -> None:
    assert desk.type("plan", "example", "--duty", "backup", "--out", "plan.json")[0] == 0
    assert desk.type("plan", "example", "--duty", "backup", "--out", "edited.json")[0] == 0
    edited = json.loads(Path("edited.json").read_text())
    edited["runs"][0]["steps"].pop(0)
    Path("edited.json").write_text(json.dumps(edited))
    code, _, err = desk.type("run", "edited.json")
    assert code == 12
    assert "edited" in err
    code, out, _ = desk.type("run", "plan.json", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["runs"][0]["run"] == json.loads(Path("plan.json").read_text())["runs"][0]["run"]
    assert desk.project.steps() == ["preflight", "snapshot", "release"]
    code, out, _ = desk.type("run", "plan.json")
    assert code == 12
    assert "carried out already" in out
    desk.contract.write_text(desk.contract.read_text() + "# signed again\n")
    code, _, err = desk.type("run", "plan.json")
    assert code == 12
    assert "has changed since this plan was made" in err
    assert "Next: upkeep plan example --out plan.json" in err
    assert len(desk.project.calls()) == 3


@pytest.mark.parametrize("together", ["1", "5"])
def test_with_several_sites_the_others_go_on_and_the_worst_decides(desk: Desk, together: str) -> None:
    data = sample_data()
    data["sites"]["second"] = json.loads(json.dumps(data["sites"]["shop"]).replace("shop", "second"))
    desk.contract.write_text(written(data))
    hosts = json.loads((desk.project.inventory / "hosts.yml").read_text())
    hosts["all"]["hosts"]["second"] = hosts["all"]["hosts"]["shop"]
    (desk.project.inventory / "hosts.yml").write_text(json.dumps(hosts))
    assert len(load_contract(desk.contract).sites) == 2
    desk.project.script(preflight_shop={"outcome": "refused", "msg": "no room on the disk"})
    code, out, _ = desk.type("run", "example", "--duty", "backup", "--together", together, "--json")
    assert code == 12
    assert [(run["site"], run["outcome"]) for run in json.loads(out)["runs"]] == [
        ("shop", "refused"),
        ("second", "done"),
    ]
    called = {call["process"] for call in desk.project.calls() if call["step"] == "preflight"}
    assert len(called) == (2 if together == "1" else 1)
    code, out, _ = desk.type("run", "example", "--duty", "backup", "--together", together)
    assert code == 12
    assert "no room on the disk" in out
    # Beside others each line says of which site it speaks.
    assert ("  shop    preflight" in out) == (together != "1")
    assert desk.type("run", "example", "--duty", "backup", "--site", "second")[0] == 0


@pytest.mark.slow
def test_ctrl_c_leaves_the_site_whole_and_says_so(desk: Desk) -> None:
    desk.project.script(
        snapshot={"seconds": 60}, recover={"evidence": {"state": "untouched"}, "msg": "nothing was touched"}
    )
    with desk.start("run", "example", "--duty", "backup") as process:
        desk.wait_for("snapshot")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Stopping. The site is left whole" in out
    assert re.search(r"^  recover +done .*nothing was touched", out, re.MULTILINE)
    assert "Interrupted: The run was interrupted before production was touched." in out


@pytest.mark.slow
def test_a_controller_that_is_killed_has_its_run_finished_or_put_back_by_resume(desk: Desk) -> None:
    desk.project.script(promote={"seconds": 5}, recover={"evidence": {"state": "put-back"}, "msg": "put back"})
    with desk.start("run", "example", "--now") as process:
        desk.wait_for("promote")
        desk.wait_for_ledger("promote")
        process.kill()
        process.communicate()
    status = json.loads(desk.type("status", "example", "--json")[1])
    assert [(run["last_step"], run["outcome"]) for run in status["interrupted"]] == [("promote", None)]
    assert "upkeep run --resume example" in desk.type("status")[1]
    code, out, _ = desk.type("run", "example")
    assert code == 12
    assert "Next: upkeep run --resume example" in out
    code, out, _ = desk.type("run", "--resume", "example")
    assert code == 3
    assert desk.project.steps()[4:] == ["promote", "recover"]
    assert list((desk.folder / "state" / "work").iterdir()) == []
    code, out, _ = desk.type("run", "--resume", "example")
    assert (code, out) == (0, "No run was interrupted: there is nothing to take up.\n")


def test_a_restore_names_its_point_and_is_carried_out(desk: Desk) -> None:
    point = "20261121T020000Z-0a0b0c0d"
    code, _, err = desk.type("restore", "example", "--site", "shop", "--point", "latest")
    assert code == 2
    assert "Next: upkeep points example --site shop" in err
    code, out, _ = desk.type("restore", "example", "--site", "shop", "--point", point, "--json")
    assert code == 0
    assert desk.project.steps() == ["preflight", "restore", "release"]
    assert desk.project.calls()[1]["variables"]["point"] == point
    assert json.loads(out)["runs"][0]["run"] != point


RESTORE = ("restore", "example", "--site", "shop", "--point", "20261121T020000Z-0a0b0c0d")


def test_a_part_of_a_restore_point_reaches_ansible_by_name(desk: Desk) -> None:
    code, _, err = desk.type(*RESTORE, "--table", "wp_posts", "--path", "wp-content/uploads", "--accept-other-version")
    assert code == 0, err
    ledger = desk.type("status", "example", "--json")[1]
    assert json.loads(ledger)["runs"][0]["outcome"] == "done"
    assert desk.project.calls()[1]["variables"]["more"] == {
        "site_snapshot_tables": ["wp_posts"],
        "site_snapshot_paths": ["wp-content/uploads"],
        "site_snapshot_accept_other_version": True,
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--path", "../../etc/passwd"), "leads out of the site's folder"),
        (("--path", "/etc/passwd"), "does not lie in the site's folder"),
        (("--path=--delete",), "looks like an option"),
        (("--table", "wp`posts"), "cannot be the name of a table"),
        (("--table", "{{ lookup('pipe', 'id') }}"), "cannot be the name of a table"),
        (("--path", "{{ lookup(1) }}"), "cannot be the name of a file"),
        (("--only", "everything"), "'files', 'database'"),
        (("--only", "files", "--table", "wp_posts"), "--only files leaves it out"),
        (("--only", "database", "--path", "x"), "--only database leaves them out"),
    ],
)
def test_what_can_be_no_part_of_a_restore_point_is_refused_before_any_host_hears_of_it(
    desk: Desk, asked: tuple[str, ...], said: str
) -> None:
    code, _, err = desk.type(*RESTORE, *asked)

    assert code == 2
    assert said in " ".join(err.split())
    assert "Next: upkeep" in err
    assert desk.project.steps() == []


def test_a_rehearsal_stops_before_production_in_any_hour_and_what_it_saw_is_held(desk: Desk) -> None:
    release = {"kind": "plugin", "slug": "lab-alpha", "to": "1.1"}
    held = {"kind": "plugin", "slug": "lab-banner", "to": "2.2", "reason": "white page"}
    desk.project.script(rehearse={"evidence": {"delivered": [release], "held": [held]}})
    code, out, _ = desk.type("rehearse", "example")
    assert code == 0
    assert desk.project.steps() == ["preflight", "stage", "rehearse", "release"]
    for words in ("would get", "lab-alpha 1.1", "lab-banner 2.2: white page", "Production was not touched",
                  "Next: upkeep run example --site shop"):  # fmt: skip
        assert words in out
    (hold,) = json.loads(desk.type("status", "example", "--json")[1])["holds"]
    assert (hold["slug"], hold["version"]) == ("lab-banner", "2.2")
    desk.project.script(stage={"outcome": "refused", "msg": "no staging database"})
    code, out, _ = desk.type("rehearse", "example", "--site", "shop", "--json")
    assert (code, json.loads(out)["runs"][0]["next"]) == (12, "upkeep rehearse example --site shop")


def test_an_update_that_is_degraded_has_an_exit_code_of_its_own(desk: Desk) -> None:
    desk.project.script(promote={"evidence": {"degraded": ["event of WordPress's cron: migrate"]}})
    code, out, _ = desk.type("run", "example", "--now")
    assert code == 6
    assert "Degraded" in out
    assert "not done yet" in out
    assert "event of WordPress's cron: migrate" in out


def wants_pictures(desk: Desk) -> None:
    desk.contract.write_text(written(changed(("scope", "update", "pictures"), {"of": "all"})))


@pytest.mark.parametrize("command", [("plan",), ("run", "--now"), ("rehearse",), ("run", "plan.json")])
def test_pictures_that_nobody_can_take_are_refused_before_anything_is_touched(
    desk: Desk, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    wants_pictures(desk)
    assert desk.type("plan", "example", "--out", "plan.json")[0] == 0
    monkeypatch.setenv("PATH", str(desk.folder))
    words = command if command[-1] == "plan.json" else (command[0], "example", *command[1:])
    code, _, err = desk.type(*words)
    assert code == 12
    assert "the contract of example wants pictures, and there is no Chromium; nothing was touched" in err
    assert "Next: apt-get install --no-install-recommends chromium" in err
    assert desk.project.steps() == []
    # A backup needs no browser, and a contract with pictures is no mistake.
    assert desk.type("run", "example", "--duty", "backup")[0] == 0
    code, out, _ = desk.type("check", "example")
    assert code == 0
    assert "Warning: example: scope.update.pictures: there is no Chromium" in out


def test_what_a_person_should_look_at_has_an_exit_code_its_pictures_and_a_hold(desk: Desk) -> None:
    folder = desk.folder / "pictures"
    folder.mkdir()
    (folder / "01.after.png").write_bytes(b"a picture")
    sha256 = hashlib.sha256(b"a picture").hexdigest()
    file = {"what": "after, picture", "file": "01.after.png", "bytes": 9, "sha256": sha256}
    other = {"what": "before, picture", "file": "01.before.png", "bytes": 9, "sha256": "a" * 64}
    objection = "front page: the form to /order/ is gone"
    seen: dict[str, Any] = {
        "name": "front page",
        "verdict": "look",
        "objections": [objection],
        "notes": [],
        "files": [other, file],
    }
    # The second look before may well have been the same picture.
    seen["files"] += [{**file, "what": "again, picture"}]
    pictures = {"folder": str(folder), "objections": [objection], "pages": [seen]}
    held = {"kind": "plugin", "slug": "lab-banner", "to": "2.41", "sha256": "b" * 64, "reason": objection}
    desk.project.script(
        rehearse={"outcome": "nothing-to-do", "evidence": {"pictures": pictures, "delivered": [], "held": [held]}},
        promote={"outcome": "nothing-to-do"},
    )
    code, out, _ = desk.type("run", "example", "--now", "--json")
    (told,) = json.loads(out)["runs"]
    assert (code, told["outcome"], told["headline"]) == (12, "nothing-to-do", "A person should look")
    assert (told["look_first"], told["pictures"]["folder"]) == ([objection], str(folder))
    assert desk.project.steps()[-2:] == ["promote", "release"]
    assert f"upkeep report example --run {told['run']}" in told["next"]
    (hold,) = json.loads(desk.type("status", "example", "--json")[1])["holds"]
    assert (hold["slug"], hold["reason"]) == ("lab-banner", objection)

    assert desk.type("report", "example", "--run", told["run"], "--out", "page.html")[0] == 0
    page = (desk.folder / "page.html").read_text()
    assert base64.b64encode(b"a picture").decode() in page
    assert page.count("<img ") == 1
    assert 'class="run warn"' in page
    assert sha256 in page
    # One that is not what the ledger says any more is not shown.
    (folder / "01.after.png").write_bytes(b"another")
    desk.type("report", "example", "--run", told["run"], "--out", "page.html")
    assert "<img " not in (desk.folder / "page.html").read_text()

    _, out, _ = desk.type("run", "example", "--now")
    assert f"look at {objection}" in " ".join(out.split())
    assert str(folder) in out
    assert desk.type("release-hold", "example", str(hold["id"]))[0] == 0
    planned = json.loads(desk.type("plan", "example", "--duty", "rehearse", "--json")[1])
    assert planned["runs"][0]["run_variables"]["upkeep_released"] == [
        {"kind": "plugin", "slug": "lab-banner", "version": "2.41", "sha256": "b" * 64}
    ]


def test_a_site_that_is_ill_after_the_soak_is_an_incident_and_nothing_is_thrown_away(desk: Desk) -> None:
    ill = {"soak": {"minutes": 5, "verdict": {"healthy": False, "reasons": ["front page: white"], "probes": []}}}
    desk.project.script(
        promote={"outcome": "not-put-back", "msg": "5 minutes later: front page: white", "evidence": ill},
        back={"outcome": "refused", "msg": "This promotion was confirmed"},
    )
    code, out, _ = desk.type("run", "example", "--now")
    assert code == 4
    assert "A person is needed" in out
    # What lies on the host may be needed: nothing is released.
    assert desk.project.steps() == ["preflight", "snapshot", "stage", "rehearse", "promote", "back"]
    (incident,) = json.loads(desk.type("status", "example", "--json")[1])["incidents"]
    assert incident["reasons"] == ["5 minutes later: front page: white"]


def test_a_drill_tries_the_newest_point_and_says_what_was_measured(desk: Desk) -> None:
    measured = {"point": "20261121T020000Z-0a0b0c0d", "recovery_seconds": 75.0, "data_age_seconds": 100_000}
    desk.project.script(drill={"evidence": measured})
    code, out, _ = desk.type("drill", "example")
    assert code == 0
    assert desk.project.steps() == ["preflight", "drill", "release"]
    assert desk.project.calls()[1]["variables"]["point"] == "newest"
    assert "recovered in     75.0 s (promised: 4 h)" in out
    assert "age of its data  27.8 h (promised: 24 h)" in out
    incidents = json.loads(desk.type("status", "example", "--json")[1])["incidents"]
    assert [each["reasons"] for each in incidents] == [["the age of its data was 27.8 hours, and 24 are promised"]]


def test_a_drill_that_fails_needs_somebody_who_looks_at_the_restore_points(desk: Desk) -> None:
    said = "The site cannot be recovered from it: white page."
    desk.project.script(drill={"outcome": "unhealthy", "msg": said, "evidence": {"point": "p"}})
    code, out, _ = desk.type("drill", "example", "--point", "20261121T020000Z-0a0b0c0d")
    assert code == 12
    assert said in out
    assert "The site was not well before anything began" not in out
    assert "Next: upkeep verify example --site shop --full" in out
    assert desk.project.calls()[1]["variables"]["point"] == "20261121T020000Z-0a0b0c0d"
    assert desk.type("drill", "example", "--point", "latest")[0] == 2


SECRETS = "site_snapshot_access_key: a\nsite_snapshot_secret_key: b\nsite_snapshot_password: c\n"
ELSEWHERE = ("restore", "example", "--site", "shop", "--point", "newest", "--to")


@pytest.mark.slow
def test_a_recovery_on_another_host_begins_with_nothing_and_says_how_the_site_moves_there(desk: Desk) -> None:
    hosts = desk.inventories / "example" / "hosts.yml"
    known = json.loads(hosts.read_text())["all"]["hosts"]
    hosts.write_text(json.dumps({"all": {"hosts": {**known, "fresh": known["shop"]}}}))
    (desk.inventories / "other").mkdir()
    (desk.inventories / "other" / "hosts.yml").write_text("all: {hosts: {theirs: {}}}\n")
    (desk.inventories / "other" / "contract.yml").write_text(SAMPLE.read_text())
    assert desk.type(*ELSEWHERE, "fresh")[0] == 12
    (desk.inventories / "example" / "group_vars" / "all").mkdir(parents=True, exist_ok=True)
    (desk.inventories / "example" / "group_vars" / "all" / "vault.yml").write_text(SECRETS)
    for host, code, told in (
        ("frech", 2, "Did you mean 'fresh'?"),
        ("theirs", 12, "a host of other, another client"),
        ("fresh --only files", 2, "gets all of a restore point"),
    ):
        ended, _, err = desk.type(*ELSEWHERE, *host.split())
        assert (ended, told in err) == (code, True), err
    ended, _, err = desk.type("restore", "example", "--site", "shop", "--point", "newest")
    assert (ended, "'newest' goes with --to" in err, desk.project.steps()) == (2, True, [])

    desk.project.script(rebuild={"evidence": {"point": "20261121T020000Z-0a0b0c0d", "recovery_seconds": 75.0}})
    code, out, _ = desk.type(*ELSEWHERE, "fresh")

    assert code == 0, out
    assert desk.project.steps() == ["rebuild", "release"]
    assert "20261121T020000Z-0a0b0c0d on fresh" in out
    assert "write `host: fresh` into inventories/example/contract.yml" in out
    assert desk.type("drill", "example", "--on", "fresh")[0] == 0
    assert desk.project.steps()[2:] == ["drill", "release"]


def test_what_is_due_ends_with_5_and_says_what_to_type(desk: Desk) -> None:
    code, out, _ = desk.type("due", "--json")
    assert code == 5
    (only,) = json.loads(out)["due"]
    assert only["command"] == "upkeep run example --site shop --duty backup"
    assert not desk.ledger.exists()
    taken = {"manifest": {"taken": "2026-11-22T02:00:00+00:00"}}
    desk.project.script(snapshot={"evidence": taken})
    desk.type("run", "example", "--duty", "backup")
    code, out, _ = desk.type("due", "example")
    assert code == 5
    assert "no restore point was ever verified" in " ".join(out.split())
    assert "upkeep drill example --site shop" in " ".join(out.split())


def test_a_restore_point_is_shown_in_the_staging_place_and_taken_away_again(desk: Desk) -> None:
    code, out, _ = desk.type(*ELSEWHERE, "staging")
    assert code == 0, out
    assert "Next: look at it (docs/restore.md), then: upkeep restore example --site shop --to staging --remove" in out
    assert desk.type("restore", "example", "--site", "shop", "--to", "staging", "--remove")[0] == 0
    assert desk.project.steps() == ["show", "release", "unstage", "release"]
    assert desk.type("restore", "example", "--site", "shop", "--remove")[0] == 2


def test_points_says_where_the_missing_keys_belong(desk: Desk) -> None:
    code, _, err = desk.type("points", "example")
    assert code == 12
    assert "site_snapshot_access_key" in err
    assert "ansible-vault edit" in err


def test_a_bug_of_ours_ends_with_1_and_a_file_for_the_report(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(remembered, "status", broken)
    code, _, err = desk.type("status", "--json")
    error = json.loads(err)["error"]
    assert code == error["code"] == 1
    (file,) = (desk.folder / "home" / "upkeep" / "crashes").iterdir()
    assert str(file) in error["next"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in file.read_text()


def test_init_makes_a_client_that_passes_the_check(desk: Desk) -> None:
    code, out, _ = desk.type(
        "init", "acme", "--name", "Acme Ltd", "--url", "https://acme.example", "--host", "192.0.2.10"
    )
    assert code == 0
    assert "Next: upkeep check acme" in out
    assert desk.type("check", "acme")[0] == 0
    assert desk.type("init", "acme")[0] == 2
    vault = (desk.inventories / "acme" / "group_vars" / "all" / "vault.yml").read_text()
    (password,) = re.findall(r'^site_snapshot_password: "(.*)"$', vault, re.MULTILINE)
    assert is_by_chance(password)


@pytest.mark.parametrize(
    "words", [[], ["--month", "2026-13"], ["--month", "2026-11", "--last", "2"], ["--run", "../x"]]
)
def test_a_report_is_for_one_thing(desk: Desk, words: list[str]) -> None:
    open_ledger(f"sqlite:///{desk.ledger}").close()
    assert desk.type("report", "example", *words)[0] == 2


def test_status_without_a_ledger_makes_none(desk: Desk) -> None:
    before = files_under(desk.folder)
    assert desk.type("status")[0] == 0
    assert files_under(desk.folder) == before


def test_ids_are_made_from_the_moment_and_chance() -> None:
    make: Callable[[datetime], str] = cli.new_id
    assert re.fullmatch(r"20261122T023000Z-[0-9a-f]{8}", make(NIGHT))
    assert make(NIGHT) != make(NIGHT)


def probed(*, healthy: bool = True, **more: Any) -> dict[str, Any]:
    """What the playbook reports of a look at the site."""
    seen = {
        "name": "front page",
        "ok": healthy,
        "status": 200,
        "seconds": 0.1,
        "bytes": 9,
        "problems": [],
        "cached": False,
    }
    reasons = [] if healthy else ["front page: the page is empty"]
    return {"evidence": {"verdict": {"healthy": healthy, "reasons": reasons, "probes": [seen], "cached": []}}, **more}


@pytest.mark.parametrize(
    ("says", "code", "message"),
    [
        (probed(), 0, "shop is well"),
        (probed(healthy=False, outcome="unhealthy"), 12, "shop is not well: front page: the page is empty"),
        ({"outcome": "busy", "msg": "another run has it"}, 11, "shop is not well: another run has it"),
        ({"crash": "x"}, 12, "shop is not well: "),
    ],
    ids=["well", "not-well", "busy", "nobody-could-look"],
)
def test_a_look_at_a_site_tells_whether_it_is_well(desk: Desk, says: dict[str, Any], code: int, message: str) -> None:
    desk.project.script(probe=[says])
    ended, said, complained = desk.type("probe", "example", "--json")
    answer = json.loads(said)
    assert (ended, answer["exit_code"], answer["sites"][0]["healthy"]) == (code, code, code == 0)
    assert answer["sites"][0]["message"].startswith(message)
    assert bool(complained) is bool(code)
    assert desk.type("probe", "example")[0] == code


OWN_TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2, "the {{ }} < & disk"
def test_left_out(): pytest.skip("no such thing here")
"""


@pytest.mark.slow
def test_the_clients_own_tests_count(desk: Desk) -> None:
    desk.project.script(probe=[probed()])
    own = desk.contract.parent / "tests" / "test_own.py"
    own.parent.mkdir()
    own.write_text(OWN_TESTS)
    code, said, _ = desk.type("probe", "example", "--json")
    (answer,) = json.loads(said)["sites"]
    assert (code, [test["passed"] for test in answer["tests"]]) == (12, [True, False, False])
    assert "the {{ }} < & disk" in answer["reasons"][0]
    assert "no such thing here" in answer["reasons"][1]
    assert desk.type("probe", "example", "--without-tests")[0] == 0

    own.write_text("def broken(:\n")
    code = desk.type("probe", "example", "--json")[0]
    assert code == 12
    assert list(own.parent.iterdir()) == [own]
