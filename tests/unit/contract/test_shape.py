"""The schema of a contract is read as JSON Schema has it: our own reading and a library's find the same, value by value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.contract.schema import contract_schema
from orchestrator.contract.shape import RULES, misfits
from tests.unit.contract.samples import DELETED, changed, sample_data

BELOW = {"additionalProperties", "properties", "propertyNames", "items", "if", "then", "else"}
# For people and editors.
UNJUDGED = {"$schema", "$id", "title", "description", "examples", "default", "x-allowed", "x-or", "x-key"}
VALUES = (
    DELETED, None, True, False, 0, 1, 1.0, 1.5, -1, 10**9, "", "x", "Ünsafe: ../\n", "x" * 3000, [], ["x"], ["x", 1, None],
    [{"x": []}], {}, {"x": {}}, {"a key": "y", "": 0},
)  # fmt: skip


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk through a schema and all that lie in it."""
    yield schema
    inside = [schema[word] for word in BELOW - {"properties"} if isinstance(schema.get(word), dict)]
    for each in (*inside, *schema.get("properties", {}).values()):
        yield from schemas(each)


def places(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Name every place below a value."""
    for key, each in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*path, key)
        yield from places(each, (*path, key))


def found_by_the_library(data: Any, schema: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {
        ((*error.absolute_path, error.instance), error.validator)
        if "propertyNames" in error.absolute_schema_path
        else ((*error.absolute_path,), error.validator)
        for error in Draft202012Validator(schema).iter_errors(data)
    }


def found_here(data: Any, schema: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {(path, misfit.rule) for path, misfit in misfits(data, schema)}


def test_the_schema_has_no_word_that_nobody_reads() -> None:
    words = {word for schema in schemas(contract_schema()) for word in schema}
    assert words <= set(RULES) | BELOW | UNJUDGED


@pytest.mark.parametrize("place", sorted({path[:3] for path in places(sample_data())}, key=str), ids=str)
def test_both_find_the_same_in_a_contract_with_another_value(place: tuple[str | int, ...]) -> None:
    schema = contract_schema()
    within = sample_data()
    for part in place:
        within = within[part]
    for path in (place, *places(within, place)) if len(place) == 3 else (place,):
        for value in VALUES:
            data = changed(path, value)
            assert found_here(data, schema) == found_by_the_library(data, schema), (path, value)


def test_both_find_the_same_in_every_part_of_the_schema() -> None:
    for schema in schemas(contract_schema()):
        for value in (*VALUES[1:], *schema.get("examples", ()), *schema.get("enum", ())):
            assert found_here(value, schema) == found_by_the_library(value, schema), (schema, value)
