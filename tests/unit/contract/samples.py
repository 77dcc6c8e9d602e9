"""Build contracts for tests out of the documented sample, changed at one place."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.contract.load import parse_contract
from orchestrator.contract.model import Contract
from orchestrator.contract.tree import read_document
from orchestrator.errors import ContractInvalid, Mistake

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLE = REPOSITORY / "inventories" / "example" / "contract.yml"
DELETED = object()

URL = ("sites", "shop", "url")
PRODUCTION = ("sites", "shop", "places", "production")
STAGING = ("sites", "shop", "places", "staging")
FUNCTION = ("sites", "shop", "functions", 0)
BACKUP = ("scope", "backup")
UPDATE = ("scope", "update")
WINDOW = (*UPDATE, "window")


def sample_data() -> Any:
    """Return the sample as plain data, read as our own loader reads it: a date is a word."""
    return copy.deepcopy(_sample_data())


@cache
def _sample_data() -> Any:
    return read_document(SAMPLE.read_text()).data()


def changed(path: tuple[str | int, ...], value: Any, data: Any = None) -> Any:
    """Return the sample's data with one value put in (or taken out, when it is DELETED)."""
    data = sample_data() if data is None else copy.deepcopy(data)
    place = data
    for part in path[:-1]:
        place = place[part]
    if value is DELETED:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


def written(data: Any) -> str:
    """Write data as YAML in the form of JSON: every value on a line of its own."""
    return json.dumps(data, indent=1, ensure_ascii=False)


def contract_with(path: tuple[str | int, ...] = (), value: Any = None, data: Any = None) -> Contract:
    """Parse the sample, or this data, with one value changed."""
    return parse_contract(SAMPLE.read_text() if not path else written(changed(path, value, data)), "contract.yml")


def mistakes_of(text: str) -> tuple[Mistake, ...]:
    """Return the mistakes of a text; none, when it is a contract."""
    try:
        parse_contract(text, "contract.yml")
    except ContractInvalid as error:
        return error.mistakes
    return ()


def mistakes_with(path: tuple[str | int, ...], value: Any) -> tuple[Mistake, ...]:
    """Return the mistakes of the sample with one value changed."""
    return mistakes_of(written(changed(path, value)))
