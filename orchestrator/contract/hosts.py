"""Look into a client's hosts.yml, only to see whether the places of the contract are there."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.contract.suggest import did_you_mean, quoted
from orchestrator.contract.tree import Data, Document, Finding, read_document

HOSTS_FILE = "hosts.yml"


def host_names(document: Document) -> frozenset[str]:
    """Return the names of all hosts in an inventory in Ansible's YAML form."""
    return frozenset(machines(document))


def machines(document: Document) -> dict[str, str]:
    """Return on which machine each host of an inventory is: its `ansible_host`, or its name where it has none of its own.

    What stands elsewhere than beside the host itself, in host_vars say, is not seen.
    """
    found: dict[str, str] = {}
    waiting: list[Data] = [document.data()]
    while waiting:
        groups = waiting.pop()
        for group in groups.values() if isinstance(groups, dict) else ():
            if not isinstance(group, dict):
                continue
            hosts = group.get("hosts")
            for name, variables in hosts.items() if isinstance(hosts, dict) else ():
                address = variables.get("ansible_host") if isinstance(variables, dict) else None
                if isinstance(address, str) or name not in found:
                    found[name] = address if isinstance(address, str) else name
            waiting.append(group.get("children"))
    return found


def host_findings(contract: Document, hosts: frozenset[str]) -> Iterator[Finding]:
    """Find the places of a contract whose inventory host is not among the hosts."""
    data = contract.data()
    sites = data.get("sites") if isinstance(data, dict) else None
    for name, site in sites.items() if isinstance(sites, dict) else ():
        places = site.get("places") if isinstance(site, dict) else None
        for word in ("production", "staging"):
            place = places.get(word) if isinstance(places, dict) else None
            host = place.get("host") if isinstance(place, dict) else None
            if isinstance(host, str) and host not in hosts:
                message = f"{quoted(host)} is no host of {HOSTS_FILE}, which stands beside the contract."
                allowed = (
                    f" Allowed: {', '.join(quoted(each) for each in sorted(hosts))}."
                    if hosts
                    else " It names no hosts."
                )
                yield Finding(("sites", name, "places", word, "host"), message + allowed + did_you_mean(host, hosts))


def read_hosts(text: str) -> Document:
    """Read a hosts.yml: Ansible's own file, in which tags and anchors are Ansible's business."""
    return read_document(text, strict=False)
