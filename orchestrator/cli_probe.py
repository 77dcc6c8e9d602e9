"""The command `upkeep probe`: is a site well now, by its contract's functions and by the client's own tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from orchestrator.cli_options import HERE, Content, Inventories, Json, LedgerUrl, Name, Program, Sites, Vault
from orchestrator.cli_run import Client, Settings, end_with, read_client
from orchestrator.plan.plan import choose_sites
from orchestrator.plan.step import Outcome
from orchestrator.results import EXIT_CODES, Answer, worst
from orchestrator.run.probing import probe_site, run_tests, test_files
from orchestrator.screen import safe

Make = Callable[..., Settings]
WithoutTests = Annotated[bool, typer.Option("--without-tests", help="Leave out the files in the client's tests/.")]


def add_commands(app: typer.Typer, settings_of: Make) -> None:
    """Put the command of this module on the command line. `settings_of` knows the clock and where things lie."""

    @app.command("probe")
    def probe(
        client: Name,
        sites: Sites = None,
        without_tests: WithoutTests = False,
        inventories: Inventories = HERE,
        ledger: LedgerUrl = "",
        vault: Vault = None,
        content: Content = None,
        program: Program = "",
        as_json: Json = False,
    ) -> None:
        """Look whether the sites are well now: every function of the contract, and the client's own tests. Changes nothing.

        `inventories/CLIENT/tests/test_*.py` are pytest-testinfra files. They run here, as whoever types this, and look at
        each site's host through its connection of hosts.yml: what stands there is code, so read it before you run it.

        Code 0: well. Code 12: not well, or nobody could look. Code 11: a run has the site.

        Examples: `upkeep probe acme` · `upkeep probe acme --site shop --json`
        """
        settings = settings_of(inventories, ledger, as_json, vault, content, program)
        known = read_client(settings, client)
        answers = []
        for site in choose_sites(known.contract, sites or ()):
            answers.append(_looked(settings, known, site, without_tests=without_tests))
            if not as_json:
                _show(settings, answers[-1])
        code = worst(answer["exit_code"] for answer in answers)
        # What is ink was shown as it came.
        end_with(settings, {"client": client, "exit_code": code, "sites": answers}, answers, lambda: None)


def _looked(settings: Settings, client: Client, site: str, *, without_tests: bool) -> Answer:
    host, project = client.contract.site(site).production.host, settings.project(client.id)
    report = probe_site(project, host, settings.new_id(settings.clock()), settings.state)
    outcome = report.seen.outcome or Outcome.REFUSED
    verdict = report.evidence.get("verdict")
    verdict = verdict if isinstance(verdict, dict) else {}
    files = [] if without_tests else test_files(project.inventory)
    # Nobody waits for ten tests to tell that a host is away.
    tests = run_tests(project, host, files) if files and verdict else []
    reasons = [str(reason) for reason in verdict.get("reasons", ())] or (
        [] if verdict else [_silent(report.seen.message)]
    )
    reasons += [f"{each.name}: {each.message}" for each in tests if not each.passed]
    code = EXIT_CODES[Outcome.UNHEALTHY] if reasons and outcome is Outcome.DONE else EXIT_CODES[outcome]
    return {
        "site": site,
        "host": host,
        "healthy": not reasons,
        "exit_code": code,
        "message": f"{site} is well" if not reasons else f"{site} is not well: {reasons[0]}",
        "reasons": reasons,
        "probes": verdict.get("probes", []),
        "cached": verdict.get("cached", []),
        "tests": [asdict(each) for each in tests],
        "next": f"upkeep status {client.id}",
    }


def _silent(message: str) -> str:
    return message.strip() or "nobody could look: the host did not answer"


def _show(settings: Settings, answer: Answer) -> None:
    passed = sum(1 for probe in answer["probes"] if probe.get("ok"))
    settings.console.print(
        safe(str(answer["message"])), markup=False, style="green" if answer["healthy"] else "bold red"
    )
    settings.console.print(f"  {passed} of {len(answer['probes'])} probes", markup=False)
    tests: list[dict[str, object]] = answer["tests"]
    if tests:
        settings.console.print(f"  {sum(1 for test in tests if test['passed'])} of {len(tests)} tests", markup=False)
    for reason in answer["reasons"]:
        settings.console.print(f"  {safe(reason)}", markup=False)
    for name in answer["cached"]:
        settings.console.print(
            f"  {safe(str(name))}: answered by a cache, which shows nothing of the site", markup=False
        )
