"""Speak as `ansible-playbook` does under ansible-runner, and do what a script says. It starts in no time.

Used as a program: `fake_ansible_playbook.py STEPS.yml --inventory DIR --limit HOST --extra-vars @FILE`. Hosts are played one after the other.
"""

import base64
import datetime
import json
import os
import pathlib
import sys
import time
import uuid


def emit(kind: str, **data: object) -> None:
    """Send one event: its data in a file, its name through the screen."""
    name = str(uuid.uuid4())
    event = {
        "uuid": name,
        "event": kind,
        "pid": os.getpid(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(),
        "event_data": data,
    }
    folder = pathlib.Path(os.environ["AWX_ISOLATED_DATA_DIR"]) / "job_events"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-partial.json").write_text(json.dumps(event))
    for value in ({"uuid": name}, {}):
        text = base64.b64encode(json.dumps(value).encode()).decode()
        sys.stdout.write(f"\x1b[K{text}\x1b[{len(text)}D\x1b[K")
    sys.stdout.flush()


def answer(folder: pathlib.Path, step: str, host: str, variables: dict[str, object]) -> dict[str, object]:
    """Note the call, and return what the script says to it."""
    kept = {key.removeprefix("upkeep_"): variables.get(key) for key in ("upkeep_run", "upkeep_point", "upkeep_holds")}
    kept["more"] = {key: value for key, value in variables.items() if key.startswith("site_snapshot_")}
    with (folder / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"step": step, "host": host, "variables": kept, "process": os.getpid()}) + "\n")
    script = json.loads((folder / "script.json").read_text())
    says = script.get(f"{step}_{host}") or script.get(step, [{}])
    counter = folder / f"count.{step}.{host}"
    count = len(counter.read_text()) if counter.exists() else 0
    counter.write_text("x" * (count + 1))
    said: dict[str, object] = says[min(count, len(says) - 1)]
    return said


def play(playbook: pathlib.Path, step: str, host: str, variables: dict[str, object]) -> int:
    """Play one step for one host; return Ansible's code."""
    say = answer(playbook.parent.parent, step, host, variables)
    time.sleep(float(str(say.get("seconds", 0))))
    outcome = say.get("outcome", "done")
    evidence = {**dict(say.get("evidence", {})), "step": step}  # type: ignore[call-overload]
    result = {"outcome": outcome, "msg": say.get("msg", f"{step} said so"), "evidence": evidence}
    kind, code = "runner_on_ok", 0
    if "crash" in say:
        kind, code, result = "runner_on_failed", 2, {"msg": f"Task failed: Module failed: {say['crash']}"}
        print(f"fatal: [{host}]: FAILED! => {say['crash']}")
    elif "unreachable" in say:
        kind, code, result = "runner_on_unreachable", 4, {"msg": say["unreachable"]}
    elif say.get("silent"):
        result = {"changed": False}
    elif outcome not in ("done", "nothing-to-do"):
        kind, code = "runner_on_failed", 2
    emit(kind, playbook=str(playbook), task=f"Say {step}", host=host, res=result)
    return code


def main() -> int:
    """Play the steps for every host until it fails."""
    words = sys.argv[1:]
    steps = pathlib.Path(words[0])
    imported = [play["ansible.builtin.import_playbook"] for play in json.loads(steps.read_text())]
    variables = json.loads(pathlib.Path(words[words.index("--extra-vars") + 1].removeprefix("@")).read_text())
    hosts = words[words.index("--limit") + 1].split(",")
    own = json.loads((steps.parent / "hosts.json").read_text())["all"]["hosts"] if len(hosts) > 1 else {}
    code = 0
    emit("playbook_on_start", playbook=str(steps))
    for name in imported:
        playbook = (steps.parent / name).resolve()
        if not hosts:
            break
        emit("playbook_on_play_start", name=f"Play {playbook.stem}")
        emit("playbook_on_task_start", playbook=str(playbook), task=f"Say {playbook.stem}")
        codes = {host: play(playbook, playbook.stem, host, {**variables, **own.get(host, {})}) for host in hosts}
        hosts = [host for host in hosts if not codes[host]]
        code = max(code, *codes.values())
    emit("playbook_on_stats")
    return code


if __name__ == "__main__":
    sys.exit(main())
