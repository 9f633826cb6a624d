"""The scan's working image: loss, forces, safe outputs, stamps, access, retained values."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import DevicePort, Image, ValueViews, reader, writer
from cellwright.io.plan import Address, Code, Direction, OnLoss, Plan, Scale, TagType, quality
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.process_image.wire import WireError
from support.plans import make_device, make_group, make_plan, make_tag

BOOT = "0123abcd"
MS = 1_000_000
INT = TagType.parse("INT")


def word(index: int) -> Address:
    return Address("io", "words", index, INT)


def coupler(poll_ns: int = 10 * MS) -> Plan:
    """Three inputs of different loss policies, a memory tag, three outputs."""
    inputs = make_group(0, "words", 0, 8, bits=False, output=False)
    outputs = make_group(1, "words", 100, 4, bits=False, output=True)
    device = make_device(
        "io",
        [inputs, outputs],
        poll_ns=poll_ns,
        safe_outputs=bytes.fromhex("1111 2222 3333 0000"),
        hold_mask=bytes.fromhex("0000 ffff 0000 00f0"),
    )
    source = {"direction": Direction.INPUT}
    return make_plan(
        [
            make_tag("held", "INT", **source, address=word(0), initial=3),
            make_tag(
                "replaced",
                "INT",
                **source,
                address=word(1),
                on_loss=OnLoss.SUBSTITUTE,
                substitute=-7,
            ),
            make_tag("vital", "INT", **source, address=word(2), on_loss=OnLoss.FAULT),
            make_tag("counter", "UDINT", retain=True, initial=5),
            make_tag("note", "STRING(10)", initial="idle"),
            make_tag("valve", "INT", Direction.OUTPUT, address=word(100)),
            make_tag("axis", "INT", Direction.OUTPUT, address=word(101)),
            make_tag(
                "speed",
                "LREAL",
                Direction.OUTPUT,
                address=word(102),
                scale=Scale(0.1, 0.0, 0.0, 1000.0),
                range=(0.0, 90.0),
            ),
        ],
        [device],
        system=False,
    )


class Rig:
    """A scan's image and its one driver, with a clock in hand."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self.plan = path, plan
        self.image = Image.create(path, plan, BOOT)
        self.process = ProcessImage(self.image, plan)
        self.driver: DevicePort = Image.attach(path, plan).device(0)
        self.now_ns = 1_000 * MS

    def index(self, name: str) -> int:
        return self.plan.tag(name).index

    def give(self, *words: int, states: tuple[int, int] = (quality.GOOD, quality.GOOD)) -> None:
        payload = struct.pack(">8h", *words, *[0] * (8 - len(words)))
        utc = self.now_ns + 5
        self.driver.publish_inputs(payload, [(state, utc) for state in states], self.now_ns)

    def latch(self, later_ms: int = 0) -> Any:
        self.now_ns += later_ms * MS
        return self.process.latch(self.now_ns, self.now_ns + 9)

    def shows(self, name: str) -> tuple[Any, str]:
        index = self.index(name)
        return self.process.get(index), quality.name(self.process.quality(index))

    def sent(self) -> tuple[str, bool]:
        into = bytearray(8)
        header = self.driver.read_outputs(into)
        return into.hex(), header.enabled


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "image", coupler())


# --- latch and loss -------------------------------------------------------------------------------


@pytest.mark.behaviour(10)
def test_before_the_first_read_inputs_are_bad_and_never_good_zeros(rig: Rig) -> None:
    rig.latch()
    assert rig.shows("held") == (3, "BAD_WAITING_FOR_INITIAL_DATA")
    rig.latch(150)
    assert rig.shows("held") == (3, "BAD_WAITING_FOR_INITIAL_DATA")
    rig.latch(60)
    assert rig.shows("held") == (3, "BAD_NO_COMMUNICATION")
    assert rig.shows("replaced") == (-7, "UNCERTAIN_SUBSTITUTE")
    assert rig.shows("vital") == (0, "BAD_NO_COMMUNICATION")


