"""A device without hardware: its signals, its memory and its faults by a script."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cellwright.io.drivers.base import DriverError
from cellwright.io.drivers.simulated import Simulated, SimulatedOptions
from cellwright.io.options import from_file, from_plan
from cellwright.io.plan import PollGroup

MS = 1_000_000


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 5_000 * MS

    def now_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return self.ns


def group(area: str, start: int, count: int) -> PollGroup:
    bits = area in {"coils", "discrete_inputs"}
    size = (count + 7) // 8 if bits else 2 * count
    return PollGroup(
        index=0, area=area, start=start, count=count, output=False, offset=0, size=size
    )


async def device(**options: Any) -> tuple[Simulated, Hand]:
    clock = Hand()
    checked = from_file(SimulatedOptions, options)
    # As the driver process gets them.
    planned = from_plan(SimulatedOptions, checked.model_dump(mode="json"))
    assert planned == checked
    one = Simulated("io", planned, clock=clock)
    await one.connect()
    return one, clock


async def word(one: Simulated, index: int) -> int:
    return int.from_bytes(await one.read(group("input_registers", index, 1)), "big")


async def test_outputs_are_kept_and_read_back_and_inputs_hold_their_values() -> None:
    one, _ = await device(values={"input_registers[3]": 77, "discrete_inputs[9]": 1})
    await one.write(group("coils", 2, 10), b"\x05\x02")
    await one.write(group("holding_registers", 4, 2), b"\x12\x34\x00\x07")
    assert await one.read(group("coils", 0, 12)) == (0b10_0000_0101 << 2).to_bytes(2, "little")
    assert await one.read(group("holding_registers", 3, 3)) == b"\0\0\x12\x34\x00\x07"
    assert await word(one, 3) == 77
    assert await one.read(group("discrete_inputs", 8, 2)) == b"\x02"


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ({"wave": "constant", "value": 5}, {0: 5, 99: 5}),
        ({"wave": "sine", "low": 0, "high": 100, "period_s": 8}, {0: 50, 2: 100, 4: 50, 6: 0}),
        ({"wave": "ramp", "low": 10, "high": 20, "period_s": 10}, {0: 10, 5: 15, 10: 10, 19: 19}),
        ({"wave": "ramp", "high": 10, "period_s": 10, "phase_s": 3}, {0: 3, 7: 0}),
        ({"wave": "square", "high": 9, "period_s": 4, "duty": 0.25}, {0: 9, 1: 0, 3: 0, 4: 9}),
    ],
)
async def test_waves(signal: dict[str, Any], expected: dict[int, int]) -> None:
    one, clock = await device(signals={"input_registers[0]": signal})
    begin = clock.ns
    for at_s, value in expected.items():
        clock.ns = begin + at_s * 1000 * MS
        assert await word(one, 0) == value, at_s


async def test_noise_stays_within_its_limits_and_repeats_with_its_seed() -> None:
    async def values(seed: int) -> list[int]:
        noise = {"wave": "noise", "low": 100, "high": 900, "period_s": 0.5, "seed": seed}
        one, clock = await device(signals={"input_registers[0]": noise})
        found = []
        for _ in range(50):
            found.append(await word(one, 0))
            clock.ns += 500 * MS
        return found

    first = await values(1)
    assert first == await values(1)
    assert first != await values(2)
    assert all(100 <= value <= 900 for value in first)
    assert len(set(first)) > 30


async def test_a_signal_may_be_a_bit_a_bit_in_a_word_or_a_real_in_any_order() -> None:
    square = {"wave": "square", "period_s": 2}
    one, clock = await device(
        signals={
            "discrete_inputs[3]": square,
            "input_registers[1].4": square,
            "input_registers[2]": {"wave": "constant", "value": 1.5, "wire": "REAL"}
            | {"order": "CDAB"},
            "input_registers[4]": {"wave": "constant", "value": -7, "wire": "DINT"},
            "input_registers[6]": {"wave": "constant", "value": 1e9},
        }
    )
    assert await one.read(group("discrete_inputs", 0, 8)) == b"\x08"
    data = await one.read(group("input_registers", 1, 6))
    real = struct.pack(">f", 1.5)
    assert data == b"\x00\x10" + real[2:] + real[:2] + struct.pack(">i", -7) + b"\xff\xff"
    clock.ns += 1_000 * MS
    assert await one.read(group("discrete_inputs", 0, 8)) == b"\x00"
    assert await word(one, 1) == 0
    assert await one.read(group("input_registers", 3, 1)) == real[:2], "a part of a value"


async def test_an_input_follows_an_output_later() -> None:
    follow = {"wave": "follow", "of": "coils[0]", "delay_s": 0.5}
    one, clock = await device(signals={"discrete_inputs[1]": follow})
    for written in (1, 0):
        await one.write(group("coils", 0, 1), bytes([written]))
        clock.ns += 499 * MS
        assert await one.read(group("discrete_inputs", 1, 1)) == bytes([1 - written])
        clock.ns += 1 * MS
        assert await one.read(group("discrete_inputs", 1, 1)) == bytes([written])


async def test_a_setpoint_comes_back_as_a_measured_value() -> None:
    follow = {"wave": "follow", "of": "holding_registers[0]", "wire": "REAL"}
    one, _ = await device(signals={"input_registers[10]": follow})
    await one.write(group("holding_registers", 0, 2), struct.pack(">f", 2.5))
    assert await one.read(group("input_registers", 10, 2)) == struct.pack(">f", 2.5)


async def test_values_come_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time_s,level,temp\n0,5,1\n2,8,2\n4,5,3\n")
    signal = {"wave": "csv", "file": "a.csv", "column": "level"}
    options = from_file(
        SimulatedOptions,
        {
            "signals": {
                "input_registers[0]": signal,
                "input_registers[1]": signal | {"repeat": True},
            }
        },
        {"folder": str(tmp_path)},
    )
    clock = Hand()
    one = Simulated("io", options, clock=clock)
    await one.connect()
    seen = []
    for _ in range(8):
        seen.append((await word(one, 0), await word(one, 1)))
        clock.ns += 1_000 * MS
    assert [last for last, _ in seen] == [5, 5, 8, 8, 5, 5, 5, 5]
    assert [again for _, again in seen] == [5, 5, 8, 8, 5, 5, 8, 8]


FAULTS = [
    {"fault": "disconnect", "from_s": 1, "to_s": 2},
    {"fault": "refuse", "from_s": 3, "to_s": 4, "at": "coils", "what": "write"},
    {"fault": "refuse", "from_s": 3, "to_s": 4, "at": "input_registers[5]"},
    {"fault": "silent", "from_s": 5, "to_s": 6, "what": "read"},
    {"fault": "disconnect", "from_s": 10, "to_s": 11, "every_s": 5},
]


async def test_faults_come_by_their_script() -> None:
    one, clock = await device(faults=FAULTS, timeout_s=0.01)
    begin = clock.ns

    def at(seconds: float) -> None:
        clock.ns = begin + int(seconds * 1000) * MS

    assert await word(one, 0) == 0
    at(1)
    with pytest.raises(DriverError, match="disconnected by its script") as lost:
        await word(one, 0)
    assert lost.value.lost
    with pytest.raises(DriverError, match="disconnected"):
        await one.connect()
    at(2)
    with pytest.raises(DriverError):
        await word(one, 0)
    await one.connect()
    at(3)
    with pytest.raises(DriverError, match=r"write coils\[0..0\]: refused") as refused:
        await one.write(group("coils", 0, 1), b"\1")
    assert not refused.value.lost
    assert await one.read(group("coils", 0, 1)) == b"\0"
    assert await word(one, 4) == 0
    with pytest.raises(DriverError, match="refused"):
        await word(one, 5)
    at(5)
    await one.write(group("coils", 0, 1), b"\1")
    with pytest.raises(DriverError, match=r"no answer within 0\.01 s"):
        await word(one, 0)
    for seconds in (10, 15.5, 20.9):
        at(seconds)
        with pytest.raises(DriverError, match="disconnected"):
            await one.connect()
    at(21.1)
    await one.connect()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"signals": {"inputs[0]": {"wave": "sine"}}}, "there is no area 'inputs'"),
        ({"signals": {"coils": {"wave": "sine"}}}, "is no address"),
        ({"signals": {"coils[65536]": {"wave": "sine"}}}, "outside"),
        ({"signals": {"coils[0].1": {"wave": "sine"}}}, "only words have bits"),
        ({"signals": {"coils[0]": {"wave": "sine", "value": 1}}}, "takes no `value`"),
        ({"signals": {"coils[0]": {"wave": "follow"}}}, "needs `of`"),
        ({"signals": {"coils[0]": {"wave": "follow", "of": "x[0]"}}}, "no area 'x'"),
        ({"signals": {"coils[0]": {"wave": "csv", "file": "a"}}}, "needs `column`"),
        ({"signals": {"coils[0]": {"wave": "sine", "low": 2, "high": 1}}}, "is above high"),
        ({"signals": {"coils[0]": {"wave": "sine", "period_s": 0}}}, "greater than 0"),
        ({"signals": {"coils[0]": {"wave": "saw"}}}, "Input should be"),
        (
            {
                "signals": {
                    "input_registers[0]": {"wave": "sine", "wire": "REAL"},
                    "input_registers[1]": {"wave": "sine"},
                }
            },
            "overlap",
        ),
        ({"values": {"coils[0]": 2}}, "cannot hold 2"),
        ({"values": {"input_registers[0]": 65536}}, "cannot hold"),
        ({"values": {"input_registers[0]": True}}, "valid integer"),
        ({"faults": [{"fault": "slow", "from_s": 2, "to_s": 1}]}, "before it begins"),
        ({"faults": [{"fault": "slow", "from_s": 0, "to_s": 2, "every_s": 1}]}, "lasts longer"),
        ({"faults": [{"fault": "slow", "from_s": 0, "to_s": 2, "at": "x[0]"}]}, "no area 'x'"),
        ({"faults": [{"fault": "explode", "from_s": 0, "to_s": 2}]}, "Input should be"),
        ({"areas": {}}, "at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        from_file(SimulatedOptions, options)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("time_s,level\n0,x\n", r"a\.csv:2: level is 'x'"),
        ("time_s,level\n1,1\n1,2\n", r"a\.csv:3: the times do not grow"),
        ("t,level\n1,1\n", "no column 'time_s'"),
        ("time_s,other\n1,1\n", "no column 'level', only time_s, other"),
        ("time_s,level\n", "has no values"),
        ("", "has no column"),
        ("time_s,level\n0,1e999\n", "no number"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_table_that_cannot_be_used_is_found_by_the_check(
    tmp_path: Path, text: str | None, why: str
) -> None:
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    signal = {"wave": "csv", "file": "a.csv", "column": "level"}
    with pytest.raises(ValidationError, match=why):
        from_file(
            SimulatedOptions,
            {"signals": {"input_registers[0]": signal}},
            {"folder": str(tmp_path)},
        )
