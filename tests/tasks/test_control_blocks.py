"""What all blocks share: declaration in a program, state that is carried over or retained."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import Image
from cellwright.io.options import from_plan
from cellwright.io.plan import TagType
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.config import compile_file
from cellwright.tasks.api import (
    BOOL,
    DINT,
    UDINT,
    Input,
    Output,
    Program,
    ProgramOptions,
    Retained,
    ScanContext,
)
from cellwright.tasks.control import blocks
from cellwright.tasks.control.blocks import (
    CTD,
    CTU,
    CTUD,
    F_TRIG,
    HYSTERESIS,
    LIMITER,
    MOVING_AVERAGE,
    PID,
    PID_BANK,
    R_TRIG,
    RAMP,
    RS,
    SEQUENCER,
    SR,
    TOF,
    TON,
    TP,
    Block,
    BlockError,
    ParameterError,
    PidTuning,
    SfcTransition,
    StateError,
    T_ms,
    Time,
    blocks_of,
    restore_blocks,
    save_blocks,
)
from support.campaign import examples
from tasks.harness import Harness


class Phase(IntEnum):
    FIRST = 1
    SECOND = 2


TUNING = PidTuning(2.0, 1.0, 0.2)
ROWS = (
    SfcTransition(Phase.FIRST, Phase.SECOND, "go", Time(5)),
    SfcTransition(Phase.SECOND, Phase.FIRST, after=Time(9)),
)
Call = Callable[[Any, ScanContext, random.Random], object]


@dataclass(frozen=True)
class Kind:
    """A kind of block and how to call it with inputs by chance."""

    make: Callable[[], Block]
    call: Call


def chance(dice: random.Random) -> bool:
    return dice.random() < 0.5


def number(dice: random.Random) -> float:
    return math.nan if dice.random() < 0.05 else dice.uniform(-50, 150)


def timer(block: Any, ctx: ScanContext, dice: random.Random) -> object:
    return block(ctx, chance(dice), Time(dice.randint(0, 9))), block.ET


KINDS = {
    "TON": Kind(TON, timer),
    "TOF": Kind(TOF, timer),
    "TP": Kind(TP, timer),
    "SR": Kind(SR, lambda b, c, d: b(S1=chance(d), R=chance(d))),
    "RS": Kind(RS, lambda b, c, d: b(S=chance(d), R1=chance(d))),
    "R_TRIG": Kind(R_TRIG, lambda b, c, d: b(chance(d))),
    "F_TRIG": Kind(F_TRIG, lambda b, c, d: b(chance(d))),
    "CTU": Kind(CTU, lambda b, c, d: (b(CU=chance(d), PV=3), b.CV)),
    "CTD": Kind(CTD, lambda b, c, d: (b(CD=chance(d), PV=3), b.CV)),
    "CTUD": Kind(CTUD, lambda b, c, d: (b(CU=chance(d), CD=chance(d), PV=3), b.CV)),
    "RAMP": Kind(RAMP, lambda b, c, d: (b(c, number(d), RISE=1e9, FALL=2e9), b.ERROR)),
    "LIMITER": Kind(LIMITER, lambda b, c, d: (b(MN=0, IN=number(d), MX=100), b.QL, b.QH)),
    "HYSTERESIS": Kind(HYSTERESIS, lambda b, c, d: b(number(d), LOW=20, HIGH=80)),
    "MOVING_AVERAGE": Kind(lambda: MOVING_AVERAGE(5), lambda b, c, d: (b(number(d)), b.COUNT)),
    "PID": Kind(PID, lambda b, c, d: (b(c, SP=number(d), PV=number(d), tuning=TUNING), b.parts)),
    "PID_BANK": Kind(
        lambda: PID_BANK(2),
        lambda b, c, d: b(
            c, SP=[number(d), number(d)], PV=[number(d), 5.0], tunings=(TUNING, TUNING)
        ),
    ),
    "SEQUENCER": Kind(lambda: SEQUENCER(Phase, ROWS), lambda b, c, d: (b(c, go=chance(d)), b.T)),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def test_every_block_is_among_the_kinds_of_this_page():
    names = {
        name
        for name in blocks.__all__
        if isinstance(getattr(blocks, name), type) and issubclass(getattr(blocks, name), Block)
    }
    assert names - {"Block"} == set(KINDS)


# --- state ----------------------------------------------------------------------------------------


@each_kind
@examples(12)
@given(seed=st.integers(0, 2**32), before=st.integers(0, 25))
def test_a_block_that_is_restored_goes_on_as_if_nothing_had_happened(
    kind: Kind, seed: int, before: int
):
    dice, ctx = random.Random(seed), ScanContext("test", now_ns=seed)
    block = kind.make()
    for _ in range(before):
        ctx.now_ns += dice.randint(0, 4)
        kind.call(block, ctx, dice)
    other = kind.make()
    other.restore(block.state())
    assert other.state() == block.state()
    same_dice = random.Random()
    same_dice.setstate(dice.getstate())
    for _ in range(25):
        ctx.now_ns += 3
        assert kind.call(block, ctx, dice) == kind.call(other, ctx, same_dice)
        assert other.state() == block.state()


@each_kind
def test_a_block_restored_under_another_clock_counts_the_time_between_as_none(kind: Kind):
    dice, same_dice = random.Random(7), random.Random(7)
    block, other = kind.make(), kind.make()
    late, early = ScanContext("test", now_ns=10**18), ScanContext("test", now_ns=10**18)
    for _ in range(10):
        late.now_ns = early.now_ns = late.now_ns + 3
        kind.call(block, late, dice)
        kind.call(other, early, same_dice)
    for one, ctx, now_ns in ((block, late, 5), (other, early, 2 * 10**18)):
        one.restore(one.state(), new_clock=True)
        ctx.now_ns = now_ns
    for _ in range(10):
        assert kind.call(block, late, dice) == kind.call(other, early, same_dice)
        late.now_ns += 3
        early.now_ns += 3


@each_kind
def test_the_state_of_another_kind_is_refused_and_nothing_changes(kind: Kind):
    block = kind.make()
    dice, ctx = random.Random(3), ScanContext("test", now_ns=100)
    for _ in range(4):
        kind.call(block, ctx, dice)
    before = block.state()
    for name, stranger in KINDS.items():
        if stranger is not kind:
            with pytest.raises(StateError, match=f"{type(block).__name__}.*{name}"):
                block.restore(stranger.make().state())
    with pytest.raises(StateError, match="the declaration has changed"):
        block.restore(before[:-1])
    with pytest.raises(StateError):
        block.restore(b"")
    assert block.state() == before


@each_kind
@examples(25)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_are_a_state_with_which_the_block_works(
    kind: Kind, data: st.DataObject
):
    block = kind.make()
    size = len(block.state()) - 16
    small = st.lists(st.sampled_from([0, 0, 0, 1, 2, 255]), min_size=size, max_size=size).map(bytes)
    body = data.draw(st.binary(min_size=size, max_size=size) | small)
    before = block.state()
    try:
        block.restore(before[:16] + body)
    except StateError as error:
        assert "initial state" in str(error)  # noqa: PT017 - either outcome is right
        assert block.state() == before
    else:
        assert block.state() == before[:16] + body
        dice = random.Random(1)
        for n in range(5):
            kind.call(block, ScanContext("test", now_ns=2**63 - 6 + n), dice)


def test_equal_states_have_equal_bytes_whatever_led_to_them():
    one, other = TON(), TON()
    for n, level in enumerate((True, True, False, True, False)):
        one(ScanContext("test", now_ns=n), level, Time(2))
    other(ScanContext("test", now_ns=9), False, Time(5))
    assert one.state() == other.state() == TON().state()


# --- in a program ---------------------------------------------------------------------------------


class Press(Program[ProgramOptions]):
    """Blocks of every way of declaration."""

    part = Input(BOOL)
    closed = Input(BOOL)
    holds = Output(BOOL)
    full = Output(BOOL)

    hold = TON()
    parts = CTU(UDINT, retained=True)
    warm_up = TON(retained=True)

    def __init__(self, image: Any, binding: Any, options: ProgramOptions) -> None:
        super().__init__(image, binding, options)
        self.many = [TON() for _ in range(2)]
        self.edge = R_TRIG()

    def scan(self, ctx: ScanContext) -> None:
        self.holds = self.hold(ctx, self.closed, T_ms(100))
        self.full = self.parts(CU=self.part, PV=3)
        self.warm_up(ctx, IN=True, PT=T_ms(200))


def test_a_block_declared_in_the_class_has_its_own_state_in_every_program():
    one, other = Harness(Press, ProgramOptions()), Harness(Press, ProgramOptions())
    one["closed"] = True
    for _ in range(6):
        one.scan()
        other.scan()
    assert one["holds"] is True
    assert other["holds"] is False
    assert one.program.hold is one.program.hold
    assert one.program.hold is not other.program.hold
    assert Press.hold.Q is False


def test_the_blocks_of_a_program_are_found_by_name():
    names = list(blocks_of(Harness(Press, ProgramOptions()).program))
    assert names == ["hold", "parts", "warm_up", "many[0]", "many[1]", "edge"]


def test_a_changed_program_goes_on_with_the_blocks_that_it_still_has():
    old = Harness(Press, ProgramOptions())
    old["closed"] = True
    for _ in range(4):
        old.scan()

    class Changed(Program[ProgramOptions]):
        closed = Input(BOOL)
        holds = Output(BOOL)
        hold = TON()
        parts = CTD()
        added = TP()

        def scan(self, ctx: ScanContext) -> None:
            self.holds = self.hold(ctx, self.closed, T_ms(100))

    new = Harness(Changed, ProgramOptions())
    new["closed"] = True
    carried = restore_blocks(new.program, save_blocks(old.program))
    assert carried.kept == ("hold",)
    assert "another kind" in carried.reset["parts"]
    assert "no saved state" in carried.reset["added"]
    assert carried.gone == ("warm_up", "many[0]", "many[1]", "edge")
    new.now_ns = old.now_ns
    new.scan()
    assert new["holds"] is False
    new.scan()
    assert new["holds"] is True, "80 ms had been counted before the change"


# --- retained -------------------------------------------------------------------------------------


def test_a_retained_block_declares_a_retained_variable_beside_itself():
    variables = Press.variables()
    assert isinstance(variables["parts_ctu"], Retained)
    assert variables["parts_ctu"].type == TagType.parse("ARRAY[0..1] OF LINT")
    assert variables["warm_up_ton"].description == "State of TON warm_up"
    assert "hold_ton" not in variables


def test_a_retained_counter_survives_a_kill_and_an_ordinary_one_does_not():
    cell = Harness(Press, ProgramOptions())
    for part in (True, False, True, False):
        cell["part"] = part
        cell.scan()
    cell.kill()
    assert cell.program.parts.CV == 2
    cell["part"] = True
    cell.scan()
    assert cell["full"] is True


def test_a_retained_timer_goes_on_after_a_restart_without_the_time_in_between():
    cell = Harness(Press, ProgramOptions())
    for _ in range(6):
        cell.scan()
    assert T_ms(100) == cell.program.warm_up.ET
    cell.now_ns = 77
    cell.kill()
    cell.scan()
    assert T_ms(100) == cell.program.warm_up.ET
    cell.scan()
    assert T_ms(120) == cell.program.warm_up.ET


def test_a_retained_tag_with_a_damaged_state_is_told_when_the_program_starts():
    cell = Harness(Press, ProgramOptions())
    cell["parts_ctu"] = [2**40, 0]
    with pytest.raises(StateError, match=r"the count 1099511627776 is not a UDINT.*cold start"):
        cell.scan()


def test_a_retained_block_that_is_not_declared_in_a_class_is_refused_at_its_first_call():
    with pytest.raises(BlockError, match="declare it in the body of a Program's class"):
        CTU(DINT, retained=True)(CU=True, PV=1)


def test_a_retained_block_of_anything_but_a_program_is_refused():
    class Plain:
        count = CTU(retained=True)

    with pytest.raises(BlockError, match="only a Program can retain"):
        _ = Plain().count


def test_a_retained_block_that_no_tag_can_hold_is_refused_at_declaration():
    with pytest.raises((ParameterError, RuntimeError)) as caught:
        type("Large", (), {"loops": PID_BANK(513, retained=True)})
    cause = caught.value.__cause__ or caught.value
    assert "4104 words of state, a tag holds 4096" in str(cause)


def test_a_block_that_is_put_on_a_class_afterwards_is_refused():
    class Plain:
        pass

    Plain.late = TON()  # type: ignore[attr-defined]
    with pytest.raises(BlockError, match="declare it in the class's body"):
        _ = Plain().late  # type: ignore[attr-defined]


CELL = """
cell: {name: Press, data: ./data}
scan: {base: 10ms, watchdog: {time: 50ms, sensitivity: 2}}
tags:
  part: {type: BOOL, memory: true, write: [Operator]}
