"""The small language of alarm conditions: parsed, checked against the tags, made into steps.

Called by the compiler of alarms only; the scan gets the steps (`cellwright.io.plan.Step`) and never
the text. Nothing of the text is ever executed as Python.

    condition  = term { "or" term } ;          term    = factor { "and" factor } ;
    factor     = "not" factor | comparison ;   comparison = operand [ operator operand ] ;
    operand    = tag | constant | "(" condition ")" | ( "good" | "bad" ) "(" tag ")" ;
    operator   = "<" | "<=" | ">" | ">=" | "==" | "=" | "!=" | "<>" ;
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from cellwright.io.files.problems import nearest
from cellwright.io.plan import (
    INTEGERS,
    REALS,
    Code,
    Op,
    Scalar,
    Step,
    TagType,
    integer_range,
    units,
)

MAX_LENGTH: Final = 1000
"""Characters of a condition; a longer one is a program."""
MAX_DEPTH: Final = 30
"""Levels of brackets and ``not``."""

_LARGEST: Final = 1.7976931348623157e308

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>\d+(?:_\d+)*(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    |(?P<text>"[^"]*"|'[^']*')
    |(?P<sign><=|>=|==|!=|<>|[<>=()+-])
    )""",
    re.VERBOSE | re.ASCII,
)
_OPERATORS: Final = {
    "<": Op.LESS,
    "<=": Op.LESS_OR_EQUAL,
    ">": Op.GREATER,
    ">=": Op.GREATER_OR_EQUAL,
    "==": Op.EQUAL,
    "=": Op.EQUAL,
    "!=": Op.NOT_EQUAL,
    "<>": Op.NOT_EQUAL,
}
_WORDS: Final = frozenset({"and", "or", "not", "true", "false"})
_FUNCTIONS: Final = {"good": Op.GOOD, "bad": Op.BAD}
_EXAMPLE: Final = 'write one like "not air_ok" or "pressure > 8.0 and sys.state == 2"'


class ConditionError(Exception):
    """A condition that is not understood, at ``column`` of its text (from 0)."""

    def __init__(self, column: int, what: str, why: str, remedy: str) -> None:
        super().__init__(f"column {column + 1}: {what}; {why}; {remedy}")
        self.column, self.what, self.why, self.remedy = column, what, why, remedy


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition."""

    steps: tuple[Step, ...]
    values: tuple[str, ...]
    """Tags whose value counts, in order of appearance."""
    qualities: tuple[str, ...]
    """Tags whose quality is asked for."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the condition on the stack: its type, and the constant that it is."""

    type: TagType | None
    """None for a number, which has no type of its own."""
    column: int
    constant: Scalar | None = None
    text: str = ""
    tag: str = ""
    """Name of the tag that it is."""


_BOOL: Final = TagType(Code.BOOL)


