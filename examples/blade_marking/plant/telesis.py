"""The marker's controller on the wire: the device's side of the Telesis Extended protocol.

Pure: bytes in, bytes out, no sockets and no clock; `marker` puts it on TCP. Written from the
BenchMark 320/BM470 sheet (34753A, page 9), not from the cell's code; where that sheet is silent it
follows the reading published in ``docs/reference/telesis.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

SOH: Final = 0x01
STX: Final = 0x02
ETX: Final = 0x03
ACK: Final = 0x06
CR: Final = 0x0D
NAK: Final = 0x15

READY: Final = 0x01
DONE: Final = 0x02
PAUSED: Final = 0x04
NO_FAULT: Final = 0x08
INPUT_INTERLOCK: Final = 0x200
"""Input SPARE_1: the external interlock is closed."""

LONGEST: Final = 1024
"""Bytes of a message after which the controller gives up and waits for the next SOH."""
LAST_FIELD: Final = 9

_FRAME = re.compile(
    rb"(?P<type>[\x21-\x7e])(?P<station>[0-9]{2})?\x02"
    rb"(?P<data>[^\x01\x02\x03\x0d]*)\x03(?P<bcc>[0-9]{3})",
    re.DOTALL,
)
_PATTERN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Request:
    """One message of the host; ``damaged`` says what is wrong with it, if anything."""

    type: str
    station: str
    data: str
    damaged: str = ""


def block_check(kind: int, data: bytes) -> bytes:
    """The eight-bit sum of the type and the data as three decimal digits."""
    return b"%03d" % ((kind + sum(data)) & 0xFF)


class RequestDecoder:
    """Cuts the host's stream into requests; everything before an SOH is ignored."""

    def __init__(self) -> None:
        self._frame: bytearray | None = None

    def feed(self, data: bytes) -> list[Request]:
        """Take bytes and return the messages that they complete."""
        requests = []
        for byte in data:
            if byte == SOH:
                self._frame = bytearray()
            elif self._frame is None:
                continue
            elif byte == CR:
                requests.append(_decode(bytes(self._frame)))
                self._frame = None
            elif len(self._frame) >= LONGEST:
                self._frame = None
            else:
                self._frame.append(byte)
        return requests


def _decode(frame: bytes) -> Request:
    match = _FRAME.fullmatch(frame)
    if match is None:
        return Request("", "", "", "format")
    station = (match["station"] or b"").decode()
    kind = match["type"]
    data = match["data"].decode("latin-1")
    if match["bcc"] != block_check(kind[0], match["data"]):
        return Request(kind.decode(), station, data, "block check")
    return Request(kind.decode(), station, data)


def encode_answer(accepted: bool, station: str, data: str = "") -> bytes:
    """ACK or NAK in the envelope of the host's message."""
    kind = ACK if accepted else NAK
    body = data.encode("latin-1")
    check = block_check(kind, body)
    return b"\x01%c%b\x02%b\x03%b\r" % (kind, station.encode(), body, check)


class Head(Protocol):
    """What the controller needs of the marking head."""

    @property
    def marking(self) -> bool:
        """True while the pin works."""

    @property
    def interlock(self) -> bool:
        """True while a part is held and marking is enabled."""

    def start(self, content: str, texts: tuple[str, ...]) -> str:
        """Begin to mark; an empty string, or the reason why not."""

    def abort(self, reason: str) -> None:
        """Stop the pin where it is."""


class Controller:
    """The controller's memory and states, shared by all its connections."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self.station = ""
        self.online = False
        self.done = False
        self.fault = ""
        self.pattern = ""
        self.fields: dict[int, str] = {}
        self.buffers: dict[int, str] = {}

    def cycle_ended(self, fault: str) -> None:
        """Told by the head when the pin stands still; ``fault`` is empty after a whole mark."""
        self.done = not fault
        self.fault = fault

    @property
    def status(self) -> str:
        """Outputs and inputs as ``OO;III``."""
        ready = self.online and not self._head.marking and not self.fault
        outputs = (
            (READY if ready else 0) | (DONE if self.done else 0) | (0 if self.fault else NO_FAULT)
        )
        return f"{outputs:02X};{INPUT_INTERLOCK if self._head.interlock else 0:03X}"

    def handle(self, request: Request) -> bytes | None:
        """Act on a message; the answer, or None for a message to another station."""
        if request.station and self.station and request.station != self.station:
            return None
        if request.damaged:
            return encode_answer(False, request.station, request.damaged)
        if request.type == "I":
            return encode_answer(True, request.station, self.status)
        actions = {
            "O": self._go_online,
            "P": self._load_pattern,
            "1": self._set_field,
            "V": self._set_field,
            "Q": self._set_buffer,
            "G": self._go,
        }
        action = actions.get(request.type)
        reason = action(request.data) if action else f"unknown type {request.type}"
        return encode_answer(not reason, request.station, reason)

    def _go_online(self, data: str) -> str:
        if self._head.marking:
            self._head.abort("reset by the host")
        self.online, self.done, self.fault = True, False, ""
        return ""

    def _load_pattern(self, data: str) -> str:
        if self._head.marking:
            return "busy"
        if not _PATTERN_NAME.fullmatch(data):
            return "unknown pattern"
        self.pattern = data
        self.fields.clear()
        return ""

    def _set_field(self, data: str) -> str:
        if self._head.marking:
            return "busy"
        if not self.pattern:
            return "no pattern loaded"
        number = _number(data)
        if not 1 <= number <= LAST_FIELD:
            return "unknown field"
        self.fields[number] = data[2:]
        return ""

    def _set_buffer(self, data: str) -> str:
        number = _number(data)
        if number < 0:
            return "unknown query buffer"
        self.buffers[number] = data[2:]
        return ""

    def _go(self, data: str) -> str:
        if not self.online:
            return "not online"
        if self._head.marking:
            return "busy"
        if self.fault:
            return f"fault: {self.fault}"
        if not self.fields.get(1):
            return "field 01 is empty"
        texts = tuple(self.fields[number] for number in sorted(self.fields) if number > 1)
        reason = self._head.start(self.fields[1], texts)
        self.done = False
        self.fault = reason
        return reason


def _number(data: str) -> int:
    """The two leading digits, or -1."""
    digits = data[:2]
    return int(digits) if len(digits) == 2 and digits.isascii() and digits.isdigit() else -1
