#!/usr/bin/python
# GPL-3.0-or-later
"""Carry out one step of a run on the host of a site."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_step
short_description: One step of a run on the host of a site
description:
  - All steps are one module because building a module costs the controller far more than calling one that it has built.
  - Each step takes the lease of the site, does its work, and returns an outcome and the evidence for it.
options:
  step:
    description:
      - V(preflight) begins a run. It looks at versions, headroom, PHP and database, carries out every probe and stores what
        it saw for the verdicts that follow.
      - V(probe) carries out the probes and judges them. It stores nothing and takes no lease beyond the task.
      - V(snapshot) dumps the whole database, stores dump and files in one restic snapshot, and proves both against what is
        there. It returns the manifest; the restore point exists only when M(restore_point_manifest) has written that to the
        store. A dump that is empty, cut off or lacks tables, and a snapshot that lacks files, fail the task.
      - V(bring) brings a restore point into the staging place of a host that is not production's, where V(stage) and
        V(rehearse) find it instead of a copy of production.
      - V(stage) copies files and database, serves the copy under the same Host name on another port of the host's loopback
        address and shows that it passes the baseline itself. Mail, cron and outgoing requests are off in it.
      - V(looked) ends what O(serve) began, and tells what PHP's log gained meanwhile.
      - V(unstage) removes files and tables of the copy, or of the restore point that is shown there.
      - V(show) brings a restore point to the staging place and leaves it served there, for a person to look at.
      - V(rehearse) asks for releases, tries those that the contract allows in staging, finds and holds the bad ones.
      - V(hand_over) says, on a staging host of its own, what was tested, O(handed) of V(deliver).
      - V(deliver) fetches to production's host the very packages that were tested there, and lays out of them what V(promote)
        gives production. A package with another SHA-256, and a file that no package brought, fail the task.
      - V(promote) gives production what staging tested, in one exchange, and puts it back when that is not healthy.
      - V(back) puts production back as it was before the promotion of this run, if it was not confirmed.
      - V(restore) brings files and dump to the host, compares them with the manifest and loads the dump into the staging
        database; a file that is not as it was, or one statement that fails, ends the task with production untouched. Then,
        in one freeze of seconds, it exchanges the trees, renames the tables, and probes the site. What was there before
        stays on the host until the run is released, and comes back when the site is not healthy.
      - V(drill) brings files and dump to the host as V(restore) does, serves them as V(stage) serves a copy, counts the rows,
        carries out the probes, and removes all of it. It returns how many seconds that took and how old the data are. A
        restore point that does not make a healthy site fails the task; production is only read.
      - V(rebuild) makes a site out of a restore point on a host that has none, and probes it there. A document root or a
        database that is not empty, a web server that does not serve the root, too little room fail the task, and nothing is
        left behind.
      - V(release) ends a run. It removes what the run left on the host and gives the lease back.
      - V(recover) asks the host how far an interrupted run came, and finishes it or puts production back.
    type: str
    choices:
      [preflight, probe, snapshot, bring, stage, looked, unstage, rehearse, hand_over, deliver, promote, back, restore, drill,
       rebuild, show, release, recover]
    required: true
  run:
    description: Id of the run, such as 20261122T020000Z-1f0c9a2b.
    type: str
    required: true
  site:
    description: The site as the contract describes it. See the role's argument specification.
    type: dict
    required: true
  probes:
    description: The probes, one for each function of the site. Every step but V(snapshot) and V(looked) needs them.
    type: list
    elements: dict
  keep_lease:
    description: Keep the lease after this task, for the next steps of the run. V(release) and V(recover) always end it.
    type: bool
    default: false
  must_be_healthy:
    description:
      - For V(preflight) and V(probe), fail when the site is not healthy already.
      - For V(restore), put back what was there before when the restored site does not pass its probes.
    type: bool
    default: true
  policy:
    description: For V(rehearse), which releases the contract takes. Keys core, plugins, themes, translations, cool_down_days, fast_lane, hold_at.
    type: dict
  holds:
    description:
      - For V(rehearse), releases that this site does not get. Each names the version that is held, or the only one that is not.
      - One with a last day (until, such as 2026-12-31, by UTC) counts no more after it.
    type: list
    elements: dict
    default: []
  first_seen:
    description:
      - For V(rehearse) with a cool-down, since which day each release has been on offer. What is not listed is seen today for
        the first time.
    type: list
    elements: dict
    default: []
  released:
    description: For V(rehearse), releases that a person has looked at and let go, each with its sha256.
    type: list
    elements: dict
    default: []
  artefacts:
    description:
      - For V(rehearse), the packages that lie in the client's store, as M(package_gateway) returns them. What is newer than
        the installed version is on offer.
    type: list
    elements: dict
    default: []
  package_gateway:
    description: For V(rehearse) and V(deliver), the address of the gateway for packages, as M(package_gateway) returns it.
    type: str
    default: ""
  handed:
    description: For V(deliver), what V(hand_over) has returned on the staging host.
    type: str
    default: ""
  serve:
    description: For V(stage) and V(rehearse), leave the copy served for a browser's look, which V(looked) ends.
    type: bool
    default: false
  withheld:
    description: For V(looked), releases that are not to be promoted until a person has looked. With any, nothing is promoted.
    type: list
    elements: dict
    default: []
  point:
    description: For V(snapshot), the id of the restore point, named before it is taken.
    type: str
  manifest:
    description: For V(restore), V(drill), V(rebuild), V(show) and V(bring), the manifest of the restore point.
    type: dict
  only:
    description: For V(restore), whether V(all) of the restore point comes back, its V(files) or its V(database).
    type: str
    choices: [all, files, database]
    default: all
  tables:
    description: For V(restore), no more of the database than these tables, and no files that O(paths) does not name.
    type: list
    elements: str
    default: []
  paths:
    description:
      - For V(restore), no more of the files than these, and no tables that O(tables) does not name.
      - A path is that of a file or folder, below the document root or by its full name.
    type: list
    elements: str
    default: []
  accept_other_version:
    description:
      - For V(restore) of a part, do it although WordPress has another version now than when the restore point was taken,
        so that the part is older or newer than what it comes to.
    type: bool
    default: false
  store:
    description: For V(snapshot), V(restore), V(drill), V(rebuild), V(show) and V(bring), where the restore points lie.
    type: dict
    suboptions:
      endpoint: {description: URL of the S3 service., type: str, required: true}
      bucket: {description: The client's bucket., type: str, required: true}
      region: {description: Region that requests are signed for., type: str, default: us-east-1}
      prefix: {description: Client and site with a slash between., type: str, required: true}
      lock_days: {description: For how many days the contract promises a lock., type: int, default: 0}
  gateway:
    description: Address of a gateway, as M(store_gateway) returns it. With it the host needs no key of the store.
    type: str
    default: ""
  access_key:
    description: Key of the store, without a gateway.
    type: str
    default: ""
  secret_key:
    description: Secret key of the store, without a gateway.
    type: str
    default: ""
  password:
    description: For V(snapshot), V(restore), V(drill), V(rebuild), V(show) and V(bring), the password of the restic repository.
    type: str
  database:
    description:
      - For V(rebuild), V(bring), V(show), and V(drill) with O(elsewhere), what of the site's database is another on this host than the restored wp-config.php says, which is
        changed to say so.
    type: dict
    suboptions:
      name: {description: Name of the database., type: str}
      user: {description: The site's account., type: str}
      host: {description: "Host, host and port, or host and socket, as in DB_HOST.", type: str}
  elsewhere:
    description: For V(drill), that this is another host than production's, which need not have the site.
    type: bool
    default: false
  database_password:
    description:
      - Password of the database that the contract declares for a site that is not WordPress.
      - For V(rebuild), V(bring), V(show), and V(drill) with O(elsewhere), the password of the site's account on this host, where it is another.
      - It lies in the run's folder, for its owner alone, while the step is at work.
    type: str
    default: ""
  create_bucket:
    description: For V(snapshot), whether a missing bucket may be made.
    type: bool
    default: true
  deadline:
    description:
      - For V(promote), after how many seconds the host goes back by itself when the promotion has neither been confirmed nor put
        back. When the module dies, it goes back at once.
    type: int
    default: 900
  wait_minutes:
    description: For V(promote), for how many minutes after it what the update left to be done in the background is awaited.
    type: float
    default: 2
  soak_minutes:
    description: For V(promote), after how many minutes the site is probed again. With 0 it is not.
    type: float
    default: 0
  freeze_seconds:
    description:
      - For V(promote), for how many seconds visitors may be kept out.
      - When copying and comparing tables is expected to need more, the promotion is refused before anything is touched.
    type: float
    default: 60
  timeout:
    description: Seconds that a dump, a load or a transfer may take.
    type: int
    default: 5400
attributes:
  check_mode:
    support: full
    details:
      - Says what the step would do and writes nothing, neither on the host nor in the store.
      - The probes look as a visitor does and leave out what only an administrator sees.
  diff_mode:
    support: partial
    details: Versions before and after, for V(rehearse), V(promote) and V(back).
  idempotent:
    support: partial
    details: Each V(snapshot) and each V(restore) does its work again. Unchanged files are not sent again.
author: [Upkeep]
"""