def parse_condition(
    text: str,
    types: Callable[[str], TagType | None],
    names: Iterable[str],
    index: Callable[[str], int],
    unit: Callable[[str], str] = lambda _: "",
) -> Condition:
    """The condition as steps; raises ConditionError.

    ``types`` gives a tag's type (None: no such tag), ``names`` all tags for suggestions, ``index``
    a tag's place in the tag table, ``unit`` its unit, empty when it has none.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(
            0,
            f"the condition has {len(text)} characters",
            f"at most {MAX_LENGTH} are allowed",
            "compute a BOOL in a program and use that",
        )
    return _Parser(text, types, names, index, unit).run()


class _Parser:
    def __init__(
        self,
        text: str,
        types: Callable[[str], TagType | None],
        names: Iterable[str],
        index: Callable[[str], int],
        unit: Callable[[str], str],
    ) -> None:
        self._types, self._names, self._index, self._unit = types, names, index, unit
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._steps: list[Step] = []
        self._values: dict[str, None] = {}
        self._qualities: dict[str, None] = {}

    def run(self) -> Condition:
        part = self._or()
        token = self._token
        if token.kind != "end":
            raise ConditionError(
                token.column,
                f"'{token.text}' is not expected here",
                "the condition is complete before it",
                "join two conditions with `and` or `or`",
            )
        self._truth(part)
        if not self._values and not self._qualities:
            raise ConditionError(
                part.column, "the condition names no tag", "it would never change", _EXAMPLE
            )
        return Condition(tuple(self._steps), tuple(self._values), tuple(self._qualities))

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._token
        if token.kind != "end":
            self._at += 1
        return token

    def _is(self, word: str) -> bool:
        token = self._token
        return token.kind in ("name", "sign") and token.text.lower() == word

    # --- levels of the grammar ------------------------------------------------------------------

    def _or(self) -> _Part:
        return self._joined("or", Op.OR, lambda: self._joined("and", Op.AND, self._not))

    def _joined(self, word: str, op: Op, inner: Callable[[], _Part]) -> _Part:
        part = inner()
        while self._is(word):
            self._truth(part)
            self._take()
            self._truth(inner())
            self._steps.append(Step(op))
            part = _Part(_BOOL, part.column)
        return part

    def _not(self) -> _Part:
        if not self._is("not"):
            return self._comparison()
        column = self._take().column
        with_depth = self._deeper(column, self._not)
        self._truth(with_depth)
        self._steps.append(Step(Op.NOT))
        return _Part(_BOOL, column)

    def _comparison(self) -> _Part:
        left = self._operand()
        token = self._token
        if token.kind != "sign" or token.text not in _OPERATORS:
            return left
        self._take()
        op = _OPERATORS[token.text]
        right = self._operand()
        self._comparable(left, op, token, right)
        self._steps.append(Step(op))
        following = self._token
        if following.kind == "sign" and following.text in _OPERATORS:
            raise ConditionError(
                following.column,
                "three values cannot be compared at once",
                "a comparison has two sides",
                "write `a > 1 and a < 5`",
            )
        return _Part(_BOOL, left.column)

    def _operand(self) -> _Part:
        token = self._take()
        if token.kind == "sign" and token.text == "(":
            part = self._deeper(token.column, self._or)
            self._expect(")")
            return part
        if token.kind == "number" or token.text in ("+", "-"):
            return self._number(token)
        if token.kind == "text":
            return self._constant(token, token.text[1:-1], TagType(Code.STRING, 1))
        return self._word(token)

    def _word(self, token: _Token) -> _Part:
        word = token.text.lower()
        if token.kind != "name" or word in ("and", "or", "not"):
            raise self._unexpected(token, "a tag, a number, true, false or ( belongs here")
        if word in ("true", "false"):
            return self._constant(token, word == "true", _BOOL)
        if word in _FUNCTIONS and self._is("("):
            return self._quality(_FUNCTIONS[word])
        kind = self._known(token)
        self._values[token.text] = None
        self._steps.append(Step(Op.TAG, self._index(token.text)))
        return _Part(kind, token.column, text=token.text, tag=token.text)

    def _deeper(self, column: int, inner: Callable[[], _Part]) -> _Part:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(
                column,
                f"the condition is nested deeper than {MAX_DEPTH} levels",
                "nobody can read it any more",
                "compute a BOOL in a program and use that",
            )
        part = inner()
        self._depth -= 1
        return part

    def _quality(self, op: Op) -> _Part:
        column = self._take().column
        token = self._take()
        if token.kind != "name" or token.text.lower() in _WORDS:
            raise self._unexpected(token, f"{op}() takes the name of a tag")
        self._known(token)
        self._expect(")")
        self._qualities[token.text] = None
        self._steps.append(Step(op, self._index(token.text)))
        return _Part(_BOOL, column)

    def _number(self, first: _Token) -> _Part:
        token = first if first.kind == "number" else self._take()
        if token.kind != "number":
            raise self._unexpected(token, "a sign stands before a number")
        plain = token.text.replace("_", "")
        value: int | float = float(plain) if re.search(r"[.eE]", plain) else int(plain)
        if abs(value) > _LARGEST:
            raise ConditionError(
                token.column,
                f"{token.text[:40]} is beyond every type",
                "LREAL ends at 1.8e308",
                "write a smaller number",
            )
        return self._constant(first, -value if first.text == "-" else value, None)

    def _constant(self, token: _Token, value: Scalar, kind: TagType | None) -> _Part:
        self._steps.append(Step(Op.CONSTANT, value=value))
        return _Part(kind, token.column, value, token.text)

    def _expect(self, sign: str) -> None:
        token = self._take()
        if token.kind != "sign" or token.text != sign:
            raise self._unexpected(token, f"'{sign}' is missing")

    # --- types ------------------------------------------------------------------------------------

    def _known(self, token: _Token) -> TagType:
        kind = self._types(token.text)
        if kind is None:
            raise ConditionError(
                token.column,
                f"no tag is called '{token.text}'",
                "a condition is about tags of this cell",
                nearest(token.text, self._names),
            )
        return kind

    @staticmethod
    def _truth(part: _Part) -> None:
        if part.type == _BOOL:
            return
        what = f"'{part.text}' is {_named(part)}" if part.text else "this is not a truth value"
        raise ConditionError(
            part.column,
            what,
            "only a BOOL is true or false by itself",
            f"compare it, for example `{part.text or 'pressure'} > 5`",
        )

    def _comparable(self, left: _Part, op: Op, token: _Token, right: _Part) -> None:
        kinds = _family(left), _family(right)
        if "array" in kinds:
            raise ConditionError(
                token.column,
                "an array cannot be compared",
                "it has many values",
                "compute a BOOL in a program and use that",
            )
        if kinds[0] != kinds[1]:
            raise ConditionError(
                token.column,
                f"{_named(left)} and {_named(right)} cannot be compared",
                f"'{left.text}' and '{right.text}' are of different kinds",
                "compare numbers with numbers, text with text",
            )
        if kinds[0] != "number" and op not in (Op.EQUAL, Op.NOT_EQUAL):
            raise ConditionError(
                token.column,
                f"'{token.text}' does not apply to {_named(left)}",
                "only numbers are greater or less",
                "use == or !=",
            )
        for tag, constant in ((left, right), (right, left)):
            if tag.type is not None and constant.constant is not None and tag.constant is None:
                _check_range(tag, constant)
        self._same_unit(left, token, right)

    def _same_unit(self, left: _Part, token: _Token, right: _Part) -> None:
        """Two tags that are compared; a number beside a tag is in the tag's unit."""
        if not left.tag or not right.tag:
            return
        clash = units.clash(self._unit(left.tag), self._unit(right.tag))
        if clash is not None:
            one, other = clash
            raise ConditionError(
                token.column,
                f"'{left.tag}' is in {one.symbol} and '{right.tag}' in {other.symbol}",
                "a number is not converted before it is compared"
                if one.kind == other.kind
                else f"one measures {one.kind}, the other {other.kind}",
                "compare tags of one unit; a program can convert one of them",
            )

    @staticmethod
    def _unexpected(token: _Token, why: str) -> ConditionError:
        what = (
            "the condition ends too early"
            if token.kind == "end"
            else (f"'{token.text}' is not expected here")
        )
        return ConditionError(token.column, what, why, _EXAMPLE)


