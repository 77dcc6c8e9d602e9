"""Compare a contract's data with the schema and say in plain words what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from orchestrator.contract.schema import contract_schema
from orchestrator.contract.suggest import did_you_mean, one_of, quoted
from orchestrator.contract.tree import Data, Finding, Path

NAMES_OF_TYPES = {
    "object": "a mapping (key: value)",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
}


@dataclass(frozen=True)
class _Misfit:
    """One of jsonschema's errors: the value, the rule that it broke, what the rule wants, the schema around the rule."""

    value: Any
    rule: str
    wanted: Any
    schema: dict[str, Any]

    @property
    def allowed(self) -> str:
        """What may stand here, said to a person; empty when the schema does not say."""
        return f" Allowed: {self.schema['x-allowed']}." if "x-allowed" in self.schema else ""

    @property
    def span(self) -> str:
        """The smallest and the largest number that may stand here."""
        return f" Allowed: {self.schema['minimum']} to {self.schema['maximum']}."


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(contract_schema())


def shape_findings(data: Data) -> Iterator[Finding]:
    """Find every place where the data does not have the shape of a contract."""
    for error in _validator().iter_errors(data):
        yield from _findings(tuple(error.absolute_path), "propertyNames" in error.absolute_schema_path, error)


def _findings(path: Path, is_a_name: bool, error: ValidationError) -> Iterator[Finding]:
    schema: Any = error.schema
    misfit = _Misfit(error.instance, str(error.validator), error.validator_value, schema)
    if is_a_name:
        # jsonschema reports a bad name at its mapping; the name itself is the instance.
        message = f"the name {quoted(misfit.value)} is not allowed.{misfit.allowed}"
        yield Finding((*path, str(misfit.value)), message, at_key=True)
    elif misfit.rule == "additionalProperties":
        yield from _unknown_keys(path, misfit)
    elif misfit.rule == "required":
        yield from _missing_keys(path, misfit)
    else:
        yield Finding(path, SENTENCES.get(misfit.rule, _unexplained)(misfit))


def _unknown_keys(path: Path, misfit: _Misfit) -> Iterator[Finding]:
    known = list(misfit.schema["properties"])
    allowed = f"Allowed: {', '.join(known)}." if known else "No keys are allowed here: write {}."
    for key in misfit.value:
        if key not in known:
            message = f"unknown key {quoted(key)}. {allowed}{did_you_mean(key, known)}"
            yield Finding((*path, key), message, at_key=True)


def _missing_keys(path: Path, misfit: _Misfit) -> Iterator[Finding]:
    # jsonschema gives one error for each missing key without naming it; findings are made unique afterwards.
    for key in misfit.wanted:
        if key not in misfit.value:
            description = misfit.schema["properties"][key]["description"]
            yield Finding((*path, key), f"the key {quoted(key)} is missing. What belongs there: {description}")


def _wrong_type(misfit: _Misfit) -> str:
    message = f"{quoted(misfit.value)} is not {NAMES_OF_TYPES.get(misfit.wanted, misfit.wanted)}."
    if misfit.wanted == "string" and isinstance(misfit.value, int | float):
        message += " Write it in quotes."
    return message + misfit.allowed


def _not_a_choice(misfit: _Misfit) -> str:
    other = f", or {misfit.schema['x-or']}" if "x-or" in misfit.schema else ""
    near = did_you_mean(misfit.value, [word for word in misfit.wanted if isinstance(word, str)])
    return f"{quoted(misfit.value)} is not allowed. Allowed: {one_of(misfit.wanted)}{other}.{near}"


def _unexplained(misfit: _Misfit) -> str:
    return f"{quoted(misfit.value)} is not allowed here (rule {quoted(misfit.rule)})."


SENTENCES: dict[str, Callable[[_Misfit], str]] = {
    "type": _wrong_type,
    "enum": _not_a_choice,
    "pattern": lambda misfit: f"{quoted(misfit.value)} is not allowed.{misfit.allowed}",
    "minimum": lambda misfit: f"{quoted(misfit.value)} is too small.{misfit.span}",
    "maximum": lambda misfit: f"{quoted(misfit.value)} is too large.{misfit.span}",
    "minLength": lambda misfit: "the text is empty. Write something.",
    "maxLength": lambda misfit: f"the text is too long. Allowed: at most {misfit.wanted} characters.",
    "minItems": lambda misfit: f"the list is too short. Allowed: at least {misfit.wanted}.",
    "maxItems": lambda misfit: f"the list is too long. Allowed: at most {misfit.wanted}.",
    "minProperties": lambda misfit: f"nothing stands here. Allowed: at least {misfit.wanted}.",
    "maxProperties": lambda misfit: f"too much stands here. Allowed: at most {misfit.wanted}.",
}
