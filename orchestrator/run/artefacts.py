"""A client's own packages in the store: `<client>/artefacts/<sha256>.zip`, and an index that says what they are.

The index is written last: what it does not name is on offer to no site.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.errors import Refused
from orchestrator.run.bucket import Bucket

SCHEMA = 1
State = Literal["added", "was so", "replaced"]


@dataclass(frozen=True)
class Artefact:
    """A package that is known by its SHA-256. `file` is a plugin's main file below wp-content/plugins, "" for a theme."""

    kind: str
    slug: str
    file: str
    version: str
    name: str
    author: str
    sha256: str
    bytes: int
    # When it was put into the store, by UTC: 2026-11-23T14:00:00+00:00.
    added: str = ""

    @property
    def release(self) -> tuple[str, str, str]:
        """Return what there is only one of: kind, slug and version."""
        return self.kind, self.slug, self.version

    def words(self) -> str:
        """Return the release as a person says it."""
        return " ".join(self.release)

    def json(self) -> dict[str, Any]:
        """Return all fields."""
        return asdict(self)


def index_key(client: str) -> str:
    """Return where the index lies."""
    return f"{client}/artefacts/index.json"


def package_key(client: str, sha256: str) -> str:
    """Return where the bytes lie."""
    return f"{client}/artefacts/{sha256}.zip"


def read_index(bucket: Bucket, client: str) -> tuple[Artefact, ...]:
    """Return what the client's store has, in order. Raises Refused when the store does not say."""
    body = bucket.must_get(index_key(client))
    if body is None:
        return ()
    try:
        value = json.loads(body)
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']!r}")
        found = tuple(Artefact(**each) for each in value["artefacts"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"the list of packages {index_key(client)} cannot be read: {error}",
            "bring its version of before back, or remove it and add the packages again",
        ) from None
    return tuple(sorted(found, key=lambda each: each.release))


def refuse_clash(
    index: Sequence[Artefact], artefact: Artefact, file: Path, client: str, *, replace: bool
) -> Artefact | None:
    """Return what the store has of the same release with other bytes. Raises Refused where that is not to be replaced."""
    other = next((each for each in index if each.release == artefact.release and each.sha256 != artefact.sha256), None)
    if other is not None and not replace:
        raise Refused(
            f"{artefact.words()} is in the store of {client} already with other bytes (SHA-256 {other.sha256[:12]}…, put in"
            f" {other.added[:10]}), and sites may have been given those; nothing was stored.",
            f"upkeep artefact add {file} {client} --replace, if the older ones were wrong",
        )
    return other


def add(bucket: Bucket, client: str, file: Path, artefact: Artefact, *, replace: bool = False) -> State:
    """Put a package into the client's store, then into the index.

    Raises Refused when the same release is there with other bytes and is not to be replaced, and when the store fails.
    """
    index = read_index(bucket, client)
    other = refuse_clash(index, artefact, file, client, replace=replace)
    known = next((each for each in index if each.sha256 == artefact.sha256 and each.release == artefact.release), None)
    if known is not None and bucket.ask("head_object", Key=package_key(client, artefact.sha256)).ok:
        return "was so"
    send(bucket, package_key(client, artefact.sha256), file, artefact.sha256, artefact.bytes)
    rest = [each for each in index if each.release != artefact.release]
    _write_index(bucket, client, [*rest, artefact])
    return "replaced" if other is not None else "added"


def remove(bucket: Bucket, client: str, slug: str, version: str) -> tuple[Artefact, ...]:
    """Take a release off the list, then its bytes out of the store. Returns what went; nothing when it was not there."""
    index = read_index(bucket, client)
    gone = tuple(each for each in index if (each.slug, each.version) == (slug, version))
    if gone:
        stay = [each for each in index if each not in gone]
        _write_index(bucket, client, stay)
        for each in gone:
            if each.sha256 not in {other.sha256 for other in stay}:
                # A store that locks keeps the bytes for its days; nobody is offered them.
                bucket.ask("delete_object", Key=package_key(client, each.sha256))
    return gone


def send(bucket: Bucket, key: str, file: Path, sha256: str, size: int) -> None:
    """Store the bytes, and see that it was those that were looked at: the file could be changed meanwhile. Raises Refused."""
    md5, digest = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with file.open("rb") as body:
        while block := body.read(1024 * 1024):
            md5.update(block)
            digest.update(block)
        if digest.hexdigest() != sha256:
            raise Refused(f"{file} was changed while it was read; nothing was stored.", "type it again")
        body.seek(0)
        said = bucket.ask(
            "put_object",
            Key=key,
            Body=body,
            ContentMD5=base64.b64encode(md5.digest()).decode(),
            ContentType="application/zip",
        )
    there = bucket.ask("head_object", Key=key)
    if not said.ok or not there.ok or int(there.value.get("ContentLength", -1)) != size:
        raise Refused(
            f"the store {bucket.store.endpoint} did not take {key}: {said.words}; no site is offered it.",
            f"upkeep store {'init' if said.code == 'NoSuchBucket' else 'check'} {key.partition('/')[0]}",
        )


def _write_index(bucket: Bucket, client: str, artefacts: Sequence[Artefact]) -> None:
    value: dict[str, Any] = {"schema": SCHEMA, "artefacts": [each.json() for each in artefacts]}
    said = bucket.put(index_key(client), json.dumps(value, indent=1, sort_keys=True).encode())
    if not said.ok or {each.sha256 for each in read_index(bucket, client)} != {each.sha256 for each in artefacts}:
        raise Refused(
            f"the store {bucket.store.endpoint} did not take the list {index_key(client)}: {said.words}.",
            f"upkeep artefact list {client}",
        )
