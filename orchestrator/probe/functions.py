"""Turn the client's list of functions into probes, and add those that every site of its CMS gets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from orchestrator.contract.model import Contract, Function, FunctionKind, Mail, Pictures, Site, Step
from orchestrator.contract.schema_function import PAGES

ProbeKind = FunctionKind | Literal["ajax", "assets", "log"]


@dataclass(frozen=True)
class Probe:
    """One check of one function of a site. `text` must stand in what comes back; what is 0 or empty is not looked at."""

    name: str
    kind: ProbeKind
    path: str
    status: int
    text: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    selector: str = ""
    max_seconds: float = 0.0
    min_bytes: int = 0
    max_bytes: int = 0
    steps: tuple[Step, ...] = ()
    places: tuple[str, ...] = ()
    mail: Mail | None = None


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
    functions = tuple(_probe(function) for function in site.functions)
    listed = {probe.path for probe in functions if probe.kind == "page"}
    built_in = (probe for probe in BUILT_IN[site.cms] if probe.kind != "page" or probe.path not in listed)
    return (*functions, *built_in)


def pictured(wish: Pictures | None, site: Site) -> tuple[Function, ...]:
    """Return the functions of a site whose pages a browser is to look at; none without a wish."""
    if wish is None:
        return ()
    return tuple(
        function
        for function in site.functions
        if function.kind in PAGES and function.status == 200 and (not wish.of or function.name in wish.of)
    )


def wants_pictures(contract: Contract) -> bool:
    """Tell whether a browser is needed for a contract."""
    update = contract.scope.update
    return update is not None and any(pictured(update.pictures, site) for site in contract.sites)


def _probe(function: Function) -> Probe:
    return Probe(**{each.name: getattr(function, each.name) for each in fields(Probe)})
