"""What a Modbus TCP answer must look like, and what to say of one that does not.

Pure functions on the bytes that came; `client` asks them before the library sees anything.
"""

from __future__ import annotations

from typing import Final

_HEADER: Final = 7
"""Bytes of the MBAP header (Modbus Messaging on TCP/IP V1.0b, 3.1.3)."""

_LONGEST: Final = 254
"""Largest value of the header's length field: unit identifier and a PDU of 253 bytes."""


def frame_fault(data: bytes, transaction: int, function: int, unit: int) -> str:
    """Why ``data``, received after a request, cannot be its answer; empty when it may be.

    Incomplete frames and frames with another transaction identifier (late answers to a request
    that was given up) are no fault; they are waited out or passed over. Layout: Modbus Messaging
    on TCP/IP V1.0b, 3.1.3, and Modbus Application Protocol V1.1b3, clause 6.
    """
    at = 0
    while at + 6 <= len(data):
        number = int.from_bytes(data[at : at + 2], "big")
        protocol = int.from_bytes(data[at + 2 : at + 4], "big")
        length = int.from_bytes(data[at + 4 : at + 6], "big")
        if protocol or number == 0:
            return f"the answer is not Modbus (protocol {protocol}, transaction {number})"
        if not 3 <= length <= _LONGEST:
            return f"the answer announces a length of {length}, which no answer has"
        frame = data[at : at + 6 + length]
        if len(frame) < 6 + length:
            break
        if number == transaction:
            if unit and frame[6] != unit:
                return f"the answer comes from unit {frame[6]}, the request went to unit {unit}"
            return _body_fault(frame[_HEADER], frame[_HEADER + 1 :], function)
        at += len(frame)
    return ""


def _body_fault(code: int, body: bytes, function: int) -> str:
    if code == function | 0x80:
        fits = len(body) == 1
    elif code != function:
        return f"the answer is to function {code}, the request was function {function}"
    elif function <= 4:
        fits = len(body) == body[0] + 1
    else:
        fits = len(body) == 4
    return (
        "" if fits else f"the answer to function {code} is {len(body)} bytes long, which is wrong"
    )


def passed_over(data: bytes, transaction: int) -> str:
    """What ``data``, the bytes that came instead of an answer, was; empty for none.

    ``data`` has passed `frame_fault`: there are only whole frames of other transactions in it, and
    perhaps the beginning of one more.
    """
    others: list[int] = []
    at = 0
    while at + 6 <= len(data):
        end = at + 6 + int.from_bytes(data[at + 4 : at + 6], "big")
        if end > len(data):
            break
        others.append(int.from_bytes(data[at : at + 2], "big"))
        at = end
    if others:
        count = "an answer" if len(others) == 1 else f"{len(others)} answers"
        return (
            f"{count} with transaction identifier {others[-1]} came, the request has "
            f"{transaction}; check that the gateway repeats the identifier, as Modbus TCP asks, "
            "and is not too slow"
        )
    if at < len(data):
        return f"only {len(data) - at} bytes of an answer came"
    return ""
