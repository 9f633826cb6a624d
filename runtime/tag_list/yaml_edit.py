"""Changes tags in the text of a cell's file and leaves every other character as it is.

Comments, order and spelling of what does not change stay. What cannot be changed so (a tag that is
an alias, a comment in the middle of what goes) is refused with its place. Whoever calls compares
what came out with what was wanted: this module only edits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cellwright.io.files.problems import Complaint, Mark

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./()-]*( [A-Za-z0-9_./()-]+)*", re.ASCII)
_WORDS: Final = frozenset({"true", "false", "null", "y", "n", "yes", "no", "on", "off"})
_ALIAS: Final = re.compile(r"\s*:\s*(\*[^\s,\]}]+)")
_BLANKS: Final = re.compile(r"[^\S\n]*")


class EditError(Complaint):
    """The file cannot be edited here; ``mark`` is the place in it."""

    def __init__(self, mark: Mark, what: str, why: str, remedy: str) -> None:
        super().__init__(what, why, remedy)
        self.mark = mark


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one tag: keys that get a value, and keys that go."""

    put: Mapping[str, Any]
    drop: frozenset[str] = frozenset()


def edited(
    text: str,
    changes: Mapping[str, Change],
    new: Mapping[str, Mapping[str, Any]],
    gone: Iterable[str] = (),
) -> str:
    """The text with these tags changed, added in this order, and deleted. Raises EditError.

    ``text`` is YAML that parses; every changed or deleted tag is in it.
    """
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    plain = text.removeprefix("\ufeff")
    gone = frozenset(gone)
    # One after the other: what is changed may stand within what is written anew.
    if changes:
        plain = _Editor(plain).run(changes, {}, frozenset())
    if new or gone:
        plain = _Editor(plain).run({}, new, gone)
    return bom + plain


