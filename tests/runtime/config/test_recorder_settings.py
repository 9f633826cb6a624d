"""The section `recorder` of a right configuration: what the plan carries of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from cellwright.io.plan import RecorderSettings
from cellwright.io.plan import plan as plans
from cellwright.io.recording.store import Policy
from cellwright.runtime.config import cross_reference
from cellwright.runtime.config.sections.sizes import LARGEST, SMALLEST, parse_size, show_size
from support.alarm_bench import compiled

SECTION = """
recorder:
  window: 2min
  after: 10s
  buffer: 64MiB
  keep: 2GB
  files: 40
  pause: 1min
  overruns: false
  triggers:
    tank_full: "level > 90 and
      not air_ok"
    blind: bad(level)
    clamped: sys.state == 2
"""


def test_a_section_becomes_settings_of_the_plan(tmp_path: Path) -> None:
    plan = compiled(tmp_path, SECTION)
    found = plan.recorder
    assert (found.window_ns, found.after_ns, found.pause_ns) == (120 * 10**9, 10**10, 60 * 10**9)
    assert (found.buffer_bytes, found.keep_bytes, found.files) == (64 << 20, 2 * 10**9, 40)
    assert (found.faults, found.overruns) == (True, False)
    full, blind, clamped = found.triggers
    assert (full.name, full.text) == ("tank_full", "level > 90 and not air_ok")
    assert [plan.tags[tag].name for tag in full.reads] == ["level", "air_ok"]
    assert blind.reads == ()
    assert [plan.tags[tag].name for tag in clamped.reads] == ["sys.state"]
    assert plans.load(plans.dump(plan)) == plan


def test_the_cross_reference_says_that_the_recorder_reads_a_trigger_s_tags(tmp_path: Path) -> None:
    rows = {row.tag: row for row in cross_reference(compiled(tmp_path, SECTION))}
    assert "recorder" in rows["level"].readers
    assert "recorder" not in rows["door_shut"].readers


def test_without_a_section_a_cell_is_recorded_as_ever(tmp_path: Path) -> None:
    assert compiled(tmp_path, "").recorder == RecorderSettings()
    assert Policy.of(RecorderSettings()) == Policy()
    assert compiled(tmp_path, "recorder: {}").recorder == RecorderSettings()


def test_room_for_recordings_that_is_less_than_the_usual_buffer_makes_it_smaller(
    tmp_path: Path,
) -> None:
    found = compiled(tmp_path, "recorder: {keep: 100MiB}").recorder
    assert (found.keep_bytes, found.buffer_bytes) == (100 << 20, 100 << 20)


def test_a_section_moves_no_tag(tmp_path: Path) -> None:
    assert compiled(tmp_path, SECTION).layout_hash == compiled(tmp_path, "").layout_hash


def test_a_plan_from_before_the_section_has_the_usual_settings(tmp_path: Path) -> None:
    old = msgspec.msgpack.decode(plans.dump(compiled(tmp_path, SECTION)))
    del old["recorder"]
    assert plans.load(msgspec.msgpack.encode(old)).recorder == RecorderSettings()


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 512 << 20), ("2 GB", 2 * 10**9), ("1.5GiB", 3 << 29), ("2000kB", 2_000_000)],
)
def test_sizes_have_a_number_and_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.integers(SMALLEST // 1024, LARGEST // 1024).map(lambda number: 1024 * number))
def test_a_size_that_is_shown_is_read_as_the_same(size: int) -> None:
    assert parse_size(show_size(size)) == size


@pytest.mark.parametrize(
    "value", [512, 0.5, 1e300, True, None, [], "", "512", "MiB", "-1MiB", "1 mb", "1kB", "2000GiB"]
)
def test_anything_else_is_refused_with_a_remedy(value: object) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        parse_size(value)
    assert refused.value.context is not None
    assert refused.value.context["remedy"]
