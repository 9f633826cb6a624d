"""Bytes of the Telesis Extended protocol: messages out, answers in, status bits.

Pure functions and a stream decoder without a socket; `telesis` puts them on TCP. The wire format
and the source of each rule are in ``docs/reference/telesis.md``.
"""

from __future__ import annotations

import re
from enum import IntFlag, StrEnum
from typing import Final

import msgspec

SOH: Final = 0x01
STX: Final = 0x02
ETX: Final = 0x03
ACK: Final = 0x06
CR: Final = 0x0D
NAK: Final = 0x15

MAX_DATA: Final = 1024
"""Longest DATA that is sent or accepted, bytes; a longer run without CR is not an answer."""

_FRAMING: Final = frozenset({SOH, STX, ETX, CR})

_ANSWER: Final = re.compile(
    rb"\x01(?P<kind>[\x06\x15])(?P<station>[0-9]{2})?"
    rb"(?:\x02(?P<data>[^\x01\x02\x03\r]*)\x03(?P<bcc>[0-9]{3})?)?\r"
)


class ProtocolError(ValueError):
    """Something that the protocol cannot carry, or bytes that are not an answer."""


class Type(StrEnum):
    """TYPE of a host message."""

    OVERWRITE = "1"
    PATTERN = "P"
    QUERY = "Q"
    VARIABLE = "V"
    ONLINE = "O"
    GO = "G"
    INQUIRE = "I"


class Outputs(IntFlag):
    """Output signals of the status answer (BenchMark 320/BM470, 34753A, page 9)."""

    READY = 0x01
    DONE = 0x02
    PAUSED = 0x04
    NO_FAULT = 0x08
    SPARE_1 = 0x10
    SPARE_2 = 0x20


class Status(msgspec.Struct, frozen=True):
    """Decoded ``OO;III``. ``inputs`` are the twelve input signals as a bit mask."""

    outputs: Outputs
    inputs: int

    @property
    def ready(self) -> bool:
        """Online and not marking."""
        return bool(self.outputs & Outputs.READY)

    @property
    def done(self) -> bool:
        """The last cycle ended."""
        return bool(self.outputs & Outputs.DONE)

    @property
    def paused(self) -> bool:
        """A cycle was interrupted and can go on."""
        return bool(self.outputs & Outputs.PAUSED)

    @property
    def fault(self) -> bool:
        """The NO_FAULT signal is low."""
        return not self.outputs & Outputs.NO_FAULT

    def __str__(self) -> str:
        names = [
            name
            for name, on in (
                ("ready", self.ready),
                ("done", self.done),
                ("paused", self.paused),
                ("fault", self.fault),
            )
            if on
        ]
        return f"{'+'.join(names) or 'marking'} ({self.outputs:02X};{self.inputs:03X})"


class Answer(msgspec.Struct, frozen=True):
    """One answer of the controller. ``station`` is None when the answer carried none."""

    accepted: bool
    data: str = ""
    station: int | None = None


def block_check(kind: int, data: bytes) -> bytes:
    """BCC: (TYPE + sum of DATA) modulo 256 as three ASCII digits."""
    return b"%03d" % ((kind + sum(data)) & 0xFF)


def field(number: int, text: str) -> str:
    """DATA ``nn<string>`` for the types 1, Q and V; ``number`` is 1 to 99."""
    if not 1 <= number <= 99:
        raise ProtocolError(f"field {number} does not exist; fields are numbered 1 to 99")
    return f"{number:02d}{text}"


