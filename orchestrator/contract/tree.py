"""Read YAML into a tree that knows the line and column of everything, and refuse the parts of YAML that can surprise.

Only YAML's events are used, not its constructors: no tag is ever acted on, no alias ever followed, and nothing is as
deep as the file would like it to be.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from orchestrator.contract.suggest import printable, quoted

LARGEST_FILE = 256 * 1024
DEEPEST = 12
MOST_NODES = 20_000

Scalar: TypeAlias = bool | int | float | str | None
Data: TypeAlias = "Scalar | list[Data] | dict[str, Data]"
Path: TypeAlias = tuple[str | int, ...]

# YAML 1.2's core schema. A date, a time and `yes` are therefore words.
NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
TRUE = frozenset({"true", "True", "TRUE"})
FALSE = frozenset({"false", "False", "FALSE"})
WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")
NUMBER = re.compile(r"[-+]?(\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Mark:
    """A place in the file, counted from one."""

    line: int
    column: int


@dataclass(frozen=True)
class Finding:
    """Something wrong at a path. `at_key` points at the key itself and not at its value."""

    path: Path
    message: str
    at_key: bool = False
    mark: Mark | None = None


@dataclass
class Node:
    """A value, where it begins, and where its key stands."""

    mark: Mark
    content: Scalar | list[Node] | dict[str, Node]
    key_mark: Mark | None = None


@dataclass
class Document:
    """The tree of one file, and what was wrong with its YAML. `root` is None when nothing could be read.

    `unread` are the paths of values that were refused: whatever else is said about them would be noise.
    """

    root: Node | None = None
    findings: list[Finding] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)

    def data(self) -> Data:
        """Return the tree as plain values."""
        return None if self.root is None else _plain(self.root)

    def mark(self, finding: Finding) -> Mark:
        """Return the line and column of a finding; what is missing is looked for where it should have been."""
        if finding.mark is not None:
            return finding.mark
        node = self.root
        if node is None:
            return Mark(1, 1)
        for part in finding.path:
            below: Node | None = None
            if isinstance(node.content, dict) and isinstance(part, str):
                below = node.content.get(part)
            elif isinstance(node.content, list) and isinstance(part, int) and part < len(node.content):
                below = node.content[part]
            if below is None:
                return node.key_mark or node.mark
            node = below
        points_at_key = finding.at_key or isinstance(node.content, dict)
        return (node.key_mark or node.mark) if points_at_key else node.mark


def is_unprintable(character: str) -> bool:
    """Tell whether a character could hide, reorder or break what a person reads."""
    category = unicodedata.category(character)
    # The two joiners are ordinary letters' companions in Persian, in Indian scripts and in emoji.
    return category in {"Cc", "Zl", "Zp", "Cs"} or (category == "Cf" and character not in "\u200c\u200d")


def read_document(text: str, *, strict: bool = True) -> Document:
    """Read one YAML document. Nothing is raised: what is wrong stands in the findings.

    Not strict is for Ansible's own files: tags, anchors and repeated keys are its business there, aliases read as nothing.
    """
    document = Document()
    if len(text) > LARGEST_FILE:
        document.findings.append(Finding((), f"the file is larger than {LARGEST_FILE // 1024} KiB.", mark=Mark(1, 1)))
        return document
    document.findings.extend(_unprintable_lines(text))
    if document.findings:
        return document
    builder = _Builder(document, strict)
    try:
        for event in _events(text):
            if not builder.take(event):
                document.root = None
                return document
    except ReaderError as error:
        before = text[: error.position if isinstance(error.position, int) else 0]
        mark = Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        document.findings.append(Finding((), "this character is not allowed in YAML.", mark=mark))
        document.root = None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        what = ", ".join(str(each) for each in (error.context, error.problem) if each)
        document.findings.append(Finding((), f"this is not YAML: {printable(what)[:200]}.", mark=where))
        document.root = None
    except Exception as error:
        # The file is hostile until proven otherwise, and the parser has bugs of its own (an escape beyond Unicode ends
        # in an OverflowError): whatever it stumbles over is a mistake in the file, never a crash of ours.
        what = printable(str(error))[:200] if isinstance(error, YAMLError) else type(error).__name__
        document.findings.append(Finding((), f"this is not YAML: {what}.", mark=builder.last))
        document.root = None
    return document


def _events(text: str) -> Iterator[Any]:
    yaml = YAML(typ="safe", pure=True)
    yield from yaml.parse(text)


def _plain(node: Node) -> Data:
    if isinstance(node.content, dict):
        return {key: _plain(value) for key, value in node.content.items()}
    if isinstance(node.content, list):
        return [_plain(value) for value in node.content]
    return node.content


def _unprintable_lines(text: str) -> Iterator[Finding]:
    # "\r\n" is an ordinary line's end; a lone "\r" would make our line numbers differ from an editor's.
    for number, line in enumerate(text.split("\n"), start=1):
        rest = line.removesuffix("\r")
        if rest.isascii() and rest.isprintable():
            continue
        for column, character in enumerate(rest, start=1):
            if character != "\t" and is_unprintable(character):
                message = f"the character {character!a} is not allowed: no control characters, no invisible ones."
                yield Finding((), message, mark=Mark(number, column))
                break


def _scalar(event: Any) -> Scalar:
    word: str = event.value
    if event.style or not event.implicit[0]:
        return word
    if word in NOTHING:
        return None
    if word in TRUE or word in FALSE:
        return word in TRUE
    if WHOLE_NUMBER.fullmatch(word):
        return int(word)
    if NUMBER.fullmatch(word):
        return float(word)
    return word


@dataclass
class _Frame:
    """A mapping or list that is still open."""

    node: Node
    path: Path
    key: str | None = None
    key_mark: Mark | None = None
    repeated: bool = False


class _Builder:
    """Grow the tree from events, keeping an own stack so that no depth of the file is a depth of ours."""

    def __init__(self, document: Document, strict: bool) -> None:
        self.document = document
        self.strict = strict
        self.open: list[_Frame] = []
        self.documents = 0
        self.nodes = 0
        self.last = Mark(1, 1)

    def take(self, event: Any) -> bool:
        """Take one event; False means that the rest of the file is not worth reading."""
        name = type(event).__name__
        mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
        self.last = mark
        if name == "DocumentStartEvent":
            return self._document(event, mark)
        if name in {"MappingEndEvent", "SequenceEndEvent"}:
            self.open.pop()
        elif name in {"ScalarEvent", "AliasEvent", "MappingStartEvent", "SequenceStartEvent"}:
            return self._node(event, name, mark)
        return True

    def _wrong(self, path: Path, message: str, mark: Mark) -> None:
        self.document.findings.append(Finding(path, message, mark=mark))

    def _document(self, event: Any, mark: Mark) -> bool:
        self.documents += 1
        if self.documents > 1:
            self._wrong((), "a second document begins here: one file holds one document.", mark)
            return False
        if self.strict and (event.version or event.tags):
            self._wrong((), "YAML directives (%YAML, %TAG) are not allowed.", Mark(1, 1))
            return False
        return True

    def _node(self, event: Any, name: str, mark: Mark) -> bool:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            self._wrong((), f"the file holds more than {MOST_NODES} values.", mark)
            return False
        if len(self.open) >= DEEPEST and name.endswith("StartEvent"):
            self._wrong((), f"values are nested more than {DEEPEST} deep.", mark)
            return False
        frame = self.open[-1] if self.open else None
        if frame is not None and isinstance(frame.node.content, dict) and frame.key is None:
            return self._key(event, name, frame, mark)
        path = self._path(frame)
        self._surprises(event, name, path, mark)
        content: Scalar | list[Node] | dict[str, Node]
        if name == "ScalarEvent":
            content = _scalar(event)
        elif name == "AliasEvent":
            content = None
        else:
            content = {} if name == "MappingStartEvent" else []
        node = Node(mark, content)
        self._place(node, frame)
        if name.endswith("StartEvent"):
            self.open.append(_Frame(node, path))
        return True

    def _key(self, event: Any, name: str, frame: _Frame, mark: Mark) -> bool:
        if name != "ScalarEvent":
            self._wrong(frame.path, "a key must be a plain word.", mark)
            return False
        key: str = event.value
        path = (*frame.path, key)
        if self.strict and key == "<<" and not event.style:
            self._wrong(path, "merge keys (<<) are not allowed: write the values out.", mark)
            self.document.unread.add(path)
        else:
            self._surprises(event, name, path, mark)
        first = frame.node.content.get(key) if isinstance(frame.node.content, dict) else None
        frame.repeated = first is not None
        if first is not None and self.strict:
            line = (first.key_mark or first.mark).line
            self._wrong(path, f"the key {quoted(key)} stands here a second time, first on line {line}.", mark)
        frame.key, frame.key_mark = key, mark
        return True

    def _path(self, frame: _Frame | None) -> Path:
        if frame is None:
            return ()
        if isinstance(frame.node.content, list):
            return (*frame.path, len(frame.node.content))
        return (*frame.path, frame.key or "")

    def _surprises(self, event: Any, name: str, path: Path, mark: Mark) -> None:
        if not self.strict:
            return
        if name == "AliasEvent":
            self._wrong(path, "aliases (*name) are not allowed: write the value out.", mark)
            self.document.unread.add(path)
            return
        if event.anchor:
            self._wrong(path, "anchors (&name) are not allowed: write the value out where it is needed.", mark)
        if event.tag:
            self._wrong(path, "tags (!name) are not allowed: write a plain value.", mark)

    def _place(self, node: Node, frame: _Frame | None) -> None:
        if frame is None:
            self.document.root = node
        elif isinstance(frame.node.content, list):
            frame.node.content.append(node)
        elif isinstance(frame.node.content, dict):
            node.key_mark = frame.key_mark
            # Of a repeated key the first value stays in the tree: the second is reported, not checked.
            if not frame.repeated:
                frame.node.content[frame.key or ""] = node
            frame.key, frame.key_mark, frame.repeated = None, None, False
