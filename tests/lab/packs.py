"""Language packs as WordPress.org serves them, made as they are asked for: a few words each, and the same bytes each time."""

from __future__ import annotations

import io
import struct
import zipfile

STRANGE_FILE = "strange-file"
_DATE = (2024, 7, 1, 0, 0, 0)


def words(stem: str, updated: str) -> dict[str, bytes]:
    """Return the files of a pack by their names: the words of a moment such as `2024-02-05 12:34:56`."""
    header = f"PO-Revision-Date: {updated}+0000\nContent-Type: text/plain; charset=UTF-8\n"
    lines = "".join(f'"{line}\\n"\n' for line in header.splitlines())
    po = f'msgid ""\nmsgstr ""\n{lines}\nmsgid "orders"\nmsgstr "Bestellungen"\n'
    return {f"{stem}.po": po.encode(), f"{stem}.mo": _mo({"": header, "orders": "Bestellungen"})}


def pack(slug: str, updated: str, variant: str = "") -> bytes:
    """Return the archive of a pack such as `plugin.lab-banner.de_DE`, or of core.default.de_DE."""
    kind, name, locale = slug.split(".")
    files = words(locale if kind == "core" else f"{name}-{locale}", updated)
    if variant == STRANGE_FILE:
        files["index.php"] = b"<?php\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in files.items():
            archive.writestr(zipfile.ZipInfo(member, _DATE), content)
    return buffer.getvalue()


def _mo(messages: dict[str, str]) -> bytes:
    """Write what gettext reads: a header of seven numbers, two tables of lengths and places, the texts."""
    texts = [text.encode() for text in (*messages, *messages.values())]
    count, at = len(messages), 28 + 16 * len(messages)
    table = b""
    for text in texts:
        table += struct.pack("<II", len(text), at)
        at += len(text) + 1
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return head + table + b"".join(text + b"\0" for text in texts)
