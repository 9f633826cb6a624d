"""Bytes of the Telesis Extended protocol: encoding, decoding, and what garbage does to it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.markers.telesis import (
    Answer,
    AnswerDecoder,
    Outputs,
    ProtocolError,
    Type,
    block_check,
    decode_answer,
    decode_status,
    encode,
    field,
)

ASCII_DATA = st.text(
    st.characters(min_codepoint=0, max_codepoint=127, exclude_characters="\x01\x02\x03\r"),
    max_size=80,
)


def answer_bytes(kind: int, data: str = "", station: int | None = None) -> bytes:
    """An answer as a controller builds it, written out apart from the encoder under test."""
    payload = data.encode()
    total = kind
    for byte in payload:
        total += byte
    number = b"" if station is None else f"{station:02d}".encode()
    return (
        b"\x01"
        + bytes([kind])
        + number
        + b"\x02"
        + payload
        + b"\x03"
        + f"{total % 256:03d}".encode()
        + b"\r"
    )


@pytest.mark.parametrize(
    ("kind", "data", "station", "wire"),
    [
        (Type.GO, "", None, "01 47 02 03 30 37 31 0d"),
        (Type.INQUIRE, "", 5, "01 49 30 35 02 03 30 37 33 0d"),
        (Type.VARIABLE, "01AB", None, "01 56 02 30 31 41 42 03 30 35 38 0d"),
    ],
)
def test_messages_have_the_bytes_of_the_reference_page(
    kind: Type, data: str, station: int | None, wire: str
) -> None:
    assert encode(kind, data, station) == bytes.fromhex(wire)


@given(st.sampled_from(list(Type)), ASCII_DATA, st.none() | st.integers(0, 99))
def test_a_message_is_framed_and_carries_its_data_unchanged(
    kind: Type, data: str, station: int | None
) -> None:
    wire = encode(kind, data, station)
    assert wire[:1] == b"\x01"
    assert wire[-1:] == b"\r"
    assert wire.count(b"\r") == 1
    assert wire[wire.index(b"\x02") + 1 : wire.index(b"\x03")].decode() == data
    assert wire[-4:-1] == block_check(ord(kind.value), data.encode())


@pytest.mark.parametrize("data", ["a\rb", "\x01", "x\x02", "\x03", "Grüße"])
def test_data_that_would_break_the_frame_is_refused(data: str) -> None:
    with pytest.raises(ProtocolError, match="template"):
        encode(Type.VARIABLE, data)


def test_data_longer_than_a_controller_takes_is_refused() -> None:
    with pytest.raises(ProtocolError, match="more than"):
        encode(Type.VARIABLE, "x" * 2000)


@pytest.mark.parametrize("number", [0, 100, -1])
def test_fields_are_numbered_one_to_ninety_nine(number: int) -> None:
    with pytest.raises(ProtocolError):
        field(number, "x")
    assert field(7, "x") == "07x"


@given(st.sampled_from([6, 21]), ASCII_DATA, st.none() | st.integers(0, 99))
def test_every_answer_decodes_to_what_the_controller_meant(
    kind: int, data: str, station: int | None
) -> None:
    assert decode_answer(answer_bytes(kind, data, station)) == Answer(kind == 6, data, station)


@given(st.sampled_from([6, 21]), ASCII_DATA, st.data())
def test_an_answer_with_one_wrong_data_byte_is_refused(
    kind: int, data: str, pick: st.DataObject
) -> None:
    wire = bytearray(answer_bytes(kind, data + "x"))
    place = pick.draw(st.integers(3, 3 + len(data)))
    wire[place] ^= pick.draw(st.integers(1, 127))
    with pytest.raises(ProtocolError):
        decode_answer(bytes(wire))


def test_an_answer_without_block_check_is_understood_only_when_allowed() -> None:
    for wire in (b"\x01\x06\r", b"\x01\x06\x02\x03\r", b"\x01\x0605\x02x\x03\r"):
        with pytest.raises(ProtocolError, match="require_bcc"):
            decode_answer(wire)
        assert decode_answer(wire, require_bcc=False).accepted


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_the_decoder_survives_any_bytes(chunks: list[bytes]) -> None:
    decoder = AnswerDecoder()
    for chunk in chunks:
        decoder.feed(chunk)
    # SOH begins anew, so whatever came before hides nothing.
    assert decoder.feed(answer_bytes(6, "09;000"))[-1] == Answer(True, "09;000")


@given(
    st.lists(st.tuples(st.sampled_from([6, 21]), ASCII_DATA), min_size=1, max_size=5),
    st.binary(max_size=20).map(lambda noise: noise.replace(b"\x01", b"")),
    st.lists(st.integers(0, 200), max_size=10),
)
def test_answers_come_out_the_same_however_the_stream_is_cut(
    answers: list[tuple[int, str]], noise: bytes, cuts: list[int]
) -> None:
    stream = noise + b"".join(answer_bytes(kind, data) for kind, data in answers)
    decoder = AnswerDecoder()
    found: list[Answer] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for low, high in itertools.pairwise(edges):
        found += decoder.feed(stream[low:high])
    assert found == [Answer(kind == 6, data) for kind, data in answers]


def test_an_answer_of_another_station_is_not_taken_for_ours() -> None:
    decoder = AnswerDecoder(station=5)
    assert decoder.feed(answer_bytes(6, "", 6)) == []
    assert "station 6" in decoder.last_refusal
    assert decoder.feed(answer_bytes(6, "", 5)) == [Answer(True, "", 5)]


def test_endless_bytes_without_an_end_are_given_up() -> None:
    decoder = AnswerDecoder()
    assert decoder.feed(b"\x01" + b"A" * 100_000) == []
    assert decoder.refused > 0
    assert decoder.feed(answer_bytes(6)) == [Answer(True)]


@pytest.mark.parametrize(
    ("data", "ready", "done", "paused", "fault"),
    [
        ("09;000", True, False, False, False),
        ("0B;001", True, True, False, False),
        ("08;000", False, False, False, False),
        ("00;000", False, False, False, True),
        ("0c;fff", False, False, True, False),
    ],
)
def test_status_bits_are_those_of_the_manual(
    data: str, ready: bool, done: bool, paused: bool, fault: bool
) -> None:
    status = decode_status(data)
    assert (status.ready, status.done, status.paused, status.fault) == (ready, done, paused, fault)
    assert status.inputs == int(data[3:], 16)


@given(st.text(max_size=8))
def test_anything_else_is_no_status(data: str) -> None:
    try:
        status = decode_status(data)
    except ProtocolError:
        return
    assert f"{status.outputs:02X};{status.inputs:03X}" == data.upper()


def test_a_status_with_outputs_that_do_not_exist_is_refused() -> None:
    with pytest.raises(ProtocolError, match="do not exist"):
        decode_status("40;000")
    assert decode_status("3F;000").outputs == Outputs(0x3F)