def _check_range(tag: _Part, constant: _Part) -> None:
    value, kind = constant.constant, tag.type
    assert kind is not None
    integer = kind.code in INTEGERS or kind.code is Code.TIME
    if not integer or isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = integer_range(kind.code)
    if not low <= value <= high:
        raise ConditionError(
            constant.column,
            f"'{tag.text}' can never reach {value:g}",
            f"{kind} holds {low} to {high}",
            "correct the number",
        )


def _family(part: _Part) -> str:
    if part.type is None:
        return "number"
    if part.type.is_array:
        return "array"
    code = part.type.code
    if code in INTEGERS or code in REALS or code is Code.TIME:
        return "number"
    return code.name


def _named(part: _Part) -> str:
    if part.type is None:
        return "a number"
    if part.type.code is Code.STRING and part.constant is not None:
        return "text"
    return f"{part.type}"


def _tokens(text: str) -> list[_Token]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if not text[at:].strip():
                break
            column = at + len(text[at:]) - len(text[at:].lstrip())
            raise ConditionError(
                column,
                f"'{text[column]}' is not understood",
                "a condition has tags, numbers, text in quotes, brackets, comparisons and the "
                "words and, or, not, good, bad",
                _EXAMPLE,
            )
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    found.append(_Token("end", "", len(text.rstrip())))
    return found
