"""Turn the client's list of functions into probes, and add those that every site of its CMS gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.contract.model import Site

ProbeKind = Literal["page", "rest", "ajax", "admin", "assets", "log"]


@dataclass(frozen=True)
class Probe:
    """One check of one function of a site. `text` must stand in what comes back."""

    name: str
    kind: ProbeKind
    path: str
    status: int
    text: tuple[str, ...] = ()


# What nearly every bad release breaks somewhere, although it reports success: each of these found one that the others
# did not. An action that nobody handles is answered by admin-ajax.php with 400; a fatal error there is a 500.
BUILT_IN: dict[str, tuple[Probe, ...]] = {
    "wordpress": (
        Probe("wordpress: front page", "page", "/", 200),
        Probe("wordpress: REST interface", "rest", "/wp-json/", 200),
        Probe("wordpress: admin-ajax", "ajax", "/wp-admin/admin-ajax.php?action=upkeep", 400),
        Probe("wordpress: dashboard", "admin", "/wp-admin/index.php", 200),
        Probe("wordpress: list of plugins", "admin", "/wp-admin/plugins.php", 200),
        Probe("wordpress: assets of the front page", "assets", "/", 200),
        Probe("wordpress: PHP error log", "log", "", 0),
    ),
    # Nobody but the client can say what such a site must do.
    "other": (),
}


def probes_of(site: Site) -> tuple[Probe, ...]:
    """Return the probes of a site: the client's functions first, then what its CMS adds."""
    functions = tuple(
        Probe(function.name, "page", function.path, function.status, function.text) for function in site.functions
    )
    listed = {probe.path for probe in functions}
    built_in = (probe for probe in BUILT_IN[site.cms] if probe.kind != "page" or probe.path not in listed)
    return (*functions, *built_in)
