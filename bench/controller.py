"""(b) What an update run costs the controller in CPU seconds: ours, a playbook of stock modules, and bare ssh."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import cpu
from bench.rows import Goal, Row
from bench.site import AFTER, CORE, HERE, HOST, PLUGINS, THEMES, BenchError, Site, run_of, say, several

PART = "b"
STOCK, BARE, EMPTY = "playbook of stock modules", "bare ssh", "six plays of one ping each"
# A small client's sites; each on a host of its own.
SITES = 4
STEPS = ("preflight", "snapshot", "stage", "rehearse", "promote", "release")


def measure(site: Site, repeat: int) -> list[Row]:
    """Let each of them do the same update, one after the other, as often as asked: of one site, and of several at once."""
    one = _measured(site, repeat, {
        "upkeep run": _upkeep, "upkeep run, direct": _direct(_upkeep), "ansible-playbook, direct": _direct(_ansible_only),
        EMPTY: _empty, STOCK: _stock, BARE: _bare,
    })  # fmt: skip
    with several(site, SITES) as many:
        four = _measured(many, repeat, {"upkeep run": _upkeep, STOCK: _stock})
    ours, direct, ansible, empty, stock, bare = one.values()
    ours_of_four, stock_of_four = four.values()
    quarter = Goal(ratio_at_most=0.25)
    how = (
        "user and system time of the control group in which the program ran, ssh's kept connections included; one full "
        "update run (6.2.6 → 6.5.5, newspack-blocks, theme) of one site whose restic repository exists"
    )
    return [
        Row(PART, f"update run of {SITES} sites: CPU of the controller for each", "CPU s", ours_of_four, stock_of_four, STOCK,
            quarter, f"`upkeep run` of a client with {SITES} sites on {SITES} hosts, divided by {SITES}; the peer is one call of "
            f"ansible-playbook for the same {SITES} hosts at once, divided as well. Otherwise as the row of one site"),
        Row(PART, "update run of one site: CPU of the controller", "CPU s", ours, stock, STOCK, quarter,
            f"`upkeep run`: contract, plan, ledger, ansible-runner and ansible-playbook; {how}. The peer is "
            "bench/stock.yml with the same ansible.cfg (pipelining, kept connections, no facts)"),
        Row(PART, "update run of one site, keys on the host as the peer has them", "CPU s", direct, stock, STOCK, quarter,
            "the same with `site_snapshot_transport: direct`, without the gateway; " + how),
        Row(PART, "the same, Ansible's part only", "CPU s", ansible, stock, STOCK, quarter,
            "ours without `upkeep`: the call of ansible-playbook that it makes, with the inventory plugin; " + how),
        Row(PART, "the same, above what Ansible needs to do nothing", "CPU s", ansible, empty, EMPTY, Goal(),
            "for orientation: bench/ping.yml six times in one call of ansible-playbook, with the inventory plugin; " + how),
        Row(PART, "update run of one site: CPU above the floor", "CPU s", ours, bare, BARE, Goal(),
            "for orientation: bench/bare.sh does the same work by a shell over ssh and reports nothing; " + how),
    ]  # fmt: skip


def _measured(site: Site, repeat: int, ways: Mapping[str, Callable[[Site], float]]) -> dict[str, list[float]]:
    """Return CPU seconds for each site, of each way as often as asked."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, repeat + 1):
        for name, work in ways.items():
            if work is not _empty:
                site.begin(CORE, PLUGINS, THEMES)
            seconds = work(site) / len(site.hosts)
            if work is not _empty:
                site.must_have(AFTER)
            found[name].append(seconds)
            of = "" if len(site.hosts) == 1 else f" for each of {len(site.hosts)} sites"
            say(f"b, {number} of {repeat}: {name}: {seconds:.2f} CPU s{of}")
    return found


def _direct(work: Callable[[Site], float]) -> Callable[[Site], float]:
    """Let the host have the keys of the store while `work` is done."""

    def done(site: Site) -> float:
        transport = site.inventory / "group_vars" / "all" / "transport.yml"
        transport.write_text("---\nsite_snapshot_transport: direct\n", encoding="utf-8")
        try:
            return work(site)
        finally:
            transport.unlink()

    return done


def _upkeep(site: Site) -> float:
    spent, answer = site.upkeep("run", site.client, "--now")
    run_of(answer, "done")
    return spent.cpu


def _ansible_only(site: Site) -> float:
    """Call ansible-playbook as a planned run does: every step in one call, with one run id."""
    run = f"20260201T000000Z-{secrets.token_hex(4)}"
    variables = json.dumps({"upkeep_run": run, "upkeep_point": run, "upkeep_keep_lease": True, "upkeep_holds": []})
    return site.playbooks(*[f"playbooks/{step}.yml" for step in STEPS], "--extra-vars", variables).cpu


def _empty(site: Site) -> float:
    """Let Ansible do nothing on the host, as often as an update run has steps."""
    return site.playbooks(*[str(HERE / "ping.yml")] * len(STEPS)).cpu


def _stock(site: Site) -> float:
    manifests = site.folder / "stock-manifests"
    manifests.mkdir(exist_ok=True)
    variables = {
        "stock_endpoint": site.lab.s3.endpoint,
        "stock_bucket": site.lab.s3.bucket,
        "stock_manifests": str(manifests),
        "stock_wanted": AFTER,
    }
    inventory = ("-i", str(site.inventory / "hosts.yml"))
    return site.playbooks(str(HERE / "stock.yml"), "--extra-vars", json.dumps(variables), inventory=inventory).cpu


def _bare(site: Site) -> float:
    host = site.lab.host(HOST)
    keys = json.loads((site.inventory / "group_vars" / "all" / "vault.yml").read_text(encoding="utf-8"))
    socket = site.folder / "bare.sock"
    login = host.ssh()
    login[1:1] = ["-o", "ControlMaster=auto", "-o", f"ControlPath={socket}", "-o", "ControlPersist=60s"]
    environment = {
        "SSH": shlex.join(login),
        "HERE": str(HERE),
        "ENDPOINT": site.lab.s3.endpoint,
        "BUCKET": site.lab.s3.bucket,
        "AWS_ACCESS_KEY_ID": keys["site_snapshot_access_key"],
        "AWS_SECRET_ACCESS_KEY": keys["site_snapshot_secret_key"],
        "RESTIC_PASSWORD": keys["site_snapshot_password"],
    }
    spent = cpu.run(["/bin/bash", str(HERE / "bare.sh")], folder=Path("/"), environment=environment)
    if spent.code:
        raise BenchError(f"bare.sh ended with {spent.code}: {spent.output[-1500:]}")
    return spent.cpu
