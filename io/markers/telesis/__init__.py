"""Telesis Extended protocol over TCP: codec and client."""

from cellwright.io.markers.telesis.client import Telesis, TelesisOptions
from cellwright.io.markers.telesis.protocol import (
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

__all__ = [
    "Answer",
    "AnswerDecoder",
    "Outputs",
    "ProtocolError",
    "Telesis",
    "TelesisOptions",
    "Type",
    "block_check",
    "decode_answer",
    "decode_status",
    "encode",
    "field",
]
