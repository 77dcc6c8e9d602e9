"""Compare a contract's data with the schema and say in plain words what does not fit.

The schema is JSON Schema (draft 2020-12) of few words, and these are understood here: a library that knows them all takes
longer to load than everything else that reads a contract, in each ansible-playbook again. A test holds both side by side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

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
class Misfit:
    """A value, the rule that it broke, what the rule wants, the schema around the rule."""

    value: Any
    rule: str
    wanted: Any
    schema: dict[str, Any]
    # Whether the value is the name of a key.
    is_a_name: bool = False

    @property
    def allowed(self) -> str:
        """What may stand here, said to a person; empty when the schema does not say."""
        return f" Allowed: {self.schema['x-allowed']}." if "x-allowed" in self.schema else ""

    @property
    def span(self) -> str:
        """The smallest and the largest number that may stand here."""
        return f" Allowed: {self.schema['minimum']} to {self.schema['maximum']}."


def _type(value: Any, wanted: str) -> bool:
    # A number without a fraction is whole, and true is no number.
    match wanted:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "integer":
            return type(value) is int or (isinstance(value, float) and value.is_integer())
        case _:
            return type(value) in (int, float)


def _same(value: Any, other: Any) -> bool:
    # Python's True is 1.
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


# Of values of which type a rule says something, of which all when it is empty, and what it wants of them.
RULES: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "type": ("", _type),
    "enum": ("", lambda value, wanted: any(_same(value, each) for each in wanted)),
    "pattern": ("string", lambda value, wanted: re.search(wanted, value) is not None),
    "minLength": ("string", lambda value, wanted: len(value) >= wanted),
    "maxLength": ("string", lambda value, wanted: len(value) <= wanted),
    "minimum": ("number", lambda value, wanted: value >= wanted),
    "maximum": ("number", lambda value, wanted: value <= wanted),
    "minItems": ("array", lambda value, wanted: len(value) >= wanted),
    "maxItems": ("array", lambda value, wanted: len(value) <= wanted),
    "minProperties": ("object", lambda value, wanted: len(value) >= wanted),
    "maxProperties": ("object", lambda value, wanted: len(value) <= wanted),
    "required": ("object", lambda value, wanted: all(key in value for key in wanted)),
}


@cache
def _schema() -> dict[str, Any]:
    return contract_schema()


def shape_findings(data: Data) -> Iterator[Finding]:
    """Find every place where the data does not have the shape of a contract."""
    for path, misfit in misfits(data, _schema()):
        yield from _findings(path, misfit)


def misfits(value: Any, schema: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, Misfit]]:
    """Find every rule of a schema that a value breaks, and where."""
    for rule, (kind, fits) in RULES.items():
        if rule in schema and (not kind or _type(value, kind)) and not fits(value, schema[rule]):
            yield path, Misfit(value, rule, schema[rule], schema)
    if "if" in schema:
        fine = next(misfits(value, schema["if"]), None) is None
        yield from misfits(value, schema["then" if fine else "else"], path)
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            yield from misfits(each, schema["items"], (*path, number))
    if isinstance(value, dict):
        yield from _below(value, schema, path)


def _below(value: dict[str, Any], schema: dict[str, Any], path: Path) -> Iterator[tuple[Path, Misfit]]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    if others is False and not known.keys() >= value.keys():
        yield path, Misfit(value, "additionalProperties", others, schema)
    for key, each in value.items():
        for _, misfit in misfits(key, schema.get("propertyNames", {})):
            yield (*path, key), replace(misfit, is_a_name=True)
        yield from misfits(each, known.get(key, others or {}), (*path, key))


def _findings(path: Path, misfit: Misfit) -> Iterator[Finding]:
    if misfit.is_a_name:
        yield Finding(path, f"the name {quoted(misfit.value)} is not allowed.{misfit.allowed}", at_key=True)
    elif misfit.rule == "additionalProperties":
        yield from _unknown_keys(path, misfit)
    elif misfit.rule == "required":
        yield from _missing_keys(path, misfit)
    else:
        yield Finding(path, SENTENCES.get(misfit.rule, _unexplained)(misfit))


def _unknown_keys(path: Path, misfit: Misfit) -> Iterator[Finding]:
    known = list(misfit.schema["properties"])
    allowed = f"Allowed: {', '.join(known)}." if known else "No keys are allowed here: write {}."
    for key in misfit.value:
        if key not in known:
            message = f"unknown key {quoted(key)}. {allowed}{did_you_mean(key, known)}"
            yield Finding((*path, key), message, at_key=True)


def _missing_keys(path: Path, misfit: Misfit) -> Iterator[Finding]:
    for key in misfit.wanted:
        if key not in misfit.value:
            description = misfit.schema["properties"][key]["description"]
            yield Finding((*path, key), f"the key {quoted(key)} is missing. What belongs there: {description}")


def _wrong_type(misfit: Misfit) -> str:
    message = f"{quoted(misfit.value)} is not {NAMES_OF_TYPES.get(misfit.wanted, misfit.wanted)}."
    if misfit.wanted == "string" and isinstance(misfit.value, int | float):
        message += " Write it in quotes."
    return message + misfit.allowed


def _not_a_choice(misfit: Misfit) -> str:
    other = f", or {misfit.schema['x-or']}" if "x-or" in misfit.schema else ""
    near = did_you_mean(misfit.value, [word for word in misfit.wanted if isinstance(word, str)])
    return f"{quoted(misfit.value)} is not allowed. Allowed: {one_of(misfit.wanted)}{other}.{near}"


def _unexplained(misfit: Misfit) -> str:
    return f"{quoted(misfit.value)} is not allowed here (rule {quoted(misfit.rule)})."


SENTENCES: dict[str, Callable[[Misfit], str]] = {
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
