"""The bench cell compiles to the plan that it describes."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from cellwright.io.plan import SYSTEM_TAGS, Code, Direction, OnLoss, SafeAction, TagType, WireOrder
from cellwright.io.plan import plan as plans
from cellwright.runtime.config import ConfigError, check_file, compile_file, cross_reference
from support.config_corpus import copy_bench

MS = 1_000_000


@pytest.fixture
def cell(tmp_path):
    return copy_bench(tmp_path)


@pytest.fixture
def plan(cell):
    return compile_file(cell)


def edited(cell, old, new):
    """Compile the bench cell with a piece of its text replaced."""
    text = cell.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    cell.write_text(text.replace(old, new), encoding="utf-8")
    return check_file(cell)


def test_the_plan_survives_msgpack(plan):
    assert plans.load(plans.dump(plan)) == plan


def test_the_same_file_gives_the_same_plan(cell):
    assert compile_file(cell) == compile_file(cell)


def test_tags_come_declared_then_automatic_then_system(plan):
    names = [tag.name for tag in plan.tags]
    assert names[0] == "part_present"
    assert names[19:25] == [
        "press.strokes",
        "press.text",
        "press.profile",
        "station.start",
        "station.done",
        "station.count",
    ]
    assert names[25:] == [tag.name for tag in SYSTEM_TAGS]
    assert [tag.index for tag in plan.tags] == list(range(len(names)))


def test_no_two_values_share_a_byte_and_all_are_aligned(plan):
    taken: set[int] = set()
    for tag in plan.tags:
        place = set(range(tag.offset, tag.offset + tag.type.size))
        assert not place & taken
        assert tag.offset % tag.type.alignment == 0
        taken |= place
    assert max(taken) < plan.value_size


def test_scan_settings_and_paths_are_resolved(plan, cell):
    folder = cell.parent
    assert plan.scan == plans.ScanSettings(
        base_ns=10 * MS, watchdog_ns=20 * MS, watchdog_sensitivity=2, priority=80, core=1
    )
    assert plan.source == str(cell)
    assert plan.folder == str(folder)
    assert plan.data == str(folder / "data")
    assert plan.opcua is not None
    assert plan.opcua.users_file == str(folder / "users.yaml")
    assert plan.master_data == str(folder / "parts.yaml")
    assert plan.database == f"sqlite:///{folder / 'data' / 'bench.db'}"


def test_the_data_folder_can_be_replaced_and_the_database_moves_with_it(cell, tmp_path):
    plan = compile_file(cell, data=tmp_path / "elsewhere")
    assert plan.data == str(tmp_path / "elsewhere")
    assert plan.database == f"sqlite:///{tmp_path / 'elsewhere' / 'bench.db'}"


@pytest.mark.parametrize(
    "url",
    ["sqlite:////var/lib/cell.db", "postgresql+psycopg://user:word@host:5432/mes"],
)
def test_other_database_urls_stay_as_they_are(cell, url):
    report = edited(cell, "sqlite:///bench.db", url)
    assert report.plan is not None
    assert report.plan.database == url


def test_a_relative_path_of_the_file_gives_the_same_plan(cell):
    before = Path.cwd()
    os.chdir(cell.parent)
    try:
        assert compile_file(Path("cell.yaml")) == compile_file(cell)
    finally:
        os.chdir(before)


def test_inputs_are_read_across_small_gaps_and_not_across_large_ones(plan):
    device = plan.device("io")
    inputs = [(g.area, g.start, g.count, g.size) for g in device.groups if not g.output]
    assert inputs == [
        ("discrete_inputs", 0, 41, 6),
        ("discrete_inputs", 200, 1, 1),
        ("input_registers", 4, 6, 12),
        ("holding_registers", 100, 2, 4),
    ]


def test_outputs_are_never_written_across_a_gap(plan):
    device = plan.device("io")
    outputs = [(g.area, g.start, g.count, g.size) for g in device.groups if g.output]
    assert outputs == [
        ("coils", 0, 2, 1),
        ("coils", 3, 1, 1),
        ("holding_registers", 0, 4, 8),
        ("holding_registers", 20, 3, 6),
    ]


def test_group_payloads_lie_apart_within_the_areas_of_the_device(plan):
    device = plan.device("io")
    assert [group.index for group in device.groups] == list(range(len(device.groups)))
    for output, size in ((False, device.input_size), (True, device.output_size)):
        end = 0
        for group in device.groups:
            if group.output is output:
                assert group.offset >= end
                end = group.offset + group.size
        assert end <= size
    assert len(device.safe_outputs) == len(device.hold_mask) == device.output_size


@pytest.mark.behaviour(4)
def test_the_safe_payload_says_value_off_or_hold_for_every_output(plan):
    device = plan.device("io")
    coils, horn, words, label = (group.offset for group in device.groups if group.output)
    safe, hold = device.safe_outputs, device.hold_mask
    assert safe[coils] == 0b10  # clamp_close false, lamp true
    assert safe[horn] == 0  # off
    assert hold[words : words + 4] == b"\xff\xff\xff\xff"  # speed holds
    assert safe[words + 4 : words + 6] == (500).to_bytes(2, "big")  # torque 50 % of 0..1000
    assert safe[words + 6 : words + 8] == b"\x02\x00"  # bit 9 of word 3
    assert hold[words + 6 : words + 8] == b"\x00\x01"  # bit 0 of word 3
    assert safe[label : label + 6] == b"OFF\0\0\0"
    assert plan.tag("horn").safe_action is SafeAction.OFF
    assert plan.tag("lamp").safe is True
    assert plan.tag("speed").safe_action is SafeAction.HOLD


def test_a_safe_real_is_written_in_the_order_of_its_device(cell):
    report = edited(cell, "safe: hold, range: [0, 100]", "safe: 1.5, range: [0, 100]")
    assert report.plan is not None
    device = report.plan.device("io")
    offset = next(g.offset for g in device.groups if g.output and g.area == "holding_registers")
    assert device.safe_outputs[offset : offset + 4] == bytes.fromhex("00003fc0")  # CDAB of 3fc00000


def test_addresses_know_wire_type_bit_and_order(plan):
    position = plan.tag("position").address
    assert position == plans.Address(
        "io", "holding_registers", 100, TagType(Code.DINT), None, WireOrder.CDAB
    )
    door = plan.tag("door_open").address
    assert door is not None
    assert (door.index, door.bit, door.wire) == (7, 15, TagType(Code.BOOL))
    pressure = plan.tag("air_pressure")
    assert pressure.address is not None
    assert pressure.address.wire == TagType(Code.UINT)
    assert pressure.scale is not None
    assert pressure.scale.gain * 65535 + pressure.scale.offset == pytest.approx(10)


def test_a_tag_of_another_width_than_its_word_is_scaled_by_one(plan):
    scale = plan.tag("temperature").scale
    assert scale == plans.Scale(gain=1.0, offset=0.0, raw_low=-32768, raw_high=32767)
    assert plan.tag("position").scale is None


def test_anchors_and_merge_keys_bring_their_values(plan):
    first, second = plan.tag("temperature"), plan.tag("temperature_2")
    assert second.address is not None
    assert second.address.index == 9
    assert (second.unit, second.initial) == (first.unit, first.initial) == ("degC", 20.0)
    assert plan.tag("anchored").description == "Anchors may stand anywhere"


@pytest.mark.behaviour(11)
def test_loss_of_the_device_follows_tag_then_substitute_then_device(plan):
    assert plan.tag("far_away").on_loss is OnLoss.FAULT
    assert plan.tag("part_present").on_loss is OnLoss.SUBSTITUTE
    pressure = plan.tag("air_pressure")
    assert (pressure.on_loss, pressure.substitute) == (OnLoss.SUBSTITUTE, 0.0)
    assert plan.tag("temperature").substitute == 20.0  # its initial value stands in
    assert plan.tag("recipe").on_loss is OnLoss.HOLD


def test_a_variable_takes_the_tag_of_its_name_or_an_automatic_one(plan):
    press = plan.tasks[0]
    names = {variable: plan.tags[index].name for variable, index in press.binding.items()}
    assert names == {
        "part_present": "part_present",
        "air_pressure": "air_pressure",
        "station_done": "station.done",
        "clamp_close": "clamp_close",
        "station_start": "station.start",
        "speed": "speed",
        "strokes": "press.strokes",
        "text": "press.text",
        "profile": "press.profile",
    }


def test_an_automatic_tag_takes_everything_from_its_variable(plan):
    strokes = plan.tag("press.strokes")
    assert (strokes.direction, strokes.retain) == (Direction.MEMORY, True)
    assert strokes.description == "Strokes in the life of the press"
    assert plan.tag("press.text").initial == "idle"
    assert plan.tag("press.profile").initial == [1, 2, 3, 4]
    assert plan.tag("station.start").retain is False


def test_the_initial_value_of_a_tag_comes_from_the_variable_that_writes_it(plan):
    assert plan.tag("speed").initial == 2.5
    assert plan.tag("recipe").initial == 1


def test_two_tasks_shake_hands_through_an_automatic_tag(plan):
    start, done = plan.tag("station.start"), plan.tag("station.done")
    assert (start.writer, start.readers) == ("press", ("station",))
    assert (done.writer, done.readers) == ("station", ("press",))


def test_tasks_have_times_options_and_worker(plan):
    press, station = plan.tasks
    assert (press.interval_ns, press.phase_ns, press.watchdog_ns) == (10 * MS, 0, 5 * MS)
    assert (press.priority, press.watchdog_sensitivity) == (1, 1)
    assert press.options == {"force_kn": 7.0, "gauge": "gauge"}
    assert (station.interval_ns, station.phase_ns, station.priority) == (20 * MS, 10 * MS, 10)
    assert (station.watchdog_ns, station.watchdog_sensitivity) == (4 * MS, 3)
    assert (press.worker, station.worker) == (None, "bench_programs:StationWorker")


def test_a_task_without_watchdog_has_the_base_interval(cell):
    report = edited(cell, "    watchdog: 5ms\n", "")
    assert report.plan is not None
    assert report.plan.tasks[0].watchdog_ns == report.plan.scan.base_ns


def test_a_scan_without_watchdog_has_twice_the_base_interval(cell):
    report = edited(cell, "  watchdog: {time: 20ms, sensitivity: 2}\n", "")
    assert report.plan is not None
    assert report.plan.scan.watchdog_ns == 20 * MS
    assert report.plan.scan.watchdog_sensitivity == 2


def test_a_declared_tag_may_take_the_place_of_an_automatic_one(cell):
    report = edited(
        cell,
        "  recipe:",
        "  station.count: {type: UDINT, memory: true, retain: true, description: Mine}\n  recipe:",
    )
    assert report.plan is not None
    assert report.plan.tag("station.count").description == "Mine"
    assert report.plan.tag("station.count").writer == "station"


def test_a_name_that_fits_only_by_spelling_is_a_warning_and_does_not_bind(cell):
    report = edited(cell, "  recipe:", "  text: {type: INT, memory: true}\n  recipe:")
    assert report.plan is not None
    (warning,) = report.problems
    assert warning.severity == "warning"
    assert "warning: the variable 'text' of task 'press' is not the tag 'text'" in str(warning)
    assert report.plan.tags[report.plan.tasks[0].binding["text"]].name == "press.text"


def test_binding_to_a_variable_that_is_bound_elsewhere_names_where(cell):
    report = edited(
        cell,
        'station: {program: "bench_programs:Station",',
        'station: {program: "bench_programs:Station", bind: {done: lamp_2},',
    )
    assert any("no automatic tag 'station.done'" in p.what for p in report.problems)
    assert any(p.remedy == "write 'lamp_2'" for p in report.problems)


def test_an_output_that_nobody_writes_is_a_warning(cell):
    report = edited(cell, "safe: true, write: [Operator]", "safe: true")
    assert report.plan is not None
    (warning,) = report.problems
    assert (warning.severity, warning.what) == ("warning", "nobody writes the output 'lamp'")


def test_watchdogs_beyond_the_base_interval_are_a_warning_when_tasks_fall_due_together(cell):
    report = edited(cell, "phase: 10ms, watchdog: {time: 4ms,", "watchdog: {time: 6ms,")
    assert report.plan is not None
    (warning,) = report.problems
    assert warning.what == "tasks that fall due together may take 11ms"


def test_a_phase_keeps_tasks_apart_and_no_warning_is_given(cell):
    report = edited(cell, "    interval: 10ms\n", "    interval: 20ms\n")
    assert report.plan is not None
    assert report.problems == []


def test_a_program_that_refuses_its_option_is_told_at_the_option(cell):
    report = edited(cell, "gauge: gauge}", "gauge: peen}")
    (problem,) = report.problems
    assert problem.what == "'peen' is no field device"
    line = cell.read_text(encoding="utf-8").splitlines()[problem.line - 1]
    assert line[problem.column - 1 :].startswith("peen}")


def test_a_broken_device_brings_no_follow_up_complaints(cell):
    report = edited(cell, "gauge: {driver: modbus-tcp, host", "gauge: {driver: modbus-tpc, host")
    (problem,) = report.problems
    assert "modbus-tpc" in problem.what


def test_the_layout_hash_changes_with_places_and_not_with_words(cell):
    before = compile_file(cell)
    words = edited(cell, "Ein Teil – da", "A part is there").plan
    assert words is not None
    assert words.layout_hash == before.layout_hash
    moved = edited(cell, "io.input_registers[4]", "io.input_registers[5]").plan
    assert moved is not None
    assert moved.layout_hash != before.layout_hash


@pytest.mark.behaviour(13)
def test_the_cross_reference_lists_who_writes_and_who_reads(plan):
    lines = {line.tag: line for line in cross_reference(plan)}
    assert len(lines) == len(plan.tags)
    assert lines["part_present"] == (
        "part_present",
        "io.discrete_inputs[0]",
        "device io",
        ("press",),
    )
    assert lines["clamp_close"][1:] == ("io.coils[0]", "press", ("device io",))
    assert lines["valves_open"].address == "io.holding_registers[3].9"
    assert lines["recipe"].writer == "command by Operator, Supervisor"
    assert lines["sys.cycle"].writer == "runtime"


def test_a_file_that_is_not_there_is_a_complaint(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml:1:1: the file cannot be read"):
        compile_file(tmp_path / "none.yaml")


def test_the_plan_holds_plain_data_only(plan):
    def plain(value):
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        return value is None or isinstance(value, bool | int | float | str | bytes)

    assert plain(msgspec.to_builtins(plan, builtin_types=(bytes,)))


def test_the_blade_marking_cell_is_correct():
    example = Path(__file__).resolve().parents[3] / "examples" / "blade_marking" / "cell.yaml"
    report = check_file(example)
    assert report.problems == []
    assert report.plan is not None
    assert [task.name for task in report.plan.tasks] == ["sequence", "mark", "inspect"]
    assert plans.load(plans.dump(report.plan)) == report.plan