tasks:
  press:
    program: "counting_press:CountingPress"
    interval: 10ms
    options: {heater: {kp: 2, ti_s: 8}}
opcua: {endpoint: "opc.tcp://127.0.0.1:4840", anonymous: read}
"""

PROGRAM = """
from cellwright.tasks.api import BOOL, UDINT, Input, Program, ProgramOptions
from cellwright.tasks.control.blocks import CTU, PidTuning

class PressOptions(ProgramOptions):
    heater: PidTuning

class CountingPress(Program[PressOptions]):
    Options = PressOptions
    part = Input(BOOL)
    parts = CTU(UDINT, retained=True)

    def scan(self, ctx):
        self.parts(CU=self.part, PV=3)
"""


def test_a_cell_gives_a_retained_block_a_retained_tag_and_a_loop_its_tuning(tmp_path: Path):
    (tmp_path / "cell.yaml").write_text(CELL, encoding="utf-8")
    (tmp_path / "counting_press.py").write_text(PROGRAM, encoding="utf-8")
    plan = compile_file(tmp_path / "cell.yaml")
    (tag,) = (tag for tag in plan.tags if tag.name == "press.parts_ctu")
    assert tag.retain
    program_class = sys.modules["counting_press"].CountingPress
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    try:
        process_image = ProcessImage(image, plan)
        binding = plan.tasks[0].binding
        options = from_plan(program_class.Options, plan.tasks[0].options)
        assert options.heater == PidTuning(2.0, 8.0)
        program = program_class(process_image, binding, options)
        process_image.set(binding["part"], True)
        program.scan(ScanContext("press", now_ns=1))
        kept = process_image.retained()
        assert process_image.restore(kept) == []
        process_image.initialise(retained=False)
        again = program_class(process_image, binding, options)
        assert again.parts.CV == 1
        again.scan(ScanContext("press", now_ns=2))
        assert again.parts.CV == 1
    finally:
        image.close()
