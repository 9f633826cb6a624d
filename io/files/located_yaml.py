"""Reads a YAML file into a tree in which every key and value knows its line and column.

Called first by the compiler, and by the MES for master data. It stands on ruamel.yaml's event
parser instead of a loader, because a loader keeps one of two equal keys and loses the place of
scalars; it never builds objects, and it bounds size, depth and alias expansion, so that no file
can hang its reader.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from cellwright.io.files.problems import Mark, Problems, nearest
from cellwright.io.files.yaml_syntax import in_words

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 24
MAX_NODES: Final = 400_000
"""Nodes after aliases are expanded; ten thousand tags need about a quarter of it."""

START: Final = Mark(1, 1)

Scalar = None | bool | int | float | str


class Entry(NamedTuple):
    """One key of a mapping: where the key stands and what it leads to."""

    mark: Mark
    node: Node


@dataclass(slots=True)
class Node:
    """A value in the file. Exactly one of the three shapes is filled, as ``kind`` says."""

    kind: str
    """``scalar``, ``mapping`` or ``sequence``; ``void`` where a complaint stands for the value."""
    mark: Mark
    value: Scalar = None
    text: str = ""
    """A scalar as it is written, without its quotes."""
    inset: int | None = None
    """Characters between ``mark`` and ``text``; None where the text is not written one to one."""
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    weight: int = 1
    """Nodes in this subtree with aliases expanded."""
    height: int = 1
    """Levels of nesting in this subtree."""
    complete: bool = True

    def plain(self) -> Any:
        """The value as dict, list and scalars."""
        if self.kind == "mapping":
            return {key: entry.node.plain() for key, entry in self.entries.items()}
        if self.kind == "sequence":
            return [item.plain() for item in self.items]
        return self.value

    def at(self, path: Sequence[str | int], *, key: bool = False) -> Mark:
        """Where the value at ``path`` stands (or its key); the nearest ancestor when it is not."""
        node, mark = self, self.mark
        for step in path:
            if node.kind == "mapping" and step in node.entries:
                entry = node.entries[str(step)]
                node, mark = entry.node, entry.mark if key else entry.node.mark
            elif node.kind == "sequence" and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                mark = node.mark
            else:
                return mark
        return mark

    def section(self, name: str) -> dict[str, Entry]:
        """The entries of a mapping below this one; empty when there is none."""
        entry = self.entries.get(name)
        return entry.node.entries if entry is not None else {}


def read(path: Path, problems: Problems) -> Node | None:
    """A cell file's root mapping, or None when nothing is to compile; complains either way."""
    hint = "check the path, or write a new cell with `cellwright init DIR`"
    try:
        if path.is_dir():
            problems.error(START, f"{path} is a folder", "the file itself is needed", hint)
            return None
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        problems.error(START, "the file cannot be read", reason, hint)
        return None
    root = parse(data, problems)
    if root is not None and root.kind == "mapping":
        return root
    if root is not None and (root.text != "" or root.kind != "scalar"):
        problems.error(
            root.mark,
            f"the file is a {root.kind}",
            "a configuration is a mapping of sections",
            "begin with `cell:` in the first column",
        )
    elif not problems.errors:
        problems.error(
            START,
            "the file holds no configuration",
            "a cell needs at least the sections cell, scan and tasks",
            "write one, or create one with `cellwright init DIR`",
        )
    return None


def parse(data: bytes, problems: Problems) -> Node | None:
    """The tree of a file's bytes; None when it is empty or cannot be read, with a complaint."""
    text = _text(data, problems)
    if text is None:
        return None
    builder = _Builder(problems)
    try:
        for event in _events(text, problems):
            builder.feed(event)
    except _StopError:
        return None
    return builder.root


def _inset(event: ScalarEvent) -> int | None:
    """How far behind its mark the text begins, if each character of it is one of the file."""
    inset = 0 if event.style is None else 1
    start, end = event.start_mark, event.end_mark
    same = start.line == end.line and end.column - start.column == len(event.value) + 2 * inset
    return inset if same else None