@pytest.mark.behaviour(10)
def test_a_read_gives_values_quality_and_the_time_of_the_read(rig: Rig) -> None:
    rig.give(1, 2, -3)
    result = rig.latch()
    assert (result.lost_fault, result.tripped, result.fresh) == (-1, -1, 1)
    assert rig.shows("vital") == (-3, "GOOD")
    assert rig.process.timestamp_ns(rig.index("vital")) == rig.now_ns + 5
    assert rig.latch().fresh == 0


@pytest.mark.behaviour(11)
def test_each_tag_meets_a_failed_read_by_its_own_policy(rig: Rig) -> None:
    rig.give(1, 2, 3)
    rig.latch()
    rig.give(0, 0, 0, states=(quality.BAD_NO_COMMUNICATION, quality.GOOD))
    result = rig.latch(10)
    assert rig.shows("held") == (1, "UNCERTAIN_LAST_USABLE")
    assert rig.shows("replaced") == (-7, "UNCERTAIN_SUBSTITUTE")
    assert rig.shows("vital") == (3, "BAD_NO_COMMUNICATION")
    assert result.lost_fault == 0
    rig.now_ns += 10 * MS
    rig.give(4, 5, 6)
    assert rig.latch().lost_fault == -1
    assert [rig.shows(name)[0] for name in ("held", "replaced", "vital")] == [4, 5, 6]
    assert rig.shows("vital")[1] == "GOOD"


@pytest.mark.parametrize(("poll_ms", "silence_ms"), [(10, 200), (50, 500)])
def test_a_silent_driver_counts_as_lost_and_comes_back_with_its_next_beat(
    tmp_path: Path, poll_ms: int, silence_ms: int
) -> None:
    rig = Rig(tmp_path / "image", coupler(poll_ms * MS))
    rig.give(1, 2, 3)
    assert rig.latch(silence_ms).lost_fault == -1
    assert rig.latch(1).lost_fault == 0
    assert rig.shows("held") == (1, "UNCERTAIN_LAST_USABLE")
    lost_at = rig.process.timestamp_ns(rig.index("held"))
    assert lost_at == rig.now_ns + 9
    rig.latch(100)
    assert rig.process.timestamp_ns(rig.index("held")) == lost_at
    rig.driver.beat(rig.now_ns)
    assert rig.latch().lost_fault == -1
    assert rig.shows("vital") == (3, "GOOD")


def test_a_device_out_of_service_is_no_fault(rig: Rig) -> None:
    rig.give(0, 0, 0, states=(quality.BAD_OUT_OF_SERVICE, quality.BAD_OUT_OF_SERVICE))
    assert rig.latch().lost_fault == -1
    assert rig.shows("vital")[1] == "BAD_OUT_OF_SERVICE"
    assert rig.shows("replaced") == (0, "BAD_OUT_OF_SERVICE")


def test_a_vital_tag_that_was_never_read_stands_for_a_fault(rig: Rig) -> None:
    assert rig.latch().lost_fault == 0


def test_a_trip_of_the_driver_is_seen_at_once(rig: Rig) -> None:
    rig.give(1)
    rig.driver.trip = 1
    assert rig.latch().tripped == 0
    rig.driver.trip = 0
    assert rig.latch().tripped == -1


def test_an_uncertain_read_passes_its_quality_on(rig: Rig) -> None:
    rig.give(1, 2, 3, states=(quality.UNCERTAIN_LAST_USABLE, quality.GOOD))
    assert rig.latch().lost_fault == -1
    assert rig.shows("vital") == (3, "UNCERTAIN_LAST_USABLE")


# --- outputs --------------------------------------------------------------------------------------


def test_enabled_outputs_go_out_and_disabled_ones_fall_to_safe_values(rig: Rig) -> None:
    for name, value in (("valve", 1), ("axis", 2), ("speed", 4.0)):
        rig.process.set(rig.index(name), value)
    rig.process.commit(1, enabled=True)
    assert rig.sent() == ("0001000200280000", True)
    rig.process.commit(2, enabled=False)
    assert rig.sent() == ("1111000233330000", False)
    rig.process.commit(3, enabled=True)
    assert rig.sent() == ("0001000200280000", True)


