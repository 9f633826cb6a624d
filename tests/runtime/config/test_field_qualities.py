"""From the file to the quality of a tag: outputs that are not taken, texts, addresses and gaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.image import DevicePort, Image
from cellwright.io.plan import Encoding, Plan, PollGroup, quality
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.config import check_file, compile_file
from support.config_corpus import copy_bench

PRESS = """
from cellwright.tasks.api import BOOL, Input, Program

class Press(Program):
    part_present = Input(BOOL)

    def scan(self, ctx):
        pass
"""
HEAD = """
cell: {name: Bench}
scan: {base: 10ms}
devices:
  io: {driver: modbus-tcp, host: 127.0.0.1%s}
tags:
  part_present: {type: BOOL, in: "io.discrete_inputs[0]"}
  clamp_close: {type: BOOL, out: "io.coils[0]", safe: false, write: [Operator]}
"""
TAIL = """
tasks:
  press: {program: "press:Press", interval: 10ms}
"""


def cell(folder: Path, tags: str, device: str = "") -> Path:
    path = copy_bench(folder / "cell")
    (path.parent / "press.py").write_text(PRESS, encoding="utf-8")
    path.write_text(HEAD % device + tags + TAIL, encoding="utf-8")
    return path


class Bench:
    """The scan and the driver of a cell with the device `io`."""

    def __init__(self, folder: Path, tags: str, device: str = "") -> None:
        self.plan: Plan = compile_file(cell(folder, tags, device))
        self.device = self.plan.devices[0]
        self.image = Image.create(folder / "image", self.plan, "0123abcd")
        self.process = ProcessImage(self.image, self.plan)
        self.port: DevicePort = self.image.device(0)
        self.payload = bytearray(self.device.input_size)
        self.now_ns = 0

    def group(self, area: str, *, output: bool = False) -> PollGroup:
        return next(one for one in self.device.groups if one.area == area and one.output is output)

    def cycle(
        self,
        bad: dict[str, int] | None = None,
        absent: dict[str, int] | None = None,
        text: tuple[str, bytes] | None = None,
    ) -> None:
        """One poll and one cycle; ``bad`` and ``absent`` by area."""
        self.now_ns += 1_000_000
        if text is not None:
            group = self.group(text[0])
            data = text[1].ljust(group.size, b"\0")
            self.payload[group.offset : group.offset + group.size] = data
        states = [((bad or {}).get(one.area, 0), self.now_ns) for one in self.device.groups]
        missing = [(absent or {}).get(one.area, 0) for one in self.device.groups]
        self.port.publish_inputs(self.payload, states, self.now_ns, missing)
        self.process.latch(self.now_ns, 0)
        self.process.overlay()
        self.process.commit(1, True)

    def shown(self, name: str) -> str:
        return quality.name(self.process.quality(self.plan.tag(name).index))

    def value(self, name: str) -> object:
        return self.process.get(self.plan.tag(name).index)

    def write(self, name: str, value: object) -> None:
        self.process.set(self.plan.tag(name).index, value)


OUTPUTS = """
  speed: {type: UINT, out: "io.holding_registers[0]", safe: 0}
  torque: {type: REAL, out: "io.holding_registers[1]", safe: 0.0}
"""


@pytest.mark.parametrize("status", [quality.BAD_DEVICE_FAILURE, quality.BAD_NO_COMMUNICATION])
def test_an_output_that_its_device_has_not_taken_is_not_good(tmp_path: Path, status: int) -> None:
    bench = Bench(tmp_path, OUTPUTS)
    refused = {"holding_registers": status}
    bench.cycle()
    bench.write("speed", 5)
    bench.write("clamp_close", True)
    bench.cycle()
    assert bench.shown("speed") == bench.shown("clamp_close") == "GOOD"
    bench.cycle(refused)
    assert bench.shown("speed") == quality.name(status)
    assert bench.shown("torque") == "UNCERTAIN_INITIAL", "nobody has written it"
    assert bench.shown("clamp_close") == "GOOD", "another request"
    bench.write("speed", 6)
    bench.cycle(refused)
    assert (bench.value("speed"), bench.shown("speed")) == (6, quality.name(status))
    bench.cycle()
    assert bench.shown("speed") == "GOOD"
    assert bench.shown("torque") == "UNCERTAIN_INITIAL"


def test_a_forced_output_that_is_not_taken_is_not_good_either(tmp_path: Path) -> None:
    bench = Bench(tmp_path, OUTPUTS)
    bench.write("speed", 5)
    bench.process.force(bench.plan.tag("speed").index, 9)
    bench.cycle()
    assert bench.shown("speed") == "GOOD_LOCAL_OVERRIDE"
    bench.cycle({"holding_registers": quality.BAD_DEVICE_FAILURE})
    assert bench.shown("speed") == "BAD_DEVICE_FAILURE"
    bench.cycle()
    assert bench.shown("speed") == "GOOD_LOCAL_OVERRIDE"
    bench.process.unforce(None)
    bench.cycle()
    assert bench.shown("speed") == "GOOD"


def test_a_value_that_is_no_number_stays_bad_beside_a_device_that_takes_all(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, OUTPUTS)
    bench.write("torque", float("nan"))
    bench.cycle()
    assert bench.shown("torque") == "BAD_DEVICE_FAILURE"
    bench.cycle({"holding_registers": quality.BAD_NO_COMMUNICATION})
    bench.cycle()
    assert bench.shown("torque") == "BAD_DEVICE_FAILURE"
    bench.write("torque", 1.5)
    bench.cycle()
    assert bench.shown("torque") == "GOOD"


ABSENT = """
  a: {type: UINT, in: "io.input_registers[0]"}
  b: {type: UINT, in: "io.input_registers[5]"}
  c: {type: UINT, in: "io.input_registers[6]"}
  d: {type: UINT, in: "io.input_registers[7]", on_loss: substitute, substitute: 42}
  e: {type: UINT, in: "io.input_registers[10]"}
