"""Write the reference of a contract's keys from the schema: docs/contract.md and docs/contract.schema.json.

`python -m orchestrator.contract.reference docs` writes both; a test keeps them as the code says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.contract.schema import LATER_DUTIES, contract_schema, schema_text
from orchestrator.contract.schema_words import Schema

HEAD = """\
# The contract

<!-- Written by `python -m orchestrator.contract.reference docs` from orchestrator/contract/schema.py. -->

A contract is one client's promise: `inventories/<client>/contract.yml`. [The sample](../inventories/example/contract.yml)
says everything once, with comments. `upkeep check` shows every mistake at once, each with file, line, column and what is
allowed; `upkeep explain CLIENT` shows what follows from it. Nothing runs on a contract with a mistake.

The file is plain YAML 1.2, UTF-8, at most 256 KiB. Anchors, aliases, merge keys, tags and a second document are refused;
so are unknown and repeated keys, control and invisible characters, values that begin with `-`, and the beginnings of
templates (`{{`, `{%`, `{#`). Editors complete and check it with [contract.schema.json](contract.schema.json).

Secrets never stand here. They are in `group_vars/all/vault.yml` beside the contract.

## Keys

Keys in *italics* may be left out. `[ ]` is an item of a list, `<site>` is a name of your own.

| key | what it says | allowed | example |
|---|---|---|---|
"""

TAIL = """
## What is checked beyond the shape

- `client.id` is the name of the folder; `signed`, `begins`, `ends` are in this order; the time zone exists.
- Addresses are http or https with a host and nothing behind it. Link-local addresses and the metadata services of clouds
  are refused, also in disguise; a site is never the machine itself. A store in a private network is fine.
- `root` is at least two folders deep and lies in none of the system's folders. No path holds `..`.
- Two places never share an inventory host, and each is in `hosts.yml`. Staging has a port of its own.
- A window opens and closes at different times. Earlier `to` than `from` means: on the next day.
- What is verified weekly cannot all be read within less than a week.
- A function says only what goes with its kind. The words of a search are not those that were searched for: a page that
  finds nothing repeats them. A step is `get` or `post`, and no field of a form is a password.
- No two functions of a site share a name; no release is held twice; retention keeps something.
"""


def reference_text() -> str:
    """Return the text of docs/contract.md."""
    return HEAD + "".join(_rows(contract_schema(), "", True)) + TAIL


def _rows(schema: Schema, path: str, required: bool) -> Iterator[str]:
    if path:
        name = f"`{path}`" if required else f"*`{path}`*"
        cells = (name, schema["description"], _allowed(schema), _example(schema))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    prefix = f"{path}." if path else ""
    for key, below in schema.get("properties", {}).items():
        if key in LATER_DUTIES:
            continue
        yield from _rows(below, prefix + key, key in schema["required"])
    if isinstance(schema.get("additionalProperties"), dict):
        name = schema.get("x-key", "site")
        yield from _rows(schema["additionalProperties"], f"{prefix}<{name}>", True)
    if "items" in schema and schema["items"].get("type") == "object":
        yield from _rows(schema["items"], f"{path}[ ]", True)
    if path == "scope":
        duties = ", ".join(f"`{duty}`" for duty in LATER_DUTIES)
        yield f"| *`scope.<duty>.promise`* | A duty that nothing serves yet, in words: {duties}. | text | |\n"


def _allowed(schema: Schema) -> str:
    if "x-allowed" in schema:
        return str(schema["x-allowed"])
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "if" in schema:
        return f"{', '.join(f'`{word}`' for word in schema['else']['enum'])}, or {schema['else']['x-or']}"
    if schema["type"] in ("integer", "number"):
        return f"{schema['minimum']} to {schema['maximum']}"
    if schema["type"] == "array":
        return f"a list of {schema['minItems']} to {schema['maxItems']}"
    return {"string": "text", "object": ""}[schema["type"]]


def _example(schema: Schema) -> str:
    examples: list[Any] = schema.get("examples", [])
    if not examples:
        return ""
    return f"`{examples[0] if isinstance(examples[0], str) else json.dumps(examples[0])}`"


def main(arguments: list[str]) -> int:
    """Write both files into the folder that is named."""
    folder = Path(arguments[0] if arguments else "docs")
    folder.mkdir(exist_ok=True)
    (folder / "contract.md").write_text(reference_text(), encoding="utf-8")
    (folder / "contract.schema.json").write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
