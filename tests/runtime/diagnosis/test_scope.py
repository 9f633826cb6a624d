"""Traces, their plot of braille characters and their page."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.runtime.diagnosis.scope import (
    MOST_POINTS,
    ScopeError,
    Trace,
    braille,
    channels,
    from_recording,
    page,
    plot,
    thinned,
)
from support.recorded_cell import RecordedCell


def trace(values: list[float], *, digital: bool = False, name: str = "t") -> Trace:
    made = Trace(name, "bar", digital)
    for number, value in enumerate(values):
        made.add(number / 10, value)
    return made


def test_a_ramp_rises_from_the_bottom_left_to_the_top_right() -> None:
    rows = braille(trace([float(n) for n in range(40)]), 3.9, 20, 4)
    assert [len(row) for row in rows] == [20] * 4
    lit = [[place for place, cell in enumerate(row) if cell != "\u2800"] for row in rows]
    assert min(lit[3]) == 0
    assert max(lit[0]) == 19
    assert max(lit[3]) < min(lit[1])


def test_a_jump_is_a_vertical_line() -> None:
    rows = braille(trace([0.0] * 10 + [1.0] * 10), 1.9, 10, 3)
    column = [row[5] for row in rows]
    assert "\u2800" not in column


def test_a_channel_without_a_change_or_a_number_is_shown_without_trouble() -> None:
    assert any(cell != "\u2800" for cell in "".join(braille(trace([5.0, 5.0]), 1.0, 5, 2)))
    blank = braille(trace([math.nan, math.inf]), 1.0, 5, 2)
    assert set("".join(blank)) == {"\u2800"}
    plot([trace([]), trace([1.0])], 30)


@given(
    st.lists(st.floats(width=32), max_size=60),
    st.integers(1, 40),
    st.integers(1, 6),
    st.booleans(),
)
def test_any_values_fill_the_field_and_nothing_beyond(
    values: list[float], width: int, height: int, digital: bool
) -> None:
    shown = [float(value > 0) for value in values] if digital else values
    rows = braille(trace(shown, digital=digital), len(values) / 10, width, height)
    assert [len(row) for row in rows] == [width] * height
    json.loads(re.findall(r'id="data">(.*?)</script>', page([trace(shown)], "x"))[0])


def test_thinning_keeps_every_extreme() -> None:
    values = [math.sin(n / 50) for n in range(50_000)]
    values[31_234], values[41_235] = 9.0, -9.0
    points = thinned(trace(values))
    assert len(points) <= MOST_POINTS
    assert {9.0, -9.0} <= {value for _, value in points}
    assert [at for at, _ in points] == sorted(at for at, _ in points)


def test_names_are_text_on_the_page() -> None:
    text = page([trace([1.0, 2.0], name="<b>&")], "</title><script>")
    assert "<b>" not in text
    assert "</title><script>" not in text
    assert "&lt;b&gt;&amp;" in text


def test_equal_values_are_kept_once_with_their_end() -> None:
    made = trace([1.0] * 100 + [2.0])
    assert (made.times, made.values) == ([0.0, 9.9, 10.0], [1.0, 1.0, 2.0])


def test_a_recording_gives_the_values_of_every_cycle(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    cell.run()
    seen = []
    for number in range(100):
        cell.payload = bytes([8 * (number // 25 % 2), 0])
        cell.cycle()
        seen.append((bool(cell.value("part")), float(cell.value("position"))))
    path = cell.kept()
    part, position = from_recording(path, ["part", "position"])
    assert part.digital
    assert position.values[-100:] == [value for _, value in seen]
    changes = [n for n in range(1, len(part.values)) if part.values[n] != part.values[n - 1]]
    assert len(changes) == 3
    (late,) = from_recording(path, ["position"], last_s=0.2)
    assert 19 <= len(late.values) <= 23
    assert late.values[-1] == seen[-1][1]


def test_what_is_not_one_number_or_unknown_is_refused(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    with pytest.raises(ScopeError, match=r"'message' is STRING\(20\)"):
        channels(cell.plan, ["message"])
    with pytest.raises(ScopeError, match="did you mean speed"):
        channels(cell.plan, ["sped"])
    cell.close()