def _text(data: bytes, problems: Problems) -> str | None:
    if len(data) > MAX_BYTES:
        problems.error(
            START,
            "the file is too large",
            f"at most {MAX_BYTES // 1024 // 1024} MiB are read",
            "split it or check that this is the right file",
        )
        return None
    try:
        text: str = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        lines = _lines(good)
        problems.extent = [len(line) for line in lines]
        problems.error(
            Mark(len(lines), len(lines[-1]) + 1),
            f"byte 0x{data[error.start]:02X} is not UTF-8",
            "a configuration or master data is UTF-8 text",
            "save the file as UTF-8 in the editor",
        )
        return None
    problems.extent = [len(line) for line in _lines(text)]
    return text


def _lines(text: str) -> list[str]:
    return re.split("\r\n|\r|\n", text)


def _mark_of(text: str, index: int) -> Mark:
    lines = _lines(text[:index])
    return Mark(len(lines), len(lines[-1]) + 1)


def _events(text: str, problems: Problems) -> Iterator[Any]:
    """The parser's events; a complaint and _StopError where it cannot go on."""
    parser = YAML(typ="safe", pure=True)
    events = iter(parser.parse(text))
    last = START
    while True:
        try:
            event = next(events, None)
        except MarkedYAMLError as error:
            _syntax(error, text, problems)
            raise _StopError from error
        except ReaderError as error:
            _unprintable(error, text, problems)
            raise _StopError from error
        except (YAMLError, ValueError, OverflowError) as error:
            # ruamel.yaml converts escapes and directives without a check of its own.
            problems.error(
                last,
                "the YAML cannot be parsed from here on",
                f"the parser stopped: {error}",
                "check the next escape sequence, directive or tag",
            )
            raise _StopError from error
        if event is None:
            return
        last = Mark(event.end_mark.line + 1, event.end_mark.column + 1)
        yield event


def _unprintable(error: ReaderError, text: str, problems: Problems) -> None:
    problems.error(
        _mark_of(text, error.position),
        f"character U+{int(error.character):04X} is not allowed",
        "YAML takes printable characters only (YAML 1.2.2, 5.1)",
        "delete it; it often comes from copying out of another program",
    )


def _syntax(error: MarkedYAMLError, text: str, problems: Problems) -> None:
    found = error.problem_mark or error.context_mark
    mark = Mark(found.line + 1, found.column + 1) if found is not None else START
    lines = _lines(text)
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    why, remedy = in_words(error, line)
    problems.error(mark, "the YAML cannot be parsed here", why, remedy)


class _StopError(Exception):
    """The tree cannot be built any further; the complaint is already made."""