def encode(kind: Type, data: str = "", station: int | None = None) -> bytes:
    """A host message; raises ProtocolError when ``data`` is not ASCII or holds framing bytes."""
    try:
        payload = data.encode("ascii")
    except UnicodeEncodeError as error:
        raise ProtocolError(
            f"{data!r} holds {data[error.start]!r}, but the protocol carries ASCII only; "
            "change the template"
        ) from error
    bad = _FRAMING.intersection(payload)
    if bad:
        raise ProtocolError(
            f"{data!r} holds the control character {min(bad):02X}h, which frames messages; "
            "change the template"
        )
    if len(payload) > MAX_DATA:
        raise ProtocolError(f"{len(payload)} bytes of data are more than {MAX_DATA}")
    number = b"" if station is None else b"%02d" % station
    code = ord(kind.value)
    return b"".join(
        (
            bytes((SOH, code)),
            number,
            bytes((STX,)),
            payload,
            bytes((ETX,)),
            block_check(code, payload),
            bytes((CR,)),
        )
    )


def decode_answer(frame: bytes, *, require_bcc: bool = True) -> Answer:
    """One whole answer, SOH to CR; raises ProtocolError that says what is wrong with it."""
    match = _ANSWER.fullmatch(frame)
    if match is None:
        raise ProtocolError(f"{_shown(frame)} is not SOH ACK/NAK [##] STX [DATA] ETX BCC CR")
    kind = match["kind"][0]
    data = match["data"] or b""
    if match["bcc"] is None:
        if require_bcc:
            raise ProtocolError(
                f"{_shown(frame)} has no block check; set require_bcc: false if the "
                "controller sends none"
            )
    elif match["bcc"] != block_check(kind, data):
        raise ProtocolError(
            f"{_shown(frame)} has block check {match['bcc'].decode()}, "
            f"its bytes give {block_check(kind, data).decode()}"
        )
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{_shown(frame)} holds bytes that are not ASCII") from error
    station = None if match["station"] is None else int(match["station"])
    return Answer(kind == ACK, text, station)


def decode_status(data: str) -> Status:
    """``OO;III`` of an answer to type I; raises ProtocolError."""
    match = re.fullmatch(r"([0-9A-Fa-f]{2});([0-9A-Fa-f]{3})", data, re.ASCII)
    if match is None:
        raise ProtocolError(f"status {data!r} is not OO;III in hexadecimal")
    outputs = int(match[1], 16)
    if outputs > 0x3F:
        raise ProtocolError(f"status {data!r} sets outputs that do not exist (bits above 3Fh)")
    return Status(Outputs(outputs), int(match[2], 16))


class AnswerDecoder:
    """Cuts a byte stream into answers.

    Everything before an SOH is ignored, and an SOH inside a frame begins a new one, so that one
    disturbed answer never hides the next. What is not an answer is counted in ``refused`` and
    its reason kept in ``last_refusal``.
    """

    def __init__(self, *, require_bcc: bool = True, station: int | None = None) -> None:
        self._require_bcc = require_bcc
        self._station = station
        self._buffer = bytearray()
        self.refused = 0
        self.last_refusal = ""

    def feed(self, chunk: bytes) -> list[Answer]:
        """Answers completed by ``chunk``, oldest first; never raises."""
        answers: list[Answer] = []
        for byte in chunk:
            if byte == SOH:
                if self._buffer:
                    self._refuse(f"{_shown(self._buffer)} was cut off by a new header")
                self._buffer = bytearray((SOH,))
            elif self._buffer:
                self._buffer.append(byte)
                if byte == CR:
                    self._complete(answers)
                elif len(self._buffer) > MAX_DATA + 16:
                    self._refuse(f"{len(self._buffer)} bytes without CR")
        return answers

    def _complete(self, answers: list[Answer]) -> None:
        frame = bytes(self._buffer)
        self._buffer.clear()
        try:
            answer = decode_answer(frame, require_bcc=self._require_bcc)
        except ProtocolError as error:
            self._refuse(str(error))
            return
        if answer.station != self._station:
            self._refuse(f"{_shown(frame)} is from station {answer.station}, not {self._station}")
            return
        answers.append(answer)

    def _refuse(self, reason: str) -> None:
        self._buffer.clear()
        self.refused += 1
        self.last_refusal = reason


def _shown(frame: bytes | bytearray) -> str:
    text = bytes(frame[:48]).hex(" ")
    return f"[{text}{' ...' if len(frame) > 48 else ''}]"