def test_a_new_scan_holds_what_its_predecessor_committed(rig: Rig) -> None:
    rig.process.set(rig.index("axis"), 0x0ABC)
    rig.process.commit(1, enabled=True)
    successor = ProcessImage(Image.attach(rig.path, rig.plan), rig.plan)
    successor.commit(1, enabled=False)
    assert rig.sent() == ("11110abc33330000", False)


def test_a_value_beyond_its_range_is_sent_as_the_limit_and_says_so(rig: Rig) -> None:
    speed = rig.index("speed")
    rig.process.set(speed, 95.0)
    assert rig.process.commit(1, enabled=True).clamped == speed
    assert rig.sent()[0][8:12] == "0384"
    assert rig.shows("speed") == (95.0, "UNCERTAIN_UNITS_EXCEEDED")
    rig.process.set(speed, 1.25)
    assert rig.process.commit(2, enabled=True).clamped == -1
    assert rig.sent()[0][8:12] == "000d"
    assert rig.shows("speed") == (1.25, "GOOD")


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_not_sent(rig: Rig, nonsense: float) -> None:
    speed = rig.index("speed")
    rig.process.set(speed, 5.0)
    rig.process.commit(1, enabled=True)
    rig.process.set(speed, nonsense)
    assert rig.process.commit(2, enabled=True).refused == speed
    assert rig.sent()[0][8:12] == "0032"
    assert rig.shows("speed")[1] == "BAD_DEVICE_FAILURE"
    rig.process.set(speed, 6.0)
    assert rig.process.commit(3, enabled=True).refused == -1
    assert rig.shows("speed") == (6.0, "GOOD")


# --- forces ---------------------------------------------------------------------------------------


def test_a_forced_input_stands_until_it_is_released(rig: Rig) -> None:
    held = rig.index("held")
    rig.give(1)
    rig.latch()
    rig.process.force(held, 99)
    rig.process.overlay()
    assert rig.shows("held") == (99, "GOOD_LOCAL_OVERRIDE")
    rig.give(2)
    rig.latch()
    rig.process.overlay()
    assert rig.shows("held") == (99, "GOOD_LOCAL_OVERRIDE")
    assert dict(rig.process.forced) == {held: 99}
    rig.process.unforce(held)
    rig.latch()
    assert rig.shows("held") == (2, "GOOD")
    assert not rig.process.forced


def test_a_force_is_stronger_than_the_program_and_reaches_the_device(rig: Rig) -> None:
    valve = rig.index("valve")
    rig.process.force(valve, 0x55)
    rig.process.overlay()
    rig.process.set(valve, 1)
    rig.process.commit(1, enabled=True)
    assert rig.sent()[0][:4] == "0055"
    assert rig.shows("valve") == (0x55, "GOOD_LOCAL_OVERRIDE")
    rig.process.unforce(None)
    rig.process.set(valve, 1)
    rig.process.commit(2, enabled=True)
    assert rig.sent()[0][:4] == "0001"
    assert rig.shows("valve") == (1, "GOOD")


def test_a_forced_output_still_falls_to_its_safe_value(rig: Rig) -> None:
    rig.process.force(rig.index("valve"), 0x55)
    rig.process.commit(1, enabled=False)
    assert rig.sent()[0][:4] == "1111"


def test_a_lost_device_does_not_change_a_forced_value(rig: Rig) -> None:
    rig.give(1)
    rig.latch()
    rig.process.force(rig.index("replaced"), 50)
    rig.latch(500)
    rig.process.overlay()
    assert rig.shows("replaced") == (50, "GOOD_LOCAL_OVERRIDE")
    rig.process.unforce(rig.index("replaced"))
    rig.latch()
    assert rig.shows("replaced") == (-7, "UNCERTAIN_SUBSTITUTE")


