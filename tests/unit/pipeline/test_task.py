"""How a module of ours ends: an outcome and a sentence, whatever went wrong, in words that can be written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import lease, task
from plugins.module_utils.site import Site
from plugins.module_utils.task import Stop

from .sites import OTHER_RUN, RUN, site_at

SITE = {
    "client": "example", "name": "shop", "cms": "wordpress", "url": "http://shop.example.test", "address": "127.0.0.1",
    "port": 80, "staging": {"port": 8081, "database": "shop_staging"},
}  # fmt: skip


class Ended(Exception):
    """A module has ended."""


class Module:
    """As much of an AnsibleModule as a task uses: its parameters, and its two ends."""

    def __init__(self, root: Path, *, run: str = RUN, check: bool = False, keep: bool = False) -> None:
        self.params = {"run": run, "site": {**SITE, "root": str(root)}, "keep_lease": keep}
        self.check_mode = check
        self.warn = print
        self.result: dict[str, Any] = {}
        self.failed = False

    def exit_json(self, **result: Any) -> None:
        """End well."""
        self._end(result)

    def fail_json(self, **result: Any) -> None:
        """End badly."""
        self.failed = True
        self._end(result)

    def _end(self, result: dict[str, Any]) -> None:
        # What crosses the connection is JSON in UTF-8.
        self.result = json.loads(json.dumps(result, ensure_ascii=False).encode())
        raise Ended


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a document root."""
    (tmp_path / "htdocs").mkdir()
    return tmp_path / "htdocs"


def carried_out(module: Module, work: Any) -> dict[str, Any]:
    """Carry out a task and return how it ended."""
    with pytest.raises(Ended):
        task.carry_out(module, "stage", work, wait=0.0, keep_lease=module.params["keep_lease"])
    return module.result


def raising(error: Exception) -> Any:
    """Return work that ends with this error."""

    def work(asked: task.Asked, site: Site, run: str) -> dict[str, Any]:
        raise error

    return work


def test_work_that_is_done_says_so(root: Path) -> None:
    module = Module(root)
    result = carried_out(
        module, lambda asked, site, run: {"evidence": {"seconds": 1}, "diff": {"before": {}, "after": {}}}
    )

    assert result == {
        "msg": "", "outcome": "done", "evidence": {"step": "stage", "seconds": 1}, "changed": True,
        "diff": {"before": {}, "after": {}},
    }  # fmt: skip
    assert not module.failed


def test_nothing_to_do_changes_nothing(root: Path) -> None:
    result = carried_out(Module(root), lambda asked, site, run: {"outcome": "nothing-to-do", "msg": "all are held"})

    assert (result["changed"], result["msg"]) == (False, "all are held")


@pytest.mark.parametrize(
    ("outcome", "changed"), [("refused", False), ("unhealthy", False), ("put-back", True), ("not-put-back", True)]
)
def test_a_stop_keeps_its_outcome_and_its_evidence(root: Path, outcome: str, changed: bool) -> None:
    module = Module(root)
    result = carried_out(module, raising(Stop(outcome, "This is why.", {"drift": ["x"]})))

    assert module.failed
    assert (result["outcome"], result["changed"], result["msg"]) == (outcome, changed, "This is why.")
    assert result["evidence"] == {"step": "stage", "drift": ["x"]}


@pytest.mark.parametrize("error", [*(kind("it broke.") for kind in task.KNOWN_ERRORS), ValueError("it broke.")])
def test_an_error_before_production_is_touched_is_a_refusal(root: Path, error: Exception) -> None:
    result = carried_out(Module(root), raising(error))

    assert (result["outcome"], result["changed"]) == ("refused", False)
    assert result["msg"] == "it broke. Production was not touched."


def test_a_mistake_of_ours_is_not_taken_for_a_refusal(root: Path) -> None:
    """Without an outcome of ours the orchestrator asks the host for the truth."""
    with pytest.raises(ZeroDivisionError):
        task.carry_out(Module(root), "promote", raising(ZeroDivisionError()), wait=0.0, keep_lease=False)
    assert lease.read(site_at(root.parent)) == {}


def test_another_run_has_the_site(root: Path) -> None:
    with lease.hold(site_at(root.parent), OTHER_RUN, keep=True):
        pass
    result = carried_out(Module(root), raising(AssertionError()))

    assert result["outcome"] == "busy"
    assert OTHER_RUN in result["msg"]
    assert lease.read(site_at(root.parent))["run"] == OTHER_RUN


def test_looking_takes_no_lease_and_leaves_no_trace(root: Path) -> None:
    carried_out(Module(root, check=True), lambda asked, site, run: {"changed": True})

    assert [path.name for path in root.parent.iterdir()] == ["htdocs"]


@pytest.mark.parametrize("keep", [True, False])
def test_the_lease_is_kept_for_the_next_step_when_that_is_wished(root: Path, keep: bool) -> None:
    carried_out(Module(root, keep=keep), lambda asked, site, run: {})

    assert bool(lease.read(site_at(root.parent))) is keep


def test_a_run_that_is_no_id_is_refused(root: Path) -> None:
    assert carried_out(Module(root, run="../x"), raising(AssertionError()))["outcome"] == "refused"
    assert [path.name for path in root.parent.iterdir()] == ["htdocs"]


def test_a_name_that_is_no_text_does_not_break_the_answer(root: Path) -> None:
    """A lone surrogate in the evidence ended a run without a verdict."""
    odd = {"plugins/\udcff": ["\udcfe", ("ü\udc80", 1)], "n": None}
    told = carried_out(Module(root), lambda asked, site, run: {"evidence": odd, "msg": "\udcff"})
    failed = carried_out(Module(root), raising(OSError(13, "Permission denied", "/srv/\udcff")))

    assert told["evidence"] == {"step": "stage", "plugins/\\udcff": ["\\udcfe", ["ü\\udc80", 1]], "n": None}
    assert told["msg"] == "\\udcff"
    assert failed["msg"] == "[Errno 13] Permission denied: '/srv/\\udcff'. Production was not touched."
