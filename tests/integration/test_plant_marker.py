"""The plant's marker: the protocol on bytes, and what is really peened over a real socket."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant import PlantError, PlantProcess
from plant.hand import Hand, Host
from plant.telesis import Controller, Request, RequestDecoder, block_check, encode_answer

READY, DONE, NO_FAULT = 0x01, 0x02, 0x08
DATA = st.text(
    st.characters(min_codepoint=0x04, max_codepoint=0xFF, exclude_characters="\r"), max_size=80
)


class IdleHead:
    """A head that does as it is told and marks until it is told otherwise."""

    interlock = True

    def __init__(self) -> None:
        self.marking = False
        self.started: list[tuple[str, tuple[str, ...]]] = []

    def start(self, content: str, texts: tuple[str, ...]) -> str:
        self.marking = True
        self.started.append((content, texts))
        return ""

    def abort(self, reason: str) -> None:
        self.marking = False


def message(kind: str, data: str = "", station: str = "") -> bytes:
    body = data.encode("latin-1")
    check = (ord(kind) + sum(body)) % 256
    return f"\x01{kind}{station}\x02{data}\x03{check:03d}\r".encode("latin-1")


# --- The protocol, on bytes -----------------------------------------------------------------------


def test_a_message_without_data_has_the_bytes_of_the_manual() -> None:
    assert RequestDecoder().feed(b"\x01\x47\x02\x03\x30\x37\x31\x0d") == [Request("G", "", "")]
    assert encode_answer(True, "") == b"\x01\x06\x02\x03\x30\x30\x36\x0d"
    assert encode_answer(False, "07", "busy")[:5] == b"\x01\x1507\x02"


def test_the_block_check_is_an_eight_bit_sum() -> None:
    assert block_check(ord("V"), b"01ABC") == b"%03d" % ((0x56 + 0x30 + 0x31 + 198) % 256)
    assert block_check(0xFF, b"\x01") == b"000"


@given(
    kind=st.sampled_from("1PQVOGI"),
    station=st.sampled_from(["", "00", "31"]),
    data=DATA,
    before=st.binary(max_size=20),
    cuts=st.integers(1, 9),
)
def test_every_message_is_read_however_it_is_cut_and_whatever_came_before(
    kind: str, station: str, data: str, before: bytes, cuts: int
) -> None:
    decoder = RequestDecoder()
    stream = before + message(kind, data, station)
    found = []
    for start in range(0, len(stream), cuts):
        found += decoder.feed(stream[start : start + cuts])
    assert found[-1] == Request(kind, station, data)


@given(noise=st.binary(max_size=200))
def test_no_noise_raises_or_hides_the_next_message(noise: bytes) -> None:
    decoder = RequestDecoder()
    controller = Controller(IdleHead())
    for request in decoder.feed(noise):
        answer = controller.handle(request)
        assert answer is None or answer.endswith(b"\r")
    assert decoder.feed(message("I"))[-1] == Request("I", "", "")


@given(data=DATA, place=st.integers(0, 200), flip=st.integers(1, 255))
def test_a_damaged_byte_never_passes_as_another_message(data: str, place: int, flip: int) -> None:
    clean = message("V", data)
    place %= len(clean)
    damaged = bytearray(clean)
    damaged[place] ^= flip
    for request in RequestDecoder().feed(bytes(damaged)):
        assert request.damaged or place in range(len(clean) - 5, len(clean))


def test_an_endless_message_is_dropped_and_the_next_one_understood() -> None:
    decoder = RequestDecoder()
    assert decoder.feed(b"\x01V\x02" + b"A" * 100_000) == []
    assert decoder.feed(message("O")) == [Request("O", "", "")]


def talk(controller: Controller, kind: str, data: str = "") -> tuple[bool, bytes]:
    answer = controller.handle(Request(kind, "", data))
    assert answer is not None
    return answer[1] == 6, answer[answer.index(b"\x02") + 1 : answer.index(b"\x03")]


def test_the_controller_starts_only_online_with_a_pattern_and_a_symbol() -> None:
    head = IdleHead()
    controller = Controller(head)
    assert talk(controller, "I") == (True, b"08;200")
    assert talk(controller, "G") == (False, b"not online")
    assert talk(controller, "O") == (True, b"")
    assert talk(controller, "I") == (True, b"09;200")
    assert talk(controller, "V", "01A") == (False, b"no pattern loaded")
    assert talk(controller, "P", "") == (False, b"unknown pattern")
    assert talk(controller, "P", "BLADE") == (True, b"")
    assert talk(controller, "G") == (False, b"field 01 is empty")
    assert talk(controller, "V", "10A") == (False, b"unknown field")
    assert talk(controller, "V", "x1A") == (False, b"unknown field")
    assert talk(controller, "1", "01SYMBOL") == (True, b"")
    assert talk(controller, "V", "03second") == (True, b"")
    assert talk(controller, "V", "02first") == (True, b"")
    assert talk(controller, "Q", "00buffer") == (True, b"")
    assert talk(controller, "Z") == (False, b"unknown type Z")
    assert talk(controller, "G") == (True, b"")
    assert head.started == [("SYMBOL", ("first", "second"))]
    assert talk(controller, "G") == (False, b"busy")
    assert talk(controller, "V", "01B") == (False, b"busy")
    assert talk(controller, "I") == (True, b"08;200")
    head.marking = False
    controller.cycle_ended("")
    assert talk(controller, "I") == (True, b"0B;200")
    assert talk(controller, "P", "BLADE") == (True, b"")
    assert talk(controller, "G") == (False, b"field 01 is empty")


def test_a_message_to_another_station_gets_no_answer() -> None:
    controller = Controller(IdleHead())
    controller.station = "05"
    assert controller.handle(Request("I", "06", "")) is None
    answer = controller.handle(Request("I", "05", ""))
    assert answer is not None
    assert answer.startswith(b"\x01\x0605\x02")


def test_a_message_with_a_wrong_block_check_is_refused() -> None:
    (request,) = RequestDecoder().feed(b"\x01O\x02\x03000\r")
    assert Controller(IdleHead()).handle(request) == encode_answer(False, "", "block check")


# --- What is peened -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plant() -> Iterator[PlantProcess]:
    with PlantProcess(speed=20, size=(320, 240)) as plant:
        yield plant


@pytest.fixture
def hand(plant: PlantProcess) -> Iterator[Hand]:
    """A hand with a fresh blade in the clamp."""
    with Hand(plant) as hand:
        hand.io.set_all(0)
        if hand.io.inputs()["part_present"]:
            hand.release(good=False)
        hand.clamp_next()
        yield hand


def part(plant: PlantProcess) -> int:
    number = plant.status()["nest"]
    assert isinstance(number, int)
    return number


def test_a_mark_goes_from_ready_to_done_and_lies_on_the_blade(
    plant: PlantProcess, hand: Hand
) -> None:
    hand.marker.load("SN-000001", "SN-000001")
    assert hand.marker.status() == READY | NO_FAULT
    assert hand.marker.ask("G") == (True, "")
    assert hand.marker.status() == NO_FAULT
    hand.until_marked()
    assert hand.marker.status() == READY | DONE | NO_FAULT
    entry = plant.wait_for("marked", part=part(plant))
    started = plant.wait_for("mark_started", part=part(plant))
    assert entry["content"] == "SN-000001"
    assert entry["dots"] == started["dots"] > 150
    assert entry["complete"]


def test_a_second_mark_on_the_same_blade_is_witnessed(plant: PlantProcess, hand: Hand) -> None:
    hand.mark("SN-000010")
    assert not plant.events("double_mark", part=part(plant))
    hand.mark("SN-000011")
    entry = plant.wait_for("double_mark", part=part(plant))
    assert (entry["before"], entry["content"]) == (["SN-000010"], "SN-000011")


def test_the_same_content_on_two_blades_is_witnessed(plant: PlantProcess, hand: Hand) -> None:
    hand.mark("SN-000020")
    first = part(plant)
    hand.release(good=True)
    hand.clamp_next()
    hand.mark("SN-000020")
    entry = plant.wait_for("duplicate_content", part=part(plant))
    assert (entry["content"], entry["first"]) == ("SN-000020", first)


@pytest.mark.parametrize("opened", ["clamp_close", "marker_enable"])
def test_nothing_is_peened_while_the_interlock_is_open(
    plant: PlantProcess, hand: Hand, opened: str
) -> None:
    hand.marker.load("SN-000030")
    hand.io.set(**{opened: False})
    if opened == "clamp_close":
        hand.until_input("clamp_closed", False)
    accepted, reason = hand.marker.ask("G")
    assert not accepted
    assert reason in {"no part clamped", "not enabled"}
    assert hand.marker.status() == 0
    assert hand.marker.ask("G") == (False, f"fault: {reason}")
    assert hand.marker.ask("O") == (True, "")
    assert hand.marker.status() == READY | NO_FAULT
    assert not plant.events("marked", part=part(plant))


def test_an_interlock_that_opens_stops_the_pin_where_it_is() -> None:
    with PlantProcess(speed=2, size=(320, 240)) as plant, Hand(plant) as hand:
        hand.clamp_next()
        hand.marker.load("SN-000040", "READABLE LINE")
        hand.marker.ask("G")
        time.sleep(0.25)
        hand.io.set(marker_enable=False)
        hand.until_marked()
        assert hand.marker.status() == 0
        aborted = plant.wait_for("mark_aborted", part=1)
        marked = plant.wait_for("marked", part=1)
        planned = plant.wait_for("mark_started", part=1)["dots"]
        assert 0 < aborted["dots"] == marked["dots"] < planned
        assert not marked["complete"]


def test_a_mark_goes_on_when_the_host_hangs_up(plant: PlantProcess, hand: Hand) -> None:
    other = Host(plant.marker_port)
    other.load("SN-000050")
    other.send("G")
    other.close()
    entry = plant.wait_for("marked", content="SN-000050")
    assert entry["complete"]


def test_a_lost_acknowledgement_leaves_the_mark_and_the_link(
    plant: PlantProcess, hand: Hand
) -> None:
    hand.marker.load("SN-000060")
    plant.inject("lost_ack")
    hand.marker.socket.settimeout(0.3)
    hand.marker.send("G")
    with pytest.raises(TimeoutError):
        hand.marker.receive()
    hand.marker.socket.settimeout(5)
    hand.until_marked()
    assert hand.marker.status() & DONE
    assert plant.wait_for("marked", content="SN-000060")["complete"]


def test_a_lost_acknowledgement_with_a_duration_swallows_the_status_too() -> None:
    with (
        PlantProcess(speed=20, size=(320, 240), faults=("lost_ack@1:1s",)) as plant,
        Hand(plant) as hand,
    ):
        hand.clamp_next()
        hand.marker.load("SN-000070")
        hand.marker.socket.settimeout(0.1)
        hand.marker.send("G")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                hand.marker.receive()
            hand.marker.send("I")
        plant.wait_for("answer_lost", request="I", count=2)
        assert plant.wait_for("marked", content="SN-000070")["complete"]


def test_a_pin_that_stops_peens_55_percent_of_the_symbol_and_reports_done(
    plant: PlantProcess, hand: Hand
) -> None:
    hand.mark("SN-000080")
    whole = plant.wait_for("marked", content="SN-000080")["dots"]
    hand.release(good=True)
    hand.clamp_next()
    plant.inject("missing_pin")
    hand.mark("SN-000080")
    entry = plant.wait_for("marked", part=part(plant))
    assert entry["dots"] == int(whole * 0.55)
    assert hand.marker.status() & DONE


def test_wrong_content_is_another_serial_of_the_same_length(
    plant: PlantProcess, hand: Hand
) -> None:
    plant.inject("wrong_content")
    hand.mark("[)>\x1e06\x1dS000090\x1e\x04")
    entry = plant.wait_for("marked", part=part(plant))
    assert entry["commanded"] == "[)>\x1e06\x1dS000090\x1e\x04"
    assert entry["content"] == "[)>\x1e06\x1dS900090\x1e\x04"


@pytest.mark.parametrize("length", [300, 1000])
def test_a_content_that_does_not_fit_the_marking_window_is_refused(
    plant: PlantProcess, hand: Hand, length: int
) -> None:
    with pytest.raises(PlantError, match="cannot encode"):
        hand.mark("é" * length)
    assert not plant.events("marked", part=part(plant))
