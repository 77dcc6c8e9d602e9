"""Answer `upkeep probe`: is a site well now, by its contract's functions and by the client's own tests."""

from __future__ import annotations

from dataclasses import asdict

from orchestrator.plan.step import Outcome
from orchestrator.planning import Client
from orchestrator.results import EXIT_CODES, Answer
from orchestrator.run.probing import probe_site, run_tests, test_files
from orchestrator.screen import safe
from orchestrator.settings import Settings


def look(settings: Settings, client: Client, site: str, *, without_tests: bool) -> Answer:
    """Look at one site. Nothing is changed."""
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


def show(settings: Settings, answer: Answer) -> None:
    """Show whether a site is well."""
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
