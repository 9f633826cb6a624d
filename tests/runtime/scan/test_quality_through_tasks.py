"""Quality follows values through tasks where the author asks; each tag has timestamp and age."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import ForceTag, UnforceTag, WriteTag
from cellwright.io.plan import (
    BAD_NO_COMMUNICATION,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    GOOD_LOCAL_OVERRIDE,
    UNCERTAIN_LAST_USABLE,
    UNCERTAIN_SUBSTITUTE,
    OnLoss,
    TagStatus,
    quality,
    worst,
)
from cellwright.runtime.recorder.replay import Replay
from cellwright.tasks.api import BOOL, LREAL, Input, Output, Program, ProgramOptions, ScanContext
from support.plans import make_tag
from support.recorded_cell import RecordedCell
from support.scan_bench import UTC_NS, Bench, coupler, input_bit, output_bit, program

MASS = {"write": ("operator",), "initial": 10.0}


def density(self: Any, ctx: ScanContext) -> None:
    self.density = self.mass / max(self.volume, 1.0)
    self.plain = self.mass
    self.seen = bool(self.present)


def double(self: Any, ctx: ScanContext) -> None:
    self.twice = 2 * self.density


DENSITY = program(
    density,
    mass=Input(LREAL),
    volume=Input(LREAL),
    present=Input(BOOL),
    density=Output(LREAL, quality_from=("mass", "volume")),
    plain=Output(LREAL),
    seen=Output(BOOL, quality_from="present"),
)
DOUBLE = program(double, density=Input(LREAL), twice=Output(LREAL, quality_from=("density",)))
TAGS = [
    input_bit("present", 0),
    output_bit("seen", 0, writer="first"),
    make_tag("mass", "LREAL", **MASS),
    make_tag("volume", "LREAL", **MASS),
    make_tag("density", "LREAL", writer="first"),
    make_tag("plain", "LREAL", writer="first"),
    make_tag("twice", "LREAL", writer="second"),
]
PROGRAMS: dict[str, type[Program[Any]]] = {"first": DENSITY, "second": DOUBLE}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path, TAGS, PROGRAMS, devices=[coupler()])
    bench.run()
    for name in ("mass", "volume"):
        bench.send(WriteTag(tag=name, value=3.0, actor="anna"))
    return bench


def qualities(bench: Bench) -> tuple[int, int, int]:
    return bench.quality("density"), bench.quality("twice"), bench.quality("plain")


@pytest.mark.behaviour(10)
def test_a_written_value_carries_the_worst_quality_of_what_its_author_named(bench: Bench):
    assert qualities(bench) == (GOOD, GOOD, GOOD)
    image = bench.scan.process_image
    for status in (UNCERTAIN_LAST_USABLE, BAD_NO_COMMUNICATION):
        image.set_quality(bench.plan.tag("volume").index, status)
        bench.cycle()
        assert qualities(bench) == (status, status, GOOD), "in this cycle, through both tasks"
    image.set_quality(bench.plan.tag("volume").index, GOOD)
    bench.cycle()
    assert qualities(bench) == (GOOD, GOOD, GOOD)


def test_a_forced_input_shows_as_local_override_in_what_is_made_of_it(bench: Bench):
    bench.send(ForceTag(tag="mass", value=1.0, actor="anna"))
    assert qualities(bench) == (GOOD_LOCAL_OVERRIDE, GOOD_LOCAL_OVERRIDE, GOOD)
    bench.send(UnforceTag(tag="mass", actor="anna"))
    assert qualities(bench) == (GOOD, GOOD, GOOD)


def test_the_quality_of_a_lost_device_reaches_an_output_and_its_readers(bench: Bench):
    bench.payload = bytes([1, 0])
    bench.cycle()
    assert (bench.value("seen"), bench.quality("seen")) == (True, GOOD)
    bench.statuses = [(BAD_NO_COMMUNICATION, UTC_NS + 5)] * 2
    bench.cycle()
    assert (bench.value("seen"), bench.quality("seen")) == (True, UNCERTAIN_LAST_USABLE)
    assert bench.outputs()[0][0] == 1, "quality tells, it does not act"


def test_a_tag_whose_author_does_not_ask_is_good_once_written(tmp_path: Path):
    copy = program(
        lambda self, ctx: setattr(self, "out", self.present), present=Input(BOOL), out=Output(BOOL)
    )
    tags = [input_bit("present", 0, on_loss=OnLoss.HOLD), make_tag("out", "BOOL", writer="t")]
    bench = Bench(tmp_path, tags, {"t": copy}, devices=[coupler()])
    bench.run()
    bench.statuses = [(BAD_NO_COMMUNICATION, UTC_NS + 5)] * 2
    bench.cycle(2)
    assert bench.quality("present") == UNCERTAIN_LAST_USABLE
    assert bench.quality("out") == GOOD


@given(
    st.lists(
        st.sampled_from(
            [
                GOOD,
                GOOD_LOCAL_OVERRIDE,
                UNCERTAIN_LAST_USABLE,
                UNCERTAIN_SUBSTITUTE,
                BAD_NO_COMMUNICATION,
                BAD_WAITING_FOR_INITIAL_DATA,
            ]
        ),
        max_size=6,
    )
)
def test_the_worst_is_the_first_of_the_highest_severity(statuses: list[int]):
    found = worst(statuses)
    highest = max((status >> 30 for status in statuses), default=0)
    assert found >> 30 == highest
    equals = [status for status in statuses if status >> 30 == highest]
    if highest:
        assert found == equals[0]
    else:
        assert found == (GOOD_LOCAL_OVERRIDE if GOOD_LOCAL_OVERRIDE in equals else GOOD)


def test_a_quality_taken_from_what_is_no_variable_is_refused_when_the_class_is_made():
    with pytest.raises(
        TypeError, match="takes its quality from 'mas', which is not another variable"
    ):
        program(density, mass=Input(LREAL), out=Output(LREAL, quality_from=("mas",)))
    with pytest.raises(TypeError, match="from 'out', which is not another"):
        program(density, out=Output(LREAL, quality_from="out"))


def test_a_program_gives_a_value_a_quality_of_its_own(tmp_path: Path):
    def judge(self: Any, ctx: ScanContext) -> None:
        self.out = self.speed
        fits = self.speed < 5
        self.give_quality("out", GOOD if fits else quality.UNCERTAIN_UNITS_EXCEEDED)

    judges = program(judge, speed=Input(LREAL), out=Output(LREAL))
    tags = [make_tag("speed", "LREAL", write=("operator",)), make_tag("out", "LREAL", writer="t")]
    bench = Bench(tmp_path, tags, {"t": judges})
    bench.run()
    assert bench.quality("out") == GOOD
    bench.send(WriteTag(tag="speed", value=6.0, actor="anna"))
    assert (bench.value("out"), bench.quality("out")) == (6.0, quality.UNCERTAIN_UNITS_EXCEEDED)


def test_an_input_cannot_be_given_a_quality(tmp_path: Path):
    bad = program(lambda self, ctx: self.give_quality("speed", 0), speed=Input(LREAL))
    bench = Bench(tmp_path, [make_tag("speed", "LREAL")], {"t": bad})
    bench.run()
    assert "speed is an input; its source judges it" in bench.value("sys.first_fault")


# --- quality, source timestamp and age ------------------------------------------------------------


class Curious(Program[ProgramOptions]):
    """Asks what is known of its variables."""

    present = Input(BOOL)
    speed = Input(LREAL)
    age_ms = Output(LREAL)
    stamp = Output(LREAL)
    told: list[tuple[TagStatus, TagStatus]]

    def scan(self, ctx: ScanContext) -> None:
        """Once a cycle, and once more."""
        status = self.status_of("present")
        self.age_ms = -1.0 if status.age_ns is None else status.age_ns / 1e6
        self.stamp = float(status.source_utc_ns)
        if not hasattr(self, "told"):
            self.told = []
        self.told = [*self.told[-99:], (status, self.status_of("speed"))]
        assert self.status_of("present") == status


CURIOUS = [
    input_bit("present", 3),
    make_tag("speed", "LREAL", write=("operator",)),
    make_tag("age_ms", "LREAL", writer="curious"),
    make_tag("stamp", "LREAL", writer="curious"),
]


def told(bench: Bench) -> tuple[TagStatus, TagStatus]:
    (curious,) = bench.scan.execution.programs
    return curious.told[-1]


@pytest.mark.behaviour(10)
def test_a_program_reads_quality_source_timestamp_and_age_of_its_inputs(tmp_path: Path):
    bench = Bench(tmp_path, CURIOUS, {"curious": Curious}, devices=[coupler()])
    bench.run()
    bench.statuses = [(GOOD, UTC_NS + 70)] * 2
    bench.cycle()
    present, speed = told(bench)
    assert (present.quality, present.source_utc_ns, present.age_ns) == (GOOD, UTC_NS + 70, 0)
    assert present.good
    assert not present.bad
    bench.cycle(3)
    assert told(bench)[0].age_ns == 30_000_000, "the device did not read it again"
    assert speed.quality == quality.UNCERTAIN_INITIAL
    bench.send(WriteTag(tag="speed", value=1.0, actor="anna"))
    bench.cycle(5)
    assert told(bench)[1].age_ns == 50_000_000, "since it changed"


def test_the_value_of_a_lost_device_grows_older_from_its_last_reading(tmp_path: Path):
    bench = Bench(tmp_path, CURIOUS, {"curious": Curious}, devices=[coupler()])
    bench.run()
    bench.statuses = [(GOOD, UTC_NS + 70)] * 2
    bench.cycle()
    bench.statuses = [(BAD_NO_COMMUNICATION, UTC_NS + 90)] * 2
    bench.cycle(10)
    present, _ = told(bench)
    assert (present.quality, present.age_ns) == (UNCERTAIN_LAST_USABLE, 100_000_000)
    assert bench.snapshot().age_ns(bench.plan.tag("present").index) == 100_000_000


@pytest.mark.behaviour(10)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_of_the_wall_clock_makes_no_value_older_or_younger(tmp_path: Path, hours: int):
    bench = Bench(tmp_path, CURIOUS, {"curious": Curious}, devices=[coupler()])
    bench.run()
    bench.statuses = [(GOOD, bench.clock.utc_ns())] * 2
    bench.cycle(5)
    bench.clock._utc_offset_ns += hours * 3600 * 10**9
    bench.cycle(1)
    assert told(bench)[0].age_ns == 50_000_000
    bench.statuses = [(GOOD, bench.clock.utc_ns())] * 2
    bench.cycle(3)
    assert told(bench)[0].age_ns == 20_000_000
    index = bench.plan.tag("present").index
    reader = bench.snapshot()
    assert reader.age_ns(index) == 20_000_000
    assert reader.age_ns(index, bench.clock.now_ns()) == 30_000_000
    assert reader.age_ns(bench.plan.tag("speed").index) is not None


def test_what_programs_ask_about_timestamps_and_age_replays_bit_for_bit(tmp_path: Path):
    cell = RecordedCell(tmp_path, {"curious": Curious}, tags=CURIOUS, timing={})
    cell.run()
    for number in range(300):
        if number % 7 == 0:
            cell.statuses = [(GOOD, UTC_NS + number)] * 2
        cell.cycle()
    with Replay(cell.kept(), programs=[Curious]) as replay:
        outcome = replay.run()
    assert outcome.difference is None, outcome.difference
    assert outcome.cycles == cell.scan.cycle_number