EXAMPLES = r"""
- name: Take the baseline
  site_step:
    step: preflight
    run: "{{ upkeep_run }}"
    site: "{{ site_probe_site }}"
    probes: "{{ site_probe_probes }}"

- name: Try the updates in staging
  site_step:
    step: rehearse
    run: "{{ upkeep_run }}"
    site: "{{ cms_update_site }}"
    probes: "{{ cms_update_probes }}"
    policy: {core: minor, plugins: all, themes: all}
"""

RETURN = r"""
outcome:
  description: done, nothing-to-do, put-back, not-put-back, refused, busy or unhealthy. Empty for O(step=hand_over).
  type: str
  returned: always
handed:
  description: What was tested, for O(step=deliver). Names, SHA-256 and paths; no content of any file.
  type: str
  returned: by O(step=hand_over)
evidence:
  description: What was observed, by the step. Always its name; then versions, verdicts, releases, manifest, seconds.
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.freeze_budget import BUDGET_SECONDS
from ..module_utils.parts import ALL, CHOICES
from ..module_utils.points import STORE_OPTIONS
from ..module_utils.probes import KINDS
from ..module_utils.promotion import DEADLINE_SECONDS
from ..module_utils.site import SITE_OPTIONS
from ..module_utils.staging_host import bring
from ..module_utils.step_deliver import deliver, hand_over
from ..module_utils.step_drill import drill
from ..module_utils.step_lease import recover, release
from ..module_utils.step_probe import preflight, probe
from ..module_utils.step_rebuild import rebuild
from ..module_utils.step_restore import restore
from ..module_utils.step_snapshot import snapshot
from ..module_utils.step_staging import looked, show, stage, unstage
from ..module_utils.step_update import back, promote, rehearse
from ..module_utils.task import carry_out

STEPS = {
    "preflight": preflight,
    "probe": probe,
    "snapshot": snapshot,
    "bring": bring,
    "stage": stage,
    "looked": looked,
    "unstage": unstage,
    "rehearse": rehearse,
    "hand_over": hand_over,
    "deliver": deliver,
    "promote": promote,
    "back": back,
    "restore": restore,
    "drill": drill,
    "rebuild": rebuild,
    "show": show,
    "release": release,
    "recover": recover,
}
ENDS = ("release", "recover")
# These only put right what their own run has left, also when another one has had the site since.
ASK_FOR_THE_TRUTH = ("back", "recover")
# A task that lost its connection may still be at work on the host, or the host itself on its way back: wait for it to end
# before asking how far it came.
PATIENCE_SECONDS = {"promote": 10.0, "back": 120.0, "release": 10.0, "recover": 120.0}

PROBE = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "path": {"type": "str", "default": "/"},
    "status": {"type": "int", "default": 200},
    "text": {"type": "list", "elements": "str", "default": []},
    "absent": {"type": "list", "elements": "str", "default": []},
    "selector": {"type": "str", "default": ""},
    "max_seconds": {"type": "float", "default": 0},
    "min_bytes": {"type": "int", "default": 0},
    "max_bytes": {"type": "int", "default": 0},
    "steps": {"type": "list", "elements": "dict", "default": []},
    "places": {"type": "list", "elements": "str", "choices": ["staging", "production"], "default": []},
    "mail": {"type": "dict"},
}
HOLD = {
    "kind": {"type": "str", "required": True, "choices": ["core", "plugin", "theme", "translation"]},
    "slug": {"type": "str", "required": True},
    "version": {"type": "str"},
    "only": {"type": "str"},
    "until": {"type": "str"},
    "reason": {"type": "str", "default": ""},
}
RELEASED = {name: {"type": "str", "required": True} for name in ("kind", "slug", "version", "sha256")}
ARTEFACT = {name: {"type": "str", "required": True} for name in ("kind", "slug", "file", "version", "sha256")}
WITHHELD = {name: {"type": "str", "required": True} for name in ("kind", "slug", "version")}
FIRST_SEEN = {name: {"type": "str", "required": True} for name in ("kind", "slug", "version", "day")}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": list(STEPS), "required": True},
            "run": {"type": "str", "required": True},
            "site": {"type": "dict", "required": True, "options": SITE_OPTIONS},
            "probes": {"type": "list", "elements": "dict", "options": PROBE},
            "keep_lease": {"type": "bool", "default": False},
            "must_be_healthy": {"type": "bool", "default": True},
            "policy": {"type": "dict"},
            "holds": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": HOLD,
                "mutually_exclusive": [["version", "only"]],
                "required_one_of": [["version", "only"]],
            },
            "first_seen": {"type": "list", "elements": "dict", "default": [], "options": FIRST_SEEN},
            "released": {"type": "list", "elements": "dict", "default": [], "options": RELEASED},
            "artefacts": {"type": "list", "elements": "dict", "default": [], "options": ARTEFACT},
            "package_gateway": {"type": "str", "default": "", "no_log": True},
            "handed": {"type": "str", "default": ""},
            "serve": {"type": "bool", "default": False},
            "withheld": {"type": "list", "elements": "dict", "default": [], "options": WITHHELD},
            "point": {"type": "str"},
            "manifest": {"type": "dict"},
            "only": {"type": "str", "choices": list(CHOICES), "default": ALL},
            "tables": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "str", "default": []},
            "accept_other_version": {"type": "bool", "default": False},
            "store": {"type": "dict", "options": STORE_OPTIONS},
            "gateway": {"type": "str", "default": "", "no_log": True},
            "access_key": {"type": "str", "default": "", "no_log": True},
            "secret_key": {"type": "str", "default": "", "no_log": True},
            "password": {"type": "str", "no_log": True},
            "database": {"type": "dict", "options": {name: {"type": "str"} for name in ("name", "user", "host")}},
            "elsewhere": {"type": "bool", "default": False},
            "database_password": {"type": "str", "default": "", "no_log": True},
            "create_bucket": {"type": "bool", "default": True},
            "deadline": {"type": "int", "default": DEADLINE_SECONDS},
            "wait_minutes": {"type": "float", "default": 2},
            "soak_minutes": {"type": "float", "default": 0},
            "freeze_seconds": {"type": "float", "default": BUDGET_SECONDS},
            "timeout": {"type": "int", "default": 5400},
        },
        required_if=[
            *[("step", name, ["probes"]) for name in STEPS if name not in ("snapshot", "looked")],
            ("step", "rehearse", ["policy"]),
            ("step", "snapshot", ["point", "store", "password"]),
            ("step", "restore", ["manifest", "store", "password"]),
            ("step", "bring", ["manifest", "store", "password"]),
            ("step", "drill", ["manifest", "store", "password"]),
            ("step", "rebuild", ["manifest", "store", "password"]),
            ("step", "show", ["manifest", "store", "password"]),
        ],
        supports_check_mode=True,
    )
    step = module.params["step"]
    carry_out(
        module,
        step,
        STEPS[step],
        wait=PATIENCE_SECONDS.get(step, 0.0),
        keep_lease=module.params["keep_lease"] and step not in ENDS,
        truth=step in ASK_FOR_THE_TRUTH,
    )


if __name__ == "__main__":
    main()
