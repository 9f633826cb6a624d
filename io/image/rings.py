"""Rings in the image: records from one process to another, and commands from anyone to the scan.

A record counts as acknowledged only when its consumer says so; the journal says so after its
database has committed. Nothing here decodes what it carries.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from cellwright.io.image.areas import Area
from cellwright.native import Pointer, ffi, lib

_EAGAIN: Final = -11
_EINVAL: Final = -22
_EBADMSG: Final = -74
_EMSGSIZE: Final = -90
_ESTALE: Final = -116
_ECANCELED: Final = -125


class RingError(Exception):
    """A record or command could not be passed on."""


class RingFull(RingError):  # noqa: N818 - says what is the case, as queue.Full does
    """No room until the consumer has acknowledged more."""


class RingDamaged(RingError):  # noqa: N818
    """Bytes in the ring are not what was written; `SpscRing.abandon` is the way on."""


def ring_sizes(capacity: int) -> tuple[int, int]:
    """Bytes of the producer's and of the consumer's area; ``capacity`` is a power of two."""
    return lib.cw_ring_producer_size(capacity), lib.cw_ring_consumer_size()


class SpscRing:
    """Records of any length from one producer process to one consumer process.

    Sequences count from 1 for the life of the image file; a restarted producer or consumer goes on
    where its predecessor was.
    """

    BATCH: Final = 256

    def __init__(self, name: str, producer: Area, consumer: Area) -> None:
        self.name = name
        self._areas = (producer, consumer)
        self._view = producer.view
        self._ends = (producer.pointer, producer.size, consumer.pointer, consumer.size)
        self._records = ffi.new("struct cw_record[]", self.BATCH)
        self.longest = lib.cw_ring_longest(producer.size - lib.cw_ring_producer_size(0))
        """Most bytes of one record."""

    @property
    def ends(self) -> tuple[Pointer, int, Pointer, int]:
        """Producer's and consumer's area, for C that puts records itself. Valid while this is."""
        return self._ends

    def put(self, data: bytes) -> int:
        """Append a record and return its sequence. Producer only; never waits.

        Raises RingFull when the consumer is too far behind, RingError when it is too long.
        """
        sequence = lib.cw_ring_put(*self._ends, data, len(data))
        if sequence > 0:
            return sequence
        if sequence == 0:
            raise RingFull(
                f"ring {self.name} is full: {self.written - self.acknowledged} records wait for "
                f"their consumer; see whether that process is alive"
            )
        if sequence == _EMSGSIZE:
            raise RingError(
                f"a record of {len(data)} bytes does not fit into ring {self.name}, which takes "
                f"{self.longest}; send less at once"
            )
        raise self._damaged()

    def peek(self, max_records: int = BATCH) -> list[tuple[int, bytes]]:
        """The oldest records that are not acknowledged, with their sequences. Consumer only.

        At most 256 at once. Raises RingDamaged when the oldest one is not what was written.
        """
        found = lib.cw_ring_peek(*self._ends, self._records, min(max_records, self.BATCH))
        if found < 0:
            raise self._damaged()
        view, records = self._view, self._records
        result = []
        for index in range(found):
            record = records[index]
            result.append(
                (record.sequence, bytes(view[record.offset : record.offset + record.length]))
            )
        return result

    def acknowledge(self, sequence: int) -> None:
        """Free all records up to and including ``sequence``. Consumer only."""
        status = lib.cw_ring_acknowledge(*self._ends, sequence)
        if status == _EINVAL:
            raise RingError(
                f"record {sequence} of ring {self.name} cannot be acknowledged: the newest one "
                f"written is {self.written}"
            )
        if status != 0:
            raise self._damaged()

    def abandon(self) -> int:
        """Give up everything not acknowledged; how many records that were. Only after damage."""
        return lib.cw_ring_abandon(*self._ends)

    @property
    def written(self) -> int:
        """Sequence of the newest record, 0 before the first."""
        return lib.cw_ring_written(self._ends[0], self._ends[1])

    @property
    def acknowledged(self) -> int:
        """Sequence up to which the consumer has acknowledged."""
        return lib.cw_ring_acknowledged(self._ends[2], self._ends[3])

    def wait(self, timeout_s: float, after: int | None = None) -> bool:
        """Sleep until there is a record after sequence ``after``, at most ``timeout_s``.

        ``after`` is what is acknowledged, if not given. Consumer only. False on a time-out, and
        when a signal came.
        """
        known = self.acknowledged if after is None else after
        return lib.cw_ring_wait(*self._ends, known, int(timeout_s * 1e9)) == 1

    def _damaged(self) -> RingDamaged:
        return RingDamaged(
            f"ring {self.name} is damaged after record {self.acknowledged} "
            f"({self.written} written): the bytes are not those that were put there; "
            f"abandon() drops what is not acknowledged"
        )


EventRing = SpscRing


class Reply(msgspec.Struct, frozen=True):
    """The scan's answer to a command: ``code`` 0 means done, ``text`` is for people."""

    ticket: int
    code: int
    text: str


