"""Conditions of alarms: the language, its errors with their places, and what they come to."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cellwright.io.plan import (
    BAD_NO_COMMUNICATION,
    GOOD,
    UNCERTAIN_SUBSTITUTE,
    Limit,
    LimitKind,
    Op,
    Step,
    TagType,
    Value,
)
from cellwright.runtime.config.alarms.conditions import (
    MAX_DEPTH,
    Condition,
    ConditionError,
    parse_condition,
)
from cellwright.runtime.scan.alarms.conditions import beyond, condition

TYPES = {
    "air_ok": TagType.parse("BOOL"),
    "door.shut": TagType.parse("BOOL"),
    "pressure": TagType.parse("REAL"),
    "level": TagType.parse("INT"),
    "count": TagType.parse("ULINT"),
    "wait": TagType.parse("TIME"),
    "serial": TagType.parse("STRING(20)"),
    "recipe": TagType.parse("ARRAY[0..3] OF REAL"),
}
INDEX = {name: number for number, name in enumerate(TYPES)}


class Image:
    """Values and qualities by name, as a condition asks for them."""

    def __init__(self, **values: Value) -> None:
        self.values: dict[int, Any] = {INDEX[name]: value for name, value in values.items()}
        self.qualities: dict[int, int] = {}

    def getter(self, index: int) -> Any:
        return lambda: self.values[index]

    def quality(self, index: int) -> int:
        return self.qualities.get(index, GOOD)


def parsed(text: str) -> Condition:
    return parse_condition(text, TYPES.get, TYPES, INDEX.__getitem__)


def holds(text: str, **values: Value) -> bool:
    return bool(condition(parsed(text).steps, Image(**values))())


@pytest.mark.parametrize(
    ("text", "values", "result"),
    [
        ("air_ok", {"air_ok": True}, True),
        ("not air_ok", {"air_ok": True}, False),
        ("NOT air_ok", {"air_ok": False}, True),
        ("not not air_ok", {"air_ok": True}, True),
        ("pressure > 8.0", {"pressure": 8.0}, False),
        ("pressure >= 8", {"pressure": 8.0}, True),
        ("8 < pressure", {"pressure": 8.5}, True),
        ("level = -3", {"level": -3}, True),
        ("level <> 1_000", {"level": 1000}, False),
        ("level != +7", {"level": 8}, True),
        ("level < pressure", {"level": 2, "pressure": 2.5}, True),
        ("wait > 1000000", {"wait": 2_000_000}, True),
        ("count == 18446744073709551615", {"count": 2**64 - 1}, True),
        ("air_ok == false", {"air_ok": False}, True),
        ("serial == ''", {"serial": ""}, True),
        ('serial != "B-1 and more"', {"serial": "B-1"}, True),
        ("level > 1 and level < 5", {"level": 3}, True),
        ("level > 5 or air_ok", {"level": 3, "air_ok": False}, False),
        ("not (air_ok or door.shut)", {"air_ok": False, "door.shut": False}, True),
        ("not air_ok or door.shut", {"air_ok": False, "door.shut": True}, True),
        ("air_ok or air_ok and not air_ok", {"air_ok": True}, True),
        ("(air_ok or air_ok) and not air_ok", {"air_ok": True}, False),
        ("pressure > 1e3", {"pressure": 1001.0}, True),
        ("pressure > 0 and not (pressure < 5)", {"pressure": float("nan")}, False),
    ],
)
def test_a_condition_means_what_an_engineer_expects(text: str, values: Any, result: bool):
    assert holds(text, **values) is result


def test_a_condition_can_ask_for_the_quality_of_a_tag():
    image = Image(pressure=1.0)
    good, bad = (condition(parsed(f"{word}(pressure)").steps, image) for word in ("good", "bad"))
    seen = []
    for status in (GOOD, UNCERTAIN_SUBSTITUTE, BAD_NO_COMMUNICATION):
        image.qualities[INDEX["pressure"]] = status
        seen.append((good(), bad()))
    assert seen == [(True, False), (False, False), (False, True)]


def test_values_and_qualities_that_a_condition_needs_are_told_apart():
    found = parsed("air_ok and (level > 3 or not good(pressure)) and air_ok")
    assert found.values == ("air_ok", "level")
    assert found.qualities == ("pressure",)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 0, "ends too early"),
        ("air_ok and", 10, "ends too early"),
        ("air_ok air_ok", 7, "is not expected here"),
        (
            "air_okk",
            0,
            "no tag is called 'air_okk'; a condition is about tags of this cell; did you",
        ),
        ("level", 0, "'level' is INT; only a BOOL"),
        ("not level", 4, "only a BOOL"),
        ("air_ok and level", 11, "only a BOOL"),
        ("pressure > 'x'", 9, "cannot be compared"),
        ("air_ok > 1", 7, "cannot be compared"),
        ("air_ok < true", 7, "only numbers are greater"),
        ("recipe > 1", 7, "an array cannot be compared"),
        ("level > 40000", 8, "'level' can never reach 40000; INT holds -32768 to 32767"),
        ("1 < level < 5", 10, "three values cannot be compared"),
        ("1 < 2", 0, "names no tag"),
        ("true", 0, "names no tag"),
        ("(air_ok", 7, "ends too early"),
        ("air_ok)", 6, "is not expected here"),
        ("bad(3)", 4, "takes the name of a tag"),
        ("bad(pressur)", 4, "did you mean 'pressure'?"),
        ("good(pressure", 13, "ends too early"),
        ("level > 5bar", 8, "'5' is not understood"),
        ("level > - x", 10, "is not expected here"),
        ("air_ok; import os", 6, "';' is not understood"),
        ("air_ok && air_ok", 7, "'&' is not understood"),
        ("__import__('os')", 0, "no tag is called '__import__'"),
        ("pressure > 1e999", 11, "is beyond every type"),
        ("level > ä", 8, "is not understood"),
        ("serial == 'x", 10, "is not understood"),
        ("x" * 1001, 0, "has 1001 characters"),
        ("(" * (MAX_DEPTH + 1) + "air_ok", MAX_DEPTH, "nested deeper"),
        ("not " * (MAX_DEPTH + 1) + "air_ok", 4 * MAX_DEPTH, "nested deeper"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(text: str, column: int, words: str):
    with pytest.raises(ConditionError) as raised:
        parsed(text)
    assert raised.value.column == column
    assert words in str(raised.value).partition(": ")[2]


# --- whatever the text is -------------------------------------------------------------------------


def attempt(text: str) -> tuple[Condition | None, ConditionError | None]:
    try:
        return parsed(text), None
    except ConditionError as error:
        return None, error


PIECES = [
    *TYPES,
    *("and", "or", "not", "(", ")", "<", "<=", ">", ">=", "==", "!=", "<>", "=", "+", "-", "'"),
    *("1", "2.5", "1e9", "true", "false", "good(", "bad(", "'x'", '"', "é", "\n", ".", "_", " "),
]


@given(
    st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join))
)
@example("not" * 400)
@example("(" * 900)
def test_any_text_is_a_condition_that_can_be_asked_or_an_error_inside_it(text: str):
    found, wrong = attempt(text)
    if found is None:
        assert wrong is not None
        assert 0 <= wrong.column <= len(text)
        assert wrong.what
        assert wrong.why
        assert wrong.remedy
        return
    image = Image(
        **{name: kind.initial for name, kind in TYPES.items()}  # type: ignore[arg-type]
    )
    assert condition(found.steps, image)() in (True, False)


@st.composite
def trees(draw: Any, depth: int = 3) -> tuple[str, Any]:
    """A condition and what it means, as a function of the values."""
    kind = draw(st.sampled_from(["bool", "number"] + ["not", "and", "or"] * (depth > 0)))
    if kind == "bool":
        name = draw(st.sampled_from(["air_ok", "door.shut"]))
        return name, lambda v: v[name]
    if kind == "number":
        name = draw(st.sampled_from(["level", "pressure"]))
        sign = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
        limit = draw(st.integers(-3, 3))
        return f"{name} {sign} {limit}", lambda v: eval(f"x {sign} {limit}", {"x": v[name]})
    if kind == "not":
        text, means = draw(trees(depth=depth - 1))
        return f"not ({text})", lambda v: not means(v)
    (left, first), (right, second) = draw(trees(depth=depth - 1)), draw(trees(depth=depth - 1))
    text = f"({left}) {kind} ({right})"
    if kind == "and":
        return text, lambda v: first(v) and second(v)
    return text, lambda v: first(v) or second(v)


VALUES = st.fixed_dictionaries(
    {
        "air_ok": st.booleans(),
        "door.shut": st.booleans(),
        "level": st.integers(-4, 4),
        "pressure": st.floats(-4, 4),
    }
)


@given(trees(), VALUES)
def test_a_condition_gives_what_python_gives(tree: tuple[str, Any], values: dict[str, Any]):
    text, means = tree
    assert holds(text, **values) is bool(means(values))


def test_steps_that_no_compiler_makes_are_refused():
    for steps in ([], [Step(Op.NOT)], [Step(Op.CONSTANT, value=True)] * 2):
        with pytest.raises(ValueError, match="are not a condition"):
            condition(steps, Image())


# --- limits ---------------------------------------------------------------------------------------


@given(
    st.sampled_from(LimitKind),
    st.floats(0, 10),
    st.floats(0, 5),
    st.lists(st.one_of(st.floats(-20, 30), st.just(float("nan"))), max_size=20),
)
def test_a_level_rises_beyond_its_limit_and_falls_the_deadband_inside(
    kind: LimitKind, at: float, deadband: float, values: list[float]
):
    image = Image(pressure=0.0)
    index = INDEX["pressure"]
    judge = beyond(Limit(index, kind, at, deadband), image.getter(index))
    level = False
    for value in values:
        image.values[index] = value
        before, level = level, judge(level)
        high = kind in (LimitKind.HIGH, LimitKind.HIGH_HIGH)
        if math.isnan(value):
            assert level is before
        elif before:
            assert level is not (value <= at - deadband if high else value >= at + deadband)
        else:
            assert level is (value > at if high else value < at)
        assert judge(level) is level, "asked again it says the same"
