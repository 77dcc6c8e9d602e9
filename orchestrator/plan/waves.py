"""Say which runs go side by side: one call of Ansible carries out the steps of several sites, each on another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.plan.plan import Duty, SiteRun

# What is done by a timer, for all sites of a client. Of a restore somebody watches the one site.
SIDE_BY_SIDE = frozenset({Duty.BACKUP, Duty.UPDATE, Duty.REHEARSE})


def waves(runs: Sequence[SiteRun], machines: Mapping[str, str], most: int) -> tuple[tuple[SiteRun, ...], ...]:
    """Put runs together that may go side by side, at most `most` of them; wave after wave keeps the order of the runs.

    `machines` says on which machine an inventory host is (host → address); what is not in it is a machine of its own. Two
    sites of one machine never go side by side: each would slow the other down, and visitors would wait for both.
    """
    found: list[list[SiteRun]] = []
    for run in runs:
        wave = next((each for each in found if len(each) < most and _fits(run, each, machines)), None)
        if wave is None:
            found.append([run])
        else:
            wave.append(run)
    return tuple(tuple(wave) for wave in found)


def _fits(run: SiteRun, wave: Sequence[SiteRun], machines: Mapping[str, str]) -> bool:
    machine = machines.get(run.host, run.host)
    same = _names(run) == _names(wave[0]) and all(machines.get(each.host, each.host) != machine for each in wave)
    return same and run.duty in SIDE_BY_SIDE and _on_one_host(run) and _on_one_host(wave[0])


def _names(run: SiteRun) -> list[str]:
    return [step.name for step in run.batches[0]]


def _on_one_host(run: SiteRun) -> bool:
    # With a staging host of its own the steps of one site are on two hosts, and two sites may share that one.
    return all(step.host == run.host for step in run.steps)