class CommandRing:
    """Commands from any process to the scan, and the scan's answers."""

    SLOTS: Final = 256
    REPLIES: Final = 1024

    def __init__(self, commands: Area, replies: Area, slot_size: int) -> None:
        self._areas = (commands, replies)
        self._slots = (commands.pointer, commands.size, self.SLOTS, slot_size)
        self._replies = (replies.pointer, replies.size)
        self.longest = slot_size - 16
        """Most bytes of one command."""
        most = lib.CW_MOST_COMMANDS
        self._buffer = bytearray(most * slot_size)
        self._received = ffi.from_buffer("uint8_t[]", self._buffer)
        self._found = ffi.new("struct cw_command[]", most)

    @classmethod
    def sizes(cls, slot_size: int) -> tuple[int, int]:
        """Bytes of the area of the commands and of the area of the answers."""
        return lib.cw_commands_size(cls.SLOTS, slot_size), lib.cw_replies_size(cls.REPLIES)

    def send(self, data: bytes) -> int:
        """Hand over a command and return its ticket. Any process; never waits.

        Raises RingFull when the scan takes none, RingError when the command is too long.
        """
        ticket = lib.cw_commands_send(*self._slots, os.getpid(), data, len(data))
        if ticket == _EAGAIN and self.recover():
            ticket = lib.cw_commands_send(*self._slots, os.getpid(), data, len(data))
        if ticket > 0:
            return ticket
        if ticket == _EAGAIN:
            raise RingFull(
                f"the scan has not taken the last {self.SLOTS} commands; see whether it runs"
            )
        if ticket == _EMSGSIZE:
            raise RingError(
                f"a command of {len(data)} bytes is too long; the longest is {self.longest}"
            )
        if ticket == _ECANCELED:
            raise RingError("the command was not sent: its slot was freed meanwhile; send it again")
        raise RingError(f"the command ring does not have the size it should ({ticket})")

    def receive(self, max_commands: int = 16) -> list[tuple[int, bytes]]:
        """Take up to ``max_commands`` (at most 64), lowest ticket first. Scan only.

        A damaged command is answered with code -74 here and left out.
        """
        count = lib.cw_commands_receive(
            *self._slots,
            self._received,
            len(self._buffer),
            self._found,
            min(max_commands, lib.CW_MOST_COMMANDS),
        )
        if count == 0:
            return []
        if count < 0:
            raise RingError(f"the command ring does not have the size it should ({count})")
        result = []
        for index in range(count):
            found = self._found[index]
            if found.length < 0:
                self.reply(found.ticket, _EBADMSG, "the command arrived damaged; send it again")
                continue
            data = bytes(self._buffer[found.offset : found.offset + found.length])
            result.append((found.ticket, data))
        return result

    def recover(self) -> int:
        """Free the slots of senders that died in the middle; how many. Any process."""
        return lib.cw_commands_recover(*self._slots)

    def reply(self, ticket: int, code: int, text: str) -> None:
        """Answer a command; the text is cut at 208 bytes. Scan only."""
        data = text.encode()[: lib.CW_REPLY_TEXT]
        lib.cw_reply_write(*self._replies, ticket, code, data, len(data))

    def result(self, ticket: int, timeout_s: float = 0.0) -> Reply | None:
        """The answer, None when there is none within ``timeout_s`` (0: only look).

        Raises RingError when later answers have overwritten it.
        """
        reply = ffi.new("struct cw_reply *")
        deadline = lib.cw_now() + int(timeout_s * 1e9)
        while True:
            found = lib.cw_reply_wait(*self._replies, ticket, reply, deadline - lib.cw_now())
            if found == 1:
                text = ffi.buffer(reply.text, reply.length)[:].decode("utf-8", "replace")
                return Reply(ticket, reply.code, text)
            if found == _ESTALE:
                raise RingError(f"the answer to command {ticket} was overwritten by later ones")
            if found < 0:
                raise RingError(f"{ticket} is not a ticket of this ring")
            if lib.cw_now() >= deadline:
                return None