def test_a_force_that_does_not_fit_is_refused_and_changes_nothing(rig: Rig) -> None:
    with pytest.raises(ValueError, match="tag held: INT holds -32768 to 32767"):
        rig.process.force(rig.index("held"), 40_000)
    assert not rig.process.forced
    rig.process.unforce(rig.index("held"))


def test_forces_survive_a_restart_of_the_scan_only_when_asked(rig: Rig) -> None:
    note = rig.index("note")
    rig.process.force(note, "forced")
    kept = ProcessImage(Image.attach(rig.path, rig.plan), rig.plan, keep_forces=True)
    kept.overlay()
    assert kept.get(note) == "forced"
    fresh = ProcessImage(Image.attach(rig.path, rig.plan), rig.plan)
    fresh.overlay()
    assert fresh.get(note) == "idle"
    again = ProcessImage(Image.attach(rig.path, rig.plan), rig.plan, keep_forces=True)
    assert not again.forced


# --- publishing -----------------------------------------------------------------------------------


def test_readers_get_one_cycle_and_what_changed_in_it(rig: Rig) -> None:
    reading = rig.image.snapshot_reader()
    assert not reading.read()
    assert list(reading.changed()) == []
    rig.give(1, 2, 3)
    rig.latch()
    rig.process.publish(1, 10, 100)
    assert reading.read()
    assert (reading.cycle, reading.mono_ns, reading.utc_ns) == (1, 10, 100)
    assert list(reading.changed()) == list(range(8))
    assert not reading.read()
    counter, note = rig.index("counter"), rig.index("note")
    rig.process.set(counter, 6)
    rig.process.set(note, "busy")
    assert rig.process.publish(2, 20, 200) == 2
    assert rig.process.publish(3, 30, 300) == 0
    assert reading.read()
    assert reading.cycle == 3
    assert list(reading.changed()) == [counter, note]
    assert (reading.value(counter), reading.value(note)) == (6, "busy")
    assert reading.timestamp_ns(counter) == 200
    assert reading.timestamp_ns(rig.index("held")) == rig.now_ns + 5


def test_a_change_of_quality_alone_is_a_change(rig: Rig) -> None:
    reading = rig.image.snapshot_reader()
    rig.give(1, 2, 3)
    rig.latch()
    rig.process.publish(1, 1, 1)
    reading.read()
    rig.give(1, -7, 3, states=(quality.BAD_DEVICE_FAILURE, quality.GOOD))
    rig.latch()
    rig.process.publish(2, 2, 2)
    assert reading.read()
    assert list(reading.changed()) == [0, 1, 2]
    assert reading.quality(2) == quality.BAD_DEVICE_FAILURE


def test_memory_is_uncertain_until_it_is_written_and_keeps_its_time_while_equal(rig: Rig) -> None:
    assert rig.shows("note") == ("idle", "UNCERTAIN_INITIAL")
    rig.process.publish(1, 1, 100)
    rig.process.set(rig.index("note"), "idle")
    rig.process.publish(2, 2, 200)
    assert rig.shows("note") == ("idle", "GOOD")
    assert rig.process.timestamp_ns(rig.index("note")) == 200
    rig.process.set(rig.index("note"), "idle")
    rig.process.publish(3, 3, 300)
    assert rig.process.timestamp_ns(rig.index("note")) == 200


# --- access ---------------------------------------------------------------------------------------


ALL_TYPES = [TagType(code, 12 if code is Code.STRING else 0) for code in Code]


