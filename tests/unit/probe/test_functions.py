"""Every function of the contract is probed, and so is what every site of its CMS has."""

from __future__ import annotations

from orchestrator.probe.functions import BUILT_IN, Probe, probes_of
from tests.unit.contract.samples import contract_with


def functions(*each):
    """Make a site with these functions."""
    return contract_with(("sites", "shop", "functions"), list(each)).site("shop")


def test_a_function_is_a_probe_of_its_page():
    site = functions({"name": "gone", "path": "/old/", "status": 410, "text": ["moved"]})
    assert probes_of(site)[0] == Probe("gone", "page", "/old/", 410, ("moved",))


def test_the_front_page_is_probed_even_when_nobody_lists_it():
    site = functions({"name": "a post", "path": "/lab-post-1/"})
    assert [probe.path for probe in probes_of(site) if probe.kind == "page"] == ["/lab-post-1/", "/"]


def test_no_probe_of_a_site_shares_a_name_with_another():
    site = functions({"name": "a", "path": "/"}, {"name": "b", "path": "/"})
    names = [probe.name for probe in probes_of(site)]
    assert len(set(names)) == len(names)


def test_every_built_in_probe_is_named_after_its_cms():
    for cms, probes in BUILT_IN.items():
        assert all(probe.name.startswith(f"{cms}: ") for probe in probes)