"""


def test_tags_whose_addresses_do_not_exist_are_bad_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ABSENT)
    spans = bench.device.parts_of(bench.group("input_registers"))
    assert spans == ((0, 1), (5, 6), (6, 7), (7, 8), (10, 11))
    bench.cycle(absent={"input_registers": 0b01010})
    assert [bench.shown(name) for name in "abcde"] == [
        "GOOD", "BAD_DEVICE_FAILURE", "GOOD", "UNCERTAIN_SUBSTITUTE", "GOOD",
    ]  # fmt: skip
    assert bench.value("d") == 42
    bench.cycle({"input_registers": quality.BAD_NO_COMMUNICATION}, {"input_registers": 0b01010})
    assert [bench.shown(name) for name in "abc"] == [
        "UNCERTAIN_LAST_USABLE", "BAD_DEVICE_FAILURE", "UNCERTAIN_LAST_USABLE",
    ]  # fmt: skip
    bench.cycle()
    assert {bench.shown(name) for name in "abcde"} == {"GOOD"}


def test_an_absent_address_faults_the_cell_where_its_loss_would(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ABSENT.replace('[5]"}', '[5]", on_loss: fault}'))
    bench.cycle(absent={"input_registers": 0b00001})
    assert bench.process.latch(bench.now_ns, 0).lost_fault == -1
    bench.cycle(absent={"input_registers": 0b00010})
    assert bench.process.latch(bench.now_ns, 0).lost_fault == 0


@pytest.mark.parametrize(
    ("gap", "groups"),
    [
        ("", [(0, 11)]),
        (", gap: 16", [(0, 11)]),
        (", gap: 3", [(0, 1), (5, 6)]),
        (", gap: 2", [(0, 1), (5, 6)]),
        (", gap: 1", [(0, 1), (5, 3), (10, 1)]),
        (", gap: 0", [(0, 1), (5, 3), (10, 1)]),
    ],
)
def test_no_more_than_the_gap_is_read_along(
    tmp_path: Path, gap: str, groups: list[tuple[int, int]]
) -> None:
    device = compile_file(cell(tmp_path, ABSENT, gap)).devices[0]
    found = [(one.start, one.count) for one in device.groups if one.area == "input_registers"]
    assert found == groups


def test_many_tags_of_one_request_share_at_most_32_parts(tmp_path: Path) -> None:
    tags = "".join(f'  t{n}: {{type: UINT, in: "io.input_registers[{n}]"}}\n' for n in range(100))
    bench = Bench(tmp_path, tags)
    parts = bench.device.parts_of(bench.group("input_registers"))
    assert len(parts) == 25
    assert parts[0] == (0, 4)
    bench.cycle(absent={"input_registers": 1 << 24})
    bad = [n for n in range(100) if bench.shown(f"t{n}") != "GOOD"]
    assert bad == [96, 97, 98, 99]


def text_tags(extra: str) -> str:
    return (
        f'  code: {{type: STRING(6), in: "io.input_registers[0]"{extra}}}\n'
        f'  name: {{type: STRING(6), out: "io.holding_registers[0]", safe: hold{extra}}}\n'
    )


def test_bytes_that_are_no_text_are_not_good_and_the_last_text_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path, text_tags(""))
    bench.cycle(text=("input_registers", "Grün".encode()))
    assert (bench.value("code"), bench.shown("code")) == ("Grün", "GOOD")
    for wrong in ("Grün".encode("latin-1"), b"\xc0\x80", b"\xed\xa0\x80", b"abcde\xc3", b"\xff"):
        bench.cycle(text=("input_registers", wrong))
        assert (bench.value("code"), bench.shown("code")) == ("Grün", "BAD_DECODING_ERROR")
    bench.cycle(text=("input_registers", b"ok\0\xff"))
    assert (bench.value("code"), bench.shown("code")) == ("ok", "GOOD"), "behind its end"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Öl"),
        ("latin-1", "Grün"),
        ("cp1252", "5 €"),
        ("iso8859-15", "5 €"),
        ("cp437", "Ω√"),
        ("cp1251", "Шаг"),
        ("ascii", "plain"),
    ],
)
@pytest.mark.parametrize("order", ["ABCD", "BADC"])
def test_texts_come_and_go_in_the_encoding_of_the_device(
    tmp_path: Path, encoding: str, text: str, order: str
) -> None:
    bench = Bench(tmp_path, text_tags(f", encoding: {encoding}, order: {order}"))
    data = text.encode(encoding).ljust(6, b"\0")
    if order == "BADC":
        data = b"".join(data[at : at + 2][::-1] for at in range(0, 6, 2))
    bench.cycle(text=("input_registers", data))
    assert (bench.value("code"), bench.shown("code")) == (text, "GOOD")
    bench.write("name", text)
    bench.cycle()
    sent = bytearray(bench.device.output_size)
    bench.port.read_outputs(sent)
    group = bench.group("holding_registers", output=True)
    assert bytes(sent[group.offset : group.offset + 6]) == data
    assert bench.shown("name") == "GOOD"


def test_the_device_says_the_encoding_and_a_tag_may_say_another(tmp_path: Path) -> None:
    tags = text_tags("").replace("safe: hold", "safe: hold, encoding: ascii")
    plan = compile_file(cell(tmp_path, tags, ", encoding: latin-1"))
    for name, encoding in (("code", Encoding.LATIN_1), ("name", Encoding.ASCII)):
        address = plan.tag(name).address
        assert address is not None
        assert address.encoding is encoding


@pytest.mark.parametrize(
    ("encoding", "data"),
    [("ascii", b"\x80"), ("cp1252", b"\x81"), ("latin-1", "übermü".encode("latin-1"))],
)
def test_a_byte_that_the_encoding_lacks_and_a_text_without_room_are_not_good(
    tmp_path: Path, encoding: str, data: bytes
) -> None:
    bench = Bench(tmp_path, text_tags(f", encoding: {encoding}"))
    bench.cycle(text=("input_registers", data))
    assert bench.shown("code") == "BAD_DECODING_ERROR"


def test_a_tag_may_have_more_room_than_its_device(tmp_path: Path) -> None:
    wide = text_tags(', encoding: latin-1, wire: "STRING(6)"').replace(
        "STRING(6), ", "STRING(12), "
    )
    bench = Bench(tmp_path, wide)
    assert bench.group("input_registers").count == 3
    bench.cycle(text=("input_registers", "übermü".encode("latin-1")))
    assert (bench.value("code"), bench.shown("code")) == ("übermü", "GOOD")
    bench.write("name", "übermütig")
    bench.cycle()
    assert bench.shown("name") == "UNCERTAIN_UNITS_EXCEEDED", "it was cut"


def test_a_character_that_the_device_lacks_is_not_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, text_tags(", encoding: latin-1"))
    bench.write("name", "five")
    bench.cycle()
    bench.write("name", "5 €")
    bench.cycle()
    sent = bytearray(bench.device.output_size)
    bench.port.read_outputs(sent)
    group = bench.group("holding_registers", output=True)
    assert bytes(sent[group.offset : group.offset + 4]) == b"five"
    assert bench.shown("name") == "BAD_ENCODING_ERROR"
    bench.write("name", "six")
    bench.cycle()
    assert bench.shown("name") == "GOOD"


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ('  a: {type: UINT, in: "io.input_registers[0]", encoding: ascii}\n', "has no encoding"),
        ("  a: {type: STRING(4), memory: true, encoding: ascii}\n", "does not apply"),
        (
            '  a: {type: STRING(4), out: "io.holding_registers[0]", safe: "ü", encoding: ascii}\n',
            "the safe value of 'a' cannot be written",
        ),
        (
            '  a: {type: STRING(9), out: "io.holding_registers[0]", safe: "abc", '
            'wire: "STRING(2)"}\n',
            "the safe value of 'a' cannot be written",
        ),
        ('  a: {type: STRING(4), in: "io.input_registers[0]", wire: UINT}\n', "'UINT' is no text"),
        ('  a: {type: STRING(4), in: "io.input_registers[0]", encoding: ebcdic}\n', "encoding is"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, tags: str, what: str) -> None:
    report = check_file(cell(tmp_path, tags))
    assert [problem for problem in report.problems if what in problem.what], report.problems


@pytest.mark.parametrize("keys", [", gap: -1", ", gap: true", ", encoding: 5", ", gap: 1.0"])
def test_keys_of_the_device_are_checked(tmp_path: Path, keys: str) -> None:
    assert check_file(cell(tmp_path, "", keys)).plan is None