class _Builder:
    """Turns parser events into nodes."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.root: Node | None = None
        self.anchors: dict[str, Node] = {}
        self.stack: list[tuple[Node, list[tuple[Mark, Node]]]] = []
        self.documents = 0

    def feed(self, event: Any) -> None:
        mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, DocumentStartEvent):
            self._document(mark)
        elif isinstance(event, ScalarEvent):
            plain = event.style is None
            value = _resolve(event.value) if plain else event.value
            self._tag(event, mark)
            self._scalar(value, mark)
            node = Node("scalar", mark, value, event.value, inset=_inset(event))
            self._put(self._anchor(event, node), mark)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            kind = "mapping" if isinstance(event, MappingStartEvent) else "sequence"
            self._tag(event, mark)
            if len(self.stack) >= MAX_DEPTH:
                self._too_deep(mark)
            node = self._anchor(event, Node(kind, mark, complete=False))
            self.stack.append((node, []))
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self._close()
        elif isinstance(event, AliasEvent):
            self._alias(event.anchor, mark)

    def _document(self, mark: Mark) -> None:
        self.documents += 1
        if self.documents > 1:
            self._stop(
                mark,
                "a second YAML document begins here",
                "a file is one document",
                "delete the line `---` and what follows, or move it to a file of its own",
            )

    def _anchor(self, event: Any, node: Node) -> Node:
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _tag(self, event: Any, mark: Mark) -> None:
        if event.tag is not None:
            self.problems.error(
                mark,
                f"the YAML tag {event.tag} is not used here",
                "the type of each value follows from its key",
                "delete the tag; quote the value if it is to be text",
            )

    def _scalar(self, value: Scalar, mark: Mark) -> None:
        if isinstance(value, str) and _UNWANTED.search(value):
            self.problems.error(
                mark,
                "the text holds control characters or half a surrogate pair",
                "no name or sentence needs one",
                "delete the escape sequence",
            )
        elif isinstance(value, float) and not math.isfinite(value):
            self.problems.error(
                mark, "the number is too large", "LREAL ends at 1.8e308", "write a smaller one"
            )
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            self.problems.error(
                mark, "the number is too large", "integers have 64 bits", "write a smaller one"
            )

    def _alias(self, name: str, mark: Mark) -> None:
        target = self.anchors.get(name)
        if target is None:
            self.problems.error(
                mark,
                f"no anchor is called '{name}'",
                "an alias needs an anchor before it",
                nearest(name, self.anchors),
            )
            target = Node("void", mark)
        elif not target.complete:
            self._stop(
                mark,
                f"alias '{name}' lies within its own anchor",
                "the value would contain itself",
                "move the anchor to a value that is complete before this line",
            )
        self._put(target, mark)

    def _close(self) -> None:
        node, children = self.stack.pop()
        for _, child in children:
            node.weight += child.weight
            node.height = max(node.height, child.height + 1)
        if node.height > MAX_DEPTH:
            self._too_deep(node.mark)
        if node.weight > MAX_NODES:
            self._stop(
                node.mark,
                f"more than {MAX_NODES} values",
                "aliases multiply what they name",
                "use fewer aliases, or a smaller anchor",
            )
        if node.kind == "sequence":
            node.items = [child for _, child in children]
        else:
            self._fill(node, children)
        node.complete = True
        self._put(node, node.mark)

    def _too_deep(self, mark: Mark) -> None:
        self._stop(
            mark,
            f"more than {MAX_DEPTH} levels of nesting",
            "no section of a file goes that deep",
            "remove superfluous brackets, indentation or aliases",
        )

    def _fill(self, node: Node, children: list[tuple[Mark, Node]]) -> None:
        merged: list[tuple[Mark, Node]] = []
        for (key_mark, key), (value_mark, value) in zip(children[::2], children[1::2], strict=True):
            if key.kind != "scalar":
                self.problems.error(
                    key_mark,
                    f"a key cannot be a {key.kind}",
                    "keys are names",
                    "write a plain name before the colon; quote a value that begins with { or [",
                )
                continue
            name = key.text
            if name == "<<":
                merged.append((value_mark, value))
            elif name in node.entries:
                self.problems.error(
                    key_mark,
                    f"the key '{name}' is there twice",
                    f"line {node.entries[name].mark.line} has it already: a duplicate key",
                    "rename or delete one of the two",
                )
            else:
                node.entries[name] = Entry(key_mark, value)
        for mark, value in merged:
            self._merge(node, mark, value)

    def _merge(self, node: Node, mark: Mark, value: Node) -> None:
        sources = value.items if value.kind == "sequence" else [value]
        for source in sources:
            if source.kind != "mapping":
                self.problems.error(
                    mark,
                    "'<<' merges something that is not a mapping",
                    "a merge key copies the keys of other mappings",
                    "write `<<: *anchor` with an anchor at a mapping",
                )
                continue
            for name, entry in source.entries.items():
                node.entries.setdefault(name, entry)

    def _put(self, node: Node, mark: Mark) -> None:
        if self.stack:
            self.stack[-1][1].append((mark, node))
        else:
            self.root = node

    def _stop(self, mark: Mark, what: str, why: str, remedy: str) -> None:
        self.problems.error(mark, what, why, remedy)
        raise _StopError


_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MAX_DIGITS: Final = 300


def _resolve(text: str) -> Scalar:
    """A plain scalar by the core schema (YAML 1.2.2, 10.3.2): ``off`` and ``no`` stay text."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if len(text) > _MAX_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
