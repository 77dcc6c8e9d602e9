"""The schema is a schema, explains every key, and is what the documentation shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.contract.reference import main, reference_text
from orchestrator.contract.schema import LATER_DUTIES, contract_schema, schema_text
from tests.unit.contract.samples import REPOSITORY, changed, contract_with, mistakes_with, sample_data


def keys(schema: Any, path: str = "") -> Any:
    """Walk through every key of the schema."""
    for key, below in schema.get("properties", {}).items():
        yield f"{path}.{key}", below
        yield from keys(below, f"{path}.{key}")
    for word in ("additionalProperties", "items"):
        if isinstance(schema.get(word), dict):
            yield f"{path}.{word}", schema[word]
            yield from keys(schema[word], f"{path}.{word}")


def test_it_is_a_schema_and_the_sample_fits():
    Draft202012Validator.check_schema(contract_schema())
    Draft202012Validator(contract_schema()).validate(sample_data())


def test_every_key_has_a_description_and_every_value_an_example_that_fits():
    for path, schema in keys(contract_schema()):
        assert schema["description"].endswith((".", "?")), path
        if schema.get("type") not in ("object", "array"):
            assert schema["examples"], path
            for example in schema["examples"]:
                Draft202012Validator(schema).validate(example)


def test_every_pattern_says_what_it_allows_and_no_mapping_lets_unknown_keys_in():
    for path, schema in keys(contract_schema()):
        assert ("pattern" in schema) == ("x-allowed" in schema), path
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False or path == ".sites" or path.endswith(".form"), path


def test_the_documentation_is_what_the_code_says(tmp_path):
    hint = "type: python -m orchestrator.contract.reference docs"
    assert (REPOSITORY / "docs" / "contract.schema.json").read_text() == schema_text(), hint
    assert (REPOSITORY / "docs" / "contract.md").read_text() == reference_text(), hint
    assert main([str(tmp_path)]) == 0
    assert json.loads((tmp_path / "contract.schema.json").read_text()) == contract_schema()


def test_the_reference_names_every_key():
    text = reference_text()
    for path, _ in keys(contract_schema()):
        name = (
            path[1:]
            .replace("form.additionalProperties", "form.<field>")
            .replace(".additionalProperties", ".<site>")
            .replace(".items", "[ ]")
        )
        if any(f"scope.{duty}" in name for duty in LATER_DUTIES):
            name = name.split(".")[1]
        if name.endswith("[ ]") and f"`{name}`" not in text:
            # An item that is one word is told by its list.
            name = name.removesuffix("[ ]")
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("duty", LATER_DUTIES)
def test_a_later_duty_is_a_promise_in_words_and_nothing_else(duty):
    assert contract_with(("scope", duty), {"promise": "By hand."}).scope.promises
    (mistake,) = mistakes_with(("scope", duty), {"promise": "By hand.", "within": "4h"})
    assert mistake.message == "unknown key 'within'. Allowed: promise."
    (mistake,) = mistakes_with(("scope", duty), {})
    assert "the key 'promise' is missing" in mistake.message


def test_the_sample_explains_every_key_that_a_contract_can_have():
    sample = (REPOSITORY / "inventories" / "example" / "contract.yml").read_text()
    for path, _ in keys(contract_schema()):
        key = path.split(".")[-1]
        if key not in ("items", "additionalProperties") and key not in LATER_DUTIES:
            assert f"{key}:" in sample, path
    assert changed(("client", "id"), "x")["client"]["id"] == "x"
