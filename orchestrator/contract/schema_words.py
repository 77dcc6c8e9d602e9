"""The words that the schema of a contract is written in: JSON Schema with what a pattern allows said to a person."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(description: str, *examples: str, longest: int = 200, **more: Any) -> Schema:
    return {
        "type": "string",
        "description": description,
        "examples": list(examples),
        "minLength": 1,
        "maxLength": longest,
        **more,
    }


def word(description: str, *examples: str, pattern: str, allowed: str) -> Schema:
    return {
        "type": "string",
        "description": description,
        "examples": list(examples),
        "pattern": pattern,
        "x-allowed": allowed,
    }


def day(description: str, example: str) -> Schema:
    return word(description, example, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", allowed="a date such as 2026-02-01")


def choice(description: str, *words: str) -> Schema:
    return {"description": description, "examples": [words[0]], "enum": list(words)}


def number(description: str, example: int, least: int, most: int, **more: Any) -> Schema:
    return {
        "type": "integer",
        "description": description,
        "examples": [example],
        "minimum": least,
        "maximum": most,
        **more,
    }


def mapping(description: str, required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def listed(description: str, items: Schema, least: int, most: int) -> Schema:
    return {"type": "array", "description": description, "items": items, "minItems": least, "maxItems": most}


def share(description: str, example: float, least: float, most: float) -> Schema:
    """Return a part of 1."""
    return seconds(description, example, least, most)


def seconds(description: str, example: float, least: float, most: float) -> Schema:
    """Return a number of seconds, fractions allowed."""
    return {**number(description, 0, 0, 0), "type": "number", "examples": [example], "minimum": least, "maximum": most}