def flow(value: Any) -> str:
    """A value in YAML, on one line and also right within brackets."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS - {"off"}:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Editor:
    def __init__(self, text: str) -> None:
        self.text = text
        self.line_end = "\r\n" if "\r\n" in text.partition("\n")[0] + "\n" else "\n"
        self.root = YAML(typ="safe", pure=True).compose(text)
        self.splices: list[tuple[int, int, str]] = []

    def run(
        self,
        changes: Mapping[str, Change],
        new: Mapping[str, Mapping[str, Any]],
        gone: frozenset[str],
    ) -> str:
        self._edit(changes, new, gone)
        pieces, at = [], 0
        for start, end, instead in sorted(self.splices):
            pieces += [self.text[at:start], instead]
            at = end
        return "".join([*pieces, self.text[at:]])

    def _edit(
        self,
        changes: Mapping[str, Change],
        new: Mapping[str, Mapping[str, Any]],
        gone: frozenset[str],
    ) -> None:
        section = next((pair for pair in _pairs(self.root) if pair[0].value == "tags"), None)
        lines = {name: flow(dict(keys)) for name, keys in new.items()}
        if section is None:
            self._at_the_end(lines)
            return
        key, value = section
        if self._is_alias(key, value):
            raise self._error(key, "the section 'tags' is an alias", "write the tags out")
        if not isinstance(value, MappingNode) or (value.flow_style and not value.value):
            self._fill(key, value, lines)
            return
        for name, tag in _pairs(value):
            if name.value in changes:
                self._change(name, tag, changes[name.value])
        if value.flow_style:
            if gone or lines:
                self._braces(value, {}, gone, lines)
        else:
            for name, tag in _pairs(value):
                if name.value in gone:
                    self._cut_lines(name, tag)
            if lines:
                self._lines_after(value, lines)

    # --- one tag --------------------------------------------------------------------------------

    def _change(self, name: Node, tag: Node, change: Change) -> None:
        if self._is_alias(name, tag) or not isinstance(tag, MappingNode):
            raise self._error(name, f"the tag '{name.value}' is an alias", "write the tag out")
        have = {key.value for key, _ in _pairs(tag)}
        if lent := sorted(change.drop - have):
            raise self._error(
                name,
                f"'{lent[0]}' of the tag '{name.value}' comes from a merge key",
                "delete it there, or write this tag without `<<`",
            )
        put = {key: flow(value) for key, value in change.put.items()}
        if tag.flow_style:
            self._braces(tag, put, change.drop, {k: v for k, v in put.items() if k not in have})
            return
        for key, value in _pairs(tag):
            if key.value in put:
                start, end = self._span(key, value)
                gap = " " if self.text[start - 1] == ":" else ""
                self.splices.append((start, end, gap + put[key.value]))
            elif key.value in change.drop:
                self._cut_lines(key, value)
        added = {key: text for key, text in put.items() if key not in have}
        if added:
            self._lines_after(tag, added)

    def _braces(
        self,
        node: MappingNode,
        put: Mapping[str, str],
        drop: frozenset[str],
        added: Mapping[str, str],
    ) -> None:
        """Write the entries of a mapping in braces anew, with what stands between them."""
        pieces: list[tuple[str, str]] = []
        at = self.text.index("{", node.start_mark.index) + 1
        dropped_before = False
        for key, value in _pairs(node):
            start, end = self._span(key, value)
            between = self.text[at : key.start_mark.index]
            gone = key.value in drop
            if (gone or dropped_before) and "#" in between:
                raise self._error(
                    key, "a comment stands beside what is to be deleted", "delete it by hand"
                )
            body = self.text[key.start_mark.index : end]
            if key.value in put:
                gap = " " if self.text[start - 1] == ":" else ""
                body = self.text[key.start_mark.index : start] + gap + put[key.value]
            if not gone:
                pieces.append((between, body))
            dropped_before, at = gone, end
        close = node.end_mark.index - 1
        if pieces and drop:
            first = self.text[self.text.index("{", node.start_mark.index) + 1 : _first(node)]
            pieces[0] = (first, pieces[0][1])
        inner = "".join(between + body for between, body in pieces)
        for key_text, text in added.items():
            inner += f"{', ' if inner.strip() else ''}{key_text}: {text}"
        begin = self.text.index("{", node.start_mark.index) + 1
        # A comma may stand behind the last one.
        rest = self.text[at:close] if pieces else ""
        if added and rest.lstrip().startswith(","):
            rest = rest.replace(",", "", 1)
        self.splices.append((begin, close, inner + rest))

    # --- lines ----------------------------------------------------------------------------------

    def _cut_lines(self, key: Node, value: Node) -> None:
        start = self.text.rfind("\n", 0, key.start_mark.index) + 1
        self.splices.append((start, self._next_line(self._span(key, value)[1]), ""))

    def _lines_after(self, node: MappingNode, lines: Mapping[str, str]) -> None:
        key, value = _pairs(node)[-1]
        indent = " " * _pairs(node)[0][0].start_mark.column
        at = self._next_line(self._span(key, value)[1])
        self._insert(at, indent, lines)

    def _insert(self, at: int, indent: str, lines: Mapping[str, str]) -> None:
        # As in the line before, where a file has both.
        end = "\r\n" if self.text.endswith("\r\n", 0, at) else self.line_end
        new = "".join(f"{indent}{key}: {text}{end}" for key, text in lines.items())
        if at and self.text[at - 1] != "\n":
            new = end + new
        self.splices.append((at, at, new))

    def _at_the_end(self, lines: Mapping[str, str]) -> None:
        end = len(self.text)
        gap = "" if not end or self.text.endswith("\n") else self.line_end
        body = "".join(f"  {key}: {text}{self.line_end}" for key, text in lines.items())
        self.splices.append((end, end, f"{gap}{self.line_end}tags:{self.line_end}{body}"))

    def _fill(self, key: Node, value: Node, lines: Mapping[str, str]) -> None:
        """The section is there and empty."""
        start, end = self._span(key, value)
        if start != end:
            self.splices.append((start, end, ""))
        self._insert(self._next_line(end), "  ", lines)

    # --- places ---------------------------------------------------------------------------------

    def _next_line(self, index: int) -> int:
        found = self.text.find("\n", index)
        return len(self.text) if found < 0 else found + 1

    def _is_alias(self, key: Node, value: Node) -> bool:
        return bool(value.start_mark.index < key.start_mark.index)

    def _span(self, key: Node, value: Node) -> tuple[int, int]:
        """Where the text of a value begins and ends, without blanks and comments behind it."""
        if self._is_alias(key, value):
            match = _ALIAS.match(self.text, key.end_mark.index)
            if match is None:
                raise self._error(key, "an alias stands where none is expected", "write it out")
            return match.start(1), match.end(1)
        if isinstance(value, ScalarNode) and not value.value and value.style is None:
            # The parser's place of an empty value may lie behind the comments that follow.
            start = self.text.index(":", key.end_mark.index) + 1
            return start, start
        return value.start_mark.index, self._end(value)

    def _end(self, node: Node) -> int:
        if isinstance(node, ScalarNode):
            end = int(node.end_mark.index)
            if node.style in ("|", ">"):
                end = len(self.text[:end].rstrip())
            return end
        if isinstance(node, MappingNode | SequenceNode) and node.value and not node.flow_style:
            if isinstance(node, SequenceNode):
                return self._end(node.value[-1])
            return self._span(*node.value[-1])[1]
        return int(node.end_mark.index)

    def _error(self, node: Node, what: str, remedy: str) -> EditError:
        mark = Mark(node.start_mark.line + 1, node.start_mark.column + 1)
        return EditError(mark, what, "a list changes only what stands there by itself", remedy)


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return list(node.value) if isinstance(node, MappingNode) else []


def _first(node: MappingNode) -> int:
    return int(node.value[0][0].start_mark.index)
