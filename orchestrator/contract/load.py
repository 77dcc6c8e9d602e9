"""Load a contract: every mistake at once, each with its line, or a value without mistakes."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, cast

from orchestrator.contract.build import build_contract
from orchestrator.contract.hosts import HOSTS_FILE, host_findings, host_names, machines, read_hosts
from orchestrator.contract.model import Contract
from orchestrator.contract.schema import NAME
from orchestrator.contract.sense import sense_findings
from orchestrator.contract.shape import shape_findings
from orchestrator.contract.suggest import did_you_mean, dotted, printable, quoted
from orchestrator.contract.tree import LARGEST_FILE, Document, Finding, read_document
from orchestrator.errors import ContractInvalid, Mistake, Refused, Usage

CONTRACT_FILE = "contract.yml"


def parse_contract(text: str, file_name: str, *, folder: str | None = None) -> Contract:
    """Build a contract from its text without touching a disk. Raises ContractInvalid with every mistake.

    `folder` is the name of the client's folder; without it the client's id is not compared with anything.
    """
    document, findings = _judge(text, folder)
    if findings:
        raise ContractInvalid(_mistakes(document, findings, file_name))
    return build_contract(cast("dict[str, Any]", document.data()))


def load_contract(path: Path) -> Contract:
    """Load a contract, and see that its hosts are in the hosts.yml beside it. Raises ContractInvalid."""
    text, mistake = _read(path)
    if mistake is not None:
        raise ContractInvalid((mistake,))
    document, findings = _judge(text, path.absolute().parent.name)
    hosts_path = path.with_name(HOSTS_FILE)
    hosts_text, hosts_mistake = _read(hosts_path)
    other: tuple[Mistake, ...] = (hosts_mistake,) if hosts_mistake is not None else ()
    if hosts_mistake is None:
        hosts = read_hosts(hosts_text)
        other = _mistakes(hosts, hosts.findings, str(hosts_path))
        if not other:
            wrong = {finding.path for finding in findings}
            findings += [each for each in host_findings(document, host_names(hosts)) if each.path not in wrong]
    mistakes = (*_mistakes(document, findings, str(path)), *other)
    if mistakes:
        raise ContractInvalid(mistakes)
    return build_contract(cast("dict[str, Any]", document.data()))


def other_host(path: Path, contract: Contract, site: str, host: str) -> None:
    """See that a site may be brought to a host: one of the client's own, on which no other site of his lives.

    `path` is that of the contract. Raises Usage, and Refused for a host that belongs to somebody else.
    """
    again = f"upkeep restore {contract.client.id} --site {site} --point newest --to HOST"
    if site not in {each.name for each in contract.sites}:
        raise Usage(f"{contract.client.id} has no site {quoted(site)}.", f"upkeep explain {contract.client.id}")
    hosts = _hosts_beside(path)
    if host not in hosts:
        others = sorted(each.parent.name for each in path.parent.parent.glob(f"*/{CONTRACT_FILE}") if each != path)
        owner = next(
            (other for other in others if host in _hosts_beside(path.parent.parent / other / CONTRACT_FILE)), ""
        )
        if owner:
            raise Refused(
                f"{quoted(host)} is a host of {owner}, another client, and no host of {contract.client.id}; nothing was touched.",
                again,
            )
        raise Usage(
            f"{quoted(host)} is no host in {printable(str(path.with_name(HOSTS_FILE)))}.{did_you_mean(host, hosts)}",
            f"write it into {HOSTS_FILE}, with ansible_host and ansible_user; then: {again}",
        )
    if lives := [
        each.name for each in contract.sites if host in (each.production.host, each.staging.host) and each.name != site
    ]:
        raise Refused(f"{quoted(host)} is where the site {lives[0]} lives; nothing was touched.", again)


def _hosts_beside(path: Path) -> frozenset[str]:
    text, mistake = _read(path.with_name(HOSTS_FILE))
    return host_names(read_hosts(text)) if mistake is None else frozenset()


def machines_beside(path: Path) -> dict[str, str]:
    """Return on which machine each host of the hosts.yml beside a contract is (host → address); less, where it has mistakes."""
    text, mistake = _read(path.with_name(HOSTS_FILE))
    return machines(read_hosts(text)) if mistake is None else {}


def check(paths: Iterable[Path]) -> list[Mistake]:
    """Return the mistakes of several contracts: of files, or of clients' folders."""
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            load_contract(path / CONTRACT_FILE if path.is_dir() else path)
        except ContractInvalid as error:
            mistakes.extend(error.mistakes)
    return mistakes


def expired_holds(contract: Contract, today: date) -> tuple[str, ...]:
    """Name the holds whose last day is over: they count no more, and whoever wrote them may want another day."""
    update = contract.scope.update
    return tuple(
        f"the hold of {hold.kind} {hold.slug} {f'(only {hold.only})' if hold.only else hold.version} ended on "
        f"{hold.until} and counts no more. Take it out, or give it another day."
        for hold in (update.holds if update else ())
        if hold.until is not None and hold.until < today
    )


def contract_digest(path: Path) -> str:
    """Return the SHA-256 of a contract's bytes: a plan names it, and is refused when it has changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_client(inventories: Path, client: str) -> Path:
    """Return the path of a client's contract. Raises Usage when there is no such client."""
    known = sorted(each.parent.name for each in inventories.glob(f"*/{CONTRACT_FILE}"))
    # Only a plain name is ever joined to a folder: with `../` a client could be anything on the disk.
    if re.fullmatch(NAME, client) is None:
        raise Usage(
            f"{quoted(client)} is no name of a client: small letters, digits and hyphens.", _try(known, inventories)
        )
    path = inventories / client / CONTRACT_FILE
    if not path.is_file() or path.resolve().parent.parent != inventories.resolve():
        raise Usage(
            f"there is no client {quoted(client)} in {printable(str(inventories))}.{did_you_mean(client, known)}",
            _try(known, inventories),
        )
    return path


def _try(known: list[str], inventories: Path) -> str:
    if known:
        return "Clients: " + ", ".join(printable(each) for each in known)
    return f"Make one in {printable(str(inventories))}: upkeep init CLIENT"


def _judge(text: str, folder: str | None) -> tuple[Document, list[Finding]]:
    document = read_document(text)
    findings = list(document.findings)
    if document.root is None:
        return document, findings or [Finding((), "the file is empty.")]
    data = document.data()
    shape = [each for each in shape_findings(data) if each.path not in document.unread]
    wrong = frozenset(each.path for each in shape) | document.unread
    findings += shape
    findings += sense_findings(data, wrong, folder)
    return document, findings


def _mistakes(document: Document, findings: Iterable[Finding], file_name: str) -> tuple[Mistake, ...]:
    mistakes = set()
    for finding in findings:
        mark = document.mark(finding)
        path = dotted(finding.path)
        mistakes.add(Mistake(printable(file_name), mark.line, mark.column, path, printable(finding.message)))
    return tuple(sorted(mistakes))


def _read(path: Path) -> tuple[str, Mistake | None]:
    def wrong(message: str) -> tuple[str, Mistake]:
        return "", Mistake(printable(str(path)), 1, 1, "", message)

    try:
        # Not blocking: what is called contract.yml may be a pipe that nobody ever writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return wrong("this is not an ordinary file.")
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it has no possible name"
        return wrong(f"the file cannot be read: {reason}.")
    if len(content) > LARGEST_FILE:
        return wrong(f"the file is larger than {LARGEST_FILE // 1024} KiB.")
    try:
        return content.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        return "", Mistake(printable(str(path)), line, column, "", "this byte is not UTF-8. Save the file as UTF-8.")
