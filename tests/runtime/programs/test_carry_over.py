"""What a changed program takes over from the one before: by name, by kind, whole or not at all."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.runtime.programs.carry_over import CarryError, carry_over
from cellwright.runtime.programs.scratch_image import ScratchImage, attach_image
from cellwright.runtime.programs.state import freeze_program
from cellwright.tasks.api import (
    BOOL,
    CarryOverError,
    Output,
    Program,
    ProgramOptions,
    ScanContext,
    adopt,
    names_in,
)
from cellwright.tasks.control.blocks import CTU, TOF, TON, T_s

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(["a", "b", "c", "d", "_hidden", "long_name"])


class Image:
    """Tags by index."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {0: False}

    def get(self, index: int) -> Any:
        return self.values[index]

    def set(self, index: int, value: Any) -> None:
        self.values[index] = value


class Color(IntEnum):
    RED = 1


class Base(Program[ProgramOptions]):
    lamp = Output(BOOL)

    def scan(self, ctx: ScanContext) -> None:
        """Nothing."""


def made(kind: type[Program[Any]], image: Image) -> Any:
    return kind(image, {"lamp": 0}, ProgramOptions())


@given(st.dictionaries(NAMES, PLAIN), st.sets(NAMES))
def test_every_attribute_that_the_changed_program_knows_is_kept_and_no_other(
    state: dict[str, Any], known: set[str]
) -> None:
    class Old(Base):
        pass

    def init(self: Any, *arguments: Any) -> None:
        Base.__init__(self, *arguments)
        for name in known:
            setattr(self, name, None)

    new_kind = type("New", (Base,), {"__init__": init})
    image = Image()
    old = made(Old, image)
    vars(old).update(state)
    new = made(new_kind, image)
    taken = carry_over(freeze_program(old, image), new, image, frozenset())
    for name in known:
        assert vars(new)[name] == state.get(name)
    assert set(taken.kept) == known & state.keys()
    assert set(taken.new) == known - state.keys()
    assert set(taken.dropped) == state.keys() - known
    assert not (state.keys() - known) & vars(new).keys()


@given(st.dictionaries(NAMES, PLAIN, min_size=1))
def test_a_refused_take_over_changes_nothing(state: dict[str, Any]) -> None:
    class New(Base):
        pass

    new = made(New, Image())
    last = list(state)[-1]
    for name in state:
        setattr(new, name, None)
    setattr(new, last, Image())
    before = dict(vars(new))
    if state[last] is None:
        state[last] = 1
    with pytest.raises(CarryOverError, match=f"attribute '{last}' is an? .* give it another name"):
        adopt(new, state)
    assert vars(new) == before


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        (1, 2.5, True), (2.5, 1, True), (None, [], True), ([], None, True), (True, False, True),
        (True, 1, False), (1, True, False), ("1", 1, False), ([], {}, False), ((), [], False),
        (1, Color.RED, False), (Color.RED, 1, False), (Color.RED, Color.RED, True),
    ],
)  # fmt: skip
def test_a_value_goes_on_where_the_changed_program_has_one_of_its_kind(
    old: object, new: object, fits: bool
) -> None:
    class New(Base):
        default = new

    by_init, by_class = made(New, Image()), made(New, Image())
    by_init.value = new
    for program, name in ((by_init, "value"), (by_class, "default")):
        if fits:
            adopt(program, {name: old})
            assert vars(program)[name] is old
        else:
            with pytest.raises(CarryOverError):
                adopt(program, {name: old})


def test_an_attribute_that_only_a_method_mentions_is_known_and_one_that_became_a_method_is_not():
    class New(Base):
        def scan(self, ctx: ScanContext) -> None:
            inner = lambda: self.deep  # type: ignore[attr-defined]  # noqa: E731
            self.later = [self.listed for _ in range(2)]  # type: ignore[attr-defined]
            inner()

        @property
        def shown(self) -> int:
            return self.under  # type: ignore[attr-defined,no-any-return]

        def method(self) -> None:
            """Was an attribute."""

    assert {"deep", "listed", "later", "under"} <= names_in(New)
    program = made(New, Image())
    adopt(program, dict.fromkeys(["deep", "listed", "later", "under", "method", "shown", "x"], 1))
    assert {"deep", "listed", "later", "under"} == vars(program).keys() - {
        "_image", "_binding", "options"
    }  # fmt: skip


class Before(Base):
    on = TON()
    count = CTU()
    other = TON()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.row = [TON(), TON(), TON()]


class After(Base):
    on = TON()
    count = CTU()
    other = TOF()
    fresh = TON()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.row = [TON(), TON()]
        self.active: TON | None = None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3_000_000_000)), min_size=2, max_size=20))
def test_function_blocks_go_on_by_name_and_kind_as_if_nothing_had_changed(
    calls: list[tuple[bool, int]],
) -> None:
    image = Image()
    before, undisturbed = made(Before, image), made(Before, image)
    ctx = ScanContext("t", now_ns=1_000_000_000)

    def call(program: Any, value: bool) -> list[Any]:
        program.on(ctx, IN=value, PT=T_s(2.0))
        program.count(CU=value, R=False, PV=3)
        blocks = [program.on.Q, program.on.ET, program.count.CV]
        for timer in program.row[:2]:
            timer(ctx, IN=value, PT=T_s(1.0))
            blocks += [timer.Q, timer.ET]
        return blocks

    half = len(calls) // 2
    for value, step in calls[:half]:
        ctx.now_ns += step
        assert call(before, value) == call(undisturbed, value)
        before.other(ctx, IN=value, PT=T_s(1.0))
    after = made(After, image)
    taken = carry_over(freeze_program(before, image), after, image, frozenset())
    assert taken.kept == ("count", "on", "row[0]", "row[1]")
    assert taken.dropped == ("row[2]",)
    assert list(taken.reset) == ["other"]
    assert "fresh" in taken.new
    for value, step in calls[half:]:
        ctx.now_ns += step
        assert call(after, value) == call(undisturbed, value)


def test_what_is_no_state_is_refused_and_runs_nothing() -> None:
    image = Image()
    for data in (b"", b"\x80\x05N.", b"cos\nsystem\n(S'true'\ntR."):
        with pytest.raises(CarryError, match="its state cannot be taken over"):
            carry_over(data, made(Base, image), image, frozenset())


def test_a_program_made_aside_writes_to_the_cell_only_once_it_is_settled() -> None:
    image = Image()
    program = made(Base, image)
    aside = Base(ScratchImage(image), {"lamp": 0}, ProgramOptions())
    aside.lamp = True
    assert (aside.lamp, program.lamp) == (True, False)
    attach_image(aside, image)
    assert aside.lamp is False
    aside.lamp = True
    assert program.lamp is True
