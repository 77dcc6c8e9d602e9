"""A tiny project whose playbooks report what a script tells them to. It is put in through the ordinary options.

It comes with playbooks for the real Ansible, and with a program that speaks like Ansible and starts fifty times faster.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MODULE = """
import json, os, time
from ansible.module_utils.basic import AnsibleModule

def main():
    module = AnsibleModule(dict(step=dict(type="str"), host=dict(type="str"), folder=dict(type="path"), variables=dict(type="dict"),
                                password=dict(type="str", no_log=True)), supports_check_mode=True)
    folder, step, host = module.params["folder"], module.params["step"], module.params["host"]
    with open(os.path.join(folder, "calls.jsonl"), "a") as calls:
        call = {"step": step, "host": host, "variables": module.params["variables"], "process": os.getpid()}
        calls.write(json.dumps(call) + "\\n")
    with open(os.path.join(folder, "script.json")) as file:
        script = json.load(file)
    says = script.get(step + "_" + host) or script.get(step, [{}])
    done = os.path.join(folder, "count." + step + "." + host)
    count = len(open(done).read()) if os.path.exists(done) else 0
    open(done, "a").write("x")
    say = says[min(count, len(says) - 1)]
    if "crash" in say:
        raise RuntimeError(say["crash"])
    until = time.time() + say.get("seconds", 0)
    while time.time() < until and not os.path.exists(os.path.join(folder, say.get("until", "never"))):
        time.sleep(0.05)
    answer = {"outcome": say.get("outcome", "done"), "msg": say.get("msg", step + " said so"),
              "evidence": dict(say.get("evidence", {}), step=step)}
    if say.get("silent"):
        module.exit_json(changed=False)
    if answer["outcome"] in ("done", "nothing-to-do") and not say.get("failed"):
        module.exit_json(changed=True, **answer)
    module.fail_json(**answer)

main()
"""

PLAYBOOK = """
- hosts: "{{{{ site_group | default('all') }}}}"
  gather_facts: false
  tasks:
    - name: Say {step}
      say:
        step: {step}
        host: "{{{{ inventory_hostname }}}}"
        folder: {folder}
        password: not-for-anybody
        variables: {{run: "{{{{ upkeep_run }}}}", point: "{{{{ upkeep_point }}}}", holds: "{{{{ upkeep_holds }}}}"}}
"""

PROGRAM = Path(__file__).with_name("fake_ansible_playbook.py")
STEPS = (
    "preflight",
    "snapshot",
    "stage",
    "rehearse",
    "promote",
    "back",
    "release",
    "restore",
    "drill",
    "rebuild",
    "show",
    "unstage",
    "recover",
    "probe",
)


class FakeProject:
    """Playbooks with the right names; `script(step=[answer, answer, …])` says what each call of a step answers.

    `step_HOST` says it for one of several hosts. `seconds` says how long the step takes, `until` at which file's coming it ends before.
    """

    def __init__(self, folder: Path) -> None:
        self.content = folder / "content"
        self.inventory = folder / "inventories" / "example"
        (self.content / "playbooks").mkdir(parents=True)
        (self.content / "plugins" / "modules").mkdir(parents=True)
        self.inventory.mkdir(parents=True)
        (self.content / "ansible.cfg").write_text(
            "[defaults]\nlibrary = plugins/modules\ninternal_poll_interval = 0.01\n"
        )
        (self.content / "plugins" / "modules" / "say.py").write_text(MODULE)
        for step in STEPS:
            text = PLAYBOOK.format(step=step, folder=self.content)
            (self.content / "playbooks" / f"{step}.yml").write_text(text)
        self.hosts("shop")
        self.program = self.content / "ansible-playbook"
        self.program.write_text(f"#!{sys.executable} -IS\n" + PROGRAM.read_text())
        self.program.chmod(0o755)
        self.script()

    def hosts(self, *names: str) -> None:
        """Let these be the hosts of the inventory."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (self.inventory / "hosts.yml").write_text(json.dumps({"all": {"hosts": dict.fromkeys(names, local)}}))

    def script(self, **says: list[dict[str, Any]] | dict[str, Any]) -> None:
        """Say what the steps answer; a step that is not named answers `done`."""
        whole = {name: says[name] if isinstance(says[name], list) else [says[name]] for name in says}
        (self.content / "script.json").write_text(json.dumps(whole))

    def calls(self) -> list[dict[str, Any]]:
        """Return what the modules were called with."""
        file = self.content / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def steps(self, host: str = "") -> list[str]:
        """Return the names of the steps that reached the hosts, or one of them."""
        return [call["step"] for call in self.calls() if host in ("", call.get("host"))]