@given(st.data())
def test_set_takes_what_the_type_takes_and_refuses_the_rest(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(ALL_TYPES))
    if data.draw(st.booleans()):
        kind = TagType(kind.code, kind.length, 3, is_array=True)
    item = st.one_of(
        st.booleans(),
        st.integers(-(2**65), 2**65),
        st.integers(-300, 300),
        st.floats(),
        st.text(max_size=14),
        st.none(),
        st.binary(max_size=2),
    )
    value = data.draw(st.one_of(item, st.lists(item, min_size=2, max_size=4)))
    plan = make_plan([make_tag("guard", "LREAL"), make_tag("x", str(kind))], system=False)
    views = ValueViews(memoryview(bytearray(plan.value_size)))
    tag = plan.tags[1]
    put, get = writer(views, tag), reader(views, tag)
    try:
        expected: Any = kind.check(value)
        if kind.code is Code.REAL:
            many = expected if isinstance(expected, list) else [expected]
            rounded = [struct.unpack("<f", struct.pack("<f", one))[0] for one in many]
            expected = rounded if kind.is_array else rounded[0]
    except (ValueError, OverflowError):
        before = bytes(views.bytes)
        with pytest.raises(ValueError, match="tag x: "):
            put(value)
        if not kind.is_array:
            assert bytes(views.bytes) == before
        return
    put(value)
    assert repr(get()) == repr(expected)


def test_equal_strings_are_equal_bytes_whatever_was_there_before(rig: Rig) -> None:
    note = rig.index("note")
    rig.process.publish(1, 1, 1)
    rig.process.set(note, "0123456789")
    rig.process.set(note, "idle")
    rig.process.publish(2, 2, 2)
    rig.process.set(note, "abc")
    rig.process.set(note, "idle")
    assert rig.process.publish(3, 3, 3) == 0


def test_a_real_is_rounded_to_32_bits(tmp_path: Path) -> None:
    plan = make_plan([make_tag("x", "REAL")])
    process = ProcessImage(Image.create(tmp_path / "image", plan, BOOT), plan)
    process.set(0, 0.1)
    assert process.get(0) == struct.unpack("f", struct.pack("f", 0.1))[0]
    process.set(0, 7)
    assert repr(process.get(0)) == "7.0"
    with pytest.raises(ValueError, match="tag x: REAL does not hold 1e"):
        process.set(0, 1e300)
    assert process.get(0) == 7.0


# --- starts ---------------------------------------------------------------------------------------


def test_a_warm_start_keeps_retained_values_and_inputs_only(rig: Rig) -> None:
    rig.give(1, 2, 3)
    rig.latch()
    for name, value in (("counter", 77), ("note", "run"), ("valve", 9)):
        rig.process.set(rig.index(name), value)
    rig.process.initialise(retained=False)
    assert rig.shows("counter") == (77, "GOOD")
    assert rig.shows("note") == ("idle", "UNCERTAIN_INITIAL")
    assert rig.shows("valve") == (0, "UNCERTAIN_INITIAL")
    assert rig.shows("held") == (1, "GOOD")


def test_retained_values_come_back_and_what_does_not_fit_is_named(rig: Rig) -> None:
    assert rig.process.retained() == {"counter": 5}
    assert rig.process.restore({"counter": 12}) == []
    assert rig.shows("counter") == (12, "GOOD")
    assert rig.process.restore({"counter": -1, "note": "x", "gone": 3}) == [
        "counter",
        "note",
        "gone",
    ]
    assert rig.process.retained() == {"counter": 12}


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "address", "text"),
    [
        ("INT", Address("nowhere", "words", 0, INT), "the plan has no device nowhere"),
        ("INT", word(50), r"no input group of device io covers words\[50\]"),
        ("DINT", Address("io", "words", 7, TagType.parse("DINT")), "reach beyond the group"),
        ("SINT", Address("io", "words", 0, TagType.parse("SINT")), "cannot be made of SINT"),
        ("INT", Address("io", "bits", 0, INT), "cannot lie in the bits of bits"),
    ],
)
def test_an_address_that_lies_in_no_group_is_refused(
    tmp_path: Path, spelling: str, address: Address, text: str
) -> None:
    groups = [
        make_group(0, "words", 0, 8, bits=False, output=False),
        make_group(1, "bits", 0, 8, bits=True, output=False, offset=16),
    ]
    tag = make_tag("x", spelling, Direction.INPUT, address=address)
    plan = make_plan([tag], [make_device("io", groups)])
    image = Image.create(tmp_path / "image", plan, BOOT)
    with pytest.raises(WireError, match=text):
        ProcessImage(image, plan)
