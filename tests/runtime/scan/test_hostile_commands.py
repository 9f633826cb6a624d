"""Commands that are well-formed and mean harm: too large a number, too many words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import (
    AcknowledgeAlarm,
    CommandRefused,
    ForceChanged,
    ForceTag,
    ReplyCode,
    SetMode,
    TagWritten,
    UnforceTag,
    WriteTag,
)
from cellwright.io.plan import CellState, Code, Tag
from cellwright.tasks.api import ScanContext
from support.plans import make_tag
from support.scan_bench import Bench, program

SCALARS = [code.name for code in Code if code is not Code.STRING] + ["STRING(5)"]
TYPES = SCALARS + [f"ARRAY[0..1] OF {name}" for name in SCALARS]
LARGEST_REAL = 3.4028234663852886e38


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A memory tag of every type, scalar and array."""
    tags = [make_tag(f"t{number}", spelling) for number, spelling in enumerate(TYPES)]
    return running(tmp_path, tags)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A cell with so large a tag that commands may be long; it takes half a second to make."""
    tags = [make_tag("t0", "BOOL"), make_tag("texts", "ARRAY[0..999] OF STRING(1000)")]
    return running(tmp_path_factory.mktemp("large"), tags)


@pytest.fixture
def spacious(large: Bench) -> Bench:
    """The same with no event yet; what is refused changes nothing else."""
    large.acknowledge()
    large.taken.clear()
    return large


def running(folder: Path, tags: list[Tag]) -> Bench:
    def scan(self: Any, ctx: ScanContext) -> None:
        pass

    bench = Bench(folder, tags, {"control": program(scan)})
    bench.run()
    return bench


def tag_of(spelling: str) -> str:
    return f"t{TYPES.index(spelling)}"


@pytest.mark.parametrize("kind", [WriteTag, ForceTag])
@pytest.mark.parametrize(
    ("spelling", "value"),
    [("REAL", 1e39), ("REAL", -1e300), ("REAL", 3.40282357e38), ("ARRAY[0..1] OF REAL", [0, 1e39])],
)
def test_a_number_beyond_the_largest_real_is_refused_and_not_half_obeyed(
    bench: Bench, kind: Any, spelling: str, value: Any
) -> None:
    tag = tag_of(spelling)
    before = bench.value(tag)
    reply = bench.send(kind(tag=tag, value=value, actor="anna"))
    assert reply.code == ReplyCode.TYPE_MISMATCH
    assert "REAL does not hold" in reply.text
    assert bench.value(tag) == before
    assert not bench.scan.process_image.forced
    assert len(bench.events(CommandRefused)) == 1
    assert not bench.events(TagWritten) + bench.events(ForceChanged)


@pytest.mark.parametrize("value", [LARGEST_REAL, -LARGEST_REAL, math.inf, -math.inf, 2**60])
def test_the_largest_real_and_infinity_are_values_of_a_real(bench: Bench, value: float) -> None:
    tag = tag_of("REAL")
    assert bench.send(WriteTag(tag=tag, value=value, actor="anna")).code == ReplyCode.OK
    assert bench.value(tag) == value


SCALAR = (
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=6).filter(lambda text: text.isprintable())
)


@given(
    st.sampled_from(range(len(TYPES))),
    SCALAR | st.lists(SCALAR, max_size=3),
    st.sampled_from([WriteTag, ForceTag]),
)
def test_whatever_value_is_written_or_forced_is_taken_or_refused(
    bench: Bench, number: int, value: Any, kind: Any
) -> None:
    reply = bench.send(kind(tag=f"t{number}", value=value, actor="anna"))
    assert reply.code in (ReplyCode.OK, ReplyCode.TYPE_MISMATCH)
    assert bench.scan.state is CellState.RUN
    bench.send(UnforceTag(actor="anna"))
    bench.acknowledge()


@pytest.mark.parametrize(
    "command",
    [
        WriteTag(tag="t0", value="\0" * 200_000, actor="anna"),
        WriteTag(tag="t" * 600_000, value=True, actor="anna"),
        WriteTag(tag="t0", value=2, actor="a" * 600_000),
        WriteTag(tag="t0", value=True, actor="anna", reason="r" * 600_000),
        ForceTag(tag="t0", value=True, actor="anna", reason="r" * 600_000),
        SetMode(request="pause", actor="anna", reason="r" * 600_000),
        SetMode(request="stop", actor="a" * 600_000),
        SetMode(request="x" * 600_000, actor="anna"),
        UnforceTag(actor="anna", reason="r" * 600_000),
        AcknowledgeAlarm(alarm="a" * 600_000, actor="anna"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_command_of_too_many_words_is_refused_in_few_and_changes_nothing(
    spacious: Bench, command: Any
) -> None:
    bench = spacious
    reply = bench.send(command)
    assert reply.code != ReplyCode.OK
    assert bench.scan.state is CellState.RUN
    assert bench.value("t0") is False
    assert not bench.scan.process_image.forced
    (event,) = bench.events(CommandRefused)
    assert not bench.events(ForceChanged)
    assert len(event.why.encode()) <= 1000
    assert len(event.actor.encode()) <= 200
